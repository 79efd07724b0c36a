//! One decision, small enough to store a hundred thousand of them.

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{
    codes::{Code, Codes},
    decision::{Decision, Outcome},
    line::{DecisionLine, Thresholds},
    session::SessionJudgement,
};

/// Reasons that tell what the account has used before, and the one that the app's device id is new.
const KNOWN_DEVICE: &str = "known_device";
const KNOWN_IP: &str = "known_ip";
const KNOWN_NETWORK: &str = "known_network";
const NEW_DEVICE: &str = "new_device";

/// A reason of a decision.
#[derive(Debug)]
pub struct Reason {
    pub(crate) code: Code,
    pub(crate) weight: f32,
    detail: Option<Box<str>>,
}

/// Which outcomes the source of the rows reports.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Reporting {
    /// None: a flagged sign-in counts as suspicious, since nothing tells how it ended.
    #[default]
    Nothing,
    /// Successes only, as Cognito does: what has no outcome by this time, in milliseconds since 1970, has failed.
    Successes { settled: i64 },
    /// Successes and failures.
    Everything,
}

/// A stored decision.
#[derive(Debug)]
pub struct Row {
    /// When the sign-in was received, in milliseconds since 1970.
    pub at: i64,
    /// The id of the decision.
    pub id: SmolStr,
    /// The decision, also in monitor mode.
    pub decision: Decision,
    /// What the caller was told to do.
    pub action: Decision,
    /// The newest outcome.
    pub outcome: Option<Outcome>,
    /// What the judgement of the session found.
    pub session: Option<SessionJudgement>,
    /// Whether this row is of a session's line alone: of a token refresh, or of a sign-in whose own line is not stored.
    pub(crate) is_session: bool,
    /// The score, 0 to 100.
    pub score: f32,
    /// The AS.
    pub asn: Option<u32>,
    /// The pseudonym of the user.
    pub user: Option<SmolStr>,
    /// The pseudonym of the network.
    pub net: Option<SmolStr>,
    /// The pseudonym of the device.
    pub device: Option<SmolStr>,
    pub(crate) country: Option<Code>,
    pub(crate) client: Option<Code>,
    pub(crate) pool: Option<Code>,
    pub(crate) decided_by: Option<Code>,
    pub(crate) model: Option<Code>,
    pub(crate) mode: Option<Code>,
    context: Option<Code>,
    trigger: Option<Code>,
    fallback: Option<Code>,
    tenant: Option<SmolStr>,
    list_entry: Option<SmolStr>,
    pub(crate) is_degraded: bool,
    /// Whether it came from an address or a device that the user has used before: by its reasons, or by an earlier success.
    pub(crate) is_own_device: bool,
    /// Whether it is known to be from a device or a place that is new to the user: it has a device id or a reason that says so.
    is_new: bool,
    /// Whether the user has used its network before.
    pub(crate) is_known_network: bool,
    /// The thresholds that decided it.
    pub(crate) thresholds: Option<Thresholds>,
    base: f32,
    log_odds: f32,
    elapsed_ms: f32,
    pub(crate) reasons: Box<[Reason]>,
    evidence: Box<[(Code, Code)]>,
    causes: Box<[(Code, Code)]>,
}

impl Row {
    /// Compacts a parsed line.
    #[expect(clippy::cast_possible_truncation, reason = "seven digits suffice for display")]
    pub(crate) fn new(line: DecisionLine, codes: &mut Codes) -> Self {
        let session = SessionJudgement::of(&line);
        let mut code = |text: &Option<SmolStr>| text.as_deref().map(|text| codes.intern(text));
        let (country, client, pool, decided_by) = (code(&line.country), code(&line.client), code(&line.pool), code(&line.decided_by));
        let (model, mode, context, trigger) = (code(&line.model), code(&line.mode), code(&line.context), code(&line.trigger));
        let fallback = line.degraded.as_ref().and_then(|degraded| code(&degraded.fallback));
        let mut pairs =
            |map: &std::collections::BTreeMap<SmolStr, SmolStr>| map.iter().map(|(name, value)| (codes.intern(name), codes.intern(value))).collect();
        let evidence = pairs(&line.evidence);
        let causes = line.degraded.as_ref().map(|degraded| pairs(&degraded.causes)).unwrap_or_default();
        let lowers = |code: &str| line.reasons.iter().any(|reason| reason.code == code && reason.weight < 0.0);
        let is_known_network = lowers(KNOWN_NETWORK) || lowers(KNOWN_IP);
        // Without a device id the complete user agent is the device, which strangers may have too.
        let has_device = line.device.is_some() && !line.reasons.iter().any(|reason| reason.code == NEW_DEVICE);
        let is_new = line.device.is_some() || line.reasons.iter().any(|reason| reason.code.starts_with("new_") && reason.weight > 0.0);
        let is_own_device = lowers(KNOWN_IP) || lowers(KNOWN_DEVICE) && (has_device || is_known_network);
        let reasons = line.reasons.into_iter();
        let reasons = reasons
            .map(|reason| Reason { code: codes.intern(&reason.code), weight: reason.weight as f32, detail: reason.detail.map(|detail| detail.as_str().into()) })
            .collect();
        Row {
            at: line.time.as_millisecond(),
            id: line.id,
            decision: line.decision,
            action: line.action.unwrap_or(line.decision),
            outcome: None,
            session,
            is_session: session.is_some(),
            score: line.score as f32,
            asn: line.asn,
            user: line.user,
            net: line.net,
            device: line.device,
            country,
            client,
            pool,
            decided_by,
            model,
            mode,
            context,
            trigger,
            fallback,
            tenant: line.tenant,
            list_entry: line.list_entry,
            is_degraded: line.degraded.is_some(),
            is_own_device,
            is_new,
            is_known_network,
            thresholds: line.thresholds,
            base: line.base as f32,
            log_odds: line.log_odds as f32,
            elapsed_ms: line.elapsed_ms as f32,
            reasons,
            evidence,
            causes,
        }
    }

    /// Records an outcome, unless a stronger one is known.
    pub(crate) fn apply(&mut self, outcome: Outcome) {
        if self.outcome.is_none_or(|earlier| outcome.outranks(earlier)) {
            self.outcome = Some(outcome);
        }
    }

    /// Whether the sign-in was stopped or needed a stronger proof.
    pub fn is_stopped(&self) -> bool {
        self.decision >= Decision::Challenge
    }

    /// Whether the sign-in was not stopped and failed: the password was wrong, or the challenge was not passed.
    pub fn has_failed(&self) -> bool {
        !self.is_stopped() && matches!(self.outcome, Some(Outcome::Failure | Outcome::ChallengeFailed))
    }

    /// Whether the sign-in got in from a device or a place that is new to the user.
    pub(crate) fn got_in_anew(&self) -> bool {
        self.got_in() && self.is_new && !self.is_own_device
    }

    /// Whether the sign-in is suspicious: stopped or failed, and not from a device that its user has used before. People mistype passwords, and
    /// new thresholds may stop many of them at once. An outcome in the user's favour clears a sign-in, one against the user makes it suspicious.
    pub(crate) fn is_suspicious(&self, reporting: Reporting) -> bool {
        let is_unproven = match (self.outcome, reporting) {
            (Some(Outcome::Fraud), _) => return true,
            (Some(Outcome::Failure | Outcome::ChallengeFailed), _) => true,
            (Some(Outcome::Success | Outcome::ChallengePassed | Outcome::NotFraud), _) => false,
            (None, Reporting::Nothing) => self.decision > Decision::Allow,
            (None, Reporting::Successes { settled }) => self.is_stopped() || self.at < settled,
            (None, Reporting::Everything) => self.is_stopped(),
        };
        is_unproven && !self.is_own_device
    }

    /// Whether the sign-in got in: the caller was not told to stop it, and the password was right.
    pub fn got_in(&self) -> bool {
        match self.outcome {
            Some(Outcome::Success) => self.action <= Decision::Review,
            Some(Outcome::ChallengePassed | Outcome::NotFraud) => true,
            Some(Outcome::Fraud) => self.action <= Decision::Review,
            Some(Outcome::Failure | Outcome::ChallengeFailed) | None => false,
        }
    }

    /// Whether the outcome is the one of a filter's label, or of its group.
    pub(crate) fn has_outcome(&self, label: &str) -> bool {
        match label {
            "got_in" => self.got_in(),
            "failed" => self.has_failed(),
            _ => self.outcome.map_or("none", Outcome::as_label) == label,
        }
    }

    /// The fields of a table row. The reasons that raise the score come first.
    pub(crate) fn to_json(&self, codes: &Codes) -> Value {
        let text = |code: Option<Code>| code.map(|code| codes.text(code));
        let mut reasons: Vec<&Reason> = self.reasons.iter().collect();
        reasons.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        let reasons: Vec<&str> = reasons.iter().map(|reason| codes.text(reason.code)).collect();
        json!({
            "at": self.at, "id": self.id, "decision": self.decision, "action": self.action, "outcome": self.outcome, "score": tenths(self.score),
            "reasons": reasons, "decided_by": text(self.decided_by), "list_entry": self.list_entry, "user": self.user, "net": self.net, "device": self.device,
            "country": text(self.country), "asn": self.asn, "client": text(self.client), "pool": text(self.pool), "degraded": self.is_degraded,
            "session": self.session.map(SessionJudgement::to_json),
        })
    }

    /// Everything that is stored, for the explanation of one decision.
    pub(crate) fn to_full_json(&self, codes: &Codes) -> Value {
        let text = |code: Option<Code>| code.map(|code| codes.text(code));
        let pairs = |pairs: &[(Code, Code)]| {
            pairs.iter().map(|(name, value)| (codes.text(*name).to_owned(), codes.text(*value).into())).collect::<serde_json::Map<_, _>>()
        };
        let reasons: Vec<Value> = self
            .reasons
            .iter()
            .map(|reason| json!({ "code": codes.text(reason.code), "weight": hundredths(reason.weight), "detail": reason.detail }))
            .collect();
        let mut full = self.to_json(codes);
        if let Value::Object(members) = &mut full {
            let more = json!({
                "reasons": reasons, "base": hundredths(self.base), "log_odds": hundredths(self.log_odds), "elapsed_ms": hundredths(self.elapsed_ms),
                "mode": text(self.mode), "model": text(self.model), "context": text(self.context), "trigger": text(self.trigger), "tenant": self.tenant,
                "thresholds": self.thresholds, "evidence": pairs(&self.evidence), "missing": pairs(&self.causes), "fallback": text(self.fallback),
            });
            if let Value::Object(more) = more {
                members.extend(more);
            }
        }
        full
    }
}

fn tenths(value: f32) -> f64 {
    (f64::from(value) * 10.0).round() / 10.0
}

fn hundredths(value: f32) -> f64 {
    (f64::from(value) * 100.0).round() / 100.0
}
