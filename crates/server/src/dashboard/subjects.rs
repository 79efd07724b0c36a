//! The store keys of users by pseudonym, so that an operator can act on a user whose name the dashboard does not know.
//!
//! The keys are pseudonyms too. They stay in memory, for as many users as rows are stored.

use std::collections::{HashMap, VecDeque};

use riskgate_activity::MAX_ROWS;
use riskgate_config::pseudonym::UserKeys;
use smol_str::SmolStr;

/// The store keys of users, by the pseudonym in audit lines.
#[derive(Debug, Default)]
pub struct Subjects {
    keys: HashMap<SmolStr, UserKeys>,
    /// In the order of arrival.
    order: VecDeque<SmolStr>,
}

impl Subjects {
    /// Records the keys of a user. The oldest user is dropped when there are too many.
    pub fn insert(&mut self, user: SmolStr, keys: UserKeys) {
        if user.is_empty() || self.keys.contains_key(&user) {
            return;
        }
        if self.order.len() >= MAX_ROWS
            && let Some(oldest) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
        self.order.push_back(user.clone());
        self.keys.insert(user, keys);
    }

    /// The keys of a user.
    pub fn find(&self, user: &str) -> Option<&UserKeys> {
        self.keys.get(user)
    }
}
