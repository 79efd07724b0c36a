//! Network reputation: reports of risk services, and the listed kinds of the address's network.

use smallvec::SmallVec;
use smol_str::{SmolStr, format_smolstr};

use crate::score::{model::Model, quantiles::Cohort, reason::ReasonCode, weights::Weights};
use crate::{
    evidence::{Evidence, Risk},
    signals::ip::IpSignals,
};

/// A report about the network. Only the strongest report counts.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct NetworkReport {
    pub(super) code: ReasonCode,
    /// The weight in units of S.
    pub(super) s: f64,
    pub(super) detail: Option<SmolStr>,
}

/// The services' scores as S. A report's S alone would give the service's score in this cohort. `floor` is the minimum of S.
pub(super) fn service_reports(model: &Model, evidence: &Evidence, cohort: Cohort, floor: f64) -> SmallVec<[NetworkReport; 4]> {
    let mut reports = SmallVec::new();
    for result in &evidence.services {
        if let Some(Risk::Score(score)) = result.answer.as_ref().map(|answer| answer.risk) {
            let s = (result.weight * model.quantiles.s(cohort, score)).max(floor);
            reports.push(NetworkReport { code: ReasonCode::Service(result.service), s, detail: Some(format_smolstr!("{score:.1}")) });
        }
    }
    reports
}

/// The report that counts: the largest S above 0, else the smallest S. With the largest S in both cases, a favourable report
/// could raise the score by replacing a more favourable one.
pub(super) fn strongest_report(reports: SmallVec<[NetworkReport; 4]>) -> Option<NetworkReport> {
    let is_against = reports.iter().any(|report| report.s > 0.0);
    reports.into_iter().max_by(|a, b| if is_against { a.s.total_cmp(&b.s) } else { b.s.total_cmp(&a.s) })
}

/// The listed kind with the largest weight, unless the user has used that autonomous system before.
pub(super) fn network_kind_report(w: &Weights, ip: &IpSignals) -> Option<NetworkReport> {
    let (code, s) = listed_kinds(w, ip).into_iter().flatten().max_by(|a, b| a.1.total_cmp(&b.1))?;
    (!ip.asn_familiarity.is_seen()).then_some(NetworkReport { code, s, detail: None })
}

/// The kinds of the address's network, with their weights.
pub(super) fn listed_kinds(w: &Weights, ip: &IpSignals) -> [Option<(ReasonCode, f64)>; 6] {
    let kind = ip.kind;
    let is_specific = kind.tor || kind.public_proxy || kind.residential_proxy || kind.vpn;
    [
        kind.tor.then_some((ReasonCode::Tor, w.tor)),
        kind.public_proxy.then_some((ReasonCode::PublicProxy, w.public_proxy)),
        kind.residential_proxy.then_some((ReasonCode::ResidentialProxy, w.residential_proxy)),
        kind.vpn.then_some((ReasonCode::Vpn, w.vpn)),
        kind.hosting.then_some((ReasonCode::Hosting, w.hosting)),
        (kind.anonymous && !is_specific).then_some((ReasonCode::Anonymizer, w.anonymizer)),
    ]
}
