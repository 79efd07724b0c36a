//! Sign-ins of an audit log whose outcome has not been read yet.
//!
//! They stay pending as long as a live attempt does. Memory grows with the sign-ins of a quarter of an hour, not with the log.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use jiff::Timestamp;
use smallvec::SmallVec;

use crate::history::Key;
use riskgate_engine::decision::Decision;

/// The most pending sign-ins. Beyond it, the oldest expire.
const MAX_PENDING: usize = 1 << 16;

/// An evaluated sign-in without an outcome.
#[derive(Debug)]
pub struct PendingSignIn {
    /// The key of its id.
    pub id: Key,
    /// When it was received.
    pub at: Timestamp,
    /// The key of the pool's app client.
    pub client: Key,
    /// The key of the pool's user.
    pub user: Key,
    /// The number of its row.
    pub row_number: u64,
    /// The file and line.
    pub place: (usize, u64),
    /// The user's local hour, 0 to 23.
    pub hour: Option<u8>,
    /// The decision of the replay.
    pub decision: Box<Decision>,
    /// Whether it was denied live.
    pub is_denied: bool,
    /// Whether it was challenged live, so only the result of the challenge is its outcome.
    pub is_challenged: bool,
    /// Whether its live verdict was `deny`, enforced or not.
    pub is_deny_verdict: bool,
    /// Whether a success is learned from.
    pub is_learnable: bool,
    /// Whether it is recorded as a failure while it is pending.
    pub is_recorded_failure: bool,
}

/// Whether an app client reports the outcomes of its sign-ins, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OutcomeReporting {
    /// Not known yet.
    #[default]
    Unknown,
    /// It does not: a sign-in expired without an outcome.
    Never,
    /// Its outcomes identify the sign-in by id.
    ById,
    /// Its outcomes identify the user only, because no store holds its attempts.
    ByUser,
}

/// The pending sign-ins that a user's success may belong to.
#[derive(Debug)]
pub enum SuccessMatch {
    /// There is no pending sign-in.
    None,
    /// This one: all pending sign-ins have the same origin.
    One(Box<PendingSignIn>),
    /// One of several sign-ins of different origins.
    Ambiguous(Vec<PendingSignIn>),
}

/// The pending sign-ins, in order of arrival.
#[derive(Debug)]
pub struct PendingSignIns {
    window: Duration,
    /// A slot is `None` when its sign-in has an outcome.
    slots: VecDeque<Option<PendingSignIn>>,
    /// The number of the first slot.
    first_slot: u64,
    by_id: HashMap<Key, u64>,
    by_user: HashMap<(Key, Key), SmallVec<[u64; 2]>>,
    reporting: HashMap<Key, OutcomeReporting>,
}

impl PendingSignIns {
    /// Creates an empty queue. Sign-ins expire after `window`.
    pub fn new(window: Duration) -> Self {
        PendingSignIns { window, slots: VecDeque::new(), first_slot: 0, by_id: HashMap::new(), by_user: HashMap::new(), reporting: HashMap::new() }
    }

    /// Returns whether and how a client reports outcomes.
    pub fn reporting(&self, client: Key) -> OutcomeReporting {
        self.reporting.get(&client).copied().unwrap_or_default()
    }

    /// Sets how a client reports outcomes. [`OutcomeReporting::ById`] is final.
    pub fn set_reporting(&mut self, client: Key, reporting: OutcomeReporting) {
        let known = self.reporting.entry(client).or_default();
        if *known != OutcomeReporting::ById {
            *known = reporting;
        }
    }

    /// Resets the clients that were classified as not reporting. Called when an outcome has no pending sign-in and names no client: it may be one of theirs.
    pub fn reset_never_reporting(&mut self) {
        self.reporting.values_mut().filter(|reporting| **reporting == OutcomeReporting::Never).for_each(|reporting| *reporting = OutcomeReporting::Unknown);
    }

    /// Whether a sign-in is pending already. Logs that overlap contain it twice.
    pub fn contains(&self, id: Key) -> bool {
        self.by_id.contains_key(&id)
    }

    /// Adds a sign-in.
    pub fn push(&mut self, pending: PendingSignIn) {
        let number = self.first_slot + self.slots.len() as u64;
        self.by_id.insert(pending.id, number);
        self.by_user.entry((pending.client, pending.user)).or_default().push(number);
        self.slots.push_back(Some(pending));
    }

    /// Whether the sign-in with this id was challenged.
    pub fn is_challenged(&self, id: Key) -> bool {
        self.by_id.get(&id).and_then(|number| self.get(*number)).is_some_and(|pending| pending.is_challenged)
    }

    /// Removes and returns the sign-in with this id.
    pub fn remove_by_id(&mut self, id: Key) -> Option<PendingSignIn> {
        let number = self.by_id.get(&id).copied()?;
        self.remove(number)
    }

    /// Removes and returns the oldest sign-in if it has expired or if there are too many.
    pub fn pop_expired(&mut self, now: Timestamp) -> Option<PendingSignIn> {
        let oldest = self.slots.front()?.as_ref()?;
        let age = Duration::try_from(now.duration_since(oldest.at)).unwrap_or_default();
        let is_expired = age >= self.window || self.by_id.len() > MAX_PENDING;
        if is_expired { self.remove(self.first_slot) } else { None }
    }

    /// Removes and returns the oldest sign-in.
    pub fn pop_oldest(&mut self) -> Option<PendingSignIn> {
        self.slots.front()?;
        self.remove(self.first_slot)
    }

    /// Removes and returns all sign-ins of a client, in order of arrival.
    pub fn remove_by_client(&mut self, client: Key) -> Vec<PendingSignIn> {
        let numbers: Vec<u64> = (self.first_slot..)
            .zip(&self.slots)
            .filter(|(_, pending)| pending.as_ref().is_some_and(|pending| pending.client == client))
            .map(|(number, _)| number)
            .collect();
        numbers.into_iter().filter_map(|number| self.remove(number)).collect()
    }

    /// Removes and returns the sign-ins that a success without an id may belong to.
    ///
    /// As in live operation, the latest one is meant if all pending sign-ins have the same origin. Denied sign-ins never
    /// got as far as the password, so they are ignored.
    pub fn match_success(&mut self, client: Key, user: Key) -> SuccessMatch {
        let numbers: Vec<u64> = self
            .by_user
            .get(&(client, user))
            .into_iter()
            .flatten()
            .copied()
            .filter(|number| self.get(*number).is_some_and(|pending| !pending.is_denied))
            .collect();
        let Some(latest) = numbers.last().copied() else { return SuccessMatch::None };
        let origin = |number: &u64| self.get(*number).map(|pending| pending.decision.score.signals.evidence.features);
        if numbers.iter().all(|number| origin(number) == origin(&latest)) {
            return self.remove(latest).map_or(SuccessMatch::None, |pending| SuccessMatch::One(Box::new(pending)));
        }
        SuccessMatch::Ambiguous(numbers.into_iter().filter_map(|number| self.remove(number)).collect())
    }

    fn get(&self, number: u64) -> Option<&PendingSignIn> {
        self.slots.get(usize::try_from(number.checked_sub(self.first_slot)?).ok()?)?.as_ref()
    }

    fn remove(&mut self, number: u64) -> Option<PendingSignIn> {
        let pending = self.slots.get_mut(usize::try_from(number.checked_sub(self.first_slot)?).ok()?)?.take();
        if let Some(pending) = &pending {
            self.by_id.remove(&pending.id);
            let of_user = self.by_user.get_mut(&(pending.client, pending.user));
            if of_user.is_some_and(|numbers| {
                numbers.retain(|other| *other != number);
                numbers.is_empty()
            }) {
                self.by_user.remove(&(pending.client, pending.user));
            }
        }
        while let Some(None) = self.slots.front() {
            self.slots.pop_front();
            self.first_slot += 1;
        }
        pending
    }
}
