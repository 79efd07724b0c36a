//! Attempts: sign-ins with an unknown outcome, as they are stored in a user record.
//!
//! An attempt and its origin are separate fields, because many attempts share an origin.

use jiff::Timestamp;
use smallvec::SmallVec;
use smol_str::SmolStr;
use ulid::Ulid;

use riskgate_calibration::SuccessCell;
use riskgate_engine::features::{FeatureLevel, Features};
use riskgate_engine::{
    encoding::{Reader, hash_field_name},
    profile::{MAX_LOCATION_BYTES, SignInLocation, seconds, timestamp_of},
};

/// Seconds within which an equal event is a retry. Cognito times out after 5 s and makes at most three calls, so an equal event after this
/// window is another attempt.
pub(super) const RETRY_WINDOW: i64 = 15;

/// Maximum number of origins with pending attempts, for each user and client.
pub const MAX_ORIGINS: usize = 4;

/// The bits of the hour in its byte if a flag of a challenge is set; 31 for an unknown hour. Earlier versions read such an hour as unknown.
const HOUR_BITS: u8 = 31;

/// Flag in the byte of the hour: the admission is `Challenge`.
const ADMISSION_CHALLENGE: u8 = 32;

/// Flag in the byte of the hour: the restriction is `Challenge`.
const RESTRICTION_CHALLENGE: u8 = 64;

/// Maximum size of an attempt in bytes.
pub(super) const MAX_ATTEMPT_BYTES: usize = 28;

/// The origin of a sign-in: its features under each key, and its location. Attempts from one device at one location have equal origins.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Origin {
    /// Newest key first.
    pub features: SmallVec<[Features; 1]>,
    /// The location, rounded to half a degree. Its time is the attempt's.
    pub sighting: Option<SignInLocation>,
    /// What is known about the claimed address beyond its hashes.
    pub claim: ClaimFlags,
}

/// What is known about the claimed address of a sign-in beyond its hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClaimFlags {
    /// It is an IPv6 address.
    pub is_ipv6: bool,
    /// Its context was trusted: signed, or from a trusted client.
    pub is_trusted: bool,
    /// It belongs to a privacy relay or another anonymiser, whose address differs between connections.
    pub is_anonymous: bool,
    /// It is not a claim, but from a session of the user pool.
    pub is_verified: bool,
}

/// An attempt, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt {
    /// When the sign-in began.
    pub at: Timestamp,
    /// The short hash of the event.
    pub event: u32,
    /// The short hash of the nonce of the signed context.
    pub nonce: Option<u32>,
    /// The short hash of the origin.
    pub origin: u32,
    /// The short hash of the app client.
    pub client: u32,
    /// The user's local hour, 0 to 23.
    pub hour: Option<u8>,
    /// Whether Cognito repeated the call of an earlier attempt.
    pub kind: AttemptKind,
    /// The decision on the attempt. `None` until it is recorded.
    pub decision: Option<AttemptDecision>,
    /// The id of the assessment that made the decision.
    pub id: Option<Ulid>,
}

/// Whether an attempt is a retry of another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AttemptKind {
    /// Not a retry.
    #[default]
    Original,
    /// A retry by Cognito of a call that was not answered in time.
    Retry,
}

/// The decision on an attempt, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttemptDecision {
    /// Whether the sign-in may continue to the password check.
    pub admission: Admission,
    /// The risk level.
    pub risk_level: RiskLevel,
    /// Whether all evidence was available.
    pub completeness: Completeness,
    /// Whether groups and scopes are withheld from tokens after a success.
    pub restriction: TokenRestriction,
    /// The score in tenths, 0 to 1000.
    pub score: u16,
    /// The reasons with the largest weights, by their numbers from 1; 0 means none.
    pub reasons: [u8; 4],
    /// Where a success is counted for the calibration. `None` if it is not, or if an earlier version decided.
    pub counted: Option<SuccessCell>,
}

/// Whether the sign-in may continue to the password check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Allows the sign-in.
    Allow,
    /// Allows the sign-in, but its success is not learned from: the verdict was a denial (monitor mode), or its context was replayed.
    AllowWithoutLearning,
    /// Allows the sign-in if the user passes a challenge. Its success is learned from only after that.
    Challenge,
    /// Denies the sign-in.
    Deny,
}

/// The risk level of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum RiskLevel {
    /// The score is lower than `REVIEW_AT`.
    Low,
    /// The score is between the thresholds, or the verdict is a review.
    Medium,
    /// The score is at least `DENY_AT`.
    High,
}

/// Whether tokens omit the groups and scopes that `WITHHOLD_GROUPS` and `WITHHOLD_SCOPES` name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum TokenRestriction {
    /// Withholds nothing.
    #[default]
    None,
    /// Withholds them: the sign-in was allowed in enforce mode, under review or with degraded evidence.
    Withhold,
    /// Withholds them, and access to the user's own account, until a challenge is passed.
    Challenge,
}

/// Whether all evidence for a decision was available.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Completeness {
    /// All evidence was available.
    Complete,
    /// Some evidence was missing.
    Degraded,
}

impl Origin {
    /// The encoded origin.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.max_bytes());
        self.write(&mut out);
        out
    }

    /// The maximum encoded size in bytes.
    pub(super) fn max_bytes(&self) -> usize {
        1 + self.features.len() * (2 + 4 * FeatureLevel::ALL.len()) + MAX_LOCATION_BYTES
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::try_from(self.features.len()).unwrap_or(u8::MAX));
        for features in &self.features {
            let known = FeatureLevel::ALL.into_iter().filter_map(|level| features.at(level).map(|_| 1_u16 << (level as u16))).sum::<u16>();
            out.extend_from_slice(&(known | self.claim.bits()).to_be_bytes());
            FeatureLevel::ALL.into_iter().filter_map(|level| features.at(level)).for_each(|hash| out.extend_from_slice(&hash.to_be_bytes()));
        }
        if let Some(sighting) = self.sighting {
            SignInLocation { at: Timestamp::UNIX_EPOCH, ..sighting }.write(out);
        }
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        Self::read(&mut Reader(bytes))
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let mut origin = Origin::default();
        for _ in 0..reader.u8()? {
            let known = reader.u16()?;
            origin.claim = ClaimFlags::from_bits(known);
            let mut features = Features::default();
            for level in FeatureLevel::ALL.into_iter().filter(|level| known & (1 << (*level as u16)) != 0) {
                features.set(level, Some(reader.u32()?));
            }
            origin.features.push(features);
        }
        origin.sighting = if reader.0.is_empty() { None } else { Some(SignInLocation::read(reader)?) };
        Some(origin)
    }

    /// The name of the record field that stores it.
    pub(super) fn field(hash: u32) -> SmolStr {
        hash_field_name('c', hash)
    }
}

impl ClaimFlags {
    /// The bits above those of the feature levels. Earlier versions ignore them.
    fn bits(self) -> u16 {
        u16::from(self.is_ipv6) << 15 | u16::from(self.is_trusted) << 14 | u16::from(self.is_anonymous) << 13 | u16::from(self.is_verified) << 12
    }

    fn from_bits(bits: u16) -> Self {
        let has = |bit: u16| bits & 1 << bit != 0;
        ClaimFlags { is_ipv6: has(15), is_trusted: has(14), is_anonymous: has(13), is_verified: has(12) }
    }
}

impl Attempt {
    /// The value of a field of a user record: the attempt, followed by the assessment's id and the cell in which a success is counted. Earlier
    /// versions ignore what they do not know.
    pub(super) fn to_field(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(MAX_ATTEMPT_BYTES + 20);
        self.write(&mut out);
        if let Some(id) = self.id {
            out.extend_from_slice(&id.to_bytes());
            out.extend(self.counted_cell().into_iter().flat_map(SuccessCell::to_bytes));
        }
        out
    }

    pub(super) fn from_field(bytes: &[u8]) -> Option<Self> {
        let mut reader = Reader(bytes);
        let attempt = Self::read(&mut reader)?;
        let id = reader.array().map(Ulid::from_bytes);
        Some(Attempt { id, ..attempt }.with_counted_cell(reader.array().and_then(SuccessCell::from_bytes)))
    }

    /// Where its success is counted for the calibration.
    pub(super) fn counted_cell(&self) -> Option<SuccessCell> {
        self.decision?.counted
    }

    pub(super) fn with_counted_cell(self, counted: Option<SuccessCell>) -> Self {
        Attempt { decision: self.decision.map(|decision| AttemptDecision { counted, ..decision }), ..self }
    }

    /// 24 bytes, or 28 with a nonce.
    pub(super) fn write(self, out: &mut Vec<u8>) {
        for number in [seconds(self.at), self.event, self.origin, self.client] {
            out.extend_from_slice(&number.to_be_bytes());
        }
        out.push(self.hour_byte());
        out.push(self.flags());
        out.extend_from_slice(&self.decision.map_or(0, |decision| decision.score).to_be_bytes());
        out.extend_from_slice(&self.decision.map_or([0; 4], |decision| decision.reasons));
        if let Some(nonce) = self.nonce {
            out.extend_from_slice(&nonce.to_be_bytes());
        }
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let (at, event, origin, client) = (timestamp_of(reader.u32()?), reader.u32()?, reader.u32()?, reader.u32()?);
        let (hour, flags, score, reasons) = (reader.u8()?, reader.u8()?, reader.u16()?, reader.array()?);
        // 255 is an unknown hour without a challenge.
        let (hour, challenge) = if hour < u8::MAX { (hour & HOUR_BITS, hour & !HOUR_BITS) } else { (hour, 0) };
        let admission = match flags & 3 {
            0 => None,
            1 => Some(Admission::Allow),
            2 if challenge & ADMISSION_CHALLENGE != 0 => Some(Admission::Challenge),
            2 => Some(Admission::AllowWithoutLearning),
            _ => Some(Admission::Deny),
        };
        let decision = admission.map(|admission| AttemptDecision {
            admission,
            risk_level: RiskLevel::from_bits(flags >> 2),
            completeness: Completeness::from_bit(flags >> 4),
            restriction: if challenge & RESTRICTION_CHALLENGE == 0 { TokenRestriction::from_bit(flags >> 7) } else { TokenRestriction::Challenge },
            score,
            reasons,
            counted: None,
        });
        let kind = if flags & 32 == 0 { AttemptKind::Original } else { AttemptKind::Retry };
        let nonce = if flags & 64 == 0 { None } else { Some(reader.u32()?) };
        Some(Attempt { at, event, origin, client, nonce, hour: Some(hour).filter(|hour| *hour < 24), kind, decision, id: None })
    }

    fn hour_byte(self) -> u8 {
        let is_admission = self.decision.is_some_and(|decision| decision.admission == Admission::Challenge);
        match (u8::from(is_admission) * ADMISSION_CHALLENGE) | (u8::from(self.is_challenged()) * RESTRICTION_CHALLENGE) {
            0 => self.hour.unwrap_or(u8::MAX),
            challenge => self.hour.unwrap_or(HOUR_BITS) | challenge,
        }
    }

    fn flags(self) -> u8 {
        let bits = self.decision.map_or(0, |decision| {
            let admission = match decision.admission {
                Admission::Allow => 1,
                Admission::AllowWithoutLearning | Admission::Challenge => 2,
                Admission::Deny => 3,
            };
            admission | decision.risk_level.bits() << 2 | decision.completeness.bit() << 4 | decision.restriction.bit() << 7
        });
        bits | u8::from(self.kind == AttemptKind::Retry) << 5 | u8::from(self.nonce.is_some()) << 6
    }

    /// Whether another attempt is a retry of this one: it has the same event and follows soon, and this one has no decision.
    pub(super) fn is_retried_by(&self, other: &Attempt) -> bool {
        self.event == other.event && self.decision.is_none() && (0..RETRY_WINDOW).contains(&(other.at.as_second() - self.at.as_second()))
    }

    /// Whether a success of this attempt may be learned from: it was allowed, and its evidence was complete.
    pub(super) fn is_learnable(&self) -> bool {
        self.decision.is_some_and(|decision| decision.admission == Admission::Allow && decision.completeness == Completeness::Complete)
    }

    /// Whether the sign-in may go on only after a challenge that is not passed.
    pub(super) fn is_challenged(&self) -> bool {
        self.decision.is_some_and(|decision| decision.restriction == TokenRestriction::Challenge)
    }

    /// Whether a passed challenge of this attempt is learned from: its evidence was complete, and its success would be learned from at once or
    /// after a challenge.
    pub(super) fn is_learnable_if_proven(&self) -> bool {
        self.decision
            .is_some_and(|decision| matches!(decision.admission, Admission::Allow | Admission::Challenge) && decision.completeness == Completeness::Complete)
    }

    /// The attempt with another admission, and without a restriction unless it is denied.
    pub(super) fn resolved(self, admission: Admission) -> Self {
        let restriction = |decision: AttemptDecision| if admission == Admission::Deny { decision.restriction } else { TokenRestriction::None };
        Attempt { decision: self.decision.map(|decision| AttemptDecision { admission, restriction: restriction(decision), ..decision }), ..self }
    }

    /// Whether the attempt was denied, and so never reached the password check.
    pub(super) fn was_denied(&self) -> bool {
        self.decision.is_some_and(|decision| decision.admission == Admission::Deny)
    }
}

impl RiskLevel {
    /// The level in two bits.
    pub(super) fn bits(self) -> u8 {
        match self {
            RiskLevel::Low => 0,
            RiskLevel::Medium => 1,
            RiskLevel::High => 2,
        }
    }

    pub(super) fn from_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => RiskLevel::Low,
            1 => RiskLevel::Medium,
            _ => RiskLevel::High,
        }
    }

    /// The label in claims and exports.
    pub fn as_label(self) -> &'static str {
        match self {
            RiskLevel::Low => "low",
            RiskLevel::Medium => "medium",
            RiskLevel::High => "high",
        }
    }
}

impl TokenRestriction {
    pub(super) fn bit(self) -> u8 {
        u8::from(self != TokenRestriction::None)
    }

    pub(super) fn from_bit(bit: u8) -> Self {
        if bit & 1 == 0 { TokenRestriction::None } else { TokenRestriction::Withhold }
    }
}

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
        fn attempts_round_trip(at: u32, event: u32, nonce: Option<u32>, id: Option<u128>, hour in proptest::option::of(0_u8..24), decision in proptest::option::of((0_u8..4, 0_u8..3, 0_u8..2, 0_u8..3, 0_u16..=1000))) {
            let decision = decision.map(|(admission, risk_level, completeness, restriction, score)| AttemptDecision {
                admission: [Admission::Allow, Admission::AllowWithoutLearning, Admission::Challenge, Admission::Deny][usize::from(admission)],
                risk_level: RiskLevel::from_bits(risk_level),
                completeness: Completeness::from_bit(completeness),
                restriction: [TokenRestriction::None, TokenRestriction::Withhold, TokenRestriction::Challenge][usize::from(restriction)],
                score,
                reasons: [1, 2, 0, 0],
                counted: id.and_then(|_| SuccessCell::from_bytes([2, b'S', b'E', 7])),
            });
            let attempt = Attempt { at: timestamp_of(at), event, origin: 7, client: 9, nonce, hour, kind: AttemptKind::Retry, decision, id: id.map(Ulid) };
            prop_assert_eq!(Attempt::from_field(&attempt.to_field()), Some(attempt));
            prop_assert_eq!(Attempt::read(&mut Reader(&attempt.to_field())), Some(Attempt { id: None, ..attempt }.with_counted_cell(None)));
        }

        #[test]
        fn foreign_bytes_do_not_panic(bytes: Vec<u8>) {
            let _ = (Attempt::from_field(&bytes), Origin::from_bytes(&bytes));
        }
    }
}
