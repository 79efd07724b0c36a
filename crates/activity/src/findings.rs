//! Likely mistakes: people who were stopped and then proven right, and sign-ins that were let in and then contradicted.

use std::collections::HashMap;

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{
    activity::Activity,
    attack::Networks,
    decision::Outcome,
    filter::Filter,
    row::Row,
    session::{SessionJudgement, SessionResult},
};

/// The longest time between a stopped sign-in and the success that proves its user right, in milliseconds.
const PROOF_WITHIN: i64 = 24 * 3_600_000;

/// Findings of each kind that are listed.
const MAX_FINDINGS: usize = 100;

impl Activity {
    /// The likely false positives and the likely missed attacks among the selected rows, newest first.
    pub fn findings(&self, filter: &Filter, now: i64) -> Value {
        let matcher = filter.matcher(&self.codes, now);
        // The successes of each user by device and by network.
        let mut proofs: HashMap<(&SmolStr, &SmolStr), Vec<i64>> = HashMap::new();
        let networks = Networks::of(self.rows.iter());
        for row in &self.rows {
            if let (Some(user), true) = (&row.user, row.outcome == Some(Outcome::Success) && !row.is_stopped()) {
                for origin in [&row.device, &row.net].into_iter().flatten() {
                    proofs.entry((user, origin)).or_default().push(row.at);
                }
            }
        }
        let (mut wronged, mut missed) = (Vec::new(), Vec::new());
        for row in self.rows.iter().rev().filter(|row| matcher.matches(row)) {
            let (list, why) = match (false_positive(row, &proofs), missed_attack(row, &networks)) {
                (Some(why), _) => (&mut wronged, why),
                (None, Some(why)) => (&mut missed, why),
                (None, None) => continue,
            };
            if list.len() < MAX_FINDINGS {
                let mut value = row.to_json(&self.codes);
                if let Value::Object(members) = &mut value {
                    members.insert("why".to_owned(), why.into());
                }
                list.push(value);
            }
        }
        json!({ "false_positives": wronged, "missed_attacks": missed, "limit": MAX_FINDINGS })
    }
}

/// Why a stopped sign-in was probably by the account's owner.
fn false_positive(row: &Row, proofs: &HashMap<(&SmolStr, &SmolStr), Vec<i64>>) -> Option<&'static str> {
    if !row.is_stopped() || row.outcome.is_some_and(Outcome::is_against_user) {
        return None;
    }
    match row.outcome {
        Some(Outcome::NotFraud) => return Some("reported as the user"),
        Some(Outcome::ChallengePassed) => return Some("passed the challenge"),
        Some(_) | None => {}
    }
    let user = row.user.as_ref()?;
    let is_proven = |origin: &Option<SmolStr>| {
        let successes = origin.as_ref().and_then(|origin| proofs.get(&(user, origin)));
        successes.is_some_and(|successes| successes.iter().any(|at| (row.at..=row.at + PROOF_WITHIN).contains(at)))
    };
    match (is_proven(&row.device), is_proven(&row.net)) {
        (true, _) => Some("the same user got in from the same device afterwards"),
        (false, true) => Some("the same user got in from the same network afterwards"),
        (false, false) => None,
    }
}

/// Why a sign-in that was let in was probably an attack.
fn missed_attack(row: &Row, networks: &Networks<'_>) -> Option<&'static str> {
    if row.is_enforced() {
        return None;
    }
    match (row.session, row.outcome) {
        (_, Some(Outcome::NotFraud)) => return None,
        (Some(SessionJudgement { result: SessionResult::Revoked, .. }), _) => return Some("its session was revoked"),
        (Some(SessionJudgement { is_contradicted: true, result: SessionResult::Denied, .. }), _) => return Some("its session contradicts the claimed address"),
        (Some(SessionJudgement { result: SessionResult::Denied, .. }), _) => return Some("its session's address would have been denied"),
        (Some(_) | None, _) => {}
    }
    match row.outcome {
        Some(Outcome::Fraud) => return Some("reported as fraud"),
        Some(Outcome::ChallengeFailed) => return Some("failed the challenge"),
        Some(Outcome::NotFraud | Outcome::ChallengePassed | Outcome::Failure) | None => return None,
        Some(Outcome::Success) => {}
    }
    networks.is_hostile(row).then_some("most others from this network were stopped, flagged, or had a wrong password")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activity::Counting;

    const NOW: i64 = 1_800_000_000;

    fn record(activity: &mut Activity, second: i64, user: &str, net: &str, decision: &str, outcome: Option<&str>) {
        let time = jiff::Timestamp::from_second(NOW - 600 + second).expect("a time");
        let id = format!("{second}-{user}");
        activity.record(&format!(r#"{{"time":"{time}","id":"{id}","decision":"{decision}","score":90,"user":"{user}","net":"{net}","device":"d-{user}"}}"#));
        if let Some(outcome) = outcome {
            activity.record(&format!(r#"{{"time":"{time}","trigger":"outcome","id":"{id}","outcome":"{outcome}"}}"#));
        }
    }

    #[test]
    fn a_stopped_person_is_listed_once_proven_right() {
        let mut activity = Activity::new(Counting::Rows);
        record(&mut activity, 0, "ada", "abroad", "deny", None);
        let found = |activity: &Activity| activity.findings(&Filter::last(3600), NOW)["false_positives"].as_array().map_or(0, Vec::len);
        assert_eq!(found(&activity), 0);
        record(&mut activity, 60, "ada", "home", "allow", Some("success"));
        assert_eq!(found(&activity), 1);
        activity.label("0-ada", Outcome::Fraud);
        assert_eq!(found(&activity), 0);
    }

    #[test]
    fn a_success_amid_an_attack_or_reported_as_fraud_is_missed() {
        let mut activity = Activity::new(Counting::Rows);
        (0..8).for_each(|number| record(&mut activity, number, &format!("target-{number}"), "rented", "deny", None));
        record(&mut activity, 20, "taken", "rented", "allow", Some("success"));
        record(&mut activity, 30, "later", "home", "allow", Some("fraud"));
        record(&mut activity, 40, "person", "home", "allow", Some("success"));
        let findings = activity.findings(&Filter::last(3600), NOW);
        let users: Vec<&str> = findings["missed_attacks"].as_array().into_iter().flatten().filter_map(|row| row["user"].as_str()).collect();
        assert_eq!(users, ["later", "taken"]);
    }
}
