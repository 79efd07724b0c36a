//! Parsing of audit lines. A log is untrusted input, so the length of every string and list is limited.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};

/// Longest line that is parsed, in bytes.
pub const MAX_LINE_BYTES: usize = 64 * 1024;

/// Longest code or name that is accepted, in bytes.
const MAX_NAME_BYTES: usize = 48;

/// Most entries that are read from a list or map.
const MAX_ENTRIES: usize = 32;

/// The fields of an audit line that the dashboard shows.
#[derive(Debug, Deserialize)]
pub struct DecisionRow {
    /// When the sign-in was received.
    pub time: Timestamp,
    /// The verdict before the mode is applied.
    pub decision: DecisionLabel,
    /// The risk score, 0 to 100.
    pub score: f64,
    /// The reasons for the score.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// The outcome of each evidence source, by source.
    #[serde(default)]
    pub evidence: BTreeMap<String, String>,
    /// What was missing from the decision; `None` when nothing was.
    #[serde(default)]
    pub degraded: Option<Degraded>,
    /// The time from the complete request to the verdict, in milliseconds.
    #[serde(default)]
    pub elapsed_ms: f64,
    /// The time of each part in milliseconds, by part.
    #[serde(default)]
    pub took_ms: BTreeMap<String, f64>,
    /// The cache tier that answered, by service.
    #[serde(default)]
    pub tiers: BTreeMap<String, String>,
}

/// A verdict as an audit line spells it, in the order of `Verdict::ALL`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DecisionLabel {
    /// The sign-in is let in.
    Allow,
    /// The sign-in is let in and flagged for review.
    Review,
    /// The sign-in is let in only after a stronger proof.
    Challenge,
    /// The sign-in is rejected.
    Deny,
}

/// One reason of a decision.
#[derive(Debug, Deserialize)]
pub struct Reason {
    /// The reason code.
    pub code: String,
    /// The weight in log-odds.
    #[serde(default)]
    pub weight: f64,
}

/// What was missing from a decision.
#[derive(Debug, Deserialize)]
pub struct Degraded {
    /// The cause, by source.
    #[serde(default)]
    pub causes: BTreeMap<String, String>,
}

impl DecisionRow {
    /// Parses a line; `None` when the line is not an audit line.
    ///
    /// Parsing starts at the first brace, because CloudWatch tools put a prefix before each line.
    pub fn parse(line: &str) -> Option<Self> {
        let json = line.get(line.find('{')?..)?.trim_end();
        if json.len() > MAX_LINE_BYTES || json.contains(['\n', '\r']) {
            return None;
        }
        let mut row: DecisionRow = serde_json::from_str(json).ok()?;
        let fits = |name: &String| name.len() <= MAX_NAME_BYTES;
        row.reasons.retain(|reason| fits(&reason.code) && reason.weight.is_finite());
        row.reasons.truncate(MAX_ENTRIES);
        for map in [&mut row.evidence, &mut row.tiers].into_iter().chain(row.degraded.as_mut().map(|degraded| &mut degraded.causes)) {
            map.retain(|name, value| fits(name) && fits(value));
            while map.len() > MAX_ENTRIES {
                map.pop_last();
            }
        }
        row.took_ms.retain(|name, _| fits(name));
        while row.took_ms.len() > MAX_ENTRIES {
            row.took_ms.pop_last();
        }
        row.score.is_finite().then_some(row)
    }
}

/// Whether a line records the outcome of a sign-in or an operator's action instead of a decision.
pub fn is_outcome_line(line: &str) -> bool {
    #[derive(Deserialize)]
    struct OutcomeLine {
        #[serde(rename = "outcome", alias = "operation")]
        _outcome: IgnoredAny,
        #[serde(rename = "trigger")]
        _trigger: IgnoredAny,
    }
    line.find('{').is_some_and(|start| line.len() <= MAX_LINE_BYTES && serde_json::from_str::<OutcomeLine>(&line[start..]).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"schema":1,"time":"2026-11-22T00:00:00.000Z","id":"x","decision":"deny","score":87.4,"reasons":[{"code":"tor","weight":2.5}]}"#;

    #[test]
    fn cloudwatch_prefixes_are_skipped() {
        for prefix in ["", "2026-11-22T00:00:01 ", "2026-11-22T00:00:01.123000+00:00 2026/11/22/[$LATEST]abc ", "\t"] {
            let line = format!("{prefix}{LINE}\n");
            let row = DecisionRow::parse(&line).expect("an audit line");
            assert_eq!((row.decision, row.score), (DecisionLabel::Deny, 87.4));
        }
    }

    #[test]
    fn other_lines_are_not_parsed() {
        for line in ["", "START RequestId: 8f", "{}", "{\"message\":\"ready\"}", "{\"time\":1}", &"{".repeat(1000)] {
            assert!(DecisionRow::parse(line).is_none() && !is_outcome_line(line), "{line}");
        }
        let outcome = r#"2026-11-22T00:00:01 {"schema":1,"time":"2026-11-22T00:00:00.000Z","trigger":"post_authentication","id":null,"outcome":"success"}"#;
        assert!(DecisionRow::parse(outcome).is_none() && is_outcome_line(outcome));
    }
}
