//! The state of the pool: attacks, owners who were stopped, and changes. It is that of all rows, whatever range and filter a page has.

use serde_json::{Value, json};

use crate::activity::Activity;

/// Attacks that are listed with their figures, the newest ones.
const MAX_LISTED: usize = 20;

impl Activity {
    /// The state of the pool at `now`, in seconds since 1970. [`Self::detect_attacks`] is called before. Accounts are named only with
    /// `is_identified`.
    pub fn overview(&self, now: i64, is_identified: bool) -> Value {
        let attacks: Vec<Value> = self.attacks().rev().take(MAX_LISTED).map(|attack| self.describe(attack, is_identified)).collect();
        let (ongoing, ended): (Vec<Value>, Vec<Value>) = attacks.iter().cloned().partition(|attack| attack["to"].is_null());
        let mut listed = attacks;
        listed.reverse();
        for attack in &mut listed {
            if let Value::Object(members) = attack {
                members.remove("accounts_let_in");
            }
        }
        let mut overview = json!({
            "attack": ongoing.into_iter().next(), "last_attack": ended.into_iter().next(), "attacks": listed, "wrongly_stopped": self.stopped_mass(now),
            "since": self.first(),
        });
        if let (Value::Object(members), Value::Object(changes)) = (&mut overview, self.changes.to_json(now, is_identified)) {
            members.extend(changes);
        }
        overview
    }
}
