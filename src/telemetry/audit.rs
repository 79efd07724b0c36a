//! The audit line: the Assessment and whom it was about, as one JSON object a line.
//!
//! Its shape is `data/audit.schema.json`. A person, a network and a device appear as keyed
//! pseudonyms only (invariant 7): the same one is always the same word, and without the key the word says nothing.

use smol_str::SmolStr;

use super::emf::EmfBlock;
use crate::{
    evidence::{Evidence, history::Pseudonyms},
    response::{Assessment, http::AssessmentJson, object::Object},
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
        Object::write(line, |object| match &self.part {
            Part::Audit => self.audit_members(object),
            Part::Both(block) => {
                block.members(object);
                self.audit_members(object);
            }
            Part::Metrics(block) => {
                block.members(object);
                object.plain("decision", self.assessment.decision.verdict.as_label());
                object.plain("mode", self.assessment.decision.mode.as_label());
            }
        });
        line.push(b'\n');
    }

    fn audit_members(&self, object: &mut Object<'_>) {
        let AuditLine { assessment, pseudonyms, part: _ } = self;
        let evidence = &assessment.decision.score.signals.evidence;
        let Evidence { sign_in, networks, .. } = &**evidence;
        let person = sign_in.person.key();
        let device = sign_in.context.device_id.as_ref();
        object.member("schema", &SCHEMA);
        object.moment("time", sign_in.at.timestamp());
        AssessmentJson(assessment).members(object);
        object.plain("trigger", sign_in.trigger.as_label());
        object.member("pool", cut(&sign_in.pool));
        object.member("client", cut(&sign_in.client));
        object.member("tenant", &sign_in.tenant.as_ref().map(|tenant| cut(tenant.expose())));
        object.plain_or_null("user", (!person.is_empty()).then(|| pseudonyms.user(&sign_in.pool, person)).as_deref());
        object.plain_or_null("net", sign_in.context.ip.any().map(|ip| pseudonyms.network(ip)).as_deref());
        object.plain_or_null("country", networks.country.as_ref().map(|country| country.as_str()));
        object.member("asn", &networks.asn);
        object.plain_or_null("device", device.map(|id| pseudonyms.device(id.expose())).as_deref());
        object.object("took_ms", |took| {
            took.member("networks", &millis(evidence.took.networks));
            took.member("history", &millis(evidence.took.history));
            took.member("evidence", &millis(evidence.took.total));
            took.member("judge", &millis(assessment.judging));
            for asked in &evidence.services {
                took.member(asked.service.as_label(), &millis(asked.took));
            }
        });
        // Which cache tier answered for each service, where one did.
        object.object("tiers", |tiers| {
            for asked in &evidence.services {
                if let Some(tier) = asked.tier {
                    tiers.plain(asked.service.as_label(), tier.as_label());
                }
            }
        });
        if codes(evidence).next().is_some() {
            object.object("codes", |object| codes(evidence).for_each(|(service, codes)| object.member(service, codes)));
        }
    }
}

fn millis(took: std::time::Duration) -> f64 {
    (took.as_secs_f64() * 1e6).round() / 1e3
}

/// The reason codes of each service's own, where it gave any.
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
