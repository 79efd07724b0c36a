//! What changed: thresholds, the model, the mode, starts, and what operators did, each with its time.

use std::collections::{HashMap, VecDeque};

use serde_json::{Value, json};
use smol_str::{SmolStr, ToSmolStr};

use crate::line::{ActionLine, Thresholds};

/// The most changes that are stored.
const MAX_CHANGES: usize = 256;

/// A change that is seen again within this time is not listed again: while a deployment replaces processes, old and new ones decide in turns.
/// The same change of another app client within it is one change: a client's new thresholds are seen with its next sign-in.
const REPEATED_SECONDS: i64 = 3600;

/// The most app clients whose thresholds are stored.
const MAX_CLIENTS: usize = 256;

/// What kind of thing changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// The thresholds of app clients.
    Thresholds,
    /// The model.
    Model,
    /// Whether decisions are enforced.
    Mode,
    /// A process has started.
    Start,
    /// What an operator did in the dashboard.
    Action,
    /// Something else that the source of the rows reports.
    Event,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// When it was first seen, in seconds since 1970.
    pub at: i64,
    /// What kind of thing changed.
    pub kind: ChangeKind,
    /// What changed, from which value to which.
    pub text: String,
    /// The app clients that it concerns; empty for all.
    clients: Vec<SmolStr>,
    /// Who did it, if that is recorded.
    who: Option<SmolStr>,
}

/// The thresholds in force for an app client.
#[derive(Debug)]
struct InForce {
    thresholds: Thresholds,
    since: i64,
    before: Option<Thresholds>,
}

/// The changes, oldest first, and what is in force.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    list: VecDeque<Change>,
    thresholds: HashMap<SmolStr, InForce>,
}

impl ChangeKind {
    fn as_label(self) -> &'static str {
        match self {
            ChangeKind::Thresholds => "thresholds",
            ChangeKind::Model => "model",
            ChangeKind::Mode => "mode",
            ChangeKind::Start => "start",
            ChangeKind::Action => "action",
            ChangeKind::Event => "event",
        }
    }
}

impl Change {
    /// The text with the app clients before it.
    pub fn describe(&self) -> String {
        let clients: Vec<&str> = self.clients.iter().map(SmolStr::as_str).filter(|client| !client.is_empty()).collect();
        if clients.is_empty() { self.text.clone() } else { format!("{}: {}", clients.join(", "), self.text) }
    }

    fn is_of_configuration(&self) -> bool {
        matches!(self.kind, ChangeKind::Thresholds | ChangeKind::Model | ChangeKind::Mode)
    }

    fn to_json(&self) -> Value {
        json!({ "at": self.at, "kind": self.kind.as_label(), "text": self.text, "clients": self.clients, "who": self.who })
    }
}

impl Changes {
    /// Records the thresholds that decided a sign-in. Nothing is recorded for a sign-in before the change that is known.
    pub(crate) fn record_thresholds(&mut self, client: &str, now: Thresholds, at: i64) {
        let Some(known) = self.thresholds.get_mut(client) else {
            if self.thresholds.len() < MAX_CLIENTS {
                self.thresholds.insert(client.into(), InForce { thresholds: now, since: at, before: None });
            }
            return;
        };
        if known.thresholds == now || at < known.since {
            return;
        }
        let before = std::mem::replace(known, InForce { thresholds: now, since: at, before: Some(known.thresholds) }).thresholds;
        let shown = |threshold: Option<f64>| threshold.map_or("off".to_owned(), |threshold| threshold.to_string());
        let pairs =
            [("deny", Some(before.deny), Some(now.deny)), ("challenge", before.challenge, now.challenge), ("review", Some(before.review), Some(now.review))];
        let changed = pairs.into_iter().filter(|(_, before, now)| before != now);
        let texts: Vec<String> = changed.map(|(name, before, now)| format!("{name} from {} to {}", shown(before), shown(now))).collect();
        let text = texts.join(", ");
        let is_same = |change: &&mut Change| change.kind == ChangeKind::Thresholds && change.text == text && (change.at - at).abs() < REPEATED_SECONDS;
        match self.list.iter_mut().rev().find(is_same) {
            Some(same) if same.clients.iter().any(|known| known == client) => {}
            Some(same) => {
                same.at = same.at.min(at);
                same.clients.push(client.into());
            }
            None => self.push(Change { at, kind: ChangeKind::Thresholds, text, clients: vec![client.into()], who: None }),
        }
    }

    /// Records a change once within the hour.
    pub(crate) fn record_once(&mut self, kind: ChangeKind, at: i64, text: String) {
        if !self.list.iter().any(|change| change.text == text && (change.at - at).abs() < REPEATED_SECONDS) {
            self.record(kind, at, text);
        }
    }

    /// Records a change.
    pub(crate) fn record(&mut self, kind: ChangeKind, at: i64, text: String) {
        self.push(Change { at, kind, text, clients: Vec::new(), who: None });
    }

    /// Records what an operator did.
    pub(crate) fn record_action(&mut self, action: &ActionLine) {
        let ActionLine { time, operation, operator, subject, value, label, note, undoes } = action;
        let undone = if undoes.is_some() { "undone: " } else { "" };
        let label = label.as_ref().map(|label| format!(" {label}")).unwrap_or_default();
        let subject = [subject, value].into_iter().flatten().fold(String::new(), |text, part| format!("{text} {part}"));
        let note = note.as_ref().filter(|note| !note.is_empty()).map(|note| format!(" ({note})")).unwrap_or_default();
        let text = format!("{undone}{operation}{label}{subject}{note}");
        self.push(Change { at: time.as_second(), kind: ChangeKind::Action, text, clients: Vec::new(), who: Some(operator.clone()) });
    }

    fn push(&mut self, change: Change) {
        if self.list.len() >= MAX_CHANGES {
            // Many actions do not push the changes of the configuration out.
            let dropped = self.list.iter().position(|known| !known.is_of_configuration()).unwrap_or(0);
            self.list.remove(dropped);
        }
        let index = self.list.iter().rposition(|known| known.at <= change.at).map_or(0, |index| index + 1);
        self.list.insert(index, change);
    }

    /// Every change, oldest first.
    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &Change> {
        self.list.iter()
    }

    /// The newest change of the configuration up to a time. A start alone is none.
    pub(crate) fn newest(&self, until: i64) -> Option<&Change> {
        self.list.iter().rev().find(|change| change.at <= until && change.is_of_configuration())
    }

    /// The newest change of an app client's thresholds up to a time; null if there was none.
    pub(crate) fn thresholds_before(&self, client: &str, at: i64) -> Value {
        let of_client = |change: &&Change| change.kind == ChangeKind::Thresholds && change.at <= at && change.clients.iter().any(|known| known == client);
        self.list.iter().rev().find(of_client).map_or(Value::Null, |change| json!({ "at": change.at, "text": change.text }))
    }

    /// The members that a summary has: all changes, the newest one of the configuration, and the thresholds in force. What operators did names
    /// users, so it is left out without `is_identified`.
    pub(crate) fn to_json(&self, now: i64, is_identified: bool) -> Value {
        let listed: Vec<Value> = self.list.iter().filter(|change| is_identified || change.kind != ChangeKind::Action).map(Change::to_json).collect();
        let mut clients: Vec<(&SmolStr, &InForce)> = self.thresholds.iter().collect();
        clients.sort_unstable_by_key(|(client, _)| *client);
        let thresholds: Vec<Value> = clients
            .into_iter()
            .map(|(client, InForce { thresholds: Thresholds { review, challenge, deny }, since, before })| {
                json!({ "client": client.to_smolstr(), "review": review, "challenge": challenge, "deny": deny, "since": since, "before": before })
            })
            .collect();
        json!({ "changes": listed, "change": self.newest(now).map(Change::to_json), "thresholds": thresholds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn thresholds(review: f64, deny: f64, challenge: Option<f64>) -> Thresholds {
        Thresholds { review, challenge, deny }
    }

    #[test]
    fn the_same_new_thresholds_of_two_clients_are_one_change_and_a_deployment_repeats_none() {
        let mut changes = Changes::default();
        let (before, after) = (thresholds(50.0, 80.0, None), thresholds(20.0, 35.0, Some(30.0)));
        for (at, client, thresholds) in
            [(0, "crm", before), (1, "intranet", before), (100, "crm", after), (101, "crm", before), (102, "crm", after), (160, "intranet", after)]
        {
            changes.record_thresholds(client, thresholds, at);
        }
        let shown = changes.to_json(200, false);
        let first = &shown["changes"][0];
        assert_eq!(first["text"], "deny from 80 to 35, challenge from off to 30, review from 50 to 20");
        assert_eq!((&first["at"], &first["clients"]), (&json!(100), &json!(["crm", "intranet"])));
        assert_eq!(shown["changes"][1]["text"], "deny from 35 to 80, challenge from 30 to off, review from 20 to 50", "the old process, once");
        assert_eq!(shown["changes"].as_array().map(Vec::len), Some(2));
        assert_eq!((&shown["thresholds"][0]["deny"], &shown["thresholds"][0]["before"]["deny"]), (&json!(35.0), &json!(80.0)));
    }

    #[test]
    fn an_action_names_its_operator_only_with_an_identity_and_is_no_change_of_the_configuration() {
        let mut changes = Changes::default();
        changes.record(ChangeKind::Start, 5, "riskgate started".to_owned());
        let line =
            r#"{"time":"1970-01-01T00:00:10Z","trigger":"operator","operator":"ada","operation":"suspend","subject":"user","value":"u1","note":"a target"}"#;
        changes.record_action(&serde_json::from_str(line).expect("an action"));
        let shown = changes.to_json(20, true);
        assert_eq!((&shown["changes"][1]["text"], &shown["changes"][1]["who"]), (&json!("suspend user u1 (a target)"), &json!("ada")));
        assert_eq!(shown["change"], Value::Null);
        assert!(!changes.to_json(20, false).to_string().contains("u1"));
    }

    #[test]
    fn changes_are_bounded_and_in_order() {
        let mut changes = Changes::default();
        (0..1000).for_each(|number| changes.record(ChangeKind::Event, 1000 - number, format!("event {number}")));
        assert_eq!(changes.list.len(), MAX_CHANGES);
        assert!(changes.list.iter().zip(changes.list.iter().skip(1)).all(|(a, b)| a.at <= b.at));
    }
}
