//! Device ids that too many users share to tell a device: a constant in an app, an id that a kind of device reports.

use std::{
    fmt,
    hash::{BuildHasher as _, RandomState},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Users of one id up to which it tells a device: a family, a till, a classroom's tablet.
const MOST_USERS: usize = 20;

/// The table: an id has its place in one bucket, and takes the place of the one there that fewest users share.
const BUCKETS: usize = 256;
const WAYS: usize = 4;

/// The users of each device id that was seen of late. An id that is seen in one of a thousand sign-ins or more stays until its users are counted.
#[derive(Default)]
pub struct SharedDevices {
    hasher: RandomState,
    table: Mutex<Table>,
    shared: AtomicU64,
}

#[derive(Default)]
struct Table {
    /// Empty until the first id.
    entries: Vec<Entry>,
    time: u64,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    /// Keyed hash of the id.
    device: u64,
    /// Keyed hashes of its users, the first `count`.
    users: [u32; MOST_USERS + 1],
    count: usize,
    /// When it was seen last, in sign-ins.
    seen: u64,
}

// === impl SharedDevices ===

impl SharedDevices {
    /// Counts a user of a device id; whether more users share it than one device has.
    pub fn observe(&self, device: &str, user: &str) -> bool {
        let device = self.hasher.hash_one(device);
        let [a, b, c, d, ..] = self.hasher.hash_one(user).to_be_bytes();
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let is_new = table.observe(device, u32::from_be_bytes([a, b, c, d]));
        if is_new == Some(true) {
            self.shared.fetch_add(1, Ordering::Relaxed);
        }
        is_new.is_some()
    }

    /// How many ids were found to be shared.
    pub fn shared(&self) -> u64 {
        self.shared.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for SharedDevices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedDevices").field("shared", &self.shared).finish_non_exhaustive()
    }
}

// === impl Table ===

impl Table {
    /// Counts a user; `None` while the id tells a device, else whether it did until now.
    fn observe(&mut self, device: u64, user: u32) -> Option<bool> {
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); BUCKETS * WAYS];
        }
        self.time += 1;
        let first = usize::try_from(device % BUCKETS as u64).unwrap_or_default() * WAYS;
        let bucket = &mut self.entries[first..first + WAYS];
        let known = bucket.iter().position(|entry| entry.count > 0 && entry.device == device);
        let place = known.or_else(|| (0..WAYS).min_by_key(|place| (bucket[*place].count, bucket[*place].seen))).unwrap_or_default();
        if known.is_none() {
            bucket[place] = Entry { device, ..Entry::default() };
        }
        let entry = &mut bucket[place];
        entry.seen = self.time;
        let was_shared = entry.count > MOST_USERS;
        if !was_shared && !entry.users[..entry.count].contains(&user) {
            entry.users[entry.count] = user;
            entry.count += 1;
        }
        (entry.count > MOST_USERS).then_some(!was_shared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_more_than_twenty_users_is_shared_and_stays_so() {
        let devices = SharedDevices::default();
        for round in 0..3 {
            for user in 0..30 {
                let is_shared = devices.observe("constant", &format!("user-{user}"));
                assert_eq!(is_shared, round > 0 || user >= MOST_USERS, "{round} {user}");
            }
        }
        assert_eq!(devices.shared(), 1);
    }

    #[test]
    fn an_id_that_one_in_two_hundred_reports_is_found_among_a_hundred_thousand_devices() {
        let devices = SharedDevices::default();
        let mut found = false;
        for number in 0..100_000 {
            let user = format!("user-{number}");
            found |= number % 200 == 0 && devices.observe("model-default", &user);
            assert!(!devices.observe(&format!("device-{number}"), &user));
        }
        assert!(found);
        assert_eq!(devices.shared(), 1);
    }

    #[test]
    fn a_familys_device_is_no_shared_id() {
        let devices = SharedDevices::default();
        assert!((0..1000).all(|time| !devices.observe("tablet", &format!("user-{}", time % MOST_USERS))));
    }
}
