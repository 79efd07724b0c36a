//! What the judgement of a sign-in's session found. The second audit line of an assessment has it.

use serde::Serialize;
use serde_json::{Value, json};

use crate::line::DecisionLine;

/// How the judgement of a session ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SessionResult {
    /// The session is the user's.
    Confirmed,
    /// The sign-in would have been challenged, and the tokens are restricted.
    Challenged,
    /// The sign-in would have been denied. The session continues.
    Denied,
    /// The session was revoked.
    Revoked,
}

/// The judgement of a sign-in's session.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SessionJudgement {
    /// How it ended.
    pub result: SessionResult,
    /// The score with the verified address, 0 to 100.
    score: f32,
    /// Whether the client claimed another country or AS.
    pub is_contradicted: bool,
    /// Whether the session moved too fast since it was first seen.
    has_moved: bool,
}

/// The judged sessions among selected rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct SessionCounts {
    verified: u32,
    contradicted: u32,
    moved: u32,
    challenged: u32,
    denied: u32,
    revoked: u32,
}

impl SessionResult {
    const ALL: [SessionResult; 4] = [SessionResult::Confirmed, SessionResult::Challenged, SessionResult::Denied, SessionResult::Revoked];

    /// The text in audit lines.
    pub fn as_label(self) -> &'static str {
        match self {
            SessionResult::Confirmed => "confirmed",
            SessionResult::Challenged => "challenged",
            SessionResult::Denied => "denied",
            SessionResult::Revoked => "revoked",
        }
    }
}

impl SessionJudgement {
    /// The values by which rows can be selected.
    pub const FILTERS: [&str; 7] = ["verified", "confirmed", "challenged", "denied", "revoked", "contradicted", "moved"];

    /// The judgement that a line describes; `None` if the line is not about a session.
    #[expect(clippy::cast_possible_truncation, reason = "seven digits suffice for display")]
    pub(crate) fn of(line: &DecisionLine) -> Option<Self> {
        let label = line.session.as_ref()?;
        let result = SessionResult::ALL.into_iter().find(|result| result.as_label() == label)?;
        let has_reason = |code: &str| line.reasons.iter().any(|reason| reason.code == code);
        let (is_contradicted, has_moved) = (has_reason("context_contradicted"), has_reason("session_moved"));
        Some(SessionJudgement { result, score: line.score as f32, is_contradicted, has_moved })
    }

    /// Whether a value of [`Self::FILTERS`] selects it.
    pub(crate) fn matches(&self, filter: &str) -> bool {
        match filter {
            "verified" => true,
            "contradicted" => self.is_contradicted,
            "moved" => self.has_moved,
            label => self.result.as_label() == label,
        }
    }

    pub(crate) fn to_json(self) -> Value {
        let score = (f64::from(self.score) * 10.0).round() / 10.0;
        json!({ "result": self.result, "score": score, "contradicted": self.is_contradicted, "moved": self.has_moved })
    }
}

impl SessionCounts {
    pub(crate) fn add(&mut self, judgement: &SessionJudgement) {
        self.verified += 1;
        self.contradicted += u32::from(judgement.is_contradicted);
        self.moved += u32::from(judgement.has_moved);
        match judgement.result {
            SessionResult::Confirmed => {}
            SessionResult::Challenged => self.challenged += 1,
            SessionResult::Denied => self.denied += 1,
            SessionResult::Revoked => self.revoked += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::{
        Filter,
        activity::{Activity, Counting},
    };

    const NOW: i64 = 1_800_000_000;

    fn line(id: &str, decision: &str, session: Option<(&str, &str)>) -> String {
        let time = jiff::Timestamp::from_second(NOW - 60).expect("a time");
        let session = session
            .map_or(String::new(), |(result, reason)| format!(r#","trigger":"session","session":"{result}","reasons":[{{"code":"{reason}","weight":2}}]"#));
        format!(r#"{{"time":"{time}","id":"{id}","decision":"{decision}","score":12.5,"user":"u"{session}}}"#)
    }

    #[test]
    fn a_judgement_is_part_of_its_sign_in_whichever_line_comes_first() {
        let mut activity = Activity::new(Counting::Rows);
        activity.record(&line("one", "allow", None));
        activity.record(&line("one", "deny", Some(("revoked", "context_contradicted"))));
        activity.record(&line("two", "allow", Some(("confirmed", "known_device"))));
        activity.record(&line("two", "review", None));
        activity.record(&line("refresh", "deny", Some(("denied", "session_moved"))));
        activity.record(&line("plain", "allow", None));
        let summary = activity.summary(&Filter::last(600), NOW, true);
        assert_eq!(summary["sessions"], json!({ "verified": 3, "contradicted": 1, "moved": 1, "challenged": 0, "denied": 1, "revoked": 1 }));
        assert_eq!((activity.len(), &summary["total"]), (4, &json!(3)), "a refresh is not a sign-in");
        let found = |id: &str| activity.decision(id).expect("stored");
        assert_eq!((&found("one")["decision"], &found("one")["session"]["result"]), (&json!("allow"), &json!("revoked")));
        assert_eq!((&found("two")["decision"], &found("two")["session"]["result"]), (&json!("review"), &json!("confirmed")));
        assert_eq!(found("plain")["session"], json!(null));
    }

    #[test]
    fn judgements_are_filters_and_a_contradicted_session_is_a_likely_missed_attack() {
        let mut activity = Activity::new(Counting::Rows);
        for (id, result, reason) in [("a", "denied", "context_contradicted"), ("b", "confirmed", "known_device"), ("c", "challenged", "session_moved")] {
            activity.record(&line(id, "allow", None));
            activity.record(&line(id, "deny", Some((result, reason))));
        }
        let total = |value: &str| activity.summary(&Filter::parse([("session", value)]).expect("a filter"), NOW, true)["total"].clone();
        assert_eq!(["verified", "contradicted", "moved", "denied", "revoked"].map(total), [3, 1, 1, 1, 0].map(|count| json!(count)));
        assert!(Filter::parse([("session", "maybe")]).is_err());
        let missed = activity.findings(&Filter::last(600), NOW)["missed_attacks"].clone();
        assert_eq!((missed[0]["id"].clone(), missed.as_array().map(Vec::len)), (json!("a"), Some(1)));
    }
}
