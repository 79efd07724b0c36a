//! A risk service on loopback, for the answers that the cache is warmed with.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
};

/// Starts a service that knows nothing bad of anybody.
pub fn start() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port on loopback");
    let address = listener.local_addr().expect("a listener has an address");
    thread::spawn(move || listener.incoming().flatten().for_each(|stream| drop(thread::spawn(move || serve(stream)))));
    address
}

/// Answers each request; riskgate sends a question in one piece.
fn serve(mut stream: TcpStream) -> std::io::Result<()> {
    let mut question = [0; 4096];
    while stream.read(&mut question)? > 0 {
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 12\r\n\r\n{\"score\": 7}")?;
    }
    Ok(())
}
