//! The rules in order of precedence: blocks, deny and allow lists, missing address, fallback, thresholds.

use crate::decision::{Decision, Rule, ScoreLevel, Verdict};
use crate::{
    evidence::{Outcome, ProviderResult, Risk, history::BlockKind},
    score::Score,
    settings::{DecisionConfig, Fallback, Mode, NoIp},
};

/// The operator's thresholds and rules.
#[derive(Debug)]
pub struct Policy {
    config: DecisionConfig,
}

impl Policy {
    /// The policy of a configuration.
    pub fn new(config: DecisionConfig) -> Self {
        Policy { config }
    }

    /// Decides by the first rule that applies.
    pub fn decide(&self, score: Score) -> Decision {
        let client = score.signals.evidence.sign_in.client.as_str();
        let (deny_at, review_at) = (*self.config.deny_at.of(client), *self.config.review_at.of(client));
        let mode = *self.config.mode.of(client);
        let level = match score.value {
            value if value >= deny_at => ScoreLevel::High,
            value if value >= review_at => ScoreLevel::Medium,
            _ => ScoreLevel::Low,
        };
        let fallback = self.fallback(&score, client);
        let (rule, verdict) = self.first_rule(&score, client).unwrap_or_else(|| match fallback {
            Some(Fallback::Deny) => (Rule::Fallback, Verdict::Deny),
            Some(Fallback::Allow) => (Rule::Fallback, if score.value >= deny_at { Verdict::Deny } else { Verdict::Allow }),
            Some(Fallback::Local) => (Rule::Fallback, by_threshold(&score, review_at, self.config.degraded_deny_threshold(client))),
            None => (Rule::Thresholds, by_threshold(&score, review_at, deny_at)),
        });
        Self::decision(score, rule, verdict, mode, level, fallback)
    }

    /// Decides a sign-in that could not be scored: lists and blocks apply, then the fallback, where `local` denies.
    pub fn decide_without_score(&self, score: Score) -> Decision {
        let client = score.signals.evidence.sign_in.client.as_str();
        let mode = *self.config.mode.of(client);
        let fallback = *self.config.fallback.of(client);
        let (rule, verdict) = self.first_rule(&score, client).unwrap_or(match fallback {
            Fallback::Allow => (Rule::Fallback, Verdict::Allow),
            Fallback::Local | Fallback::Deny => (Rule::Fallback, Verdict::Deny),
        });
        Self::decision(score, rule, verdict, mode, ScoreLevel::High, Some(fallback))
    }

    fn decision(score: Score, rule: Rule, verdict: Verdict, mode: Mode, level: ScoreLevel, fallback: Option<Fallback>) -> Decision {
        let action = match (mode, rule) {
            // Monitor mode suspends riskgate's own verdicts, not the operator's suspensions.
            (Mode::Monitor, Rule::Suspended) | (Mode::Enforce, _) => verdict,
            (Mode::Monitor, _) => Verdict::Allow,
        };
        let fallback = fallback.filter(|_| rule == Rule::Fallback);
        Decision { score, verdict, action, mode, level, rule, fallback }
    }

    /// The first rule before the fallback that applies.
    fn first_rule(&self, score: &Score, client: &str) -> Option<(Rule, Verdict)> {
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
        // The narrower rule has precedence: the operator's own network in a denied country is allowed.
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

    /// The fallback, if services were called and none had a usable answer, or if the block list has expired.
    fn fallback(&self, score: &Score, client: &str) -> Option<Fallback> {
        let called = || score.signals.evidence.services.iter().filter(|result| result.outcome != Outcome::NotCalled);
        let none_usable = called().next().is_some() && called().all(|result| !result.outcome.is_usable());
        (none_usable || score.signals.evidence.history.block_list_expired).then(|| *self.config.fallback.of(client))
    }
}

/// Whether a service bans the address. A service of weight 0 is only observed and has no effect.
fn is_ban(result: &ProviderResult) -> bool {
    result.weight > 0.0 && result.answer.as_ref().is_some_and(|answer| answer.risk == Risk::Ban)
}

/// Whether a service requests a review. A service of weight 0 is only observed and has no effect.
fn is_review(result: &ProviderResult) -> bool {
    result.weight > 0.0 && result.answer.as_ref().is_some_and(|answer| answer.risk == Risk::Review)
}

fn by_threshold(score: &Score, review_at: f64, deny_at: f64) -> Verdict {
    let is_review_requested = score.signals.evidence.services.iter().any(is_review);
    if score.value >= deny_at {
        Verdict::Deny
    } else if score.value >= review_at || is_review_requested {
        Verdict::Review
    } else {
        Verdict::Allow
    }
}
