//! The line of an outcome: what became of a sign-in, so that `replay` can tell right passwords from wrong ones.
//!
//! It stands in the audit log behind the line of the decision, and names it by its id.

use jiff::Timestamp;
use serde::{Serialize, Serializer, ser::SerializeMap};

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
    pub fn to_line(&self) -> String {
        // Every member is a string or null: nothing that JSON cannot say.
        let mut line = serde_json::to_string(self).expect("an outcome is always JSON");
        line.push('\n');
        line
    }

    fn audit_members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let SignInOutcome { time, id, report, learned, event } = self.outcome;
        let user = event.filter(|event| !event.person.key().is_empty()).map(|event| self.pseudonyms.user(&event.pool, event.person.key()));
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("time", &format_args!("{time:.3}"))?;
        map.serialize_entry("trigger", if event.is_some() { "post_authentication" } else { "outcome" })?;
        map.serialize_entry("id", id)?;
        map.serialize_entry("outcome", report.as_label())?;
        map.serialize_entry("learned", &learned.map(Learned::as_label))?;
        map.serialize_entry("pool", &event.map(|event| cut(&event.pool)))?;
        map.serialize_entry("client", &event.map(|event| cut(&event.client)))?;
        map.serialize_entry("user", &user)
    }
}

impl Serialize for OutcomeLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if self.members != Members::Audit {
            emf::outcome_members(self.outcome.time, &mut map)?;
        }
        if self.members != Members::Metrics {
            self.audit_members(&mut map)?;
        }
        map.end()
    }
}
