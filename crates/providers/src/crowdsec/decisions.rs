//! The decisions in force, by network.

use std::{net::IpAddr, time::Duration};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use prefix_trie::PrefixMap;
use smol_str::SmolStr;
use tokio::time::Instant;

use crate::crowdsec::{ApiDecision, strongest};
use riskgate_engine::evidence::Answer;

/// All decisions of a Local API. A hundred thousand take a few megabytes.
#[derive(Default)]
pub(super) struct Decisions {
    v4: PrefixMap<Ipv4Net, Vec<Decision>>,
    v6: PrefixMap<Ipv6Net, Vec<Decision>>,
    count: usize,
    /// The number of decisions on countries, AS numbers and other scopes that are not addresses.
    other_scopes: usize,
}

/// A decision on a network. Its end is a time on this process's clock.
struct Decision {
    id: i64,
    kind: SmolStr,
    scenario: SmolStr,
    /// `None` if the API gave no duration. Then only the API ends it.
    ends: Option<Instant>,
}

/// The target of a decision.
enum Target {
    /// An address or a range.
    Network(IpNet),
    /// A country, an AS, a user or another scope.
    Other,
}

impl Decisions {
    /// Adds a decision. A decision with the same id and kind is replaced, so the newest end counts.
    pub(super) fn add(&mut self, decision: &ApiDecision, now: Instant) {
        let net = match target(decision) {
            Target::Network(net) => net,
            Target::Other => {
                self.other_scopes += 1;
                return;
            }
        };
        let ends = match decision.remaining() {
            Some(Duration::ZERO) => Some(now),
            Some(remaining) => now.checked_add(remaining),
            None => None,
        };
        let on_net = match net {
            IpNet::V4(net) => self.v4.entry(net).or_default(),
            IpNet::V6(net) => self.v6.entry(net).or_default(),
        };
        let before = on_net.len();
        on_net.retain(|known| known.is_in_force(now) && (known.id != decision.id || !known.kind.eq_ignore_ascii_case(&decision.kind)));
        on_net.push(Decision { id: decision.id, kind: decision.kind.clone(), scenario: decision.scenario.clone(), ends });
        self.count = self.count - before + on_net.len();
    }

    /// Removes all decisions of one kind on a value, whatever their ids.
    ///
    /// The Local API reports a decision as deleted only if no other decision of its kind on the same value outlasts it, and of several
    /// it reports one.
    pub(super) fn remove(&mut self, decision: &ApiDecision) {
        let Target::Network(net) = target(decision) else {
            self.other_scopes = self.other_scopes.saturating_sub(1);
            return;
        };
        self.retain_on(net, |known| !known.kind.eq_ignore_ascii_case(&decision.kind));
    }

    /// Removes all decisions that have ended by `now`.
    pub(super) fn remove_ended(&mut self, now: Instant) {
        let ended = |on_net: &Vec<Decision>| on_net.iter().any(|known| !known.is_in_force(now));
        let v4 = self.v4.iter().filter(|(_, on_net)| ended(on_net)).map(|(net, _)| IpNet::V4(net));
        let v6 = self.v6.iter().filter(|(_, on_net)| ended(on_net)).map(|(net, _)| IpNet::V6(net));
        let nets: Vec<IpNet> = v4.chain(v6).collect();
        for net in nets {
            self.retain_on(net, |known| known.is_in_force(now));
        }
    }

    /// The answer for an address at `now`, from decisions on it and on ranges that contain it.
    pub(super) fn look_up(&self, ip: IpAddr, now: Instant) -> Option<Answer> {
        let covering: Vec<&Decision> = match ip.to_canonical() {
            IpAddr::V4(v4) => self.v4.cover_values(&Ipv4Net::from(v4)).flatten().collect(),
            IpAddr::V6(v6) => self.v6.cover_values(&Ipv6Net::from(v6)).flatten().collect(),
        };
        strongest(covering.into_iter().filter(|decision| decision.is_in_force(now)).map(|decision| (decision.kind.as_str(), decision.scenario.as_str())))
    }

    /// The number of decisions.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// The number of decisions on other scopes than addresses.
    pub(super) fn other_scopes(&self) -> usize {
        self.other_scopes
    }

    fn retain_on(&mut self, net: IpNet, predicate: impl FnMut(&Decision) -> bool) {
        let on_net = match net {
            IpNet::V4(net) => self.v4.get_mut(&net),
            IpNet::V6(net) => self.v6.get_mut(&net),
        };
        let Some(on_net) = on_net else { return };
        let before = on_net.len();
        on_net.retain(predicate);
        self.count -= before - on_net.len();
        if on_net.is_empty() {
            match net {
                IpNet::V4(net) => drop(self.v4.remove(&net)),
                IpNet::V6(net) => drop(self.v6.remove(&net)),
            }
        }
    }
}

impl Decision {
    fn is_in_force(&self, now: Instant) -> bool {
        self.ends.is_none_or(|ends| now < ends)
    }
}

/// Whether a decision is on an address or a range.
pub(super) fn is_on_address(decision: &ApiDecision) -> bool {
    matches!(target(decision), Target::Network(_))
}

/// The target of a decision. The value decides whether it is an address or a range, because a scope `Ip` may have a prefix length.
fn target(decision: &ApiDecision) -> Target {
    if !["", "ip", "range"].iter().any(|scope| decision.scope.eq_ignore_ascii_case(scope)) {
        return Target::Other;
    }
    let value = decision.value.trim();
    let net = match value.parse::<IpAddr>() {
        Ok(ip) => Some(IpNet::from(ip.to_canonical())),
        Err(_) => value.parse::<IpNet>().ok().map(|net| canonical(net.trunc())),
    };
    net.map_or(Target::Other, Target::Network)
}

/// Converts a range of IPv4-mapped IPv6 addresses to IPv4.
fn canonical(net: IpNet) -> IpNet {
    if let IpNet::V6(v6) = net
        && let (Some(v4), Some(prefix)) = (v6.addr().to_ipv4_mapped(), v6.prefix_len().checked_sub(96))
        && let Ok(v4) = Ipv4Net::new(v4, prefix)
    {
        return IpNet::V4(v4);
    }
    net
}

#[cfg(test)]
mod tests {
    use super::*;
    use riskgate_engine::evidence::Risk;

    fn decision(id: i64, kind: &str, scope: &str, value: &str) -> ApiDecision {
        ApiDecision { id, kind: kind.into(), scope: scope.into(), value: value.into(), duration: "1h".into(), scenario: "s".into() }
    }

    #[track_caller]
    fn check(decisions: &Decisions, ip: &str, now: Instant, expected: Option<Risk>) {
        assert_eq!(decisions.look_up(ip.parse().expect("an address"), now).map(|answer| answer.risk), expected, "{ip}");
    }

    fn with_duration(duration: &str, decision: ApiDecision) -> ApiDecision {
        ApiDecision { duration: duration.into(), ..decision }
    }

    #[test]
    fn decisions_on_addresses_and_on_ranges_are_found() {
        let (mut decisions, now) = (Decisions::default(), Instant::now());
        for decision in [
            decision(1, "ban", "Ip", "8.8.8.8"),
            decision(2, "captcha", "range", "8.8.0.0/16"),
            decision(3, "ban", "Range", "2001:4860::/32"),
            decision(4, "ban", "Country", "XX"),
            decision(5, "ban", "AS", "64500"),
            decision(1, "ban", "Ip", "8.8.8.8"),
        ] {
            decisions.add(&decision, now);
        }
        assert_eq!((decisions.len(), decisions.other_scopes()), (3, 2));
        check(&decisions, "8.8.8.8", now, Some(Risk::Ban));
        check(&decisions, "8.8.4.4", now, Some(Risk::Review));
        check(&decisions, "8.9.4.4", now, None);
        check(&decisions, "2001:4860::1", now, Some(Risk::Ban));
        decisions.remove(&decision(1, "ban", "Ip", "8.8.8.8"));
        check(&decisions, "8.8.8.8", now, Some(Risk::Review));
        decisions.remove(&decision(99, "captcha", "Range", "8.8.0.0/16"));
        decisions.remove(&decision(4, "ban", "Country", "XX"));
        check(&decisions, "8.8.8.8", now, None);
        assert_eq!((decisions.len(), decisions.other_scopes()), (1, 1));
    }

    #[test]
    fn every_decision_ends_at_its_own_time_in_any_order() {
        for value in ["8.8.8.8", "8.8.8.0/24", "::ffff:8.8.8.8", "8.8.8.8/32", "::ffff:8.8.8.0/120"] {
            let scope = if value.contains('/') { "Range" } else { "Ip" };
            let (short, long) = (with_duration("15s", decision(1, "ban", scope, value)), with_duration("50s", decision(2, "ban", scope, value)));
            for order in [[&short, &long], [&long, &short]] {
                let (mut decisions, now) = (Decisions::default(), Instant::now());
                order.iter().for_each(|decision| decisions.add(decision, now));
                check(&decisions, "8.8.8.8", now + Duration::from_secs(49), Some(Risk::Ban));
                check(&decisions, "8.8.8.8", now + Duration::from_secs(50), None);
                decisions.remove_ended(now + Duration::from_secs(20));
                assert_eq!(decisions.len(), 1);
                decisions.remove_ended(now + Duration::from_secs(60));
                assert_eq!(decisions.len(), 0);
            }
        }
    }

    #[test]
    fn a_deleted_decision_removes_all_of_its_kind_on_the_value() {
        let (mut decisions, now) = (Decisions::default(), Instant::now());
        for id in 1..4 {
            decisions.add(&with_duration("4h", decision(id, "ban", "Ip", "8.8.8.8")), now);
        }
        decisions.add(&decision(4, "captcha", "Ip", "8.8.8.8"), now);
        decisions.remove(&with_duration("-1s", decision(2, "ban", "Ip", "8.8.8.8")));
        check(&decisions, "8.8.8.8", now, Some(Risk::Review));
    }

    #[test]
    fn a_repeated_decision_has_its_newest_end() {
        let (mut decisions, now) = (Decisions::default(), Instant::now());
        decisions.add(&with_duration("10s", decision(1, "ban", "Ip", "8.8.8.8")), now);
        decisions.add(&with_duration("1m", decision(1, "ban", "Ip", "8.8.8.8")), now);
        check(&decisions, "8.8.8.8", now + Duration::from_secs(30), Some(Risk::Ban));
        decisions.add(&with_duration("5s", decision(1, "ban", "Ip", "8.8.8.8")), now + Duration::from_secs(30));
        check(&decisions, "8.8.8.8", now + Duration::from_secs(36), None);
        decisions.add(&with_duration("-3s", decision(2, "ban", "Ip", "8.8.8.8")), now);
        check(&decisions, "8.8.8.8", now + Duration::from_secs(36), None);
    }

    #[test]
    fn a_hundred_thousand_decisions_are_stored() {
        let (mut decisions, now) = (Decisions::default(), Instant::now());
        for n in 0..100_000_u32 {
            let ip = std::net::Ipv4Addr::from(0x0b00_0000 + n * 7);
            decisions.add(&decision(i64::from(n), "ban", "Ip", &ip.to_string()), now);
        }
        assert_eq!(decisions.len(), 100_000);
        check(&decisions, "11.0.0.7", now, Some(Risk::Ban));
        check(&decisions, "11.0.0.8", now, None);
    }
}
