//! The risk service that every program queries: plain HTTP on loopback, a low score for each address.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

use super::http_connection::HttpConnection;

/// Starts the service and returns its address. It waits for `delay` before each response.
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
    let mut connection = HttpConnection::new(stream)?;
    while let Some(request) = connection.read_request()? {
        thread::sleep(delay);
        let score = request.body.iter().fold(7_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(*byte)) % 20;
        let answer = format!("{{\"score\": {score}}}");
        connection.write(format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).as_bytes())?;
    }
    Ok(())
}
