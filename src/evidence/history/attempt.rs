//! Attempts: sign-ins that wait to be known for a success or a failure, as they stand in a person's record.
//!
//! The context, which many attempts share, and the attempt itself are fields of their own.

use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::SmolStr;
use ulid::Ulid;

use super::{
    encoding::{Reader, marked},
    profile::{LARGEST_SIGHTING, Sighting, moment, seconds},
};
use crate::evidence::features::{Features, Level};

/// Cognito gives up on a call after 5 s and makes at most three: an equal event later than this is another guess.
pub(super) const RETRY_WINDOW: i64 = 15;

/// At most so many origins wait for a success, for a person and client.
pub(crate) const MOST_ORIGINS: usize = 4;

/// The most bytes of an attempt.
pub(super) const LARGEST_ATTEMPT: usize = 28;

/// What a sign-in came from: its features under each key, and its place. Equal for attempts of one device at one place.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Origin {
    /// Newest key first.
    pub features: SmallVec<[Features; 1]>,
    /// The place, rounded to half a degree; its time is the attempt's.
    pub sighting: Option<Sighting>,
}

/// An attempt, as it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// When it began.
    pub at: Timestamp,
    /// The event that brought it.
    pub event: u32,
    /// Its origin's mark.
    pub origin: u32,
    /// The app client's mark.
    pub client: u32,
    /// The nonce of its signed context, as a mark.
    pub nonce: Option<u32>,
    /// The hour where the person was.
    pub hour: Option<u8>,
    /// Whether it is Cognito's own repetition of another one.
    pub copy: Copied,
    /// What was answered.
    pub answer: Option<Answered>,
    /// The assessment in which it was answered.
    pub id: Option<Ulid>,
}

/// Whether an attempt is Cognito's repetition of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Copied {
    /// It stands for itself.
    #[default]
    Original,
    /// It repeats one that was not answered in time.
    Retry,
}

/// What was answered to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Answered {
    /// What the caller was told to do.
    pub admission: Admission,
    /// Whether it was found risky enough to be flagged.
    pub standing: Standing,
    /// Whether something that was due had not answered.
    pub completeness: Completeness,
    /// Whether tokens are to be held back after it.
    pub hold: Hold,
    /// The score in tenths.
    pub score: u16,
    /// The weightiest reasons, by numbers that their list gives them, from 1; 0 is none.
    pub reasons: [u8; 4],
}

/// Whether the password was ever asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// It was let on.
    LetIn,
    /// It was let on, but its success is not learned from: it was judged a denial (monitor mode), or its context was a copy.
    Untaught,
    /// It was denied.
    Denied,
}

/// How risky it looked: the score's level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Standing {
    /// Under `REVIEW_AT`.
    Low,
    /// Between the thresholds, or flagged for review.
    Medium,
    /// From `DENY_AT`.
    High,
}

/// Whether tokens are held back: what `WITHHOLD_GROUPS` and `WITHHOLD_SCOPES` name is left out of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Hold {
    /// Nothing is.
    #[default]
    None,
    /// It was let in under review, or degraded, by a gate that enforces.
    Withhold,
}

/// Whether everything that was due had answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// It had.
    Complete,
    /// Something was missing.
    Degraded,
}

// === impl Origin ===

impl Origin {
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.largest());
        self.write(&mut out);
        out
    }

    /// The most bytes that it takes.
    pub(super) fn largest(&self) -> usize {
        1 + self.features.len() * (2 + 4 * Level::ALL.len()) + LARGEST_SIGHTING
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.features.len()).unwrap_or(u8::MAX));
        for features in &self.features {
            let known = Level::ALL.into_iter().filter_map(|level| features.at(level).map(|_| 1_u16 << (level as u16))).sum::<u16>();
            out.extend_from_slice(&known.to_be_bytes());
            Level::ALL.into_iter().filter_map(|level| features.at(level)).for_each(|hash| out.extend_from_slice(&hash.to_be_bytes()));
        }
        if let Some(sighting) = self.sighting {
            Sighting { at: Timestamp::UNIX_EPOCH, ..sighting }.write(out);
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::read(&mut Reader(bytes))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut origin = Origin::default();
        for _ in 0..reader.u8()? {
            let known = reader.u16()?;
            let mut features = Features::default();
            for level in Level::ALL.into_iter().filter(|level| known & (1 << (*level as u16)) != 0) {
                features.set(level, Some(reader.u32()?));
            }
            origin.features.push(features);
        }
        origin.sighting = if reader.0.is_empty() { None } else { Some(Sighting::read(reader)?) };
        Some(origin)
    }

    /// The field in which it is kept.
    pub(super) fn field(mark: u32) -> SmolStr {
        marked('c', mark)
    }
}

// === impl Attempt ===

impl Attempt {
    /// A field of a person's record: the attempt, and the assessment's id behind it, which gates that do not know of it leave unread.
    pub(super) fn to_field(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(LARGEST_ATTEMPT + 16);
        self.write(&mut out);
        if let Some(id) = self.id {
            out.extend_from_slice(&id.to_bytes());
        }
        out
    }

    pub(super) fn from_field(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let attempt = Self::read(&mut reader)?;
        Some(Attempt { id: reader.array().map(Ulid::from_bytes), ..attempt })
    }

    /// 24 bytes, or 28 with a nonce.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        for number in [seconds(self.at), self.event, self.origin, self.client] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.push(self.hour.unwrap_or(u8::MAX));
        out.push(self.flags());
        out.extend_from_slice(&self.answer.map_or(0, |answer| answer.score).to_be_bytes());
        out.extend_from_slice(&self.answer.map_or([0; 4], |answer| answer.reasons));
        if let Some(nonce) = self.nonce {
            out.extend_from_slice(&nonce.to_be_bytes());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (at, event, origin, client) = (moment(reader.u32()?), reader.u32()?, reader.u32()?, reader.u32()?);
        let (hour, flags, score, reasons) = (reader.u8()?, reader.u8()?, reader.u16()?, reader.array()?);
        let admission = match flags & 3 {
            0 => None,
            1 => Some(Admission::LetIn),
            2 => Some(Admission::Untaught),
            _ => Some(Admission::Denied),
        };
        let answer = admission.map(|admission| Answered {
            admission,
            standing: Standing::from_bits(flags >> 2),
            completeness: Completeness::from_bit(flags >> 4),
            hold: Hold::from_bit(flags >> 7),
            score,
            reasons,
        });
        let copy = if flags & 32 == 0 { Copied::Original } else { Copied::Retry };
        let nonce = if flags & 64 == 0 { None } else { Some(reader.u32()?) };
        Some(Attempt { at, event, origin, client, nonce, hour: Some(hour).filter(|hour| *hour < 24), copy, answer, id: None })
    }

    fn flags(self) -> u8 {
        let answered = self.answer.map_or(0, |answer| {
            let admission = match answer.admission {
                Admission::LetIn => 1,
                Admission::Untaught => 2,
                Admission::Denied => 3,
            };
            admission | answer.standing.bits() << 2 | answer.completeness.bit() << 4 | answer.hold.bit() << 7
        });
        answered | u8::from(self.copy == Copied::Retry) << 5 | u8::from(self.nonce.is_some()) << 6
    }

    /// Whether another attempt is Cognito's repetition of this one: the same event, soon after, and this one not answered.
    pub(super) fn is_repeated_by(&self, other: &Attempt) -> bool {
        self.event == other.event && self.answer.is_none() && (0..RETRY_WINDOW).contains(&(other.at.as_second() - self.at.as_second()))
    }

    /// Whether a success may be learned from (invariant 5).
    pub(super) fn may_teach(&self) -> bool {
        self.answer.is_some_and(|answer| answer.admission == Admission::LetIn && answer.completeness == Completeness::Complete)
    }

    /// Whether its password cannot have been asked for.
    pub(super) fn was_denied(&self) -> bool {
        self.answer.is_some_and(|answer| answer.admission == Admission::Denied)
    }
}

// === impl Standing ===

impl Standing {
    /// Two bits.
    pub(super) fn bits(self) -> u8 {
        match self {
            Standing::Low => 0,
            Standing::Medium => 1,
            Standing::High => 2,
        }
    }

    pub(super) fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Standing::Low,
            1 => Standing::Medium,
            _ => Standing::High,
        }
    }

    /// The label in claims and exports.
    pub fn as_label(self) -> &'static str {
        match self {
            Standing::Low => "low",
            Standing::Medium => "medium",
            Standing::High => "high",
        }
    }
}

// === impl Hold ===

impl Hold {
    pub(super) fn bit(self) -> u8 {
        u8::from(self == Hold::Withhold)
    }

    pub(super) fn from_bit(bit: u8) -> Self {
        if bit & 1 == 0 { Hold::None } else { Hold::Withhold }
    }
}

// === impl Completeness ===

impl Completeness {
    pub(super) fn bit(self) -> u8 {
        u8::from(self == Completeness::Degraded)
    }

    pub(super) fn from_bit(bit: u8) -> Self {
        if bit & 1 == 0 { Completeness::Complete } else { Completeness::Degraded }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn attempts_come_back(at: u32, event: u32, nonce: Option<u32>, id: Option<u128>, hour in proptest::option::of(0_u8..24), answer in proptest::option::of((0_u8..3, 0_u8..3, 0_u8..4, 0_u16..=1000))) {
            let answer = answer.map(|(admission, standing, completeness, score)| Answered {
                admission: [Admission::LetIn, Admission::Untaught, Admission::Denied][usize::from(admission)],
                standing: Standing::from_bits(standing),
                completeness: Completeness::from_bit(completeness),
                hold: Hold::from_bit(completeness >> 1),
                score,
                reasons: [1, 2, 0, 0],
            });
            let attempt = Attempt { at: moment(at), event, origin: 7, client: 9, nonce, hour, copy: Copied::Retry, answer, id: id.map(Ulid) };
            prop_assert_eq!(Attempt::from_field(&attempt.to_field()), Some(attempt));
            prop_assert_eq!(Attempt::read(&mut Reader(&attempt.to_field())), Some(Attempt { id: None, ..attempt }));
        }

        #[test]
        fn foreign_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = (Attempt::from_field(&bytes), Origin::from_bytes(&bytes));
        }
    }
}
