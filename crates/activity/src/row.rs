//! One decision, small enough to store a hundred thousand of them.

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{
    codes::{Code, Codes},
    decision::{Decision, Outcome},
    line::DecisionLine,
    session::SessionJudgement,
};

/// The code of the reason that a device is known.
const KNOWN_DEVICE: &str = "known_device";

/// A reason of a decision.
#[derive(Debug)]
pub struct Reason {
    pub(crate) code: Code,
    pub(crate) weight: f32,
    detail: Option<Box<str>>,
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
    /// Whether it came from a device that the user is known to use.
    pub(crate) is_known_device: bool,
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
        let is_known_device = line.reasons.iter().any(|reason| reason.code == KNOWN_DEVICE && reason.weight < 0.0);
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
            is_known_device,
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

    /// Whether the sign-in was flagged or stopped, or had a wrong password.
    pub fn is_risky(&self) -> bool {
        self.decision > Decision::Allow || self.outcome.is_some_and(|outcome| outcome == Outcome::Failure || outcome.is_against_user())
    }

    /// Whether the sign-in counts for an attack: a risky one that is not from a device that the user is known to use. When thresholds change,
    /// many people may be stopped at once, and people mistype passwords.
    pub fn is_suspect(&self) -> bool {
        self.is_risky() && !self.is_known_device
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

    /// Whether the password or the challenge failed, and nothing else stopped the sign-in.
    pub fn has_failed(&self) -> bool {
        !self.is_stopped() && matches!(self.outcome, Some(Outcome::Failure | Outcome::ChallengeFailed))
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
                "evidence": pairs(&self.evidence), "missing": pairs(&self.causes), "fallback": text(self.fallback),
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
