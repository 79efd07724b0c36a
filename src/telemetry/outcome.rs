//! The line of an outcome: what became of a sign-in, so that `replay` can tell right passwords from wrong ones.
//!
//! It stands in the audit log behind the line of the decision, and names it by its id.

use jiff::Timestamp;

use super::{
    audit::{SCHEMA, cut},
    emf,
};
use crate::{
    event::cognito::PostAuthentication,
    evidence::history::{
        Pseudonyms,
        ledger::{Learned, Report},
    },
    response::object::Object,
};

/// What was heard of a sign-in after its decision.
#[derive(Debug)]
pub struct SignInOutcome<'a> {
    /// When it was heard.
    pub time: Timestamp,
    /// The assessment, where exactly one can be meant.
    pub id: Option<&'a str>,
    /// How the sign-in ended.
    pub report: Report,
    /// What a success taught; `None` where nothing was to be learned, or the store could not be reached.
    pub learned: Option<Learned>,
    /// The post-authentication that told it; without one a caller of the sidecar did.
    pub event: Option<&'a PostAuthentication>,
}

/// An outcome as a line.
#[derive(Debug)]
pub struct OutcomeLine<'a> {
    /// What was heard.
    pub outcome: &'a SignInOutcome<'a>,
    /// What stands for the person.
    pub pseudonyms: &'a Pseudonyms,
    /// Which members the line has.
    pub members: Members,
}

/// Which members a line has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Members {
    /// Those of the audit log.
    Audit,
    /// Those of the audit log and CloudWatch's metric.
    Both,
    /// Only CloudWatch's metric.
    Metrics,
}

// === impl SignInOutcome ===

impl SignInOutcome<'_> {
    /// The labels under which it is counted: what a caller said, and what a success taught.
    pub fn labels(&self) -> impl Iterator<Item = &'static str> {
        let said = self.event.is_none().then(|| self.report.as_label());
        let taught = self.learned.filter(|_| self.report == Report::Success).map(Learned::as_label);
        said.into_iter().chain(taught)
    }
}

// === impl OutcomeLine ===

impl OutcomeLine<'_> {
    /// The object and a line break.
    pub fn to_line(&self) -> Vec<u8> {
        let mut line = Vec::new();
        Object::write(&mut line, |object| {
            if self.members != Members::Audit {
                emf::outcome_members(self.outcome.time, object);
            }
            if self.members != Members::Metrics {
                self.audit_members(object);
            }
        });
        line.push(b'\n');
        line
    }

    fn audit_members(&self, object: &mut Object<'_>) {
        let SignInOutcome { time, id, report, learned, event } = self.outcome;
        let user = event.filter(|event| !event.person.key().is_empty()).map(|event| self.pseudonyms.user(&event.pool, event.person.key()));
        object.member("schema", &SCHEMA);
        object.moment("time", *time);
        object.plain("trigger", if event.is_some() { "post_authentication" } else { "outcome" });
        object.member("id", id);
        object.plain("outcome", report.as_label());
        object.plain_or_null("learned", learned.map(Learned::as_label));
        object.member("pool", &event.map(|event| cut(&event.pool)));
        object.member("client", &event.map(|event| cut(&event.client)));
        object.plain_or_null("user", user.as_deref());
    }
}
