//! The outcome line: how a sign-in ended. `replay` uses it to distinguish right passwords from wrong ones.
//!
//! It follows the audit line of the decision and refers to it by its id.

use jiff::Timestamp;

use crate::{
    audit::{SCHEMA, truncate},
    emf,
};
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_event::{cognito::PostAuthentication, response::object::Object};
use riskgate_history::repository::{learning::Learned, outcome::ReportedOutcome};

/// The outcome of a sign-in, received after its decision.
#[derive(Debug)]
pub struct SignInOutcome<'a> {
    /// When it was received.
    pub time: Timestamp,
    /// The id of the assessment, if it is unambiguous.
    pub id: Option<&'a str>,
    /// How the sign-in ended.
    pub report: ReportedOutcome,
    /// How learning from a success ended. `None` when there was nothing to learn, or the store could not be reached.
    pub learned: Option<Learned>,
    /// The post-authentication event that reported it. `None` when a caller of the sidecar did.
    pub event: Option<&'a PostAuthentication>,
    /// For a report that undoes an operator's label: the outcome before the label, `None` if there was none.
    pub restored: Option<Option<&'static str>>,
}

/// An outcome and the parameters of its line.
#[derive(Debug)]
pub struct OutcomeLine<'a> {
    /// The outcome.
    pub outcome: &'a SignInOutcome<'a>,
    /// The pseudonym of the user.
    pub pseudonyms: &'a Pseudonyms,
    /// Which members are written.
    pub members: Members,
}

/// Which members a line contains.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// The members of the audit log.
    Audit,
    /// The members of the audit log and the CloudWatch metric.
    Both,
    /// Only the CloudWatch metric.
    Metrics,
}

impl SignInOutcome<'_> {
    /// The labels that are counted: the report of a caller, and the result of learning from a success.
    pub fn labels(&self) -> impl Iterator<Item = &'static str> {
        let reported = self.event.is_none().then(|| self.report.as_label());
        let learned = self.learned.filter(|_| self.report == ReportedOutcome::Success).map(Learned::as_label);
        reported.into_iter().chain(learned)
    }
}

impl OutcomeLine<'_> {
    /// Renders the object and a line break.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        Object::write(&mut line, |object| {
            if self.members != Members::Audit {
                emf::write_outcome_members(self.outcome.time, object);
            }
            if self.members != Members::Metrics {
                self.write_audit_members(object);
            }
        });
        line.push(b'\n');
        line
    }

    fn write_audit_members(&self, object: &mut Object<'_>) {
        let SignInOutcome { time, id, report, learned, event, restored } = self.outcome;
        let user = event.filter(|event| !event.user.key().is_empty()).map(|event| self.pseudonyms.user(&event.pool, event.user.key()));
        object.member("schema", &SCHEMA);
        object.timestamp("time", *time);
        object.plain("trigger", if event.is_some() { "post_authentication" } else { "outcome" });
        object.member("id", id);
        object.plain("outcome", report.as_label());
        object.plain_or_null("learned", learned.map(Learned::as_label));
        object.member("pool", &event.map(|event| truncate(&event.pool)));
        object.member("client", &event.map(|event| truncate(&event.client)));
        object.plain_or_null("user", user.as_deref());
        if let Some(restored) = restored {
            object.plain_or_null("restored", *restored);
        }
    }
}
