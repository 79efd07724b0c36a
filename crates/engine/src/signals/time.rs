//! Time signals: the user's local hour, the time since the last success, and the claimed time zone.

use jiff::{SignedDuration, Timestamp};

use crate::evidence::Evidence;

/// Facts about the time.
#[derive(Debug, Clone, Copy, Default)]
pub struct TimeSignals {
    /// The hour of the user's local day, 0 to 23; from the claimed time zone, else from the address's country.
    pub hour: Option<u8>,
    /// The time since the user's last success, such as 3 h; never negative.
    pub gap: Option<SignedDuration>,
    /// The claimed time zone compared with the address's country.
    pub zone: ZoneMatch,
}

/// Whether a claimed time zone matches the address's country or one of its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ZoneMatch {
    /// The zone or the country is missing, or the name is not a time zone.
    #[default]
    Unknown,
    /// A zone of that country, or of a neighbour, has the same time: `Europe/Oslo` in Sweden.
    Match,
    /// No zone there has the same time: `Asia/Tokyo` in Norway.
    Mismatch,
}

impl TimeSignals {
    /// Derives the signals.
    pub fn read(evidence: &Evidence) -> Self {
        let at = evidence.sign_in.at.timestamp();
        let last = evidence.history.profile.last.map(|last| last.at);
        TimeSignals {
            hour: evidence.local_time.hour,
            gap: last.map(|last| since(last, at)),
            zone: match evidence.local_time.zone_fits {
                None => ZoneMatch::Unknown,
                Some(true) => ZoneMatch::Match,
                Some(false) => ZoneMatch::Mismatch,
            },
        }
    }
}

/// The time from an earlier timestamp to a later one; zero if they are in the wrong order.
pub(super) fn since(earlier: Timestamp, later: Timestamp) -> SignedDuration {
    later.duration_since(earlier).max(SignedDuration::ZERO)
}
