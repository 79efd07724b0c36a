//! The selection of users whose sign-ins are counted and learned from.

use crate::history::Key;

/// The users whose sign-ins are counted and learned from. All others only build up their histories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UserSelection {
    /// Every user.
    #[default]
    All,
    /// One half of the users, by the hash of their names: tables are learned from it.
    Learned,
    /// The other half: the learned tables are evaluated on it.
    HeldOut,
}

impl UserSelection {
    /// Whether a user is selected.
    pub fn includes(self, user: Key) -> bool {
        match self {
            UserSelection::All => true,
            UserSelection::Learned => user.is_even(),
            UserSelection::HeldOut => !user.is_even(),
        }
    }
}
