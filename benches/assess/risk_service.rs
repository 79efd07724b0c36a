//! A risk service on loopback, whose responses fill the cache, and a queue that accepts every message.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Starts the service. Every address gets the same low score.
pub fn start() -> SocketAddr {
    start_with(r#"{"score": 7}"#)
}

/// Starts the queue.
pub fn start_queue() -> SocketAddr {
    start_with(r#"{"MessageId":"m"}"#)
}

fn start_with(body: &'static str) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || serve(stream, body)))));
    address
}

/// Responds to each request. riskgate writes a request in one piece, so one read is enough.
fn serve(mut stream: TcpStream, body: &str) -> std::io::Result<()> {
    let response = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut request = [0; 4096];
    while stream.read(&mut request)? > 0 {
        stream.write_all(response.as_bytes())?;
    }
    Ok(())
}
