//! The operator's allow and deny lists of networks, AS numbers, countries and app clients.

use std::{collections::HashSet, fmt};

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixSet;

use crate::{
    context::Country,
    evidence::Evidence,
    settings::{DecisionConfig, PerClient},
};

/// The lists, indexed: the cost of a look-up does not grow with their length.
#[derive(Debug, Default)]
pub struct Lists {
    allow: JointPrefixSet<IpNet>,
    deny: JointPrefixSet<IpNet>,
    deny_clients: HashSet<String>,
    deny_countries: PerClient<HashSet<Country>>,
    deny_asns: PerClient<HashSet<u32>>,
    allow_asns: PerClient<HashSet<u32>>,
}

/// The lists that match a sign-in.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct ListHits {
    /// `ALLOW_CIDRS` contains the address, and the context is trusted.
    pub allowed: bool,
    /// `DENY_CIDRS` contains the address, trusted or not.
    pub denied: bool,
    /// The network of `DENY_CIDRS`, else of `ALLOW_CIDRS`, that contains it.
    pub network: Option<IpNet>,
    /// `DENY_ASNS` contains the address's AS number, trusted or not.
    pub asn_denied: bool,
    /// `ALLOW_ASNS` contains the AS number, and the context is trusted.
    pub asn_allowed: bool,
    /// `DENY_COUNTRIES` contains the address's country, trusted or not.
    pub country_denied: bool,
    /// `DENY_CLIENTS` contains the app client.
    pub client_denied: bool,
}

impl Lists {
    /// Indexes the lists of a configuration.
    pub fn new(config: &DecisionConfig) -> Self {
        Lists {
            allow: config.allow_cidrs.iter().copied().collect(),
            deny: config.deny_cidrs.iter().copied().collect(),
            deny_clients: config.deny_clients.iter().cloned().collect(),
            deny_countries: sets(&config.deny_countries, |code| Country::parse(code)),
            deny_asns: sets(&config.deny_asns, |asn| Some(*asn)),
            allow_asns: sets(&config.allow_asns, |asn| Some(*asn)),
        }
    }

    /// The lists that match a sign-in.
    pub fn hits(&self, evidence: &Evidence) -> ListHits {
        let sign_in = &evidence.sign_in;
        let ip = sign_in.context.ip.any();
        let client = sign_in.client.as_str();
        let (asn, country) = (evidence.networks.asn, evidence.networks.country);
        let is_trusted = evidence.is_trusted();
        let allowed = ip.filter(|_| is_trusted).and_then(|ip| self.allow.get_lpm(&ip.into()));
        let denied = ip.and_then(|ip| self.deny.get_lpm(&ip.into()));
        ListHits {
            allowed: allowed.is_some(),
            denied: denied.is_some(),
            network: denied.or(allowed),
            asn_denied: asn.is_some_and(|asn| self.deny_asns.of(client).contains(&asn)),
            asn_allowed: is_trusted && asn.is_some_and(|asn| self.allow_asns.of(client).contains(&asn)),
            country_denied: country.is_some_and(|country| self.deny_countries.of(client).contains(&country)),
            client_denied: !sign_in.client.is_empty() && self.deny_clients.contains(sign_in.client.as_str()),
        }
    }
}

/// Converts lists per app client to sets.
fn sets<T, U: Eq + std::hash::Hash>(lists: &PerClient<Vec<T>>, read: impl Fn(&T) -> Option<U>) -> PerClient<HashSet<U>> {
    let set = |list: &Vec<T>| list.iter().filter_map(&read).collect();
    PerClient { default: set(&lists.default), clients: lists.clients.iter().map(|(client, list)| (client.clone(), set(list))).collect() }
}

impl fmt::Debug for ListHits {
    /// Omits the network, because an entry can be one user's address.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client_ip::parse_network;

    #[test]
    fn networks_of_both_families_contain_their_addresses() {
        let nets: Vec<IpNet> = ["8.8.0.0/16", "::ffff:9.9.9.0/120", "2001:4860::/32", "1.1.1.1"].iter().map(|n| parse_network(n).expect("a network")).collect();
        let networks: JointPrefixSet<IpNet> = nets.into_iter().collect();
        for (ip, expected) in
            [("8.8.4.4", true), ("8.9.0.1", false), ("9.9.9.9", true), ("2001:4860::1", true), ("2001:4861::1", false), ("1.1.1.1", true), ("1.1.1.2", false)]
        {
            assert_eq!(networks.get_lpm(&ip.parse::<std::net::IpAddr>().expect("an address").into()).is_some(), expected, "{ip}");
        }
    }
}
