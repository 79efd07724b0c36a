//! Entries of lists, which are stored after the time of their expiry.

use std::sync::LazyLock;

use jiff::Timestamp;
use redis::Script;

/// Deletes the given entries of a list, unless their value has changed since it was read.
pub(super) static DELETE_ENTRIES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
for at = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[at + 1] then redis.call('HDEL', KEYS[1], ARGV[at]) end
end
return redis.status_reply('OK')
",
    )
});

/// Maximum number of expired entries that a read of a list deletes.
pub(super) const MAX_DELETED: usize = 100;

/// Seconds between the expiry of an entry and its deletion. They allow for differences between clocks.
const DELETE_AFTER_SECONDS: i64 = 3600;

/// The value of a list entry, which is stored after its expiry time. `None` if it has expired.
pub(super) fn unexpired_value(stored: &[u8], now: Timestamp) -> Option<Vec<u8>> {
    match stored.split_first_chunk() {
        Some((until, value)) => (i64::from_be_bytes(*until) > now.as_second()).then(|| value.to_vec()),
        // Returned unchanged: the reader of the entry reports that it is unreadable.
        None => Some(stored.to_vec()),
    }
}

/// Whether a list entry expired so long ago that it has expired by the clock of every instance.
pub(super) fn has_long_expired(stored: &[u8], now: Timestamp) -> bool {
    stored.split_first_chunk().is_some_and(|(until, _)| i64::from_be_bytes(*until) < now.as_second().saturating_sub(DELETE_AFTER_SECONDS))
}
