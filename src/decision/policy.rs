//! Who wins: exempt, suspended, client list, deny list, allow list, lists of networks and countries, no address, fallback, thresholds.

use super::{Decision, Level, Rule, Verdict};
use crate::{
    config::decision::{DecisionConfig, Fallback, Mode, NoIp},
    evidence::{Consultation, Outcome, Risk, history::BlockKind},
    score::Score,
};

/// The operator's thresholds and rules.
#[derive(Debug)]
pub struct Policy {
    config: DecisionConfig,
}

impl Policy {
    /// A policy from the configuration.
    pub fn new(config: DecisionConfig) -> Self {
        Policy { config }
    }

    /// Judges a score. The score has been computed whatever rule wins.
    pub fn decide(&self, score: Score) -> Decision {
        let client = score.signals.evidence.sign_in.client.as_str();
        let (deny_at, review_at) = (*self.config.deny_at.of(client), *self.config.review_at.of(client));
        let mode = *self.config.mode.of(client);
        let level = match score.value {
            value if value >= deny_at => Level::High,
            value if value >= review_at => Level::Medium,
            _ => Level::Low,
        };
        let fallback = self.fallback(&score, client);
        let (rule, verdict) = self.rule(&score, client).unwrap_or_else(|| match fallback {
            Some(Fallback::Deny) => (Rule::Fallback, Verdict::Deny),
            Some(Fallback::Allow) => (Rule::Fallback, if score.value >= deny_at { Verdict::Deny } else { Verdict::Allow }),
            Some(Fallback::Local) => (Rule::Fallback, by_threshold(&score, review_at, self.config.degraded_denial(client))),
            None => (Rule::Thresholds, by_threshold(&score, review_at, deny_at)),
        });
        Self::conclude(score, rule, verdict, mode, level, fallback)
    }

    /// Judges a sign-in for which no score could be had: lists and blocks hold, else the fallback, and `local` is `deny`.
    pub fn decide_without_score(&self, score: Score) -> Decision {
        let client = score.signals.evidence.sign_in.client.as_str();
        let mode = *self.config.mode.of(client);
        let fallback = *self.config.fallback.of(client);
        let (rule, verdict) = self.rule(&score, client).unwrap_or(match fallback {
            Fallback::Allow => (Rule::Fallback, Verdict::Allow),
            Fallback::Local | Fallback::Deny => (Rule::Fallback, Verdict::Deny),
        });
        Self::conclude(score, rule, verdict, mode, Level::High, Some(fallback))
    }

    fn conclude(score: Score, rule: Rule, verdict: Verdict, mode: Mode, level: Level, fallback: Option<Fallback>) -> Decision {
        let action = match (mode, rule) {
            // An operator who suspends somebody has decided already; monitor mode is for what riskgate decides.
            (Mode::Monitor, Rule::Suspended) | (Mode::Enforce, _) => verdict,
            (Mode::Monitor, _) => Verdict::Allow,
        };
        let fallback = fallback.filter(|_| rule == Rule::Fallback);
        Decision { score, verdict, action, mode, level, rule, fallback }
    }

    /// The rules before the fallback.
    fn rule(&self, score: &Score, client: &str) -> Option<(Rule, Verdict)> {
        let evidence = &score.signals.evidence;
        let lists = score.signals.lists;
        let block = evidence.history.block.as_ref().map(|block| block.kind);
        match block {
            Some(BlockKind::Exempt) => return Some((Rule::Exempt, Verdict::Allow)),
            Some(BlockKind::Suspended) => return Some((Rule::Suspended, Verdict::Deny)),
            None => {}
        }
        if lists.client_denied {
            return Some((Rule::DenyClients, Verdict::Deny));
        }
        if lists.denied || evidence.services.iter().any(is_ban) {
            return Some((Rule::DenyCidrs, Verdict::Deny));
        }
        if lists.allowed {
            return Some((Rule::AllowCidrs, Verdict::Allow));
        }
        // The narrower rule first: a network of one's own in a denied country is let in.
        if lists.asn_denied {
            return Some((Rule::DenyAsns, Verdict::Deny));
        }
        if lists.asn_allowed {
            return Some((Rule::AllowAsns, Verdict::Allow));
        }
        if lists.country_denied {
            return Some((Rule::DenyCountries, Verdict::Deny));
        }
        if evidence.sign_in.context.ip.public().is_none() {
            return match self.config.no_ip.of(client) {
                NoIp::Score => None,
                NoIp::Allow => Some((Rule::NoIp, Verdict::Allow)),
                NoIp::Deny => Some((Rule::NoIp, Verdict::Deny)),
            };
        }
        None
    }

    /// The fallback, when a service was due and none gave a usable answer, or the list of blocks is too old.
    fn fallback(&self, score: &Score, client: &str) -> Option<Fallback> {
        let due = || score.signals.evidence.services.iter().filter(|asked| asked.outcome != Outcome::NotAsked);
        let none_usable = due().next().is_some() && due().all(|asked| !asked.outcome.is_usable());
        (none_usable || score.signals.evidence.history.block_list_expired).then(|| *self.config.fallback.of(client))
    }
}

/// A service of weight 0 is observed: its bans and reviews decide nothing, as its scores do not.
fn is_ban(asked: &Consultation) -> bool {
    asked.weight > 0.0 && asked.answer.as_ref().is_some_and(|answer| answer.risk == Risk::Ban)
}

fn is_review(asked: &Consultation) -> bool {
    asked.weight > 0.0 && asked.answer.as_ref().is_some_and(|answer| answer.risk == Risk::Review)
}

fn by_threshold(score: &Score, review_at: f64, deny_at: f64) -> Verdict {
    let asks_for_review = score.signals.evidence.services.iter().any(is_review);
    if score.value >= deny_at {
        Verdict::Deny
    } else if score.value >= review_at || asks_for_review {
        Verdict::Review
    } else {
        Verdict::Allow
    }
}
