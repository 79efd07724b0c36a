//! Detection of device ids that many users share: a constant in an app, or an id that all devices of a model report.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The maximum number of users of a real device, such as a family's or a classroom's tablet.
const MAX_USERS: usize = 20;

/// The number of buckets in the table. An id belongs to one bucket. In a full bucket it replaces the id with the fewest users.
const BUCKETS: usize = 256;

/// The number of ids in a bucket.
const WAYS: usize = 4;

/// Counts the users of recent device ids. An id that occurs in at least one of a thousand sign-ins stays in the table long enough for its
/// users to be counted.
#[derive(Default)]
pub struct SharedDevices {
    hasher: RandomState,
    table: Mutex<Table>,
    shared: AtomicU64,
}

#[derive(Default)]
struct Table {
    /// Empty until the first id.
    entries: Vec<DeviceUsers>,
    /// The number of sign-ins counted.
    time: u64,
}

/// The users of one device id.
#[derive(Clone, Copy, Default)]
struct DeviceUsers {
    /// The keyed hash of the id.
    device: u64,
    /// The keyed hashes of its users. The first `count` are valid.
    users: [u32; MAX_USERS + 1],
    count: usize,
    /// The `time` when it was last seen.
    last_seen: u64,
}

impl SharedDevices {
    /// Counts a user of a device id. Returns whether too many users share the id.
    pub fn observe(&self, device: &str, user: &str) -> bool {
        let device = self.hasher.hash_one(device);
        let [a, b, c, d, ..] = self.hasher.hash_one(user).to_be_bytes();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let became_shared = table.observe(device, u32::from_be_bytes([a, b, c, d]));
        if became_shared == Some(true) {
            self.shared.fetch_add(1, Ordering::Relaxed);
        }
        became_shared.is_some()
    }

    /// The number of ids that were found to be shared.
    pub fn shared_ids(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SharedDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedDevices").field("shared", &self.shared).finish_non_exhaustive()
    }
}

impl Table {
    /// Counts a user. `None` if the id is not shared, else whether it has just become shared.
    fn observe(&mut self, device: u64, user: u32) -> Option<bool> {
        if self.entries.is_empty() {
            self.entries = vec![DeviceUsers::default(); BUCKETS * WAYS];
        }
        self.time += 1;
        let first = usize::try_from(device % BUCKETS as u64).unwrap_or_default() * WAYS;
        let bucket = &mut self.entries[first..first + WAYS];
        let known = bucket.iter().position(|entry| entry.count > 0 && entry.device == device);
        let slot = known.or_else(|| (0..WAYS).min_by_key(|slot| (bucket[*slot].count, bucket[*slot].last_seen))).unwrap_or_default();
        if known.is_none() {
            bucket[slot] = DeviceUsers { device, ..DeviceUsers::default() };
        }
        let entry = &mut bucket[slot];
        entry.last_seen = self.time;
        let was_shared = entry.count > MAX_USERS;
        if !was_shared && !entry.users[..entry.count].contains(&user) {
            entry.users[entry.count] = user;
            entry.count += 1;
        }
        (entry.count > MAX_USERS).then_some(!was_shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_more_than_twenty_users_is_shared() {
        let devices = SharedDevices::default();
        for round in 0..3 {
            for user in 0..30 {
                let is_shared = devices.observe("constant", &format!("user-{user}"));
                assert_eq!(is_shared, round > 0 || user >= MAX_USERS, "{round} {user}");
            }
        }
        assert_eq!(devices.shared_ids(), 1);
    }

    #[test]
    fn a_shared_id_is_found_among_a_hundred_thousand_devices() {
        let devices = SharedDevices::default();
        let mut found = false;
        for number in 0..100_000 {
            let user = format!("user-{number}");
            found |= number % 200 == 0 && devices.observe("model-default", &user);
            assert!(!devices.observe(&format!("device-{number}"), &user));
        }
        assert!(found);
        assert_eq!(devices.shared_ids(), 1);
    }

    #[test]
    fn a_familys_device_is_not_shared() {
        let devices = SharedDevices::default();
        assert!((0..1000).all(|time| !devices.observe("tablet", &format!("user-{}", time % MAX_USERS))));
    }
}
