//! The rules in order of precedence: blocks, deny and allow lists, missing address, fallback, thresholds.

use std::sync::Arc;

use crate::decision::{Decision, Rule, ScoreLevel, Thresholds, Verdict};
use crate::{
    evidence::{Outcome, ProviderResult, Risk, history::BlockKind},
    score::Score,
    settings::{DecisionConfig, Fallback, Mode, NoIp},
};

/// The operator's thresholds and rules.
#[derive(Debug)]
pub struct Policy {
    config: DecisionConfig,
    acr_values: Arc<[String]>,
}

impl Policy {
    /// The policy of a configuration.
    pub fn new(config: DecisionConfig) -> Self {
        Policy { acr_values: config.challenge_acr_values.as_slice().into(), config }
    }

    /// Decides by the first rule that applies.
    pub fn decide(&self, score: Score) -> Decision {
        let client = score.signals.evidence.sign_in.client.as_str();
        let thresholds = self.thresholds(client);
        let mode = *self.config.mode.of(client);
        let level = match score.value {
            value if value >= thresholds.deny_at => ScoreLevel::High,
            value if value >= thresholds.review_at => ScoreLevel::Medium,
            _ => ScoreLevel::Low,
        };
        let fallback = self.fallback(&score, client);
        let (rule, verdict) = self.first_rule(&score, client).unwrap_or_else(|| match fallback {
            Some(Fallback::Deny) => (Rule::Fallback, Verdict::Deny),
            // The own score still denies and challenges; it flags nothing.
            Some(Fallback::Allow) => (Rule::Fallback, thresholds.stop(score.value).unwrap_or(Verdict::Allow)),
            Some(Fallback::Local) => (Rule::Fallback, Thresholds { deny_at: self.config.degraded_deny_threshold(client), ..thresholds }.verdict(&score)),
            None => (Rule::Thresholds, thresholds.verdict(&score)),
        });
        let is_floor = (rule, verdict, level) == (Rule::Thresholds, Verdict::Review, ScoreLevel::Low);
        let rule = if is_floor { Rule::ReviewFloor } else { rule };
        self.decision(score, rule, verdict, mode, level, fallback)
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
        self.decision(score, rule, verdict, mode, ScoreLevel::High, Some(fallback))
    }

    fn thresholds(&self, client: &str) -> Thresholds {
        let DecisionConfig { review_at, challenge_at, deny_at, .. } = &self.config;
        Thresholds { review_at: *review_at.of(client), challenge_at: *challenge_at.of(client), deny_at: *deny_at.of(client) }
    }

    fn decision(&self, score: Score, rule: Rule, verdict: Verdict, mode: Mode, level: ScoreLevel, fallback: Option<Fallback>) -> Decision {
        let action = match (mode, rule) {
            // Monitor mode suspends riskgate's own verdicts, not the operator's suspensions.
            (Mode::Monitor, Rule::Suspended) | (Mode::Enforce, _) => verdict,
            (Mode::Monitor, _) => Verdict::Allow,
        };
        let fallback = fallback.filter(|_| rule == Rule::Fallback);
        let acr_values = (action == Verdict::Challenge).then(|| Arc::clone(&self.acr_values));
        let thresholds = self.thresholds(&score.signals.evidence.sign_in.client);
        Decision { score, verdict, action, mode, level, thresholds, rule, fallback, acr_values }
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
pub(super) fn is_review(result: &ProviderResult) -> bool {
    result.weight > 0.0 && result.answer.as_ref().is_some_and(|answer| answer.risk == Risk::Review)
}

/// Whether a service requests a review, or a reason requires one at any score.
fn requires_review(score: &Score) -> bool {
    score.review_floor.is_some() || score.signals.evidence.services.iter().any(is_review)
}

impl Thresholds {
    /// The verdict on a score.
    fn verdict(self, score: &Score) -> Verdict {
        let is_flagged = || score.value >= self.review_at || requires_review(score);
        self.stop(score.value).unwrap_or_else(|| if is_flagged() { Verdict::Review } else { Verdict::Allow })
    }

    /// The verdict on a value that is denied or challenged; `None` for a lower one.
    fn stop(self, value: f64) -> Option<Verdict> {
        let is_challenge = || self.challenge_at.is_some_and(|challenge_at| value >= challenge_at);
        if value >= self.deny_at { Some(Verdict::Deny) } else { is_challenge().then_some(Verdict::Challenge) }
    }
}
