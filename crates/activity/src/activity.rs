//! The stored decisions, newest last, with their rollups and changes.

use std::{
    cmp::Reverse,
    collections::{HashMap, HashSet, VecDeque, hash_map::DefaultHasher},
    hash::{Hash, Hasher},
};

use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::{
    MAX_ROWS,
    attack::Detection,
    changes::{ChangeKind, Changes},
    codes::{Code, Codes},
    decision::{Decision, Outcome},
    line::{DecisionLine, Line, OutcomeLine},
    rollup::{Counts, Rollups},
    row::{Reporting, Row},
};

/// The most devices of users that are stored.
const MAX_OWN_DEVICES: usize = 2 * MAX_ROWS;

/// So many successes without a failure: the source reports successes only.
const SUCCESSES_ONLY: u64 = 200;

/// The longest time between a decision and what it writes to the user's record, in milliseconds.
const NEAR_MS: i64 = 5000;

/// A sign-in without an outcome after so many milliseconds has failed, if the source reports successes only.
const SETTLED_MS: i64 = 60_000;

/// The most outcomes that wait for their decision, which a sampled log may not contain.
const MAX_EARLY_OUTCOMES: usize = 1024;

/// Where the exact counts come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Counting {
    /// Every row is a decision: a log.
    Rows,
    /// The caller counts, because rows may be sampled: a live sidecar.
    Caller,
}

/// The stored decisions.
#[derive(Debug)]
pub struct Activity {
    pub(crate) codes: Codes,
    pub(crate) rows: VecDeque<Row>,
    /// How many rows were dropped: the number of the oldest stored row.
    pub(crate) dropped: u64,
    by_id: HashMap<SmolStr, u64>,
    pub(crate) rollups: Rollups,
    counting: Counting,
    pub(crate) changes: Changes,
    pub(crate) detection: Detection,
    /// Devices from which their users got in, as hashes of both.
    own_devices: HashSet<u64>,
    successes: u64,
    failures: u64,
    pub(crate) reporting: Reporting,
    /// Decisions that were counted but not stored, because too many came at once.
    pub(crate) unsampled: u64,
    /// Lines that are neither a decision nor an outcome.
    pub(crate) unreadable: u64,
    early_outcomes: VecDeque<(SmolStr, Outcome)>,
    /// The times of the oldest row, stored or dropped, and of the newest one, in seconds since 1970.
    first: Option<i64>,
    newest: Option<i64>,
    pub(crate) capacity: usize,
}

impl Activity {
    /// An empty store.
    pub fn new(counting: Counting) -> Self {
        Self::with_capacity(counting, MAX_ROWS)
    }

    /// An empty store of at most `capacity` rows.
    pub fn with_capacity(counting: Counting, capacity: usize) -> Self {
        Activity {
            codes: Codes::default(),
            rows: VecDeque::new(),
            dropped: 0,
            by_id: HashMap::new(),
            rollups: Rollups::default(),
            counting,
            changes: Changes::default(),
            detection: Detection::default(),
            own_devices: HashSet::new(),
            successes: 0,
            failures: 0,
            reporting: Reporting::default(),
            unsampled: 0,
            unreadable: 0,
            early_outcomes: VecDeque::new(),
            first: None,
            newest: None,
            capacity: capacity.max(1),
        }
    }

    /// Records an audit line.
    pub fn record(&mut self, line: &str) {
        self.record_line(line);
    }

    /// Records an audit line. Returns whether it is a decision that was not stored yet.
    pub fn record_line(&mut self, line: &str) -> bool {
        match Line::parse(line) {
            Some(Line::Decision(line)) => return self.record_decision(*line),
            Some(Line::Outcome(line)) => self.record_outcome(line),
            Some(Line::Action(line)) => self.changes.record_action(&line),
            Some(Line::Other) => {}
            None => self.unreadable += 1,
        }
        false
    }

    fn record_decision(&mut self, line: DecisionLine) -> bool {
        let skipped = line.skipped;
        let mut row = Row::new(line, &mut self.codes);
        if let Some(known) = self.index_of(&row.id).and_then(|index| self.rows.get_mut(index)) {
            match (known.is_session, row.is_session) {
                (_, true) => known.session = row.session,
                // The session's line came first: its log was read before that of the sign-ins.
                (true, false) => {
                    (row.session, row.outcome) = (known.session, known.outcome);
                    if self.counting == Counting::Rows {
                        self.rollups.add(row.at.div_euclid(1000), Counts::one(row.decision, row.is_degraded));
                    }
                    *known = row;
                }
                // A log that is read twice, or two logs that overlap.
                (false, false) => {}
            }
            return false;
        }
        if let Some(index) = self.early_outcomes.iter().position(|(id, _)| *id == row.id)
            && let Some((_, outcome)) = self.early_outcomes.remove(index)
        {
            row.apply(outcome);
            self.learn_outcome(owned_device(&row), outcome);
        }
        row.is_own_device |= device_hash(&row).is_some_and(|hash| self.own_devices.contains(&hash));
        let at = row.at.div_euclid(1000);
        self.record_changes(&row, at);
        if let Some(thresholds) = row.thresholds.filter(|_| !row.is_session) {
            let client = row.client.map_or("", |code| self.codes.text(code));
            self.changes.record_thresholds(client, thresholds, at);
        }
        if self.counting == Counting::Rows && !row.is_session {
            let [allow, review, challenge, deny, degraded] = skipped;
            let without_row = Counts { decisions: [allow, review, challenge, deny], degraded };
            self.rollups.add(at, Counts::one(row.decision, row.is_degraded).plus(without_row));
            self.unsampled += u64::from(without_row.total());
        }
        self.first = Some(self.first.map_or(at, |first| first.min(at)));
        self.newest = Some(self.newest.map_or(at, |newest| newest.max(at)));
        if self.rows.len() >= self.capacity
            && let Some(oldest) = self.rows.pop_front()
        {
            self.by_id.remove(&oldest.id);
            self.dropped += 1;
        }
        let number = self.dropped + self.rows.len() as u64;
        self.by_id.insert(row.id.clone(), number);
        self.rows.push_back(row);
        self.update_reporting();
        self.await_minute(number, at);
        true
    }

    fn record_outcome(&mut self, line: OutcomeLine) {
        match (line.id, line.restored) {
            (Some(id), None) => self.report(&id, line.outcome),
            (Some(id), Some(before)) => self.restore_outcome(&id, before),
            (None, _) => {}
        }
    }

    /// Records the outcome of a decision that may not be stored yet.
    pub fn report(&mut self, id: &str, outcome: Outcome) {
        if !self.label(id, outcome) {
            if self.early_outcomes.len() >= MAX_EARLY_OUTCOMES {
                self.early_outcomes.pop_front();
            }
            self.early_outcomes.push_back((id.into(), outcome));
        }
    }

    /// Restores the outcome before a judgement that was a mistake.
    pub fn restore_outcome(&mut self, id: &str, outcome: Option<Outcome>) {
        if let Some(row) = self.index_of(id).and_then(|index| self.rows.get_mut(index)) {
            row.outcome = outcome;
            if owned_device(row).is_none() {
                device_hash(row).map(|device| self.own_devices.remove(&device));
            }
        }
    }

    /// Records an outcome; `false` when the decision is not stored.
    pub fn label(&mut self, id: &str, outcome: Outcome) -> bool {
        let Some(index) = self.index_of(id) else { return false };
        if let Some(row) = self.rows.get_mut(index) {
            row.apply(outcome);
            if outcome == Outcome::Fraud {
                device_hash(row).map(|device| self.own_devices.remove(&device));
            }
        }
        self.learn_outcome(self.rows.get(index).and_then(owned_device), outcome);
        true
    }

    /// Learns which device a user got in from, and which outcomes the source reports.
    fn learn_outcome(&mut self, device: Option<u64>, outcome: Outcome) {
        if let Some(device) = device {
            if self.own_devices.len() >= MAX_OWN_DEVICES {
                self.own_devices = self.rows.iter().filter_map(owned_device).collect();
            }
            self.own_devices.insert(device);
        }
        match outcome {
            Outcome::Success => self.successes += 1,
            Outcome::Failure => self.failures += 1,
            Outcome::Fraud | Outcome::NotFraud | Outcome::ChallengePassed | Outcome::ChallengeFailed => {}
        }
    }

    fn update_reporting(&mut self) {
        self.reporting = match (self.successes, self.failures) {
            (0, 0) => Reporting::Nothing,
            (SUCCESSES_ONLY.., 0) => Reporting::Successes { settled: self.newest.unwrap_or_default() * 1000 - SETTLED_MS },
            (_, _) => Reporting::Everything,
        };
    }

    /// Records a new model or mode.
    fn record_changes(&mut self, row: &Row, at: i64) {
        let Some(before) = self.rows.back() else { return };
        for (kind, name, before, now) in [(ChangeKind::Model, "model", before.model, row.model), (ChangeKind::Mode, "mode", before.mode, row.mode)] {
            if let (Some(before), Some(now)) = (before, now)
                && before != now
            {
                let text = format!("{name} from {} to {}", self.codes.text(before), self.codes.text(now));
                self.changes.record_once(kind, at, text);
            }
        }
    }

    /// Records that a process has started, or something else that its source reports.
    pub fn mark(&mut self, kind: ChangeKind, at: i64, text: String) {
        self.changes.record(kind, at, text);
    }

    /// Adds the exact counts of a second, and how many of its decisions are not stored.
    pub fn count(&mut self, at: i64, counts: Counts, unsampled: u64) {
        if counts.total() > 0 {
            self.rollups.add(at, counts);
        }
        self.unsampled += unsampled;
    }

    /// Replaces the counts of an hour, by its first second. A store also counts decisions that have no row here.
    pub fn set_hour(&mut self, hour: i64, counts: Counts) {
        self.rollups.set_hour(hour, counts);
    }

    /// The user pools of the stored rows; an empty text for sign-ins without one.
    pub fn pools(&self) -> Vec<SmolStr> {
        let codes: std::collections::BTreeSet<Option<Code>> = self.rows.iter().map(|row| row.pool).collect();
        codes.into_iter().map(|code| code.map(|code| self.codes.text(code).into()).unwrap_or_default()).collect()
    }

    /// Whether rows were dropped because there were too many.
    pub fn has_dropped(&self) -> bool {
        self.dropped > 0
    }

    /// The time of the oldest row in milliseconds since 1970.
    pub fn oldest_row(&self) -> Option<i64> {
        self.rows.front().map(|row| row.at)
    }

    /// The time of the oldest row, stored or dropped, in seconds since 1970.
    pub(crate) fn first(&self) -> Option<i64> {
        self.first
    }

    /// The time of the newest row in seconds since 1970.
    pub fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// How many rows are stored.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether no row is stored.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The row of an id.
    pub fn find(&self, id: &str) -> Option<&Row> {
        self.index_of(id).and_then(|index| self.rows.get(index))
    }

    /// Everything that is stored about a decision.
    pub fn decision(&self, id: &str) -> Option<Value> {
        let row = self.find(id)?;
        let mut decision = row.to_full_json(&self.codes);
        if let Value::Object(members) = &mut decision {
            let client = row.client.map_or("", |code| self.codes.text(code));
            members.insert("thresholds_changed".to_owned(), self.changes.thresholds_before(client, row.at.div_euclid(1000)));
        }
        Some(decision)
    }

    /// The stopped sign-in of a user that was decided within some seconds of a time, in milliseconds.
    pub fn stopped_at(&self, user: &str, at: i64) -> Option<&Row> {
        let is_near = |row: &&Row| (at - NEAR_MS..=at + NEAR_MS).contains(&row.at);
        self.rows.iter().rev().find(|row| row.user.as_deref() == Some(user) && row.is_stopped() && is_near(row))
    }

    /// The newest row of a user.
    pub fn newest_of(&self, user: &str) -> Option<&Row> {
        self.rows.iter().rev().find(|row| row.user.as_deref() == Some(user))
    }

    /// Whether a stored row matches.
    pub fn any(&self, matches: impl Fn(&Row) -> bool) -> bool {
        self.rows.iter().rev().any(matches)
    }

    /// The client and the pool of a row.
    pub fn origin(&self, row: &Row) -> (Option<&str>, Option<&str>) {
        (row.client.map(|code| self.codes.text(code)), row.pool.map(|code| self.codes.text(code)))
    }

    /// Matching rows, newest first: `limit` of them after `offset`. `as_of` is the number of rows ever stored that the client saw first, so that
    /// offsets stay valid while rows arrive.
    pub fn decisions(&self, filter: &crate::Filter, now: i64, offset: usize, limit: usize, as_of: Option<u64>) -> Value {
        let stored = self.dropped + self.rows.len() as u64;
        let as_of = as_of.unwrap_or(stored).min(stored);
        let visible = usize::try_from(as_of.saturating_sub(self.dropped)).unwrap_or(usize::MAX);
        let selection = self.selection(filter, now);
        let mut selected: Vec<&Row> = self.rows.iter().take(visible).rev().filter(|row| selection.matches(row)).collect();
        // Rows arrive nearly in the order of their times: logs and clocks differ.
        selected.sort_by_key(|row| Reverse(row.at));
        let rows: Vec<Value> = selected.iter().skip(offset).take(limit).map(|row| row.to_json(&self.codes)).collect();
        json!({ "as_of": as_of, "newer": stored - as_of, "total": selected.len(), "offset": offset, "rows": rows })
    }

    /// Known users that would be affected by a change for a network or a client: distinct users who got in from it, in the stored rows.
    pub fn affected_users(&self, matches: impl Fn(&Row) -> bool) -> usize {
        let users: std::collections::HashSet<&SmolStr> =
            self.rows.iter().filter(|row| row.got_in() && matches(row)).filter_map(|row| row.user.as_ref()).collect();
        users.len()
    }

    fn index_of(&self, id: &str) -> Option<usize> {
        usize::try_from(self.by_id.get(id)?.checked_sub(self.dropped)?).ok()
    }
}

/// The user and the device of a row.
fn device_hash(row: &Row) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    (row.user.as_ref()?, row.device.as_ref()?).hash(&mut hasher);
    Some(hasher.finish())
}

/// The user and the device of a row with which the user got in.
fn owned_device(row: &Row) -> Option<u64> {
    if row.got_in() && row.outcome != Some(Outcome::Fraud) { device_hash(row) } else { None }
}

impl Row {
    /// Whether the decision stops the sign-in in its mode.
    pub fn is_enforced(&self) -> bool {
        self.action >= Decision::Challenge
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Filter;

    const NOW: i64 = 1_800_000_000;

    fn line(number: i64, decision: &str) -> String {
        let time = jiff::Timestamp::from_second(NOW - 1000 + number).expect("a time");
        format!(r#"{{"time":"{time}","id":"id-{number}","decision":"{decision}","score":12.5,"user":"u{}","model":"m{}"}}"#, number % 7, number / 50)
    }

    #[test]
    fn rows_are_bounded_and_found_by_id_after_others_were_dropped() {
        let mut activity = Activity::with_capacity(Counting::Rows, 100);
        (0..150).for_each(|number| activity.record(&line(number, "allow")));
        assert_eq!((activity.len(), activity.find("id-49").is_some(), activity.by_id.len()), (100, false, 100));
        assert_eq!(activity.find("id-120").map(|row| row.at), Some((NOW - 880) * 1000));
        assert_eq!(activity.changes.iter().map(crate::changes::Change::describe).collect::<Vec<_>>(), ["model from m0 to m1", "model from m1 to m2"]);
    }

    #[test]
    fn decisions_are_in_the_order_of_their_times() {
        let mut activity = Activity::new(Counting::Rows);
        [3, 1, 2].into_iter().for_each(|number| activity.record(&line(number, "allow")));
        let listed = activity.decisions(&Filter::last(3600), NOW, 0, 2, None);
        assert_eq!((&listed["total"], &listed["rows"][0]["id"], &listed["rows"][1]["id"]), (&json!(3), &json!("id-3"), &json!("id-2")));
    }

    #[test]
    fn a_device_is_its_users_own_until_a_sign_in_from_it_is_reported_as_fraud_or_its_label_is_undone() {
        let mut activity = Activity::new(Counting::Rows);
        let mut is_own = |number: i64, report: &dyn Fn(&mut Activity)| {
            report(&mut activity);
            let line = line(number, "allow").replace('}', "");
            activity.record(&format!(r#"{line},"user":"ada","device":"d1"}}"#).replace(&format!(r#""user":"u{}","#, number % 7), ""));
            activity.find(&format!("id-{number}")).is_some_and(|row| row.is_own_device)
        };
        assert!(!is_own(1, &|_| {}));
        assert!(is_own(2, &|activity| assert!(activity.label("id-1", Outcome::Success))));
        assert!(!is_own(3, &|activity| assert!(activity.label("id-1", Outcome::Fraud))));
        assert!(is_own(4, &|activity| assert!(activity.label("id-3", Outcome::NotFraud))));
        assert!(!is_own(5, &|activity| activity.restore_outcome("id-3", None)));
    }

    #[test]
    fn new_thresholds_are_listed_once_for_each_client() {
        let mut activity = Activity::new(Counting::Rows);
        for (number, client, deny, challenge) in [
            (0, "web", 80, "null"),
            (1, "ios", 70, "null"),
            (2, "web", 80, "null"),
            (3, "web", 75, "60"),
            (4, "web", 80, "null"),
            (5, "web", 75, "60"),
            (6, "ios", 70, "null"),
        ] {
            let line = line(number, "allow").replace('}', "");
            activity.record(&format!(r#"{line},"client":"{client}","thresholds":{{"review":50,"challenge":{challenge},"deny":{deny}}}}}"#));
        }
        let changes: Vec<String> = activity.changes.iter().map(crate::changes::Change::describe).collect();
        assert_eq!(changes, ["web: deny from 80 to 75, challenge from off to 60", "web: deny from 75 to 80, challenge from 60 to off"]);
    }

    #[test]
    fn decisions_without_a_row_are_counted_and_a_label_that_was_undone_leaves_the_outcome_before_it() {
        let mut activity = Activity::new(Counting::Rows);
        let text = line(1, "deny").replace('}', r#","skipped":[5,1,0,3,2]}"#);
        assert!(activity.record_line(&text) && !activity.record_line(&text));
        assert_eq!(activity.unsampled, 9);
        let buckets = activity.rollups.buckets((NOW - 999).div_euclid(60) * 60, NOW, 60).expect("covered");
        assert_eq!(buckets[0].1, Counts { decisions: [5, 1, 0, 4], degraded: 2 });
        activity.set_hour((NOW - 999).div_euclid(3600) * 3600, Counts { decisions: [9, 9, 9, 9], degraded: 9 });
        let hours = activity.rollups.buckets((NOW - 999).div_euclid(3600) * 3600, NOW, 3600).expect("covered");
        assert_eq!(hours[0].1.total(), 36);
        for (outcome, restored) in [("success", ""), ("fraud", ""), ("not_fraud", r#","restored":"success""#)] {
            activity.record(&format!(r#"{{"time":"2026-11-22T00:00:00Z","trigger":"outcome","id":"id-1","outcome":"{outcome}"{restored}}}"#));
        }
        assert_eq!(activity.find("id-1").and_then(|row| row.outcome), Some(Outcome::Success));
    }

    #[test]
    fn pages_stay_in_place_while_rows_arrive() {
        let mut activity = Activity::new(Counting::Rows);
        (0..50).for_each(|number| activity.record(&line(number, "deny")));
        let first = activity.decisions(&Filter::last(3600), NOW, 0, 10, None);
        (50..60).for_each(|number| activity.record(&line(number, "deny")));
        let second = activity.decisions(&Filter::last(3600), NOW, 10, 10, first["as_of"].as_u64());
        assert_eq!(
            (&first["rows"][0]["id"], &second["rows"][0]["id"], &second["newer"], &second["total"]),
            (&json!("id-49"), &json!("id-39"), &json!(10), &json!(50))
        );
    }

    #[test]
    fn outcomes_find_their_decision_in_any_order() {
        let mut activity = Activity::new(Counting::Rows);
        let outcome = |id: &str, outcome: &str| format!(r#"{{"time":"2026-11-22T00:00:00Z","trigger":"outcome","id":"{id}","outcome":"{outcome}"}}"#);
        activity.record(&outcome("id-1", "success"));
        activity.record(&line(1, "allow"));
        assert_eq!(activity.find("id-1").and_then(|row| row.outcome), Some(Outcome::Success));
        activity.record(&outcome("id-1", "fraud"));
        activity.record(&outcome("id-1", "success"));
        assert_eq!(activity.find("id-1").and_then(|row| row.outcome), Some(Outcome::Fraud));
        (0..5000).for_each(|number| activity.record(&outcome(&format!("never-{number}"), "failure")));
        assert!(activity.early_outcomes.len() <= MAX_EARLY_OUTCOMES);
    }

    #[test]
    fn a_log_that_is_read_twice_counts_once() {
        let mut activity = Activity::new(Counting::Rows);
        (0..2).for_each(|_| activity.record(&line(1, "allow")));
        activity.record("not a line");
        assert_eq!((activity.len(), activity.unreadable), (1, 1));
    }
}
