//! What became of the demo's sign-ins. Only a demo knows who is an attacker.

use std::time::Duration;

use crate::commands::demo::{
    client::DemoDecision,
    population::{Password, PlannedSignIn, Sender},
};

/// Counts of attacks and of users by what became of them.
#[derive(Debug, Default)]
pub struct Summary {
    attacks: Tally,
    /// Attacks with the right password, which are also among `attacks`.
    takeovers: Tally,
    users: Tally,
}

#[derive(Debug, Default)]
struct Tally {
    stopped: u64,
    /// Let in after a further check, such as a second factor.
    challenged: u64,
    flagged: u64,
    let_in: u64,
}

impl Summary {
    /// Counts a sign-in.
    pub fn count(&mut self, sign_in: &PlannedSignIn, decision: &DemoDecision) {
        match sign_in.sender {
            Sender::User => self.users.count(decision),
            Sender::Attacker => {
                self.attacks.count(decision);
                if sign_in.password == Password::Right {
                    self.takeovers.count(decision);
                }
            }
        }
    }

    /// The summary as text, at a time of the scenario.
    pub fn text(&self, elapsed: Duration) -> String {
        let total = self.attacks.total() + self.users.total();
        format!(
            "\n=== {total} sign-ins in {} s of the scenario\n\
             attacks             {}\n\
             .. right password   {}\n\
             users               {}\n\n",
            elapsed.as_secs(),
            self.attacks.text("stopped"),
            self.takeovers.text("stopped"),
            self.users.text("wrongly stopped"),
        )
    }
}

impl Tally {
    fn count(&mut self, decision: &DemoDecision) {
        let sum = match decision.action.as_str() {
            "deny" => &mut self.stopped,
            "review" => &mut self.flagged,
            "allow" => &mut self.let_in,
            _ => &mut self.challenged,
        };
        *sum += 1;
    }

    fn total(&self) -> u64 {
        self.stopped + self.challenged + self.flagged + self.let_in
    }

    #[expect(clippy::cast_precision_loss, reason = "a demo has few sign-ins")]
    fn text(&self, stopped: &str) -> String {
        let total = self.total();
        let share = 100.0 * self.stopped as f64 / total.max(1) as f64;
        let challenged = if self.challenged == 0 { String::new() } else { format!(", {} challenged", self.challenged) };
        format!("{total:>5}: {} {stopped} ({share:.1} %){challenged}, {} let in and flagged for review, {} let in", self.stopped, self.flagged, self.let_in)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_summary_counts_attacks_takeovers_and_users_apart() {
        let mut summary = Summary::default();
        let decided = [
            (Sender::Attacker, Password::Wrong, "deny", "deny"),
            (Sender::Attacker, Password::Right, "deny", "allow"),
            (Sender::User, Password::Right, "allow", "allow"),
            (Sender::User, Password::Right, "review", "review"),
            (Sender::User, Password::Wrong, "deny", "deny"),
        ];
        for (sender, password, decision, action) in decided {
            let decision = json!({ "id": "x", "decision": decision, "action": action, "score": 1.0, "reasons": [], "degraded": null, "elapsed_ms": 1.0 });
            let decision: DemoDecision = serde_json::from_value(decision).expect("a decision");
            summary.count(&PlannedSignIn { body: json!({}), password, sender }, &decision);
        }
        let text = summary.text(Duration::from_secs(180));
        assert!(text.contains("5 sign-ins in 180 s"), "{text}");
        assert!(text.contains("    2: 1 stopped (50.0 %), 0 let in and flagged for review, 1 let in"), "{text}");
        assert!(text.contains("    1: 0 stopped (0.0 %), 0 let in and flagged for review, 1 let in"), "{text}");
        assert!(text.contains("    3: 1 wrongly stopped (33.3 %), 1 let in and flagged for review, 1 let in"), "{text}");
    }
}
