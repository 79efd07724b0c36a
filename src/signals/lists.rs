//! The operator's lists: networks that are let in or denied, clients that are denied.

use std::{collections::HashSet, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixSet;

use crate::{config::decision::DecisionConfig, evidence::Evidence};

/// The lists, ready for look-ups whose cost does not grow with their length.
#[derive(Debug, Default)]
pub struct Lists {
    allow: Networks,
    deny: Networks,
    deny_clients: HashSet<String>,
}

/// Which lists a sign-in is on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ListHits {
    /// `ALLOW_CIDRS` holds the address, and the address is believed.
    pub allowed: bool,
    /// `DENY_CIDRS` holds the address, believed or not.
    pub denied: bool,
    /// `DENY_CLIENTS` holds the app client.
    pub client_denied: bool,
}

#[derive(Debug, Default)]
struct Networks {
    v4: PrefixSet<Ipv4Net>,
    v6: PrefixSet<Ipv6Net>,
}

// === impl Lists ===

impl Lists {
    /// Builds the lists.
    pub fn new(config: &DecisionConfig) -> Self {
        Lists {
            allow: Networks::new(&config.allow_cidrs),
            deny: Networks::new(&config.deny_cidrs),
            deny_clients: config.deny_clients.iter().cloned().collect(),
        }
    }

    /// Looks a sign-in up.
    pub fn hits(&self, evidence: &Evidence) -> ListHits {
        let sign_in = &evidence.sign_in;
        let ip = sign_in.context.ip.any();
        ListHits {
            allowed: evidence.is_believed() && ip.is_some_and(|ip| self.allow.holds(ip)),
            denied: ip.is_some_and(|ip| self.deny.holds(ip)),
            client_denied: !sign_in.client.is_empty() && self.deny_clients.contains(sign_in.client.as_str()),
        }
    }
}

// === impl Networks ===

impl Networks {
    fn new(nets: &[IpNet]) -> Self {
        let mut networks = Networks::default();
        for net in nets {
            match net {
                IpNet::V4(v4) => networks.v4.insert(*v4),
                IpNet::V6(v6) => networks.v6.insert(*v6),
            };
        }
        networks
    }

    fn holds(&self, ip: IpAddr) -> bool {
        match ip {
            IpAddr::V4(v4) => self.v4.get_lpm(&Ipv4Net::from(v4)).is_some(),
            IpAddr::V6(v6) => self.v6.get_lpm(&Ipv6Net::from(v6)).is_some(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::decision::cidr;

    #[test]
    fn the_network_holds_its_addresses_in_both_families() {
        let nets: Vec<IpNet> = ["8.8.0.0/16", "::ffff:9.9.9.0/120", "2001:4860::/32", "1.1.1.1"].iter().map(|n| cidr(n).expect("a network")).collect();
        let networks = Networks::new(&nets);
        for (ip, expected) in
            [("8.8.4.4", true), ("8.9.0.1", false), ("9.9.9.9", true), ("2001:4860::1", true), ("2001:4861::1", false), ("1.1.1.1", true), ("1.1.1.2", false)]
        {
            assert_eq!(networks.holds(ip.parse().expect("an address")), expected, "{ip}");
        }
    }
}
