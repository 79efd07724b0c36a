//! The audit line: the Assessment and whom it was about, as one JSON object a line.
//!
//! Its shape is `data/audit.schema.json`. A person, a network and a device appear as keyed
//! pseudonyms only (invariant 7): the same one is always the same word, and without the key the word says nothing.

use serde::{Serialize, Serializer, ser::SerializeMap};
use smol_str::SmolStr;

use super::emf::EmfBlock;
use crate::{
    evidence::{Evidence, history::Pseudonyms},
    response::{Assessment, http::AssessmentJson},
};

/// The version of the line's shape. It grows when a member changes its meaning, not when one is added.
pub const SCHEMA: u32 = 1;

/// Longest pool, client or tenant that is written, in bytes: a line stays far under EMF's megabyte whatever an event says.
const LONGEST: usize = 256;

/// Most lines are shorter, in bytes: their memory is asked for once.
const TYPICAL: usize = 2560;

/// An Assessment as a line.
#[derive(Debug)]
pub struct AuditLine<'a> {
    /// What was decided.
    pub assessment: &'a Assessment,
    /// What stands for the person, the network and the device.
    pub pseudonyms: &'a Pseudonyms,
    /// Which members the line has.
    pub part: Part,
}

/// Which members a line has.
#[derive(Debug)]
pub enum Part {
    /// The audit line.
    Audit,
    /// The audit line with CloudWatch's metrics in it.
    Both(EmfBlock),
    /// Only CloudWatch's metrics.
    Metrics(EmfBlock),
}

// === impl AuditLine ===

impl AuditLine<'_> {
    /// Writes the object and a line break over what is in `line`.
    pub fn write_to(&self, line: &mut Vec<u8>) {
        line.clear();
        line.reserve(TYPICAL);
        // Every member is a string, a finite number or a map with string keys: nothing that JSON cannot say.
        serde_json::to_writer(&mut *line, self).expect("an audit line is always JSON");
        line.push(b'\n');
    }

    fn audit_members<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let AuditLine { assessment, pseudonyms, part: _ } = self;
        let evidence = &assessment.decision.score.signals.evidence;
        let Evidence { sign_in, networks, .. } = evidence;
        let person = sign_in.person.key();
        let device = sign_in.context.device_id.as_ref();
        map.serialize_entry("schema", &SCHEMA)?;
        map.serialize_entry("time", &format_args!("{:.3}", sign_in.received.wall))?;
        AssessmentJson(assessment).members(map)?;
        map.serialize_entry("trigger", sign_in.trigger.as_label())?;
        map.serialize_entry("pool", cut(&sign_in.pool))?;
        map.serialize_entry("client", cut(&sign_in.client))?;
        map.serialize_entry("tenant", &sign_in.tenant.as_ref().map(|tenant| cut(tenant.expose())))?;
        map.serialize_entry("user", &(!person.is_empty()).then(|| pseudonyms.user(&sign_in.pool, person)))?;
        map.serialize_entry("net", &sign_in.context.ip.any().map(|ip| pseudonyms.network(ip)))?;
        map.serialize_entry("country", &networks.country.as_ref().map(|country| country.as_str()))?;
        map.serialize_entry("asn", &networks.asn)?;
        map.serialize_entry("device", &device.map(|id| pseudonyms.device(id.expose())))?;
        map.serialize_entry("took_ms", &Took(assessment))?;
        map.serialize_entry("tiers", &Tiers(evidence))?;
        if codes(evidence).next().is_some() {
            map.serialize_entry("codes", &Codes(evidence))?;
        }
        Ok(())
    }
}

impl Serialize for AuditLine<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.part {
            Part::Audit => self.audit_members(&mut map)?,
            Part::Both(block) => {
                block.members(&mut map)?;
                self.audit_members(&mut map)?;
            }
            Part::Metrics(block) => {
                block.members(&mut map)?;
                map.serialize_entry("decision", self.assessment.decision.verdict.as_label())?;
                map.serialize_entry("mode", self.assessment.decision.mode.as_label())?;
            }
        }
        map.end()
    }
}

/// Milliseconds of each part of the way.
struct Took<'a>(&'a Assessment);

/// Which cache tier answered for each service, where one did.
struct Tiers<'a>(&'a Evidence);

/// The reason codes of each service's own, where it gave any.
struct Codes<'a>(&'a Evidence);

impl Serialize for Took<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let evidence = &self.0.decision.score.signals.evidence;
        let millis = |took: std::time::Duration| (took.as_secs_f64() * 1e6).round() / 1e3;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("networks", &millis(evidence.took.networks))?;
        map.serialize_entry("history", &millis(evidence.took.history))?;
        map.serialize_entry("evidence", &millis(evidence.took.total))?;
        map.serialize_entry("judge", &millis(self.0.judging))?;
        for asked in &evidence.services {
            map.serialize_entry(asked.service.as_label(), &millis(asked.took))?;
        }
        map.end()
    }
}

impl Serialize for Tiers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for asked in &self.0.services {
            if let Some(tier) = asked.tier {
                map.serialize_entry(asked.service.as_label(), tier.as_label())?;
            }
        }
        map.end()
    }
}

impl Serialize for Codes<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(codes(self.0))
    }
}

fn codes(evidence: &Evidence) -> impl Iterator<Item = (&'static str, &[SmolStr])> {
    evidence
        .services
        .iter()
        .filter_map(move |asked| Some((asked.service.as_label(), asked.answer.as_ref()?.codes.as_slice())))
        .filter(|(_, codes)| !codes.is_empty())
}

/// A text cut to 256 bytes at a character.
pub(super) fn cut(text: &str) -> &str {
    let mut end = text.len().min(LONGEST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
