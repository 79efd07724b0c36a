//! Annotations: reasons without weight that explain the circumstances of a decision.

use smol_str::SmolStr;

use crate::score::{network_reputation::listed_kinds, reason::ReasonCode, reason_accumulator::ReasonAccumulator, weights::Weights};
use crate::{
    context::Trust,
    evidence::{Risk, history::BlockKind},
    signals::{EffectiveTrust, HistoryDepth, Signals, device::UserAgentKind},
};

/// Adds the annotations of a sign-in.
pub(super) fn annotate(accumulator: &mut ReasonAccumulator, w: &Weights, signals: &Signals, review_floor: Option<ReasonCode>) {
    let Signals { evidence, trust, history_depth, ip, device, time: _, travel: _, velocity: _, lists } = signals;
    match evidence.sign_in.context.trust {
        Trust::None => accumulator.annotate(ReasonCode::NoContext, None),
        Trust::Unsigned => accumulator.annotate(ReasonCode::UnsignedContext, None),
        Trust::Bad(why) => accumulator.annotate(ReasonCode::BadContext, Some(SmolStr::new_static(why.as_label()))),
        Trust::Signed | Trust::Trusted | Trust::Verified => {}
    }
    if *trust != EffectiveTrust::NoContext && !ip.public {
        accumulator.annotate(ReasonCode::NoIp, None);
    }
    if *trust != EffectiveTrust::NoContext && device.user_agent_kind == UserAgentKind::Missing && device.device_type.is_none() {
        accumulator.annotate(ReasonCode::MissingUserAgent, None);
    }
    if *history_depth == HistoryDepth::None {
        accumulator.annotate(ReasonCode::ColdStart, None);
    }
    for (code, _) in listed_kinds(w, ip).into_iter().flatten() {
        accumulator.annotate(code, None);
    }
    if let Some(code) = review_floor {
        accumulator.annotate(code, None);
    }
    if lists.allowed || lists.asn_allowed {
        accumulator.annotate(ReasonCode::AllowList, None);
    }
    if lists.denied || lists.client_denied || lists.asn_denied || lists.country_denied {
        accumulator.annotate(ReasonCode::DenyList, None);
    }
    for result in &evidence.services {
        if let Some(Risk::Ban) = result.answer.as_ref().map(|answer| answer.risk)
            && result.weight > 0.0
        {
            accumulator.annotate(ReasonCode::DenyList, Some(SmolStr::new_static(result.service.as_label())));
        }
        if let Some(cause) = result.degraded() {
            accumulator.annotate(ReasonCode::Degraded, Some(SmolStr::new_static(cause.as_label())));
        }
    }
    if let Some(cause) = evidence.history_outcome.cause() {
        accumulator.annotate(ReasonCode::Degraded, Some(SmolStr::new_static(cause.as_label())));
    }
    for (_, cause) in evidence.history.unread.iter() {
        accumulator.annotate(ReasonCode::Degraded, Some(SmolStr::new_static(cause.as_label())));
    }
    match evidence.history.block.as_ref().map(|block| block.kind) {
        Some(BlockKind::Suspended) => accumulator.annotate(ReasonCode::Blocked, None),
        Some(BlockKind::Exempt) => accumulator.annotate(ReasonCode::Exempt, None),
        None => {}
    }
}
