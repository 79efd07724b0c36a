//! The time: the hour where the person is, and how long since the last success.

use jiff::{SignedDuration, Timestamp};

use crate::evidence::Evidence;

/// Facts of the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimeSignals {
    /// The hour of the day where the person is, 0 to 23, such as 14; from the claimed zone, else from the address's country.
    pub hour: Option<u8>,
    /// The time since the person's last success, such as 3 h; never negative.
    pub gap: Option<SignedDuration>,
    /// The claimed time zone against the address's country.
    pub zone: Zone,
}

/// A claimed time zone, held against the address's country and its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Zone {
    /// One of the two is missing, or the name is no time zone.
    #[default]
    Unknown,
    /// A clock in that country, or in a neighbour, shows the same time: `Europe/Oslo` in Sweden.
    Fits,
    /// No clock there does: `Asia/Tokyo` in Norway.
    Mismatch,
}

impl TimeSignals {
    /// Reads the facts.
    pub fn read(evidence: &Evidence) -> Self {
        let at = evidence.sign_in.at.timestamp();
        let last = evidence.history.profile.last.map(|last| last.at);
        TimeSignals {
            hour: evidence.local_time.hour,
            gap: last.map(|last| since(last, at)),
            zone: match evidence.local_time.zone_fits {
                None => Zone::Unknown,
                Some(true) => Zone::Fits,
                Some(false) => Zone::Mismatch,
            },
        }
    }
}

/// The time from one moment to a later one; zero when clocks disagree about which is later.
pub(super) fn since(earlier: Timestamp, later: Timestamp) -> SignedDuration {
    later.duration_since(earlier).max(SignedDuration::ZERO)
}
