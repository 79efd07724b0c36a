//! The Assessment as JSON: the sidecar's answer, `assess --json`, and the core of the audit line.

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq},
};

use super::Assessment;
use crate::{
    decision::Decision,
    evidence::Outcome,
    score::{Reason, reason::ReasonCode},
};

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

struct Reasons<'a>(&'a [Reason]);

struct EvidenceLabels<'a>(&'a Decision);

struct Degraded<'a>(&'a Decision);

struct Causes<'a>(&'a Decision);

/// Most answers are shorter, in bytes: their memory is asked for once.
const TYPICAL: usize = 1536;

// === impl AssessmentJson ===

impl AssessmentJson<'_> {
    /// The object's bytes.
    ///
    /// # Errors
    ///
    /// None that a decision gives rise to: every member is a string, a finite number or a map with string keys.
    pub fn to_bytes(&self) -> serde_json::Result<Vec<u8>> {
        let mut bytes = Vec::with_capacity(TYPICAL);
        serde_json::to_writer(&mut bytes, self).map(|()| bytes)
    }

    /// Writes the object's members into a map that is already open: the audit line adds its own behind them.
    ///
    /// # Errors
    ///
    /// Those of the serializer.
    pub fn members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let Assessment { id, decision, elapsed, judging: _, model } = self.0;
        let score = &decision.score;
        map.serialize_entry("id", id)?;
        map.serialize_entry("decision", decision.verdict.as_label())?;
        map.serialize_entry("action", decision.action.as_label())?;
        map.serialize_entry("score", &score.value)?;
        map.serialize_entry("level", decision.level.as_label())?;
        map.serialize_entry("mode", decision.mode.as_label())?;
        map.serialize_entry("log_odds", &round(score.log_odds, 4))?;
        map.serialize_entry("base", &round(score.base, 4))?;
        map.serialize_entry("reasons", &Reasons(&score.reasons))?;
        map.serialize_entry("evidence", &EvidenceLabels(decision))?;
        map.serialize_entry("degraded", &is_degraded(decision).then_some(Degraded(decision)))?;
        map.serialize_entry("context", score.signals.evidence.sign_in.context.trust.as_label())?;
        map.serialize_entry("elapsed_ms", &round(elapsed.as_secs_f64() * 1e3, 3))?;
        map.serialize_entry("model", model)
    }
}

impl Serialize for AssessmentJson<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(14))?;
        self.members(&mut map)?;
        map.end()
    }
}

// === impl Reasons ===

impl Serialize for Reasons<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Line<'a> {
            code: &'static str,
            weight: f64,
            #[serde(skip_serializing_if = "Option::is_none")]
            detail: Option<&'a str>,
        }
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for Reason { code, weight, detail } in self.0 {
            let code: ReasonCode = *code;
            seq.serialize_element(&Line { code: code.as_label(), weight: round(*weight, 4), detail: detail.as_deref() })?;
        }
        seq.end()
    }
}

// === impl EvidenceLabels ===

impl Serialize for EvidenceLabels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let evidence = &self.0.score.signals.evidence;
        let mut map = serializer.serialize_map(None)?;
        for asked in &evidence.services {
            map.serialize_entry(asked.service.as_label(), asked.outcome.as_label())?;
        }
        map.serialize_entry("history", evidence.history_outcome.as_label())?;
        map.end()
    }
}

// === impl Degraded ===

impl Serialize for Degraded<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("causes", &Causes(self.0))?;
        map.serialize_entry("fallback", &self.0.fallback.map(|fallback| fallback.as_label()))?;
        map.end()
    }
}

impl Serialize for Causes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let evidence = &self.0.score.signals.evidence;
        let mut map = serializer.serialize_map(None)?;
        for asked in &evidence.services {
            if let Some(cause) = asked.outcome.cause() {
                map.serialize_entry(asked.service.as_label(), cause.as_label())?;
            }
        }
        if let Some(cause) = evidence.history_outcome.cause() {
            map.serialize_entry("history", cause.as_label())?;
        }
        map.end()
    }
}

/// Whether something that was due did not answer.
pub fn is_degraded(decision: &Decision) -> bool {
    let evidence = &decision.score.signals.evidence;
    let failed = |outcome: Outcome| outcome.cause().is_some();
    failed(evidence.history_outcome) || evidence.services.iter().any(|asked| failed(asked.outcome))
}

fn round(value: f64, digits: i32) -> f64 {
    let scale = 10f64.powi(digits);
    (value * scale).round() / scale
}
