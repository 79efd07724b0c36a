//! The in-memory history of a replay: each user's profile and recent attempts, and the accounts of each network and address.
//!
//! The profile, its learning rules and the velocity rules are those of live operation. Only the storage differs: maps keyed by hashes.
//! Memory grows with the number of users, not with the number of rows.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use jiff::Timestamp;
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use riskgate_engine::{
    evidence::{
        Evidence,
        history::{History, Velocity},
    },
    profile::{DeviceStatus, Observation, Profile, SignInLocation, day_of},
    velocity::{self, AccountWindow, FAILURE_WINDOW_SECONDS, MAX_FAILURES, WindowEntry},
};
use riskgate_history::attempt::{ClaimFlags, MAX_ORIGINS, Origin};

/// How many windows may be added before expired ones are removed.
const CLEANUP_AFTER: usize = 1 << 14;

/// The users and networks of a log.
#[derive(Debug, Default)]
pub struct InMemoryHistory {
    users: HashMap<u64, UserHistory, BuildHasherDefault<IdentityHasher>>,
    /// The accounts of each network and of each address.
    windows: HashMap<u64, AccountWindow, BuildHasherDefault<IdentityHasher>>,
    /// The number of windows after the last cleanup.
    windows_after_cleanup: usize,
    ttl_days: u16,
    pending_ttl: Duration,
}

/// Whether an attempt is added to the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptRecording {
    /// The attempt is recorded.
    Record,
    /// The attempt is not recorded. Labelled rows are attacks, not sign-ins of the user.
    Skip,
}

/// A 64-bit hash that identifies a user, a network, a client or an attempt. It takes less memory than the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

#[derive(Debug, Default)]
struct UserHistory {
    profile: Profile,
    /// The latest attempts that are not known to be successes. The same as in the stored record of live operation.
    attempts: Vec<UserAttempt>,
    last_success: Option<Timestamp>,
}

/// An attempt that is not known to be a success.
#[derive(Debug, Clone, Copy)]
struct UserAttempt {
    /// Its place is unknown if its origin is not among the latest origins of its client.
    sighting: SignInLocation,
    client: u32,
    origin: u32,
    is_denied: bool,
}

/// A hasher that returns its input, since the keys are hashes already.
#[derive(Debug, Default)]
struct IdentityHasher(u64);

impl Key {
    /// Hashes some parts into a key. The hash key is fixed because keys never leave the process.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x7269_736b, 0x6761_7465);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        Key(hasher.finish())
    }

    /// Half of the key.
    pub fn short(self) -> u32 {
        low(self)
    }

    /// Whether the key is even, which splits users into two halves.
    pub fn is_even(self) -> bool {
        self.0.is_multiple_of(2)
    }
}

impl InMemoryHistory {
    /// Creates an empty history. Values expire after `ttl_days` days. An attempt can become a success until `pending_ttl` has passed.
    pub fn new(ttl_days: u16, pending_ttl: Duration) -> Self {
        InMemoryHistory { ttl_days, pending_ttl, ..InMemoryHistory::default() }
    }

    /// Returns the number of users.
    pub fn user_count(&self) -> usize {
        self.users.len()
    }

    /// Moves the history of a user out of the map. [`InMemoryHistory::put_profile`] returns it.
    pub fn take_history(&mut self, user: Key, windows: Option<(Key, Key)>, at: Timestamp, recording: AttemptRecording) -> History {
        let second = at.as_second();
        let mut history = History { velocity: self.update_velocity(user, windows, at, recording), ..History::default() };
        if let Some(known) = self.users.get_mut(&user.0) {
            let longest = self.pending_ttl.as_secs().max(FAILURE_WINDOW_SECONDS.unsigned_abs());
            known.attempts.retain(|attempt| u64::try_from(second - attempt.sighting.at.as_second()).is_ok_and(|age| age < longest));
            let times = known.attempts.iter().map(|attempt| attempt.sighting.at).chain([at]);
            history.velocity.account_failures = velocity::failures(times, known.last_success, at);
            let others = known.attempts.iter().filter(|attempt| !attempt.is_denied).map(|attempt| attempt.sighting);
            history.concurrent = velocity::concurrent(others.chain(known.profile.last), at, self.pending_ttl);
            history.profile = std::mem::take(&mut known.profile);
            // In live operation, the record expires when it has not been written for this time.
            if history.profile.last.is_some_and(|last| second - last.at.as_second() >= 86_400 * i64::from(self.ttl_days)) {
                history.profile = Profile::default();
            }
            history.profile.forget(day_of(at), self.ttl_days);
        } else {
            history.velocity.account_failures = 1;
        }
        history
    }

    /// Stores a profile that was moved out.
    pub fn put_profile(&mut self, user: Key, profile: Profile) {
        if !profile.is_new() {
            self.users.entry(user.0).or_default().profile = profile;
        }
    }

    /// Learns from a success. `proven` means that it was challenged and passed.
    pub fn record_success(&mut self, user: Key, mut profile: Profile, evidence: &Evidence, hour: Option<u8>, proven: bool) {
        let at = evidence.sign_in.at.timestamp();
        let location = SignInLocation::rounded(at, &evidence.networks);
        let observation = Observation { features: &evidence.features, hour, location, device: DeviceStatus::NotReported, proven, verified: false };
        profile.learn(&observation, self.ttl_days);
        self.users.entry(user.0).or_default().profile = profile;
        self.record_success_time(user, evidence, at);
    }

    /// Learns from a success that was reported after its sign-in, at `reported_at`.
    pub fn record_late_success(&mut self, user: Key, evidence: &Evidence, (hour, proven): (Option<u8>, bool), reported_at: Timestamp) {
        let profile = self.take_profile(user);
        self.remove_failure(user, evidence.sign_in.at.timestamp());
        self.record_success(user, profile, evidence, hour, proven);
        self.clear_failures(user, reported_at);
    }

    /// Moves a user's present profile out of the map. [`InMemoryHistory::put_profile`] returns it.
    pub fn take_profile(&mut self, user: Key) -> Profile {
        self.users.get_mut(&user.0).map(|known| std::mem::take(&mut known.profile)).unwrap_or_default()
    }

    /// Records a failure, or a sign-in without a known outcome.
    pub fn record_failure(&mut self, user: Key, evidence: &Evidence) {
        self.users.entry(user.0).or_default().push_attempt(evidence, false);
    }

    /// Records a denied sign-in: a failure whose place is not used, because the user was not proven to be there.
    pub fn record_denial(&mut self, user: Key, evidence: &Evidence) {
        self.users.entry(user.0).or_default().push_attempt(evidence, true);
    }

    /// Removes the recorded attempt of the sign-in at this time.
    pub fn remove_failure(&mut self, user: Key, at: Timestamp) {
        if let Some(known) = self.users.get_mut(&user.0)
            && let Some(position) = known.attempts.iter().rposition(|attempt| attempt.sighting.at.as_second() == at.as_second())
        {
            known.attempts.remove(position);
        }
    }

    /// Records that a sign-in succeeded at this time, without learning from it. Earlier failures no longer count.
    pub fn record_success_time(&mut self, user: Key, evidence: &Evidence, at: Timestamp) {
        if let Some(known) = self.users.get_mut(&user.0).filter(|known| !known.attempts.is_empty()) {
            // In live operation, the sign-in is an attempt until its success is reported, and can displace an older attempt.
            known.push_attempt(evidence, false);
            known.attempts.pop();
        }
        self.clear_failures(user, at);
    }

    /// Sets the time of the last success. Failures up to this time no longer count.
    pub fn clear_failures(&mut self, user: Key, at: Timestamp) {
        if let Some(known) = self.users.get_mut(&user.0) {
            known.last_success = known.last_success.max(Some(at));
        }
    }

    /// Adds the account to the windows of its network and its address, and counts their accounts.
    fn update_velocity(&mut self, user: Key, windows: Option<(Key, Key)>, at: Timestamp, recording: AttemptRecording) -> Velocity {
        let Some((network, address)) = windows else { return Velocity::default() };
        let mark = WindowEntry { account: low(user), host: 0 };
        if recording == AttemptRecording::Record {
            if self.windows.len() > self.windows_after_cleanup + CLEANUP_AFTER {
                self.windows.retain(|_, window| window.is_live(at));
                self.windows_after_cleanup = self.windows.len();
            }
            [network, address].into_iter().for_each(|key| self.windows.entry(key.0).or_default().add(mark, at));
        }
        let marks = |key: Key| self.windows.get(&key.0).map(|window| window.entries(at)).unwrap_or_default();
        velocity::accounts(mark, &marks(network), &marks(address))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
fn low(key: Key) -> u32 {
    key.0 as u32
}

impl UserHistory {
    /// Adds an attempt. As in live operation, the places are stored only for the latest origins of each client.
    fn push_attempt(&mut self, evidence: &Evidence, is_denied: bool) {
        let sighting = SignInLocation::rounded(evidence.sign_in.at.timestamp(), &evidence.networks);
        let origin = Origin { features: SmallVec::from_elem(evidence.features, 1), sighting: Some(sighting), claim: ClaimFlags::default() };
        let (client, origin) = (low(Key::of(&[evidence.sign_in.client.as_bytes()])), low(Key::of(&[&origin.to_bytes()])));
        if self.attempts.len() >= MAX_FAILURES {
            self.attempts.remove(0);
        }
        let is_same = |attempt: &&mut UserAttempt| (attempt.client, attempt.origin) == (client, origin);
        self.attempts.iter_mut().filter(is_same).for_each(|attempt| attempt.sighting.location = sighting.location);
        self.attempts.push(UserAttempt { sighting, client, origin, is_denied });
        let mut latest: SmallVec<[u32; MAX_ORIGINS]> = SmallVec::new();
        for attempt in self.attempts.iter_mut().rev().filter(|attempt| attempt.client == client) {
            if latest.len() < MAX_ORIGINS && !latest.contains(&attempt.origin) {
                latest.push(attempt.origin);
            } else if !latest.contains(&attempt.origin) {
                attempt.sighting.location = None;
            }
        }
    }
}

impl Hasher for IdentityHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
