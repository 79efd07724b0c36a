//! An audit line read back. Lines of a log are somebody else's bytes: every text and list is bounded.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, de::IgnoredAny};

/// Longest line that is read, in bytes.
pub const LONGEST: usize = 64 * 1024;

/// Longest code or name that is kept, and most entries of a list or map.
const LONGEST_NAME: usize = 48;
const MOST: usize = 32;

/// What the board needs of an audit line.
#[derive(Debug, Deserialize)]
pub struct Entry {
    /// When the sign-in came.
    pub time: Timestamp,
    /// What was judged.
    pub decision: Word,
    /// 0 to 100.
    pub score: f64,
    /// The reasons.
    #[serde(default)]
    pub reasons: Vec<Reason>,
    /// How each source of evidence answered.
    #[serde(default)]
    pub evidence: BTreeMap<String, String>,
    /// What was missing.
    #[serde(default)]
    pub degraded: Option<Degraded>,
    /// From the whole request read to the verdict, in milliseconds.
    #[serde(default)]
    pub elapsed_ms: f64,
    /// The parts of it.
    #[serde(default)]
    pub took_ms: BTreeMap<String, f64>,
    /// Which cache tier answered.
    #[serde(default)]
    pub tiers: BTreeMap<String, String>,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Word {
    /// Let in.
    Allow,
    /// Let in, flagged.
    Review,
    /// Kept out.
    Deny,
}

/// A reason.
#[derive(Debug, Deserialize)]
pub struct Reason {
    /// Its code.
    pub code: String,
    /// Its weight in log-odds.
    #[serde(default)]
    pub weight: f64,
}

/// What was missing.
#[derive(Debug, Deserialize)]
pub struct Degraded {
    /// Why, by source.
    #[serde(default)]
    pub causes: BTreeMap<String, String>,
}

impl Entry {
    /// Reads a line from its first brace, so that what CloudWatch's tools put before it does not matter. `None` for a line that is none of ours.
    pub fn parse(line: &str) -> Option<(Self, &str)> {
        let json = line.get(line.find('{')?..)?.trim_end();
        if json.len() > LONGEST || json.contains(['\n', '\r']) {
            return None;
        }
        let mut entry: Entry = serde_json::from_str(json).ok()?;
        let fits = |name: &String| name.len() <= LONGEST_NAME;
        entry.reasons.retain(|reason| fits(&reason.code) && reason.weight.is_finite());
        entry.reasons.truncate(MOST);
        for map in [&mut entry.evidence, &mut entry.tiers].into_iter().chain(entry.degraded.as_mut().map(|degraded| &mut degraded.causes)) {
            map.retain(|name, value| fits(name) && fits(value));
            while map.len() > MOST {
                map.pop_last();
            }
        }
        entry.took_ms.retain(|name, _| fits(name));
        while entry.took_ms.len() > MOST {
            entry.took_ms.pop_last();
        }
        entry.score.is_finite().then_some((entry, json))
    }
}

/// Whether a line is none of a decision's but tells what became of one.
pub fn tells_outcome(line: &str) -> bool {
    #[derive(Deserialize)]
    struct Told {
        #[serde(rename = "outcome")]
        _outcome: IgnoredAny,
        #[serde(rename = "trigger")]
        _trigger: IgnoredAny,
    }
    line.find('{').is_some_and(|start| line.len() <= LONGEST && serde_json::from_str::<Told>(&line[start..]).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"schema":1,"time":"2026-11-22T00:00:00.000Z","id":"x","decision":"deny","score":87.4,"reasons":[{"code":"tor","weight":2.5}]}"#;

    #[test]
    fn prefixes_of_cloudwatch_are_skipped() {
        for prefix in ["", "2026-11-22T00:00:01 ", "2026-11-22T00:00:01.123000+00:00 2026/11/22/[$LATEST]abc ", "\t"] {
            let line = format!("{prefix}{LINE}\n");
            let (entry, json) = Entry::parse(&line).expect("an audit line");
            assert_eq!((entry.decision, entry.score, json), (Word::Deny, 87.4, LINE));
        }
    }

    #[test]
    fn other_lines_are_none() {
        for line in ["", "START RequestId: 8f", "{}", "{\"message\":\"ready\"}", "{\"time\":1}", &"{".repeat(1000)] {
            assert!(Entry::parse(line).is_none() && !tells_outcome(line), "{line}");
        }
        let outcome = r#"2026-11-22T00:00:01 {"schema":1,"time":"2026-11-22T00:00:00.000Z","trigger":"post_authentication","id":null,"outcome":"success"}"#;
        assert!(Entry::parse(outcome).is_none() && tells_outcome(outcome));
    }
}
