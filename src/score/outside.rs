//! What others say of the address: risk services, and lists of kinds of networks.

use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

use super::{Model, ReasonCode, quantiles::Peers, weights::Weights};
use crate::{
    evidence::{Evidence, Risk},
    signals::IpSignals,
};

/// One voice about the network; only the loudest counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Candidate {
    pub(super) code: ReasonCode,
    /// In units of S.
    pub(super) s: f64,
    pub(super) detail: Option<SmolStr>,
}

/// The services' scores as S: alone, each would give its own score among these peers.
pub(super) fn candidates(model: &Model, evidence: &Evidence, peers: Peers, floor: f64) -> SmallVec<[Candidate; 4]> {
    let mut found = SmallVec::new();
    for asked in &evidence.services {
        if let Some(Risk::Score(score)) = asked.answer.as_ref().map(|answer| answer.risk) {
            let s = (asked.weight * model.quantiles.s(peers, score)).max(floor);
            found.push(Candidate { code: ReasonCode::Service(asked.service), s, detail: Some(format_smolstr!("{score:.1}")) });
        }
    }
    found
}

/// The report that counts: the largest one against the person, or where there is none, the best one for them. An
/// innocent report beside a better one then never raises the score.
pub(super) fn strongest(reports: SmallVec<[Candidate; 4]>) -> Option<Candidate> {
    let is_against = reports.iter().any(|report| report.s > 0.0);
    reports.into_iter().max_by(|a, b| if is_against { a.s.total_cmp(&b.s) } else { b.s.total_cmp(&a.s) })
}

/// The gravest kind of the network, unless the person is known to use that provider.
pub(super) fn listed_network(w: &Weights, ip: &IpSignals) -> Option<Candidate> {
    let (code, s) = kinds(w, ip).into_iter().flatten().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (!ip.asn_familiarity.is_seen()).then_some(Candidate { code, s, detail: None })
}

/// The kinds that the address is listed under, with their weights.
pub(super) fn kinds(w: &Weights, ip: &IpSignals) -> [Option<(ReasonCode, f64)>; 6] {
    let kind = ip.kind;
    let named = kind.tor || kind.public_proxy || kind.residential_proxy || kind.vpn;
    [
        kind.tor.then_some((ReasonCode::Tor, w.tor)),
        kind.public_proxy.then_some((ReasonCode::PublicProxy, w.public_proxy)),
        kind.residential_proxy.then_some((ReasonCode::ResidentialProxy, w.residential_proxy)),
        kind.vpn.then_some((ReasonCode::Vpn, w.vpn)),
        kind.hosting.then_some((ReasonCode::Hosting, w.hosting)),
        (kind.anonymous && !named).then_some((ReasonCode::Anonymizer, w.anonymizer)),
    ]
}
