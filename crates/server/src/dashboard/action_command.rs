//! The command that does the same as an action, and the one that undoes it, for a shell.

use std::time::Duration;

use crate::dashboard::action_request::{ActionKind, ActionRequest, ActionSubject};
use riskgate_activity::decision::Outcome;

/// The commands of an action.
#[derive(Debug)]
pub struct ActionCommand {
    /// The command that does it.
    pub text: String,
    /// The command that undoes it; empty if none does.
    pub undo: String,
    /// The subject as text.
    pub value: String,
}

impl ActionCommand {
    /// The commands of an action on a user of `pool`. Blocks name the account by its pseudonym. The name of the user is not known here, so commands
    /// that need it have a placeholder.
    pub fn new(request: &ActionRequest, pool: Option<String>) -> Self {
        let value = request.subject.value();
        let pool = pool.filter(|pool| !pool.is_empty()).map(|pool| format!(" --pool {}", quote(&pool))).unwrap_or_default();
        let target = match &request.subject {
            ActionSubject::User(_) => format!("sub SUB_OF_THE_USER{pool}"),
            subject @ (ActionSubject::Client(_) | ActionSubject::Range(_) | ActionSubject::Network(_) | ActionSubject::Asn(_) | ActionSubject::Decision(_)) => {
                format!("{} {}", subject.kind(), quote(&value))
            }
        };
        let (text, undo) = match request.kind {
            ActionKind::Suspend | ActionKind::Exempt => {
                let target = if matches!(request.subject, ActionSubject::User(_)) { format!("account {}", quote(&value)) } else { target };
                let exempt = if request.kind == ActionKind::Exempt { " --exempt" } else { "" };
                let expiry = request.expiry.map(|expiry| format!(" --for {}", duration(expiry))).unwrap_or_default();
                (format!("riskgate block add {target}{exempt}{expiry} --note {}", quote(&request.note)), format!("riskgate block remove {target}"))
            }
            // The name was entered for this action only. It is not shown again.
            ActionKind::Revoke => (format!("riskgate sessions revoke{pool} --name NAME_OF_THE_USER --all"), String::new()),
            ActionKind::Lift => (format!("riskgate history release --{target}"), String::new()),
            ActionKind::Label => {
                let report =
                    |label| format!("curl -s http://127.0.0.1:8710/v1/outcome -H 'Content-Type: application/json' -d {}", quote(&outcome(&value, label)));
                let label = request.label.unwrap_or(Outcome::Fraud);
                let opposite = if label == Outcome::Fraud { Outcome::NotFraud } else { Outcome::Fraud };
                (report(label), report(opposite))
            }
        };
        ActionCommand { text, undo, value }
    }
}

fn outcome(id: &str, label: Outcome) -> String {
    serde_json::json!({ "id": id, "outcome": label }).to_string()
}

fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3600) => format!("{}h", seconds / 3600),
        _ => format!("{seconds}s"),
    }
}

/// A text as one word of a POSIX shell.
fn quote(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/' | '@');
    if !text.is_empty() && text.chars().all(is_plain) && !text.starts_with('-') {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(body: &str, expected: &str) {
        let request = ActionRequest::parse(body.as_bytes()).expect("an action");
        assert_eq!(ActionCommand::new(&request, Some("eu-west-1_A".to_owned())).text, expected);
    }

    #[test]
    fn commands_do_what_the_action_does_and_quote_what_was_entered() {
        check(
            r#"{"action":"suspend","subject":"user","value":"u1","note":"chargeback; rm -rf '$HOME'"}"#,
            r"riskgate block add account u1 --note 'chargeback; rm -rf '\''$HOME'\'''",
        );
        check(
            r#"{"action":"exempt","subject":"range","value":"198.51.100.7/24","note":"office","seconds":21600}"#,
            "riskgate block add range 198.51.100.0/24 --exempt --for 6h --note office",
        );
        check(
            r#"{"action":"suspend","subject":"network","value":"fFzacOTJHoYlUG_e","note":"a wave","seconds":3600}"#,
            "riskgate block add network fFzacOTJHoYlUG_e --for 1h --note 'a wave'",
        );
        check(r#"{"action":"suspend","subject":"asn","value":"64500","note":"wave","seconds":86400}"#, "riskgate block add asn 64500 --for 1d --note wave");
        check(r#"{"action":"lift","subject":"user","value":"u1","note":"known person"}"#, "riskgate history release --sub SUB_OF_THE_USER --pool eu-west-1_A");
        check(
            r#"{"action":"revoke","subject":"user","value":"u1","note":"taken over","name":"ada"}"#,
            "riskgate sessions revoke --pool eu-west-1_A --name NAME_OF_THE_USER --all",
        );
        check(
            r#"{"action":"label","subject":"decision","value":"01X","label":"fraud","note":"reported"}"#,
            r#"curl -s http://127.0.0.1:8710/v1/outcome -H 'Content-Type: application/json' -d '{"id":"01X","outcome":"fraud"}'"#,
        );
    }
}
