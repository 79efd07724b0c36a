//! Sign-ins of an audit log that wait for the line that says how they ended.
//!
//! They wait as long as a live attempt waits for its success, so that what is kept grows with a
//! quarter of an hour of sign-ins and not with the log.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use smallvec::SmallVec;

use super::past::Key;
use crate::decision::Decision;

/// The most sign-ins that wait; with more the oldest wait no longer.
const MOST: usize = 1 << 16;

/// A judged sign-in.
#[derive(Debug)]
pub struct Held {
    /// Its id's key.
    pub id: Key,
    /// When it came.
    pub at: Timestamp,
    /// The pool's app client.
    pub client: Key,
    /// The pool's person.
    pub person: Key,
    /// Its row.
    pub number: u64,
    /// The file and line.
    pub place: (usize, u64),
    /// The hour where the person was.
    pub hour: Option<u8>,
    /// What is judged of it now.
    pub decision: Box<Decision>,
    /// Whether it was kept out when it came.
    pub is_denied: bool,
    /// Whether it was judged a denial when it came.
    pub is_judged_denial: bool,
    /// Whether a success teaches.
    pub is_teachable: bool,
    /// Whether it stands among the person's failures meanwhile.
    pub is_marked: bool,
}

/// Whether an app client says how its sign-ins end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Custom {
    /// It cannot be told yet.
    #[default]
    Unknown,
    /// Its sign-ins' time passed without a word.
    Silent,
    /// It does, and its outcomes name sign-ins by id.
    ById,
    /// It does, but nothing that keeps attempts stands behind it: its outcomes name persons only.
    ByPerson,
}

/// Which sign-in a person's success completes.
#[derive(Debug)]
pub enum Completed {
    /// None is waiting.
    None,
    /// This one: all that wait came from one place.
    One(Box<Held>),
    /// One of several that differ.
    Several(Vec<Held>),
}

/// The sign-ins that wait, in order of arrival.
#[derive(Debug)]
pub struct Waiting {
    window: Duration,
    /// A place is empty when its sign-in has ended.
    held: VecDeque<Option<Held>>,
    /// The number of the first place.
    first: u64,
    by_id: HashMap<Key, u64>,
    by_person: HashMap<(Key, Key), SmallVec<[u64; 2]>>,
    customs: HashMap<Key, Custom>,
}

impl Waiting {
    /// Nobody waits; each will wait for so long.
    pub fn new(window: Duration) -> Self {
        Waiting { window, held: VecDeque::new(), first: 0, by_id: HashMap::new(), by_person: HashMap::new(), customs: HashMap::new() }
    }

    /// What is known of a client.
    pub fn custom(&self, client: Key) -> Custom {
        self.customs.get(&client).copied().unwrap_or_default()
    }

    /// A client was found to have a custom. Once ids were seen, persons alone count no longer.
    pub fn found(&mut self, client: Key, custom: Custom) {
        let known = self.customs.entry(client).or_default();
        if *known != Custom::ById {
            *known = custom;
        }
    }

    /// An outcome came of a sign-in that does not wait: one of the silent clients is not.
    pub fn doubt(&mut self) {
        self.customs.values_mut().filter(|custom| **custom == Custom::Silent).for_each(|custom| *custom = Custom::Unknown);
    }

    /// Whether a sign-in waits already: logs that overlap have it twice.
    pub fn holds(&self, id: Key) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Lets one wait.
    pub fn hold(&mut self, held: Held) {
        let number = self.first + self.held.len() as u64;
        self.by_id.insert(held.id, number);
        self.by_person.entry((held.client, held.person)).or_default().push(number);
        self.held.push_back(Some(held));
    }

    /// The one of an id.
    pub fn take(&mut self, id: Key) -> Option<Held> {
        let number = self.by_id.get(&id).copied()?;
        self.remove(number)
    }

    /// The next one that has waited for too long by now.
    pub fn overdue(&mut self, now: Timestamp) -> Option<Held> {
        let oldest = self.held.front()?.as_ref()?;
        let age = Duration::try_from(now.duration_since(oldest.at)).unwrap_or_default();
        let is_over = age >= self.window || self.by_id.len() > MOST;
        if is_over { self.remove(self.first) } else { None }
    }

    /// The oldest one.
    pub fn oldest(&mut self) -> Option<Held> {
        self.held.front()?;
        self.remove(self.first)
    }

    /// All of a client, in order of arrival.
    pub fn all_of(&mut self, client: Key) -> Vec<Held> {
        let numbers: Vec<u64> =
            (self.first..).zip(&self.held).filter(|(_, held)| held.as_ref().is_some_and(|held| held.client == client)).map(|(number, _)| number).collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Which sign-in a right password completes that names only the person: as live, one can be meant when all that
    /// wait came from one place, and then the latest. What was kept out was never asked for a password.
    pub fn completed(&mut self, client: Key, person: Key) -> Completed {
        let numbers: Vec<u64> = self
            .by_person
            .get(&(client, person))
            .into_iter()
            .flatten()
            .copied()
            .filter(|number| self.get(*number).is_some_and(|held| !held.is_denied))
            .collect();
        let Some(latest) = numbers.last().copied() else { return Completed::None };
        let origin = |number: &u64| self.get(*number).map(|held| held.decision.score.signals.evidence.features);
        if numbers.iter().all(|number| origin(number) == origin(&latest)) {
            return self.remove(latest).map_or(Completed::None, |held| Completed::One(Box::new(held)));
        }
        Completed::Several(numbers.into_iter().filter_map(|number| self.remove(number)).collect())
    }

    fn get(&self, number: u64) -> Option<&Held> {
        self.held.get(usize::try_from(number.checked_sub(self.first)?).ok()?)?.as_ref()
    }

    fn remove(&mut self, number: u64) -> Option<Held> {
        let held = self.held.get_mut(usize::try_from(number.checked_sub(self.first)?).ok()?)?.take();
        if let Some(held) = &held {
            self.by_id.remove(&held.id);
            let of_person = self.by_person.get_mut(&(held.client, held.person));
            if of_person.is_some_and(|numbers| {
                numbers.retain(|other| *other != number);
                numbers.is_empty()
            }) {
                self.by_person.remove(&(held.client, held.person));
            }
        }
        while let Some(None) = self.held.front() {
            self.held.pop_front();
            self.first += 1;
        }
        held
    }
}
