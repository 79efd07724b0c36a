//! Addresses in the forms that proxies, load balancers and CDNs write, and the headers that carry them.
//!
//! The accepted forms are `192.0.2.1:4711` (Azure Application Gateway, ALB with client port, IIS, CloudFront),
//! `[2001:db8::1]:4711`, `[2001:db8::1]`, `2001:db8::1:46532` (CloudFront appends a port to a bare IPv6 address),
//! `fe80::1%eth0` and `192.0.2.1%2` (F5 route domains), each with or without quotes, and an element of RFC 7239's
//! `Forwarded`, such as `for="[2001:db8::1]:4711";proto=https`. Any other text is rejected.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::{client_ip::ClientIp, placeholder};

/// The client's address as reported by the trusted proxies, of which there are `hops`.
///
/// `lines` are all lines of `X-Forwarded-For`, in order. `standard` are all lines of `Forwarded`, which are used only when
/// there is no `X-Forwarded-For`. Entries are counted from the right, because the client can write the entries on the left.
/// `None` when there are fewer entries than proxies.
pub fn forwarded_for<'a>(lines: impl Iterator<Item = &'a str>, standard: impl Iterator<Item = &'a str>, hops: usize) -> Option<ClientIp> {
    if hops == 0 {
        return Some(ClientIp::Missing);
    }
    let entries = |lines: &mut dyn Iterator<Item = &'a str>| lines.flat_map(|line| line.split(',')).collect::<Vec<_>>();
    let mut found = entries(&mut { lines });
    if found.is_empty() {
        // A comma splits even within quotes: the proxy's element has none, and a client's open quote must not extend into that element.
        found = entries(&mut { standard });
    }
    Some(ClientIp::parse(found[found.len().checked_sub(hops)?].trim()))
}

/// Parses one address in any of the accepted forms.
pub fn read_node(text: &str) -> Option<IpAddr> {
    read_host(unquoted(node(text)?)?)
}

/// Whether a text means that the address is unknown or not disclosed: RFC 7239's `unknown`, an obfuscated identifier, or a common placeholder.
pub fn is_undisclosed(text: &str) -> bool {
    let text = node(text).and_then(unquoted).unwrap_or(text);
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    placeholder::is_unknown(text)
        || text.strip_prefix("unknown:").is_some_and(is_port)
        || (text.starts_with('_') && text.split(':').next().is_some_and(|name| name.bytes().all(is_token)))
}

/// The part of a header entry that identifies the client: the `for` parameter if there are parameters, else the entry.
fn node(text: &str) -> Option<&str> {
    if text.contains('=') { for_parameter(text) } else { Some(text.trim()) }
}

/// The value of the `for` parameter of a `Forwarded` element; `None` unless there is exactly one.
fn for_parameter(element: &str) -> Option<&str> {
    let mut found = element.split(';').filter_map(|pair| pair.split_once('=')).filter(|(name, _)| name.trim().eq_ignore_ascii_case("for"));
    let (_, value) = found.next()?;
    // RFC 7239 allows each parameter once. A second one could come from the client.
    found.next().is_none().then(|| value.trim())
}

/// The text without surrounding quotes; `None` if there is a quote on one side only.
fn unquoted(text: &str) -> Option<&str> {
    match text.strip_prefix('"') {
        Some(rest) => rest.strip_suffix('"').map(str::trim),
        None => (!text.ends_with('"')).then_some(text),
    }
}

/// Parses an address with or without brackets, zone and port.
fn read_host(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        return (port.is_empty() || port.strip_prefix(':').is_some_and(is_port)).then(|| read_v6(host)).flatten().map(IpAddr::V6);
    }
    match text.bytes().filter(|byte| *byte == b':').count() {
        0 => read_v4(text).map(IpAddr::V4),
        1 => text.split_once(':').filter(|(_, port)| is_port(port)).and_then(|(host, _)| read_v4(host)).map(IpAddr::V4),
        // A text that is a valid IPv6 address has no port: `2001:db8::1:443` is an address.
        _ => read_v6(text).or_else(|| text.rsplit_once(':').filter(|(_, port)| is_port(port)).and_then(|(host, _)| read_v6(host))).map(IpAddr::V6),
    }
}

fn read_v4(text: &str) -> Option<Ipv4Addr> {
    let (host, domain) = text.split_once('%').unwrap_or((text, "0"));
    (!domain.is_empty() && domain.len() <= 5 && domain.bytes().all(|byte| byte.is_ascii_digit())).then(|| host.parse().ok()).flatten()
}

fn read_v6(text: &str) -> Option<Ipv6Addr> {
    let (host, zone) = text.split_once('%').unwrap_or((text, "0"));
    let is_zone = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'~');
    (!zone.is_empty() && zone.len() <= 32 && zone.bytes().all(is_zone)).then(|| host.parse().ok()).flatten()
}

/// A port number, or RFC 7239's obfuscated port.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(token) => !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')),
        None => (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}
