//! The store in Redis 6 or later, or Valkey: a hash a person, a sorted set a network, a string a value, a hash a list.
//!
//! What has to be atomic is a script. Nothing is connected to before the first sign-in, and one
//! connection carries all of them.

use std::{
    collections::BTreeMap,
    sync::{Arc, LazyLock, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use redis::{
    Client, Cmd, ErrorKind, FromRedisValue, RedisError, Script, ServerErrorKind,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use secrecy::{ExposeSecret, SecretString};

use super::store::{Change, Changed, List, MARK_WINDOW, MOST_MARKS, Mark, Marks, Record, Reply, Store};
use crate::evidence::Cause;

/// What every key starts with, so that a server may be shared.
const PREFIX: &str = "riskgate:";

/// Sets and removes fields, if the version is as expected; returns the whole record, or nothing on a conflict.
static CHANGE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local key, expected, keep, sets = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3])
if expected ~= '' then
    if (redis.call('HGET', key, 'v') or '0') ~= expected then return false end
    redis.call('HSET', key, 'v', expected + 1)
end
local at = 4
for _ = 1, sets do
    redis.call('HSET', key, ARGV[at], ARGV[at + 1])
    at = at + 2
end
while ARGV[at] do
    redis.call('HDEL', key, ARGV[at])
    at = at + 1
end
if redis.call('TTL', key) < keep then redis.call('EXPIRE', key, keep) end
return redis.call('HGETALL', key)
",
    )
});

/// Marks a network: drops old marks, adds this one while there is room, returns all.
static MARK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local key, mark, now, window, most = KEYS[1], ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
redis.call('ZREMRANGEBYSCORE', key, '-inf', now - window)
if redis.call('ZSCORE', key, mark) or redis.call('ZCARD', key) < most then redis.call('ZADD', key, now, mark) end
redis.call('EXPIRE', key, window)
return redis.call('ZRANGE', key, 0, -1)
",
    )
});

/// Counts one more unless the limit is reached; returns whether it was counted.
static COUNT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return 0 end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return 1
",
    )
});

/// Keeps a value unless there is one; returns the one that is kept.
static CLAIM: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2])
return redis.call('GET', KEYS[1])
",
    )
});

/// A store in Redis.
pub struct Redis {
    client: Client,
    timeout: Duration,
    connection: OnceLock<ConnectionManager>,
}

/// Whether a command may be sent again after a connection broke: what it does twice it does once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    Twice,
}

impl Redis {
    /// A store at a URL; connected to by the first call.
    ///
    /// # Errors
    ///
    /// A URL that names no server.
    pub fn open(url: &SecretString, timeout: Duration) -> Result<Self, String> {
        // The error's own text may hold the URL, and with it a password.
        let client = Client::open(url.expose_secret()).map_err(|_| "is not a Redis URL: redis://[user:password@]HOST[:PORT][/DB]".to_owned())?;
        Ok(Redis { client, timeout, connection: OnceLock::new() })
    }

    fn connection(&self) -> Result<ConnectionManager, Cause> {
        if let Some(connection) = self.connection.get() {
            return Ok(connection.clone());
        }
        // The ledger's callers hold the deadline; these only keep a dead connection from being waited for for ever.
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(5));
        let made = ConnectionManager::new_lazy_with_config(self.client.clone(), config).map_err(|error| cause(&error))?;
        Ok(self.connection.get_or_init(|| made).clone())
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd, repeat: Repeat) -> Result<T, Cause> {
        let mut connection = self.connection()?;
        match command.query_async(&mut connection).await {
            // A frozen Lambda wakes up with dead sockets.
            Err(error) if repeat == Repeat::Twice && error.is_connection_dropped() => command.query_async(&mut connection).await,
            answer => answer,
        }
        .map_err(|error| cause(&error))
    }

    async fn invoke<T: FromRedisValue>(&self, script: &Script, key: &str, args: &[&[u8]], repeat: Repeat) -> Result<T, Cause> {
        let mut connection = self.connection()?;
        let mut call = script.key(key);
        args.iter().for_each(|arg| {
            call.arg(*arg);
        });
        match call.invoke_async(&mut connection).await {
            Err(error) if repeat == Repeat::Twice && error.is_connection_dropped() => call.invoke_async(&mut connection).await,
            answer => answer,
        }
        .map_err(|error| cause(&error))
    }

    async fn changed(&self, key: &str, expected: &str, change: &Change, repeat: Repeat) -> Result<Option<Record>, Cause> {
        let (keep, sets) = (change.keep.duration().as_secs().to_string(), change.set.len().to_string());
        let mut args: Vec<&[u8]> = vec![expected.as_bytes(), keep.as_bytes(), sets.as_bytes()];
        args.extend(change.set.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]));
        args.extend(change.remove.iter().map(|name| name.as_bytes()));
        let fields: Option<BTreeMap<String, Vec<u8>>> = self.invoke(&CHANGE, &user(key), &args, repeat).await?;
        Ok(fields.map(record))
    }
}

impl Store for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn change<'a>(&'a self, key: &'a str, change: Change, _now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move { self.changed(key, "", &change, Repeat::Twice).await?.map(Arc::new).ok_or(Cause::BadAnswer) })
    }

    fn change_if<'a>(&'a self, key: &'a str, version: u64, change: Change, _now: Timestamp) -> Reply<'a, Changed> {
        Box::pin(async move {
            let changed = self.changed(key, &version.to_string(), &change, Repeat::Once).await?;
            Ok(changed.map_or(Changed::Conflict(change), |_| Changed::Done))
        })
    }

    fn read<'a>(&'a self, key: &'a str, _now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move { Ok(Arc::new(record(self.run(redis::cmd("HGETALL").arg(user(key)), Repeat::Twice).await?))) })
    }

    fn erase<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { self.run(redis::cmd("DEL").arg(user(key)), Repeat::Twice).await })
    }

    fn mark<'a>(&'a self, network: &'a str, mark: Mark, now: Timestamp) -> Reply<'a, Marks> {
        Box::pin(async move {
            let (now, window, most) = (now.as_second().to_string(), MARK_WINDOW.to_string(), MOST_MARKS.to_string());
            let args: [&[u8]; 4] = [&mark.to_bytes(), now.as_bytes(), window.as_bytes(), most.as_bytes()];
            let marks: Vec<Vec<u8>> = self.invoke(&MARK, &format!("{PREFIX}{network}"), &args, Repeat::Twice).await?;
            Ok(marks.iter().filter_map(|bytes| Mark::from_bytes(bytes)).collect())
        })
    }

    fn claim<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, _now: Timestamp) -> Reply<'a, Vec<u8>> {
        Box::pin(async move { self.invoke(&CLAIM, &format!("{PREFIX}{key}"), &[value, seconds(keep).as_bytes()], Repeat::Twice).await })
    }

    fn keep<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, _now: Timestamp) -> Reply<'a, ()> {
        Box::pin(async move { self.run(redis::cmd("SET").arg(format!("{PREFIX}{key}")).arg(value).arg("EX").arg(seconds(keep)), Repeat::Twice).await })
    }

    fn count<'a>(&'a self, key: &'a str, limit: u64, keep: Duration, _now: Timestamp) -> Reply<'a, bool> {
        Box::pin(async move { self.invoke(&COUNT, &format!("{PREFIX}{key}"), &[limit.to_string().as_bytes(), seconds(keep).as_bytes()], Repeat::Once).await })
    }

    fn fetch<'a>(&'a self, key: &'a str, _now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.run(redis::cmd("GET").arg(format!("{PREFIX}{key}")), Repeat::Twice).await })
    }

    fn take<'a>(&'a self, key: &'a str, _now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.run(redis::cmd("GETDEL").arg(format!("{PREFIX}{key}")), Repeat::Once).await })
    }

    fn list<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        Box::pin(async move {
            let entries: BTreeMap<String, Vec<u8>> = self.run(redis::cmd("HGETALL").arg(format!("{PREFIX}{}", list.key())), Repeat::Twice).await?;
            Ok(entries.into_iter().filter_map(|(name, stored)| Some((name, in_force(&stored, now)?))).collect())
        })
    }

    fn enlist<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        Box::pin(async move {
            let until = until.map_or(i64::MAX, Timestamp::as_second).to_be_bytes();
            let stored = [&until, value].concat();
            self.run::<i64>(redis::cmd("HSET").arg(format!("{PREFIX}{}", list.key())).arg(name).arg(stored), Repeat::Twice).await.map(|_| ())
        })
    }

    fn delist<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { self.run(redis::cmd("HDEL").arg(format!("{PREFIX}{}", list.key())).arg(name), Repeat::Twice).await })
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

fn user(key: &str) -> String {
    format!("{PREFIX}u#{key}")
}

fn record(mut fields: BTreeMap<String, Vec<u8>>) -> Record {
    let version = fields.remove("v").and_then(|version| String::from_utf8(version).ok()?.parse().ok()).unwrap_or_default();
    Record { fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect(), version }
}

/// A list's entry without the moment until which it holds.
fn in_force(stored: &[u8], now: Timestamp) -> Option<Vec<u8>> {
    let (until, value) = stored.split_first_chunk()?;
    (i64::from_be_bytes(*until) > now.as_second()).then(|| value.to_vec())
}

fn seconds(keep: Duration) -> String {
    keep.as_secs().max(1).to_string()
}

fn cause(error: &RedisError) -> Cause {
    if error.is_timeout() {
        return Cause::Timeout;
    }
    if error.is_connection_refusal() {
        return Cause::Connect;
    }
    if matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM")) {
        return Cause::KeyRefused;
    }
    if error.is_connection_dropped() {
        return Cause::Reset;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows: whatever else it says, the store is not to be had")]
    match error.kind() {
        ErrorKind::AuthenticationFailed => Cause::KeyRefused,
        ErrorKind::Server(ServerErrorKind::BusyLoading | ServerErrorKind::TryAgain) => Cause::Shed,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => Cause::BadAnswer,
        _ => Cause::NoStore,
    }
}
