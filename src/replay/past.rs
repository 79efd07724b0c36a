//! What replay remembers: each person's profile and latest failures, and who came from which network.
//!
//! The profile, and the rules by which it learns, are the live store's own; only where they are kept
//! differs: a map under cheap keyed hashes, so that memory grows with people and not with rows.

use std::{
    collections::HashMap,
    hash::{BuildHasherDefault, Hasher},
};

use jiff::Timestamp;
use siphasher::sip::SipHasher13;

use crate::evidence::{
    Evidence, History,
    history::{
        Velocity,
        profile::{DeviceNews, Lesson, Profile, Sighting, day_of},
    },
};

/// Failures count for so many seconds, as live.
const FAILURE_WINDOW: i64 = 900;

/// Accounts of a network count for so many seconds, as live.
const NETWORK_WINDOW: i64 = 3_600;

/// The most failures kept of an account, and the most marks of a network, as live.
const MOST_FAILURES: usize = 16;
const MOST_MARKS: usize = 32;

/// Networks are swept when so many have gathered since the last time.
const SWEEP_AFTER: usize = 1 << 14;

/// People and networks of a log.
#[derive(Debug, Default)]
pub struct Past {
    people: HashMap<u64, Person, BuildHasherDefault<Identity>>,
    networks: HashMap<u64, Vec<Mark>, BuildHasherDefault<Identity>>,
    swept: usize,
    ttl_days: u16,
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
    failures: Vec<Sighting>,
}

/// An account at a host of a network.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Mark {
    account: u32,
    host: u32,
    at: i64,
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
    /// Nothing yet; values are forgotten after so many days.
    pub fn new(ttl_days: u16) -> Self {
        Past { ttl_days, ..Past::default() }
    }

    /// How many people there are.
    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// The history of a person, moved out of the map; [`Past::put_back`] returns it.
    pub fn take(&mut self, person: Key, network: Option<(Key, Key)>, at: Timestamp, trace: Trace) -> History {
        let second = at.as_second();
        let mut history = History { velocity: self.velocity(person, network, second, trace), ..History::default() };
        if let Some(known) = self.people.get_mut(&person.0) {
            known.failures.retain(|failure| (0..FAILURE_WINDOW).contains(&(second - failure.at.as_second())));
            history.velocity.account_failures = u32::try_from(known.failures.len()).unwrap_or(u32::MAX).saturating_add(1);
            let last = known.profile.last.filter(|last| (0..FAILURE_WINDOW).contains(&(second - last.at.as_second())));
            history.concurrent = known.failures.iter().copied().chain(last).filter(|sighting| sighting.place.is_some()).collect();
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
        let known = self.people.entry(person.0).or_default();
        known.profile = profile;
        known.failures = Vec::new();
    }

    /// Learns a success that was heard of after its sign-in.
    pub fn succeed_later(&mut self, person: Key, evidence: &Evidence, hour: Option<u8>) {
        let profile = self.lend(person);
        self.succeed(person, profile, evidence, hour);
    }

    /// A person's profile as it stands, moved out; [`Past::put_back`] returns it.
    pub fn lend(&mut self, person: Key) -> Profile {
        self.people.get_mut(&person.0).map(|known| std::mem::take(&mut known.profile)).unwrap_or_default()
    }

    /// Remembers a failure, or a sign-in of which no success is known yet.
    pub fn fail(&mut self, person: Key, evidence: &Evidence) {
        self.mark(person, Sighting::rounded(evidence.sign_in.at.timestamp(), &evidence.networks));
    }

    /// Remembers a sign-in that was kept out: a failure, and nowhere that the person was.
    pub fn keep_out(&mut self, person: Key, evidence: &Evidence) {
        self.mark(person, Sighting { place: None, ..Sighting::rounded(evidence.sign_in.at.timestamp(), &evidence.networks) });
    }

    /// Takes back what was remembered of a sign-in of this moment.
    pub fn withdraw(&mut self, person: Key, at: Timestamp) {
        if let Some(known) = self.people.get_mut(&person.0)
            && let Some(own) = known.failures.iter().rposition(|failure| failure.at.as_second() == at.as_second())
        {
            known.failures.remove(own);
        }
    }

    /// A success that teaches nothing ends a row of failures all the same.
    pub fn forgive(&mut self, person: Key) {
        if let Some(known) = self.people.get_mut(&person.0) {
            known.failures = Vec::new();
        }
    }

    fn mark(&mut self, person: Key, sighting: Sighting) {
        let failures = &mut self.people.entry(person.0).or_default().failures;
        if failures.len() == MOST_FAILURES {
            failures.remove(0);
        }
        failures.push(sighting);
    }

    /// Counts the account at the network and reads the network's counters.
    fn velocity(&mut self, person: Key, network: Option<(Key, Key)>, now: i64, trace: Trace) -> Velocity {
        let Some((network, host)) = network else { return Velocity::default() };
        let own = Mark { account: low(person), host: low(host), at: now };
        if trace == Trace::None {
            let mut marks = self.networks.get(&network.0).cloned().unwrap_or_default();
            return count(&mut marks, own);
        }
        if self.networks.len() > self.swept + SWEEP_AFTER {
            self.networks.retain(|_, marks| marks.iter().any(|mark| now - mark.at < NETWORK_WINDOW));
            self.swept = self.networks.len();
        }
        count(self.networks.entry(network.0).or_default(), own)
    }
}

/// Adds a mark to a network's and counts accounts.
fn count(marks: &mut Vec<Mark>, own: Mark) -> Velocity {
    marks.retain(|mark| own.at - mark.at < NETWORK_WINDOW);
    match marks.iter_mut().find(|mark| mark.account == own.account && mark.host == own.host) {
        Some(mark) => mark.at = own.at,
        None => {
            if marks.len() == MOST_MARKS {
                marks.remove(0);
            }
            marks.push(own);
        }
    }
    let number = |accounts: usize| u32::try_from(accounts).unwrap_or(u32::MAX);
    let first = |at: usize, same: &dyn Fn(&Mark) -> bool| !marks[..at].iter().any(|mark| same(mark) && mark.account == marks[at].account);
    Velocity {
        account_failures: 0,
        accounts_per_ip: number((0..marks.len()).filter(|at| marks[*at].host == own.host && first(*at, &|mark| mark.host == own.host)).count()),
        accounts_per_network: number((0..marks.len()).filter(|at| first(*at, &|_| true)).count()),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "half of a hash is a hash")]
fn low(key: Key) -> u32 {
    key.0 as u32
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
