//! The action line: what an operator did in the dashboard, to whom, and why.
//!
//! It names users and devices by pseudonym only. Names of operators, notes, app clients and ranges are what operators entered.

use jiff::Timestamp;

use crate::audit::SCHEMA;
use riskgate_event::response::object::Object;

/// An action of an operator.
#[derive(Debug)]
pub struct OperatorAction<'a> {
    /// When it was done.
    pub time: Timestamp,
    /// The id of the action.
    pub id: &'a str,
    /// Who did it.
    pub operator: &'a str,
    /// What was done: `suspend`, `exempt`, `lift`, `label` or `revoke`.
    pub action: &'static str,
    /// The kind of subject: `user`, `client`, `range` or `decision`.
    pub subject: &'static str,
    /// The subject: the pseudonym of a user, the id of a client or a decision, or a range.
    pub value: &'a str,
    /// The label, for `label`.
    pub label: Option<&'static str>,
    /// When it expires.
    pub until: Option<Timestamp>,
    /// Why it was done.
    pub note: &'a str,
    /// The action that it undoes.
    pub undoes: Option<&'a str>,
}

impl OperatorAction<'_> {
    /// Renders the object and a line break.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        Object::write(&mut line, |object| {
            object.member("schema", &SCHEMA);
            object.timestamp("time", self.time);
            object.plain("trigger", "operator");
            object.plain("action_id", self.id);
            object.member("operator", self.operator);
            object.plain("operation", self.action);
            object.plain("subject", self.subject);
            object.member("value", self.value);
            object.plain_or_null("label", self.label);
            object.member("until", &self.until);
            object.member("note", self.note);
            object.plain_or_null("undoes", self.undoes);
        });
        line.push(b'\n');
        line
    }
}
