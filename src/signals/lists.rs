//! The operator's lists: networks, AS numbers and countries that are let in or denied, clients that are denied.

use std::{collections::HashSet, fmt, net::IpAddr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixSet;

use crate::{
    config::{decision::DecisionConfig, env::PerClient},
    event::context::Country,
    evidence::Evidence,
};

/// The lists, ready for look-ups whose cost does not grow with their length.
#[derive(Debug, Default)]
pub struct Lists {
    allow: Networks,
    deny: Networks,
    deny_clients: HashSet<String>,
    deny_countries: PerClient<HashSet<Country>>,
    deny_asns: PerClient<HashSet<u32>>,
    allow_asns: PerClient<HashSet<u32>>,
}

/// Which lists a sign-in is on.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ListHits {
    /// `ALLOW_CIDRS` holds the address, and the address is believed.
    pub allowed: bool,
    /// `DENY_CIDRS` holds the address, believed or not.
    pub denied: bool,
    /// The network of `DENY_CIDRS`, else of `ALLOW_CIDRS`, that holds it.
    pub network: Option<IpNet>,
    /// `DENY_ASNS` holds the address's AS number, believed or not.
    pub asn_denied: bool,
    /// `ALLOW_ASNS` holds the AS number, and the address is believed.
    pub asn_allowed: bool,
    /// `DENY_COUNTRIES` holds the address's country, believed or not.
    pub country_denied: bool,
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
            deny_countries: sets(&config.deny_countries, |code| Country::parse(code)),
            deny_asns: sets(&config.deny_asns, |asn| Some(*asn)),
            allow_asns: sets(&config.allow_asns, |asn| Some(*asn)),
        }
    }

    /// Looks a sign-in up.
    pub fn hits(&self, evidence: &Evidence) -> ListHits {
        let sign_in = &evidence.sign_in;
        let ip = sign_in.context.ip.any();
        let client = sign_in.client.as_str();
        let (asn, country) = (evidence.networks.asn, evidence.networks.country);
        let is_believed = evidence.is_believed();
        let allowed = ip.filter(|_| is_believed).and_then(|ip| self.allow.network_of(ip));
        let denied = ip.and_then(|ip| self.deny.network_of(ip));
        ListHits {
            allowed: allowed.is_some(),
            denied: denied.is_some(),
            network: denied.or(allowed),
            asn_denied: asn.is_some_and(|asn| self.deny_asns.of(client).contains(&asn)),
            asn_allowed: is_believed && asn.is_some_and(|asn| self.allow_asns.of(client).contains(&asn)),
            country_denied: country.is_some_and(|country| self.deny_countries.of(client).contains(&country)),
            client_denied: !sign_in.client.is_empty() && self.deny_clients.contains(sign_in.client.as_str()),
        }
    }
}

/// The lists of all and of single app clients as sets.
fn sets<T, U: Eq + std::hash::Hash>(lists: &PerClient<Vec<T>>, read: impl Fn(&T) -> Option<U>) -> PerClient<HashSet<U>> {
    let set = |list: &Vec<T>| list.iter().filter_map(&read).collect();
    PerClient { default: set(&lists.default), clients: lists.clients.iter().map(|(client, list)| (client.clone(), set(list))).collect() }
}

// === impl ListHits ===

impl fmt::Debug for ListHits {
    /// Without the network: an entry can be one person's address.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ListHits { allowed, denied, network: _, asn_denied, asn_allowed, country_denied, client_denied } = self;
        let hits = [
            ("allowed", *allowed),
            ("denied", *denied),
            ("asn_denied", *asn_denied),
            ("asn_allowed", *asn_allowed),
            ("country_denied", *country_denied),
            ("client_denied", *client_denied),
        ];
        f.debug_set().entries(hits.into_iter().filter(|(_, hit)| *hit).map(|(name, _)| name)).finish()
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

    /// The narrowest network that holds an address.
    fn network_of(&self, ip: IpAddr) -> Option<IpNet> {
        match ip {
            IpAddr::V4(v4) => self.v4.get_lpm(&Ipv4Net::from(v4)).map(IpNet::V4),
            IpAddr::V6(v6) => self.v6.get_lpm(&Ipv6Net::from(v6)).map(IpNet::V6),
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
            assert_eq!(networks.network_of(ip.parse().expect("an address")).is_some(), expected, "{ip}");
        }
    }
}
