//! The decisions in force, looked up by longest prefix.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;

use super::{Wire, strongest};
use crate::evidence::Answer;

/// The set that a stream keeps: a hundred thousand decisions in a few megabytes.
#[derive(Default)]
pub(super) struct Decisions {
    v4: PrefixMap<Ipv4Net, Vec<Wire>>,
    v6: PrefixMap<Ipv6Net, Vec<Wire>>,
    count: usize,
}

impl Decisions {
    /// Adds a decision on an address or range; others (countries, AS numbers, users) are not an address's.
    pub(super) fn add(&mut self, decision: Wire) {
        let Some(net) = network(&decision) else { return };
        let on_net = match net {
            IpNet::V4(net) => self.v4.entry(net).or_default(),
            IpNet::V6(net) => self.v6.entry(net).or_default(),
        };
        // A decision that is told of twice is one.
        if on_net.iter().all(|known| known.id != decision.id || known.kind != decision.kind) {
            on_net.push(decision);
            self.count += 1;
        }
    }

    /// Removes a decision: the API names it by its kind and value, under an id that may be another's.
    pub(super) fn remove(&mut self, decision: &Wire) {
        let Some(net) = network(decision) else { return };
        let on_net = match net {
            IpNet::V4(net) => self.v4.get_mut(&net),
            IpNet::V6(net) => self.v6.get_mut(&net),
        };
        let Some(on_net) = on_net else { return };
        let before = on_net.len();
        let by_id = on_net.iter().any(|known| known.id == decision.id);
        on_net.retain(|known| if by_id { known.id != decision.id } else { known.kind != decision.kind });
        self.count -= before - on_net.len();
        if on_net.is_empty() {
            match net {
                IpNet::V4(net) => drop(self.v4.remove(&net)),
                IpNet::V6(net) => drop(self.v6.remove(&net)),
            }
        }
    }

    /// What is decided on an address or a range around it.
    pub(super) fn on(&self, ip: IpAddr) -> Option<Answer> {
        let covering: Vec<&Wire> = match ip {
            IpAddr::V4(v4) => self.v4.cover_values(&Ipv4Net::from(v4)).flatten().collect(),
            IpAddr::V6(v6) => self.v6.cover_values(&Ipv6Net::from(v6)).flatten().collect(),
        };
        strongest(covering.into_iter())
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }
}

fn network(decision: &Wire) -> Option<IpNet> {
    if decision.scope.eq_ignore_ascii_case("ip") {
        decision.value.parse::<IpAddr>().ok().map(|ip| IpNet::from(ip.to_canonical()))
    } else if decision.scope.eq_ignore_ascii_case("range") {
        decision.value.parse::<IpNet>().ok().map(|net| net.trunc())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evidence::Risk;

    fn decision(id: i64, kind: &str, scope: &str, value: &str) -> Wire {
        Wire { id, kind: kind.into(), scope: scope.into(), value: value.into(), duration: "1h".into(), scenario: "s".into() }
    }

    #[track_caller]
    fn check(decisions: &Decisions, ip: &str, expected: Option<Risk>) {
        assert_eq!(decisions.on(ip.parse().expect("an address")).map(|answer| answer.risk), expected, "{ip}");
    }

    #[test]
    fn addresses_and_the_ranges_around_them_are_found() {
        let mut decisions = Decisions::default();
        decisions.add(decision(1, "ban", "Ip", "8.8.8.8"));
        decisions.add(decision(2, "captcha", "range", "8.8.0.0/16"));
        decisions.add(decision(3, "ban", "Range", "2001:4860::/32"));
        decisions.add(decision(4, "ban", "Country", "XX"));
        decisions.add(decision(1, "ban", "Ip", "8.8.8.8"));
        assert_eq!(decisions.len(), 3);
        check(&decisions, "8.8.8.8", Some(Risk::Ban));
        check(&decisions, "8.8.4.4", Some(Risk::Review));
        check(&decisions, "8.9.4.4", None);
        check(&decisions, "2001:4860::1", Some(Risk::Ban));
        decisions.remove(&decision(1, "ban", "Ip", "8.8.8.8"));
        check(&decisions, "8.8.8.8", Some(Risk::Review));
        decisions.remove(&decision(99, "captcha", "Range", "8.8.0.0/16"));
        check(&decisions, "8.8.8.8", None);
        assert_eq!(decisions.len(), 1);
    }

    #[test]
    fn a_hundred_thousand_are_held() {
        let mut decisions = Decisions::default();
        for n in 0..100_000_u32 {
            let ip = std::net::Ipv4Addr::from(0x0b00_0000 + n * 7);
            decisions.add(decision(i64::from(n), "ban", "Ip", &ip.to_string()));
        }
        assert_eq!(decisions.len(), 100_000);
        check(&decisions, "11.0.0.7", Some(Risk::Ban));
        check(&decisions, "11.0.0.8", None);
    }
}
