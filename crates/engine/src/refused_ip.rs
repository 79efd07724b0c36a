//! Addresses that riskgate never calls: link-local addresses and cloud metadata services, which serve credentials.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Metadata services outside 169.254.0.0/16: Alibaba Cloud, Azure's platform address, Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 3] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16), Ipv4Addr::new(192, 0, 0, 192)];

/// Whether riskgate refuses to call a service at this address. IPv4 addresses embedded in IPv6 addresses are included.
pub fn is_refused(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(v4) => is_refused_v4(v4),
        IpAddr::V6(v6) => is_refused_v6(v6),
    }
}

fn is_refused_v4(ip: Ipv4Addr) -> bool {
    ip.is_link_local() || METADATA_V4.contains(&ip)
}

fn is_refused_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // AWS (instance metadata, Pod Identity) and Google Cloud.
        [0xfd00, 0x0ec2, ..] | [0xfd20, 0x00ce, ..] => true,
        // IPv4-compatible, NAT64 and 6to4.
        [0, 0, 0, 0, 0, 0, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            is_refused_v4(Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low)))
        }
        _ => ip.is_unicast_link_local(),
    }
}
