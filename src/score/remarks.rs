//! Facts that weigh nothing, but that whoever reads an answer should know.

use smol_str::SmolStr;

use super::{ReasonCode, outside::kinds, tally::Tally, weights::Weights};
use crate::{
    event::Trust,
    evidence::{Risk, history::BlockKind},
    signals::{Acquaintance, Claims, Signals, device::Agent},
};

/// Adds the remarks of a sign-in.
pub(super) fn remark(tally: &mut Tally, w: &Weights, signals: &Signals) {
    let Signals { evidence, claims, person, ip, device, time: _, travel: _, velocity: _, lists } = signals;
    match evidence.sign_in.context.trust {
        Trust::None => tally.remark(ReasonCode::NoContext, None),
        Trust::Unsigned => tally.remark(ReasonCode::UnsignedContext, None),
        Trust::Bad(why) => tally.remark(ReasonCode::BadContext, Some(SmolStr::new_static(why.as_label()))),
        Trust::Signed | Trust::Trusted => {}
    }
    if *claims != Claims::Missing && !ip.public {
        tally.remark(ReasonCode::NoIp, None);
    }
    if *claims != Claims::Missing && device.agent == Agent::Missing && device.device_type.is_none() {
        tally.remark(ReasonCode::MissingUserAgent, None);
    }
    if *person == Acquaintance::Stranger {
        tally.remark(ReasonCode::ColdStart, None);
    }
    for (code, _) in kinds(w, ip).into_iter().flatten() {
        tally.remark(code, None);
    }
    if lists.allowed || lists.asn_allowed {
        tally.remark(ReasonCode::AllowList, None);
    }
    if lists.denied || lists.client_denied || lists.asn_denied || lists.country_denied {
        tally.remark(ReasonCode::DenyList, None);
    }
    for asked in &evidence.services {
        if let Some(Risk::Ban) = asked.answer.as_ref().map(|answer| answer.risk)
            && asked.weight > 0.0
        {
            tally.remark(ReasonCode::DenyList, Some(SmolStr::new_static(asked.service.as_label())));
        }
        if let Some(cause) = asked.degraded() {
            tally.remark(ReasonCode::Degraded, Some(SmolStr::new_static(cause.as_label())));
        }
    }
    if let Some(cause) = evidence.history_outcome.cause() {
        tally.remark(ReasonCode::Degraded, Some(SmolStr::new_static(cause.as_label())));
    }
    for (_, cause) in evidence.history.unread.iter() {
        tally.remark(ReasonCode::Degraded, Some(SmolStr::new_static(cause.as_label())));
    }
    match evidence.history.block.as_ref().map(|block| block.kind) {
        Some(BlockKind::Suspended) => tally.remark(ReasonCode::Blocked, None),
        Some(BlockKind::Exempt) => tally.remark(ReasonCode::Exempt, None),
        None => {}
    }
}
