//! The Assessment as JSON: the sidecar's answer, `assess --json`, and the core of the audit line.

use serde::Serialize;

use super::{Assessment, object::Object};
use crate::{decision::Decision, score::Reason};

/// The Assessment as its documented JSON object.
#[derive(Debug, Clone, Copy)]
pub struct AssessmentJson<'a>(pub &'a Assessment);

/// The RFC 9457 problem that an HTTP caller gets instead of an Assessment.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// What kind of problem, as a short title that never changes for one kind.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong with this request and how to mend it; never a personal value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Most answers are shorter, in bytes: their memory is asked for once.
const TYPICAL: usize = 1536;

// === impl AssessmentJson ===

impl AssessmentJson<'_> {
    /// The object's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(TYPICAL);
        Object::write(&mut bytes, |object| self.members(object));
        bytes
    }

    /// Adds the members to an object that is open: the audit line adds its own behind them.
    pub fn members(&self, object: &mut Object<'_>) {
        let Assessment { id, decision, elapsed, judging: _, model } = self.0;
        let score = &decision.score;
        let evidence = &score.signals.evidence;
        object.plain("id", id);
        object.plain("decision", decision.verdict.as_label());
        object.plain("action", decision.action.as_label());
        object.member("score", &score.value);
        object.plain("level", decision.level.as_label());
        object.plain("mode", decision.mode.as_label());
        object.plain("decided_by", decision.rule.as_label());
        if let Some(entry) = decision.list_entry() {
            object.member("list_entry", entry.as_str());
        }
        object.member("log_odds", &round(score.log_odds, 4));
        object.member("base", &round(score.base, 4));
        object.objects("reasons", &score.reasons, |line, Reason { code, weight, detail }| {
            line.plain("code", code.as_label());
            line.member("weight", &round(*weight, 4));
            if let Some(detail) = detail {
                line.member("detail", detail);
            }
        });
        object.object("evidence", |labels| {
            for asked in &evidence.services {
                labels.plain(asked.service.as_label(), asked.outcome.as_label());
            }
            labels.plain("history", evidence.history_outcome.as_label());
        });
        if is_degraded(decision) {
            object.object("degraded", |degraded| {
                degraded.object("causes", |causes| {
                    let services = evidence.services.iter().map(|asked| (asked.service.as_label(), asked.degraded()));
                    for (source, cause) in services.chain([("history", evidence.history_outcome.cause())]) {
                        if let Some(cause) = cause {
                            causes.plain(source, cause.as_label());
                        }
                    }
                    for (part, cause) in evidence.history.unread.iter() {
                        causes.plain(part.as_label(), cause.as_label());
                    }
                });
                let outdated = || evidence.services.iter().filter_map(|asked| Some((asked.service.as_label(), asked.outdated?.age)));
                if outdated().next().is_some() {
                    degraded.object("ages_s", |ages| outdated().for_each(|(service, age)| ages.member(service, &age.as_secs())));
                }
                degraded.plain_or_null("fallback", decision.fallback.map(|fallback| fallback.as_label()));
            });
        } else {
            object.plain_or_null("degraded", None);
        }
        object.plain("context", evidence.sign_in.context.trust.as_label());
        object.member("elapsed_ms", &round(elapsed.as_secs_f64() * 1e3, 3));
        object.member("model", model);
    }
}

/// Whether something that was due did not answer, or answered from decisions that could not be read again.
pub fn is_degraded(decision: &Decision) -> bool {
    let evidence = &decision.score.signals.evidence;
    evidence.history_outcome.cause().is_some()
        || evidence.history.unread.iter().next().is_some()
        || evidence.services.iter().any(|asked| asked.degraded().is_some())
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
