//! `riskgate healthcheck`: the probe of a container runtime, for images without a shell.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use tokio::time::Instant;

use crate::commands::Failure;
use riskgate_config::{Config, env::ProcessEnv};

/// The most that is read of a response. The status line is in the first bytes.
const MAX_RESPONSE_BYTES: usize = 1024;

/// Exits 0 if a sidecar on this machine is ready, else 1 with the reason. It sends `GET /readyz`, which needs no token.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate healthcheck
  riskgate healthcheck --listen 127.0.0.1:9000 --timeout 5s")]
pub struct Args {
    /// Address and port on which the sidecar listens. The default is RISKGATE_LISTEN.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,

    /// Longest wait for the response, such as 500ms or 2s.
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Runs the command.
///
/// # Errors
///
/// The sidecar cannot be reached, does not respond in time, or responds with another status than 200.
pub fn run(args: &Args) -> Result<(), Failure> {
    let listen = args.listen.unwrap_or_else(|| Config::read(&ProcessEnv).0.sidecar.listen);
    let address = SocketAddr::new(reachable(listen.ip()), listen.port());
    let end = Instant::now().checked_add(args.timeout).ok_or_else(|| Failure::Usage("--timeout is too long: give a few seconds, such as 2s".to_owned()))?;
    let status = status(address, end).map_err(|error| Failure::Run(format!("{address}: {error}")))?;
    match status.as_str() {
        "200" => Ok(()),
        _ => Err(Failure::Run(format!("{address}: /readyz responds with {status:?} instead of 200"))),
    }
}

/// The address under which a listener on `ip` is reached from its own machine.
fn reachable(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        IpAddr::V4(_) | IpAddr::V6(_) => ip,
    }
}

/// The status code of `GET /readyz`, as text.
fn status(address: SocketAddr, end: Instant) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, left(end)?)?;
    stream.set_write_timeout(Some(left(end)?))?;
    stream.write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut head = Vec::new();
    let mut buffer = [0; 256];
    while head.len() < MAX_RESPONSE_BYTES && !head.contains(&b'\n') {
        stream.set_read_timeout(Some(left(end)?))?;
        match stream.read(&mut buffer)? {
            0 => break,
            length => head.extend_from_slice(&buffer[..length]),
        }
    }
    let head = String::from_utf8_lossy(&head);
    let mut words = head.lines().next().unwrap_or_default().split(' ');
    match (words.next(), words.next()) {
        (Some(version), Some(code)) if version.starts_with("HTTP/1.") => Ok(code.chars().take(3).collect()),
        _ => Err(std::io::Error::other("the response is not HTTP")),
    }
}

/// The time left until `end`. A socket's timeout of zero would be an error of its own kind.
fn left(end: Instant) -> std::io::Result<Duration> {
    let left = end.saturating_duration_since(Instant::now());
    if left.is_zero() { Err(std::io::ErrorKind::TimedOut.into()) } else { Ok(left) }
}
