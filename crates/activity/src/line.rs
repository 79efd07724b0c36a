//! Parsing of audit lines. A log is untrusted input, so the length of every string and list is limited.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::decision::{Decision, Outcome};

/// Longest line that is parsed, in bytes.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Longest name or pseudonym that is accepted, in bytes. A longer one is cut.
const MAX_TEXT_BYTES: usize = 256;

/// Longest detail of a reason that is stored, in bytes.
const MAX_DETAIL_BYTES: usize = 120;

/// Most reasons or sources that are read from a line.
pub(crate) const MAX_ENTRIES: usize = 40;

/// What one line describes.
#[derive(Debug)]
pub enum Line {
    /// A decided sign-in.
    Decision(Box<DecisionLine>),
    /// The outcome of a sign-in.
    Outcome(OutcomeLine),
    /// An action of an operator.
    Action(ActionLine),
    /// A report about an attack on a pool.
    Other,
}

/// The fields of a decision that are stored.
#[derive(Debug, Deserialize)]
pub struct DecisionLine {
    pub(crate) time: Timestamp,
    pub(crate) id: SmolStr,
    pub(crate) decision: Decision,
    #[serde(default)]
    pub(crate) action: Option<Decision>,
    pub(crate) score: f64,
    #[serde(default)]
    pub(crate) base: f64,
    #[serde(default)]
    pub(crate) log_odds: f64,
    #[serde(default)]
    pub(crate) decided_by: Option<SmolStr>,
    #[serde(default)]
    pub(crate) list_entry: Option<SmolStr>,
    #[serde(default)]
    pub(crate) mode: Option<SmolStr>,
    #[serde(default)]
    pub(crate) context: Option<SmolStr>,
    #[serde(default)]
    pub(crate) trigger: Option<SmolStr>,
    #[serde(default)]
    pub(crate) session: Option<SmolStr>,
    #[serde(default)]
    pub(crate) model: Option<SmolStr>,
    #[serde(default)]
    pub(crate) pool: Option<SmolStr>,
    #[serde(default)]
    pub(crate) client: Option<SmolStr>,
    #[serde(default)]
    pub(crate) tenant: Option<SmolStr>,
    #[serde(default)]
    pub(crate) user: Option<SmolStr>,
    #[serde(default)]
    pub(crate) net: Option<SmolStr>,
    #[serde(default)]
    pub(crate) device: Option<SmolStr>,
    #[serde(default)]
    pub(crate) country: Option<SmolStr>,
    #[serde(default)]
    pub(crate) asn: Option<u32>,
    #[serde(default)]
    pub(crate) reasons: Vec<ReasonLine>,
    #[serde(default)]
    pub(crate) evidence: BTreeMap<SmolStr, SmolStr>,
    #[serde(default)]
    pub(crate) degraded: Option<DegradedLine>,
    #[serde(default)]
    pub(crate) elapsed_ms: f64,
    #[serde(default)]
    pub(crate) thresholds: Option<Thresholds>,
    /// Decisions before this one that have no row: by severity, then degraded ones.
    #[serde(default)]
    pub(crate) skipped: [u32; 5],
}

/// The thresholds of the app client.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Thresholds {
    pub(crate) review: f64,
    pub(crate) challenge: Option<f64>,
    pub(crate) deny: f64,
}

/// A reason of a decision.
#[derive(Debug, Deserialize)]
pub(crate) struct ReasonLine {
    pub(crate) code: SmolStr,
    #[serde(default)]
    pub(crate) weight: f64,
    #[serde(default)]
    pub(crate) detail: Option<SmolStr>,
}

/// What was missing from a decision.
#[derive(Debug, Deserialize)]
pub(crate) struct DegradedLine {
    #[serde(default)]
    pub(crate) causes: BTreeMap<SmolStr, SmolStr>,
    #[serde(default)]
    pub(crate) fallback: Option<SmolStr>,
}

/// What an operator did in the dashboard.
#[derive(Debug, Deserialize)]
pub struct ActionLine {
    pub(crate) time: Timestamp,
    pub(crate) operation: SmolStr,
    pub(crate) operator: SmolStr,
    #[serde(default)]
    pub(crate) subject: Option<SmolStr>,
    #[serde(default)]
    pub(crate) value: Option<SmolStr>,
    #[serde(default)]
    pub(crate) label: Option<SmolStr>,
    #[serde(default)]
    pub(crate) note: Option<SmolStr>,
    #[serde(default)]
    pub(crate) undoes: Option<SmolStr>,
}

/// The members that only a report about an attack has.
#[derive(Deserialize)]
struct AttackLine {
    #[serde(rename = "event")]
    _event: serde::de::IgnoredAny,
    #[serde(rename = "last_high")]
    _last_high: serde::de::IgnoredAny,
}

/// The outcome of a sign-in.
#[derive(Debug, Deserialize)]
pub struct OutcomeLine {
    #[serde(rename = "time")]
    _time: serde::de::IgnoredAny,
    pub(crate) id: Option<SmolStr>,
    pub(crate) outcome: Outcome,
    /// The outcome before a label that was undone; absent if this line undoes nothing.
    #[serde(default, deserialize_with = "some")]
    pub(crate) restored: Option<Option<Outcome>>,
    #[serde(rename = "trigger")]
    _trigger: serde::de::IgnoredAny,
}

/// Reads a member that is present, whose value may be null.
fn some<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<Outcome>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl Line {
    /// Parses a line; `None` when it is none of these.
    ///
    /// Parsing starts at the first brace, because CloudWatch tools put a prefix before each line.
    pub fn parse(line: &str) -> Option<Self> {
        let json = line.get(line.find('{')?..)?.trim_end();
        if json.len() > MAX_LINE_BYTES {
            return None;
        }
        if let Ok(mut decision) = serde_json::from_str::<DecisionLine>(json) {
            if !decision.score.is_finite() {
                return None;
            }
            decision.limit();
            return Some(Line::Decision(Box::new(decision)));
        }
        if let Ok(outcome) = serde_json::from_str(json) {
            return Some(Line::Outcome(outcome));
        }
        if let Ok(mut action) = serde_json::from_str::<ActionLine>(json) {
            action.limit();
            return Some(Line::Action(action));
        }
        serde_json::from_str::<AttackLine>(json).is_ok().then_some(Line::Other)
    }
}

impl ActionLine {
    fn limit(&mut self) {
        cut(&mut self.operation, MAX_TEXT_BYTES);
        cut(&mut self.operator, MAX_TEXT_BYTES);
        for text in [&mut self.subject, &mut self.value, &mut self.label, &mut self.note, &mut self.undoes].into_iter().flatten() {
            cut(text, MAX_TEXT_BYTES);
        }
    }
}

impl DecisionLine {
    fn limit(&mut self) {
        let texts = [
            &mut self.decided_by,
            &mut self.list_entry,
            &mut self.mode,
            &mut self.context,
            &mut self.trigger,
            &mut self.model,
            &mut self.pool,
            &mut self.client,
            &mut self.tenant,
            &mut self.user,
            &mut self.net,
            &mut self.device,
            &mut self.country,
        ];
        for text in texts.into_iter().flatten() {
            cut(text, MAX_TEXT_BYTES);
        }
        cut(&mut self.id, MAX_TEXT_BYTES);
        self.reasons.truncate(MAX_ENTRIES);
        for reason in &mut self.reasons {
            cut(&mut reason.code, MAX_TEXT_BYTES);
            if let Some(detail) = &mut reason.detail {
                cut(detail, MAX_DETAIL_BYTES);
            }
            if !reason.weight.is_finite() {
                reason.weight = 0.0;
            }
        }
        while self.evidence.len() > MAX_ENTRIES {
            self.evidence.pop_last();
        }
        if let Some(degraded) = &mut self.degraded {
            while degraded.causes.len() > MAX_ENTRIES {
                degraded.causes.pop_last();
            }
        }
    }
}

fn cut(text: &mut SmolStr, bytes: usize) {
    if text.len() > bytes {
        *text = SmolStr::from(&text[..text.floor_char_boundary(bytes)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECISION: &str = r#"{"schema":1,"time":"2026-11-22T00:00:00.000Z","id":"x","decision":"deny","score":87.4,"reasons":[{"code":"tor","weight":2.5}]}"#;

    #[test]
    fn decisions_and_outcomes_are_told_apart_behind_any_prefix() {
        for prefix in ["", "2026-11-22T00:00:01 ", "2026-11-22T00:00:01Z 2026/11/22/[$LATEST]abc "] {
            assert!(matches!(Line::parse(&format!("{prefix}{DECISION}\n")), Some(Line::Decision(line)) if line.score > 87.0));
        }
        let outcome = r#"{"time":"2026-11-22T00:00:00Z","trigger":"outcome","id":"x","outcome":"fraud"}"#;
        assert!(matches!(Line::parse(outcome), Some(Line::Outcome(line)) if line.outcome == Outcome::Fraud));
        let action = r#"{"time":"2026-11-22T00:00:00Z","trigger":"operator","operator":"ada","operation":"suspend"}"#;
        let attack = r#"{"time":"2026-11-22T00:00:00Z","trigger":"attack","event":"onset","last_high":"2026-11-22T00:00:00Z"}"#;
        assert!(matches!(Line::parse(action), Some(Line::Action(line)) if line.operator == "ada"));
        assert!(matches!(Line::parse(attack), Some(Line::Other)));
    }

    #[test]
    fn other_lines_are_refused_and_long_values_are_cut() {
        for line in ["", "START RequestId: 8f", "{}", "{\"time\":1}", &"{".repeat(1000), &format!("{{{}", " ".repeat(MAX_LINE_BYTES))] {
            assert!(Line::parse(line).is_none(), "{line:.40}");
        }
        let long = DECISION.replace("\"tor\"", &format!("\"{}\"", "é".repeat(4000)));
        assert!(matches!(Line::parse(&long), Some(Line::Decision(line)) if line.reasons[0].code.len() <= MAX_TEXT_BYTES));
    }
}
