//! The client's address, parsed in the forms that proxies write and classified as public or not.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

pub mod forwarded;

/// The client's address. An IPv4-mapped IPv6 address is treated as IPv4.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum ClientIp {
    /// No address was given.
    #[default]
    Missing,
    /// The given text is not an address, such as `0x7f000001`, `127.1`, a list, or a number with a leading zero.
    Invalid,
    /// A private, loopback, link-local, documentation or otherwise reserved address. It does not locate the user.
    NonPublic(IpAddr),
    /// A public Internet address.
    Public(IpAddr),
}

impl ClientIp {
    /// Parses one address in any form that a proxy, load balancer or CDN writes: with a port, brackets, quotes or a zone.
    ///
    /// A placeholder (`unknown`, `_hidden`) or an empty text is `Missing`. Any other text that is not an address is `Invalid`.
    pub fn parse(text: &str) -> Self {
        // `IpAddr::from_str` rejects octal, hexadecimal and short forms (CVE-2021-29922 is fixed in std).
        match text.parse::<IpAddr>() {
            Ok(ip) => Self::classify(ip),
            Err(_) => match forwarded::read_node(text) {
                Some(ip) => Self::classify(ip),
                None if forwarded::is_undisclosed(text) => ClientIp::Missing,
                None => ClientIp::Invalid,
            },
        }
    }

    /// Classifies an address as public or not, by the IANA special-purpose address registries.
    pub fn classify(ip: IpAddr) -> Self {
        let ip = ip.to_canonical();
        let reserved = match ip {
            IpAddr::V4(v4) => is_reserved_v4(v4),
            IpAddr::V6(v6) => is_reserved_v6(v6),
        };
        if reserved { ClientIp::NonPublic(ip) } else { ClientIp::Public(ip) }
    }

    /// The address if it is public. Only public addresses are looked up in databases and sent to providers.
    pub fn public(self) -> Option<IpAddr> {
        match self {
            ClientIp::Public(ip) => Some(ip),
            ClientIp::Missing | ClientIp::Invalid | ClientIp::NonPublic(_) => None,
        }
    }

    /// The address if there is one, public or not. Deny and allow lists match both.
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

/// The host of an address: an IPv4 address itself, or an IPv6 address's /64. Caches and velocity counters treat it as one.
pub fn host_of(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & (!0 << 64))),
    }
}

/// The network of an address: its /24, or its /48 for IPv6.
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
    // IANA allocates only 2000::/3. The other ranges are documentation, protocol assignments (Teredo, ORCHID, benchmarking) and 6to4.
    (s[0] & 0xe000) != 0x2000 || (s[0] == 0x2001 && s[1] == 0xdb8) || (s[0] == 0x3fff && s[1] < 0x1000) || (s[0] == 0x2001 && s[1] < 0x200) || s[0] == 0x2002
}

use ipnet::IpNet;

/// Parses a network in CIDR notation; a single address is a /32 or /128. An IPv4-mapped IPv6 network is treated as IPv4.
///
/// # Errors
///
/// The text is neither a network nor an address.
pub fn parse_network(value: &str) -> Result<IpNet, String> {
    let net = match value.parse::<IpNet>() {
        Ok(net) => net,
        Err(_) => IpNet::from(value.parse::<std::net::IpAddr>().map_err(|_| format!("{value:?} is not a network such as 198.51.100.0/24"))?),
    };
    match net {
        IpNet::V6(v6) if v6.prefix_len() >= 96 => match v6.addr().to_ipv4_mapped() {
            Some(v4) => IpNet::new(v4.into(), v6.prefix_len() - 96).map_err(|error| error.to_string()),
            None => Ok(net.trunc()),
        },
        IpNet::V4(_) | IpNet::V6(_) => Ok(net.trunc()),
    }
}
