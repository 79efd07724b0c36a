//! Stage 3 of 6: Evidence -> Signals.
//!
//! Named facts without weights. Reading them cannot fail.

use crate::{context::Trust, evidence::Evidence};

pub mod device;

pub mod familiarity;

pub mod ip;

pub mod lists;

pub mod time;

pub mod travel;

pub mod velocity;

pub use crate::signals::{
    device::DeviceSignals,
    familiarity::{Familiarities, Familiarity},
    ip::IpSignals,
    lists::{ListHits, Lists},
    time::TimeSignals,
    travel::TravelSignals,
    velocity::VelocitySignals,
};

/// The facts about a sign-in that the model weighs.
#[derive(Debug)]
pub struct Signals {
    /// The evidence from which they were derived. Boxed, because every stage moves it to the next one.
    pub evidence: Box<Evidence>,
    /// How far the context is trusted.
    pub trust: EffectiveTrust,
    /// How much history the user has.
    pub history_depth: HistoryDepth,
    /// The address.
    pub ip: IpSignals,
    /// The device.
    pub device: DeviceSignals,
    /// The time.
    pub time: TimeSignals,
    /// Travel since the last success.
    pub travel: TravelSignals,
    /// The number of recent attempts.
    pub velocity: VelocitySignals,
    /// The operator's lists that match.
    pub lists: ListHits,
}

/// How far a context is trusted once replays are ruled out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EffectiveTrust {
    /// There is no context.
    NoContext,
    /// The context may raise the score, but never lower it.
    Untrusted,
    /// The context may raise or lower the score.
    Trusted,
}

/// How much history a user has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HistoryDepth {
    /// No successful sign-in.
    None,
    /// Successful sign-ins, all on one day.
    OneDay,
    /// Successful sign-ins on at least two days.
    Established,
}

impl Signals {
    /// Derives the signals from the evidence.
    pub fn read(evidence: Box<Evidence>, lists: &Lists) -> Self {
        let familiarities = Familiarities::read(&evidence);
        Signals {
            trust: EffectiveTrust::of(&evidence),
            history_depth: match (evidence.history.profile.is_new(), familiarities.established) {
                (true, _) => HistoryDepth::None,
                (false, false) => HistoryDepth::OneDay,
                (false, true) => HistoryDepth::Established,
            },
            ip: IpSignals::read(&evidence, &familiarities),
            device: DeviceSignals::read(&evidence, &familiarities),
            time: TimeSignals::read(&evidence),
            travel: TravelSignals::read(&evidence, &familiarities),
            velocity: VelocitySignals::read(evidence.history.velocity),
            lists: lists.hits(&evidence),
            evidence,
        }
    }

    /// Only the list hits, for a sign-in whose evaluation panicked.
    pub fn lists_only(evidence: Box<Evidence>, lists: &Lists) -> Self {
        let familiarities = Familiarities::default();
        Signals {
            trust: EffectiveTrust::NoContext,
            history_depth: HistoryDepth::None,
            ip: IpSignals::default(),
            device: DeviceSignals::read(&evidence, &familiarities),
            time: TimeSignals::default(),
            travel: TravelSignals::default(),
            velocity: VelocitySignals::default(),
            lists: lists.hits(&evidence),
            evidence,
        }
    }
}

impl EffectiveTrust {
    fn of(evidence: &Evidence) -> Self {
        match evidence.sign_in.context.trust {
            Trust::Signed | Trust::Trusted | Trust::Verified if evidence.is_trusted() => EffectiveTrust::Trusted,
            Trust::Signed | Trust::Trusted | Trust::Verified | Trust::Unsigned | Trust::Bad(_) => EffectiveTrust::Untrusted,
            Trust::None => EffectiveTrust::NoContext,
        }
    }
}
