//! The client's address: read in the forms that proxies write, classified once.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// What is known of the client's address. IPv4-mapped IPv6 is IPv4 (invariant 12).
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientIp {
    /// None was given.
    #[default]
    Missing,
    /// Something was given that is not an address (`0x7f000001`, `127.1`, a list, a leading zero).
    Invalid,
    /// Private, loopback, link-local, documentation or otherwise reserved: says nothing of where the person is.
    NonPublic(IpAddr),
    /// An address of the public Internet.
    Public(IpAddr),
}

impl ClientIp {
    /// Parses one address in any form in which a proxy, load balancer or CDN writes it: with a port, brackets, quotes or a zone.
    ///
    /// A word or token in place of an address (`unknown`, `_hidden`) is `Missing`; every other text is `Invalid`.
    pub fn parse(text: &str) -> Self {
        // `IpAddr::from_str` refuses octal, hex and short forms (CVE-2021-29922 is fixed in std).
        match text.parse::<IpAddr>() {
            Ok(ip) => Self::classify(ip),
            Err(_) => match super::forwarded::read_node(text) {
                Some(ip) => Self::classify(ip),
                None if super::forwarded::is_withheld(text) => ClientIp::Missing,
                None => ClientIp::Invalid,
            },
        }
    }

    /// Tells public from reserved addresses (IANA special-purpose registries).
    pub fn classify(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        let reserved = match ip {
            IpAddr::V4(v4) => is_reserved_v4(v4),
            IpAddr::V6(v6) => is_reserved_v6(v6),
        };
        if reserved { ClientIp::NonPublic(ip) } else { ClientIp::Public(ip) }
    }

    /// The address if it is public: the only kind that is looked up and asked about.
    pub fn public(self) -> Option<IpAddr> {
        match self {
            ClientIp::Public(ip) => Some(ip),
            ClientIp::Missing | ClientIp::Invalid | ClientIp::NonPublic(_) => None,
        }
    }

    /// The address if there is one, public or not: what deny and allow lists are held against.
    pub fn any(self) -> Option<IpAddr> {
        match self {
            ClientIp::Public(ip) | ClientIp::NonPublic(ip) => Some(ip),
            ClientIp::Missing | ClientIp::Invalid => None,
        }
    }
}

impl fmt::Debug for ClientIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ClientIp::Missing => "Missing",
            ClientIp::Invalid => "Invalid",
            ClientIp::NonPublic(_) => "NonPublic([redacted])",
            ClientIp::Public(_) => "Public([redacted])",
        })
    }
}

/// The address that counts as one in caches and velocity: the address itself, or an IPv6 address's /64 (invariant 12).
pub fn host_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64))),
    }
}

/// The network of an address: its /24 or, for IPv6, its /48 (invariant 12).
pub fn network_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(v4) => IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & (!0 << 8))),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 80))),
    }
}

fn is_reserved_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a == 192 && b == 0 && c == 0)
        || (a == 192 && b == 88 && c == 99)
        || (a == 198 && (b == 18 || b == 19))
}

fn is_reserved_v6(ip: Ipv6Addr) -> bool {
    let s = ip.segments();
    // Only 2000::/3 is handed out; within it documentation, ORCHID, benchmarking, Teredo and 6to4 are not a person's place.
    (s[0] & 0xe000) != 0x2000 || (s[0] == 0x2001 && s[1] == 0xdb8) || (s[0] == 0x3fff && s[1] < 0x1000) || (s[0] == 0x2001 && s[1] < 0x200) || s[0] == 0x2002
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let kind = match ClientIp::parse(text) {
            ClientIp::Missing => "missing",
            ClientIp::Invalid => "invalid",
            ClientIp::NonPublic(_) => "non_public",
            ClientIp::Public(_) => "public",
        };
        assert_eq!(kind, expected, "{text}");
    }

    #[test]
    fn only_canonical_addresses_are_read() {
        for text in ["203.0.113.7, 10.0.0.1", "8.8.8.008", "0x7f000001", "2130706433", "127.1", "1.2.3", "8.8.8.8:80:90", "example.com"] {
            check(text, "invalid");
        }
        for text in ["8.8.8.8", "2001:4860:4860::8888", "::ffff:8.8.8.8", " 8.8.8.8 ", "8.8.8.8:80", "[2001:4860::1]"] {
            check(text, "public");
        }
        for text in ["", " ", "unknown", "_hidden", "-"] {
            check(text, "missing");
        }
    }

    #[test]
    fn reserved_addresses_are_not_places() {
        for text in [
            "10.1.2.3",
            "100.64.0.1",
            "127.0.0.1",
            "169.254.169.254",
            "::1",
            "fc00::1",
            "0.0.0.0",
            "255.255.255.255",
            "192.0.2.1",
            "198.51.100.9",
            "203.0.113.7",
            "::ffff:10.0.0.1",
            "2001:db8::1",
            "fe80::1",
            "ff02::1",
            "2002:0a00:0001::1",
            "64:ff9b::808:808",
        ] {
            check(text, "non_public");
        }
    }

    #[test]
    fn networks_follow_the_family() {
        assert_eq!(network_of("8.8.8.8".parse().unwrap()).to_string(), "8.8.8.0");
        assert_eq!(network_of("2001:4860:4860:1:2::3".parse().unwrap()).to_string(), "2001:4860:4860::");
        assert_eq!(host_of("2001:4860:4860:1:2::3".parse().unwrap()).to_string(), "2001:4860:4860:1::");
    }
}
