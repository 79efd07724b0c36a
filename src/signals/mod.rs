//! Stage 3 of 6: Evidence -> Signals.
//!
//! Plain named facts, nothing weighed yet. Pure: no clock, no wait, no failure.

use crate::{event::Trust, evidence::Evidence};

pub mod familiarity;

pub mod ip;

pub mod device;

pub mod time;

pub mod travel;

pub mod velocity;

pub mod lists;

pub use self::{
    device::DeviceSignals,
    familiarity::{Familiarities, Familiarity},
    ip::IpSignals,
    lists::{ListHits, Lists},
    time::TimeSignals,
    travel::TravelSignals,
    velocity::VelocitySignals,
};

/// The facts of a sign-in.
#[derive(Debug)]
pub struct Signals {
    /// What they were read from; on the heap, since the stages hand all of it on from one to the next.
    pub evidence: Box<Evidence>,
    /// How far what is said of the connection may be believed, such as signed.
    pub claims: Claims,
    /// What is known of the person, such as a stranger.
    pub person: Acquaintance,
    /// The address.
    pub ip: IpSignals,
    /// The device.
    pub device: DeviceSignals,
    /// The time.
    pub time: TimeSignals,
    /// Travel since the last success.
    pub travel: TravelSignals,
    /// How much is tried.
    pub velocity: VelocitySignals,
    /// Which of the operator's lists it is on.
    pub lists: ListHits,
}

/// What the claims of a context are good for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claims {
    /// There are none.
    Missing,
    /// They may raise the score, never lower it (invariant 4).
    Suspect,
    /// They may do both.
    Believed,
}

/// How well the person is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acquaintance {
    /// No success is known.
    Stranger,
    /// Successes are known, all of one day.
    Met,
    /// Successes on two days are known.
    Known,
}

impl Signals {
    /// Reads the facts from the evidence.
    pub fn read(evidence: Box<Evidence>, lists: &Lists) -> Self {
        let familiarities = Familiarities::read(&evidence.features, &evidence.history.profile);
        Signals {
            claims: Claims::of(&evidence),
            person: match (evidence.history.profile.is_new(), familiarities.established) {
                (true, _) => Acquaintance::Stranger,
                (false, false) => Acquaintance::Met,
                (false, true) => Acquaintance::Known,
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

    /// Only the lists, when reading the rest panicked.
    pub fn bare(evidence: Box<Evidence>, lists: &Lists) -> Self {
        let familiarities = Familiarities::default();
        Signals {
            claims: Claims::Missing,
            person: Acquaintance::Stranger,
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

impl Claims {
    fn of(evidence: &Evidence) -> Self {
        match evidence.sign_in.context.trust {
            Trust::Signed | Trust::Trusted if evidence.is_believed() => Claims::Believed,
            Trust::Signed | Trust::Trusted | Trust::Unsigned | Trust::Bad(_) => Claims::Suspect,
            Trust::None => Claims::Missing,
        }
    }
}
