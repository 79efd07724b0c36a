//! The Assessment as JSON: the sidecar's response, the output of `assess --json`, and the main part of the audit line.

use serde::Serialize;

use crate::response::{Assessment, object::Object};
use riskgate_engine::score::{reason::Reason, scale::Calibration};

/// The Assessment as its documented JSON object.
#[derive(Debug, Clone, Copy)]
pub struct AssessmentJson<'a>(pub &'a Assessment);

/// The problem details (RFC 9457) that an HTTP caller receives instead of an Assessment.
#[derive(Debug, Serialize)]
pub struct Problem {
    /// A short title, which is fixed for each kind of problem.
    pub title: &'static str,
    /// The HTTP status.
    pub status: u16,
    /// Which cause it is, where a route has several causes with one status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<&'static str>,
    /// What is wrong with the request and how to fix it. It never contains a personal value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// The `max_age` of a challenge: the stronger proof has to be a new one.
const MAX_AGE: u32 = 0;

/// The initial buffer size in bytes. Most responses are shorter, so they need one allocation.
const INITIAL_CAPACITY: usize = 1536;

impl AssessmentJson<'_> {
    /// The encoded object.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(INITIAL_CAPACITY);
        Object::write(&mut bytes, |object| self.write_members(object));
        bytes
    }

    /// Writes the members to an open object. The audit line appends its own members.
    pub fn write_members(&self, object: &mut Object<'_>) {
        let Assessment { id, decision, elapsed, evaluation: _, model } = self.0;
        let score = &decision.score;
        let evidence = &score.signals.evidence;
        object.plain("decision", decision.verdict.as_label());
        object.plain("decided_by", decision.rule.as_label());
        if let Some(entry) = decision.list_entry() {
            object.member("list_entry", entry.as_str());
        }
        object.plain("id", id);
        object.plain("action", decision.action.as_label());
        if let Some(acr_values) = &decision.acr_values {
            object.object("challenge", |challenge| {
                challenge.member("acr_values", acr_values);
                challenge.member("max_age", &MAX_AGE);
            });
        }
        // A score has one decimal.
        object.decimal::<1>("score", score.value);
        object.object("calibration", |object| {
            let Calibration { source, sign_ins, as_of } = score.calibration;
            object.plain("source", source.as_label());
            object.member("sign_ins", &sign_ins);
            match as_of {
                Some(at) => object.timestamp("as_of", at),
                None => object.plain_or_null("as_of", None),
            }
            object.decimal::<1>("shipped_score", score.shipped);
            match score.on_pool_scale {
                Some(score) => object.decimal::<1>("pool_score", score),
                None => object.plain_or_null("pool_score", None),
            }
        });
        object.plain("level", decision.level.as_label());
        object.plain("mode", decision.mode.as_label());
        object.decimal::<4>("log_odds", score.log_odds);
        object.decimal::<4>("base", score.base);
        object.objects("reasons", &score.reasons, |object, Reason { code, weight, detail }| {
            object.plain("code", code.as_label());
            object.decimal::<4>("weight", *weight);
            if let Some(detail) = detail {
                object.member("detail", detail);
            }
        });
        object.object("evidence", |labels| {
            for result in &evidence.services {
                labels.plain(result.service.as_label(), result.outcome.as_label());
            }
            labels.plain("history", evidence.history_outcome.as_label());
        });
        if decision.is_degraded() {
            object.object("degraded", |degraded| {
                degraded.object("causes", |causes| {
                    let services = evidence.services.iter().map(|result| (result.service.as_label(), result.degraded()));
                    for (source, cause) in services.chain([("history", evidence.history_outcome.cause())]) {
                        if let Some(cause) = cause {
                            causes.plain(source, cause.as_label());
                        }
                    }
                    for (part, cause) in evidence.history.unread.iter() {
                        causes.plain(part.as_label(), cause.as_label());
                    }
                });
                let outdated = || evidence.services.iter().filter_map(|result| Some((result.service.as_label(), result.outdated?.age)));
                if outdated().next().is_some() {
                    degraded.object("ages_s", |ages| outdated().for_each(|(service, age)| ages.member(service, &age.as_secs())));
                }
                degraded.plain_or_null("fallback", decision.fallback.map(|fallback| fallback.as_label()));
            });
        } else {
            object.plain_or_null("degraded", None);
        }
        object.plain("context", evidence.sign_in.context.trust.as_label());
        object.decimal::<3>("elapsed_ms", elapsed.as_secs_f64() * 1e3);
        object.member("model", model);
    }
}
