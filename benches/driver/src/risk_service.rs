//! The outside risk service that every program asks: plain HTTP on loopback, a harmless score for each address.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::wire::Wire;

/// Starts the service, which takes `delay` for an answer, and returns its address.
pub fn start(delay: Duration) -> anyhow::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(stream, delay));
        }
    });
    Ok(address)
}

fn serve(stream: TcpStream, delay: Duration) -> std::io::Result<()> {
    let mut wire = Wire::new(stream)?;
    while let Some(question) = wire.request()? {
        thread::sleep(delay);
        let score = question.body.iter().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte)) % 20;
        let answer = format!("{{\"score\": {score}}}");
        wire.write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).as_bytes())?;
    }
    Ok(())
}
