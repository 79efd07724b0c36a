//! `riskgate healthcheck` against servers that respond well, badly, slowly and not at all.

use std::{
    io::{Read as _, Write as _},
    net::TcpListener,
    thread,
};

use super::{Finished, riskgate};

/// Runs the command against a server that answers one connection with `response`, or never.
fn check(response: Option<&'static str>, timeout: &str) -> Finished {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let server = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        let mut request = [0; 512];
        let length = stream.read(&mut request).expect("a request");
        match response {
            Some(response) => stream.write_all(response.as_bytes()).expect("it reads the response"),
            // The client gives up and closes the connection.
            None => assert_eq!(stream.read(&mut [0; 1]).unwrap_or(0), 0),
        }
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    let finished = riskgate(&["healthcheck", "--timeout", timeout], &[("LISTEN", &format!("0.0.0.0:{port}"))], "");
    let request = server.join().expect("served");
    assert!(request.starts_with("GET /readyz HTTP/1.1\r\n"), "{request}");
    assert!(!request.to_lowercase().contains("authorization"), "{request}");
    finished
}

#[test]
fn a_ready_sidecar_is_healthy() {
    let finished = check(Some("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"), "30s");
    assert_eq!((finished.code, finished.stdout.as_str(), finished.stderr.as_str()), (0, "", ""));
}

#[test]
fn another_status_and_another_protocol_are_unhealthy() {
    for (response, words) in [
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", r#"/readyz responds with "503" instead of 200"#),
        ("220 mail.example.com ESMTP\r\n", "the response is not HTTP"),
        ("", "the response is not HTTP"),
    ] {
        let finished = check(Some(response), "30s");
        assert!(finished.code == 1 && finished.stderr.contains(words), "{response}: {finished:?}");
    }
}

#[test]
fn a_sidecar_that_does_not_answer_is_unhealthy() {
    let finished = check(None, "200ms");
    assert!(finished.code == 1 && finished.stderr.starts_with("riskgate: 127.0.0.1:"), "{finished:?}");
}

#[test]
fn a_closed_port_is_unhealthy_and_a_bad_option_is_wrong_usage() {
    let port = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a port").port();
    assert_eq!(riskgate(&["healthcheck", "--listen", &format!("127.0.0.1:{port}")], &[], "").code, 1);
    assert_eq!(riskgate(&["healthcheck", "--timeout", "soon"], &[], "").code, 2);
}
