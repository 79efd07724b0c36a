//! A queue on loopback that accepts every message, in the place of Amazon SQS.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// The response to `SendMessage`.
const ACCEPTED: &str = r#"{"MessageId":"m"}"#;

/// Starts the queue.
pub fn start() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || serve(stream)))));
    address
}

/// Responds to each complete request.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let response = format!("HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: {}\r\n\r\n{ACCEPTED}", ACCEPTED.len());
    let (mut received, mut part) = (Vec::new(), [0; 4096]);
    loop {
        let count = stream.read(&mut part)?;
        if count == 0 {
            return Ok(());
        }
        received.extend_from_slice(&part[..count]);
        if is_complete(&received) {
            received.clear();
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
