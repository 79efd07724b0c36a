//! The audit line: one JSON object per line with the assessment and the pseudonyms of the user, the network and the device.
//!
//! Its format is `data/audit.schema.json`. Users, networks and devices appear only as keyed
//! pseudonyms. The same value always has the same pseudonym, which reveals nothing without the key.

use smol_str::SmolStr;

use crate::emf::EmfBlock;
use riskgate_config::pseudonym::Pseudonyms;
use riskgate_engine::{decision::Thresholds, evidence::Evidence};
use riskgate_event::response::{Assessment, http::AssessmentJson, object::Object};
use riskgate_runtime::session_health::SessionEvent;

/// The version of the format. It changes when a member changes its meaning, not when one is added.
pub const SCHEMA: u32 = 1;

/// The maximum length of a pool, client or tenant in bytes. It keeps every line far below EMF's limit of 1 MB.
const MAX_TEXT_LENGTH: usize = 256;

/// The initial capacity of a line in bytes. Most lines fit without another allocation.
const INITIAL_CAPACITY: usize = 2560;

/// An assessment and the parameters of its line.
#[derive(Debug)]
pub struct AuditLine<'a> {
    /// The assessment.
    pub assessment: &'a Assessment,
    /// The pseudonyms of the user, the network and the device.
    pub pseudonyms: &'a Pseudonyms,
    /// Which members are written.
    pub part: Part,
}

/// Which members a line contains.
#[derive(Debug)]
pub enum Part {
    /// The members of the audit line.
    Audit,
    /// The members of the audit line and the CloudWatch metrics.
    Both(EmfBlock),
    /// Only the CloudWatch metrics.
    Metrics(EmfBlock),
    /// The members of the audit line of a judged session, and what happened to it.
    Session(SessionEvent),
    /// The members of the audit line that the dashboard reads, and how many decisions before it have no row: by severity, then degraded ones.
    Activity([u32; 5]),
}

impl AuditLine<'_> {
    /// Replaces the content of `line` by the object and a line break.
    pub fn write_to(&self, line: &mut Vec<u8>) {
        line.clear();
        line.reserve(INITIAL_CAPACITY);
        Object::write(line, |object| match &self.part {
            Part::Audit => self.write_audit_members(object),
            Part::Activity(skipped) => self.write_activity_members(*skipped, object),
            Part::Session(result) => {
                self.write_audit_members(object);
                object.plain("session", result.as_label());
            }
            Part::Both(block) => {
                block.write_members(object);
                self.write_audit_members(object);
            }
            Part::Metrics(block) => {
                block.write_members(object);
                object.plain("decision", self.assessment.decision.verdict.as_label());
                object.plain("mode", self.assessment.decision.mode.as_label());
            }
        });
        line.push(b'\n');
    }

    fn write_activity_members(&self, skipped: [u32; 5], object: &mut Object<'_>) {
        self.write_decision_members(object);
        let sign_in = &self.assessment.decision.score.signals.evidence.sign_in;
        if !sign_in.user.key().is_empty() {
            // An operator's action finds the user's records with them.
            let keys = self.pseudonyms.record_keys(&sign_in.pool, &sign_in.user);
            object.member("keys", &keys.iter().map(SmolStr::as_str).collect::<Vec<_>>());
        }
        if skipped != [0; 5] {
            object.member("skipped", &skipped);
        }
    }

    fn write_audit_members(&self, object: &mut Object<'_>) {
        self.write_decision_members(object);
        let (assessment, evidence) = (self.assessment, &self.assessment.decision.score.signals.evidence);
        object.object("took_ms", |took| {
            took.decimal::<3>("networks", millis(evidence.took.networks));
            took.decimal::<3>("history", millis(evidence.took.history));
            took.decimal::<3>("evidence", millis(evidence.took.total));
            took.decimal::<3>("judge", millis(assessment.evaluation));
            for result in &evidence.services {
                took.decimal::<3>(result.service.as_label(), millis(result.took));
            }
        });
        // The cache tier of each answer that came from a cache.
        object.object("tiers", |tiers| {
            for result in &evidence.services {
                if let Some(tier) = result.tier {
                    tiers.plain(result.service.as_label(), tier.as_label());
                }
            }
        });
        if codes(evidence).next().is_some() {
            object.object("codes", |object| codes(evidence).for_each(|(service, codes)| object.member(service, codes)));
        }
    }

    fn write_decision_members(&self, object: &mut Object<'_>) {
        let AuditLine { assessment, pseudonyms, part: _ } = self;
        let Evidence { sign_in, networks, .. } = &*assessment.decision.score.signals.evidence;
        let has_user = !sign_in.user.key().is_empty();
        let device = sign_in.context.device_id.as_ref();
        object.member("schema", &SCHEMA);
        object.timestamp("time", sign_in.at.timestamp());
        AssessmentJson(assessment).write_members(object);
        let Thresholds { review_at, challenge_at, deny_at } = assessment.decision.thresholds;
        object.object("thresholds", |thresholds| {
            thresholds.member("review", &review_at);
            thresholds.member("challenge", &challenge_at);
            thresholds.member("deny", &deny_at);
        });
        object.plain("trigger", sign_in.trigger.as_label());
        object.member("pool", truncate(&sign_in.pool));
        object.member("client", truncate(&sign_in.client));
        object.member("tenant", &sign_in.tenant.as_ref().map(|tenant| truncate(tenant.expose())));
        object.plain_or_null("user", has_user.then(|| pseudonyms.audit_user(&sign_in.pool, &sign_in.user)).as_deref());
        object.plain_or_null("net", sign_in.context.ip.any().map(|ip| pseudonyms.network(ip)).as_deref());
        object.plain_or_null("country", networks.country.as_ref().map(|country| country.as_str()));
        object.member("asn", &networks.asn);
        object.plain_or_null("device", device.map(|id| pseudonyms.device(id.expose())).as_deref());
    }
}

fn millis(took: std::time::Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

/// The reason codes of each service that returned any.
fn codes(evidence: &Evidence) -> impl Iterator<Item = (&'static str, &[SmolStr])> {
    evidence
        .services
        .iter()
        .filter_map(move |result| Some((result.service.as_label(), result.answer.as_ref()?.codes.as_slice())))
        .filter(|(_, codes)| !codes.is_empty())
}

/// Truncates a text to at most 256 bytes at a character boundary.
pub(super) fn truncate(text: &str) -> &str {
    &text[..text.floor_char_boundary(MAX_TEXT_LENGTH)]
}
