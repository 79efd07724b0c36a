//! What replay remembers: each person's profile and latest failures, and who came from which network.
//!
//! The profile, and the rules by which it learns, are the live store's own; only where they are kept
//! differs: a map under cheap keyed hashes, so that memory grows with people and not with rows.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
    time::Duration,
};

use jiff::Timestamp;
use siphasher::sip::SipHasher13;
use smallvec::SmallVec;

use crate::evidence::{
    Evidence, History,
    history::{
        Velocity,
        attempt::{MOST_ORIGINS, Origin},
        profile::{DeviceNews, Lesson, Profile, Sighting, day_of},
        store::Mark,
        velocity::{self, FAILURE_WINDOW, MOST_FAILURES, MarkWindow},
    },
};

/// Windows of marks are swept when so many have gathered since the last time.
const SWEEP_AFTER: usize = 1 << 14;

/// People and networks of a log.
#[derive(Debug, Default)]
pub struct Past {
    people: HashMap<u64, Person, BuildHasherDefault<Identity>>,
    windows: HashMap<u64, MarkWindow, BuildHasherDefault<Identity>>,
    swept: usize,
    ttl_days: u16,
    pending: Duration,
}

/// Whether an attempt is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trace {
    /// It is.
    Leave,
    /// It is not: a labelled row is somebody's finding, no sign-in of the person's.
    None,
}

/// A key of a person or a network: a hash, so that a map need not keep names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Key(u64);

#[derive(Debug, Default)]
struct Person {
    profile: Profile,
    /// The latest attempts that are not known for successes, as a record of the store has them.
    attempts: Vec<Attempt>,
    last_success: Option<Timestamp>,
}

#[derive(Debug, Clone, Copy)]
struct Attempt {
    sighting: Sighting,
    /// Client and origin: of each client the latest few origins are known, of others' attempts no place.
    client: u32,
    origin: u32,
    was_denied: bool,
}

/// Keys are hashes already.
#[derive(Debug, Default)]
struct Identity(u64);

// === impl Key ===

impl Key {
    /// The key of some parts: under a key of its own, since nothing of it leaves the process.
    pub fn of(parts: &[&[u8]]) -> Self {
        let mut hasher = SipHasher13::new_with_keys(0x7269_736b, 0x6761_7465);
        for part in parts {
            hasher.write_usize(part.len());
            hasher.write(part);
        }
        Key(hasher.finish())
    }
}

// === impl Past ===

impl Past {
    /// Nothing yet; values are forgotten after so many days, attempts wait so long for a success.
    pub fn new(ttl_days: u16, pending: Duration) -> Self {
        Past { ttl_days, pending, ..Past::default() }
    }

    /// How many people there are.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// The history of a person, moved out of the map; [`Past::put_back`] returns it.
    pub fn take(&mut self, person: Key, windows: Option<(Key, Key)>, at: Timestamp, trace: Trace) -> History {
        let second = at.as_second();
        let mut history = History { velocity: self.velocity(person, windows, at, trace), ..History::default() };
        if let Some(known) = self.people.get_mut(&person.0) {
            let longest = self.pending.as_secs().max(FAILURE_WINDOW.unsigned_abs());
            known.attempts.retain(|attempt| u64::try_from(second - attempt.sighting.at.as_second()).is_ok_and(|age| age < longest));
            let times = known.attempts.iter().map(|attempt| attempt.sighting.at).chain([at]);
            history.velocity.account_failures = velocity::failures(times, known.last_success, at);
            let others = known.attempts.iter().filter(|attempt| !attempt.was_denied).map(|attempt| attempt.sighting);
            history.concurrent = velocity::concurrent(others.chain(known.profile.last), at, self.pending);
            history.profile = std::mem::take(&mut known.profile);
            // Live, the whole record goes when it has not been written for so long.
            if history.profile.last.is_some_and(|last| second - last.at.as_second() >= 86_400 * i64::from(self.ttl_days)) {
                history.profile = Profile::default();
            }
            history.profile.forget(day_of(at), self.ttl_days);
        } else {
            history.velocity.account_failures = 1;
        }
        history
    }

    /// Returns a profile.
    pub fn put_back(&mut self, person: Key, profile: Profile) {
        if !profile.is_new() {
            self.people.entry(person.0).or_default().profile = profile;
        }
    }

    /// Learns a success.
    pub fn succeed(&mut self, person: Key, mut profile: Profile, evidence: &Evidence, hour: Option<u8>) {
        let at = evidence.sign_in.at.timestamp();
        let lesson = Lesson { features: &evidence.features, hour, sighting: Sighting::rounded(at, &evidence.networks), device: DeviceNews::Unsaid };
        profile.learn(&lesson, self.ttl_days);
        self.people.entry(person.0).or_default().profile = profile;
        self.succeed_untaught(person, evidence, at);
    }

    /// Learns a success that was heard of after its sign-in.
    pub fn succeed_later(&mut self, person: Key, evidence: &Evidence, hour: Option<u8>, at: Timestamp) {
        let profile = self.lend(person);
        self.withdraw(person, evidence.sign_in.at.timestamp());
        self.succeed(person, profile, evidence, hour);
        self.forgive(person, at);
    }

    /// A person's profile as it stands, moved out; [`Past::put_back`] returns it.
    pub fn lend(&mut self, person: Key) -> Profile {
        self.people.get_mut(&person.0).map(|known| std::mem::take(&mut known.profile)).unwrap_or_default()
    }

    /// Remembers a failure, or a sign-in of which no success is known yet.
    pub fn fail(&mut self, person: Key, evidence: &Evidence) {
        self.people.entry(person.0).or_default().record_attempt(evidence, false);
    }

    /// Remembers a sign-in that was kept out: a failure, and nowhere that the person was.
    pub fn keep_out(&mut self, person: Key, evidence: &Evidence) {
        self.people.entry(person.0).or_default().record_attempt(evidence, true);
    }

    /// Takes back what was remembered of a sign-in of this moment.
    pub fn withdraw(&mut self, person: Key, at: Timestamp) {
        if let Some(known) = self.people.get_mut(&person.0)
            && let Some(own) = known.attempts.iter().rposition(|attempt| attempt.sighting.at.as_second() == at.as_second())
        {
            known.attempts.remove(own);
        }
    }

    /// A success that teaches nothing ends a row of failures all the same.
    pub fn succeed_untaught(&mut self, person: Key, evidence: &Evidence, at: Timestamp) {
        if let Some(known) = self.people.get_mut(&person.0).filter(|known| !known.attempts.is_empty()) {
            // Live, it is an attempt until its success arrives, and takes the place of an older one.
            known.record_attempt(evidence, false);
            known.attempts.pop();
        }
        self.forgive(person, at);
    }

    /// Ends a row of failures.
    pub fn forgive(&mut self, person: Key, at: Timestamp) {
        if let Some(known) = self.people.get_mut(&person.0) {
            known.last_success = known.last_success.max(Some(at));
        }
    }

    /// Marks the windows of the network and of the address, and counts accounts.
    fn velocity(&mut self, person: Key, windows: Option<(Key, Key)>, at: Timestamp, trace: Trace) -> Velocity {
        let Some((network, address)) = windows else { return Velocity::default() };
        let mark = Mark { account: low(person), host: 0 };
        if trace == Trace::Leave {
            if self.windows.len() > self.swept + SWEEP_AFTER {
                self.windows.retain(|_, window| window.is_live(at));
                self.swept = self.windows.len();
            }
            [network, address].into_iter().for_each(|key| self.windows.entry(key.0).or_default().add(mark, at));
        }
        let marks = |key: Key| self.windows.get(&key.0).map(|window| window.marks(at)).unwrap_or_default();
        velocity::accounts(mark, &marks(network), &marks(address))
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
fn low(key: Key) -> u32 {
    key.0 as u32
}

// === impl Person ===

impl Person {
    fn record_attempt(&mut self, evidence: &Evidence, was_denied: bool) {
        let sighting = Sighting::rounded(evidence.sign_in.at.timestamp(), &evidence.networks);
        let origin = Origin { features: SmallVec::from_elem(evidence.features, 1), sighting: Some(sighting) };
        let (client, origin) = (low(Key::of(&[evidence.sign_in.client.as_bytes()])), low(Key::of(&[&origin.to_bytes()])));
        if self.attempts.len() >= MOST_FAILURES {
            self.attempts.remove(0);
        }
        let same = |attempt: &&mut Attempt| (attempt.client, attempt.origin) == (client, origin);
        self.attempts.iter_mut().filter(same).for_each(|attempt| attempt.sighting.place = sighting.place);
        self.attempts.push(Attempt { sighting, client, origin, was_denied });
        let mut known: SmallVec<[u32; MOST_ORIGINS]> = SmallVec::new();
        for attempt in self.attempts.iter_mut().rev().filter(|attempt| attempt.client == client) {
            if known.len() < MOST_ORIGINS && !known.contains(&attempt.origin) {
                known.push(attempt.origin);
            } else if !known.contains(&attempt.origin) {
                attempt.sighting.place = None;
            }
        }
    }
}

// === impl Identity ===

impl Hasher for Identity {
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
