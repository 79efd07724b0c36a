//! Servers on loopback: a risk service, whose responses fill the cache, and a queue that accepts every message.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Starts the service. Every address gets the same low score.
pub fn start() -> SocketAddr {
    start_with(r#"{"score": 7}"#)
}

/// Starts the queue, in the place of Amazon SQS.
pub fn start_queue() -> SocketAddr {
    start_with(r#"{"MessageId": "m"}"#)
}

fn start_with(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || serve(stream, body)))));
    address
}

/// Responds to each complete request.
fn serve(mut stream: TcpStream, body: &str) -> std::io::Result<()> {
    let response = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let (mut request, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(());
        }
        request.extend_from_slice(&part[..count]);
        if is_complete(&request) {
            request.clear();
            stream.write_all(response.as_bytes())?;
        }
    }
}

/// Whether a request has all of its body.
fn is_complete(request: &[u8]) -> bool {
    let text = String::from_utf8_lossy(request);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().filter_map(|line| line.split_once(':')).find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    body.len() >= length.and_then(|(_, value)| value.trim().parse().ok()).unwrap_or_default()
}
