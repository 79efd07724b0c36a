//! The store in Redis 6.0 or later, or Valkey: a hash a person, a sorted set a network, a string a value, a hash a list.
//!
//! What has to be atomic is a script. Nothing is connected to before the first sign-in, and one
//! connection carries all of them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use jiff::Timestamp;
use redis::{
    Client, Cmd, FromRedisValue, RedisError, Script, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::{
    store::{Change, Changed, List, Mark, MarkTime, Marked, Record, Reply, Store},
    velocity::{MARK_WINDOW, MOST_MARKS},
};
use crate::evidence::Cause;

mod probe;

mod reply;

use self::{
    probe::PROBE,
    reply::{cause, needs_new_connection},
};

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

/// Marks each window: drops what is older than an hour, adds the mark or renews it, and drops the oldest beyond the bound; returns the marks within
/// the hour of its time. Scores have a fraction, by which marks of one second can be dropped one by one.
static MARK: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local mark, at, window, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local all = {}
for number, key in ipairs(KEYS) do
    redis.call('ZREMRANGEBYSCORE', key, '-inf', '(' .. (math.floor(at) - window + 1))
    local known = redis.call('ZSCORE', key, mark)
    if not known or tonumber(known) < at then redis.call('ZADD', key, ARGV[2], mark) end
    local excess = redis.call('ZCARD', key) - most
    if excess > 0 then
        redis.call('ZREMRANGEBYSCORE', key, '-inf', redis.call('ZRANGE', key, excess - 1, excess - 1, 'WITHSCORES')[2])
    end
    redis.call('EXPIRE', key, window)
    local found, marks = redis.call('ZRANGE', key, 0, -1, 'WITHSCORES'), {}
    for place = 1, #found, 2 do
        if math.floor(tonumber(found[place + 1])) < math.floor(at) + window then marks[#marks + 1] = found[place] end
    end
    all[number] = marks
end
return all
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

/// Replaces a hash, its time included.
static REPLACE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
redis.call('DEL', KEYS[1])
redis.call('HSET', KEYS[1], 'v', ARGV[1])
for at = 3, #ARGV, 2 do
    redis.call('HSET', KEYS[1], ARGV[at], ARGV[at + 1])
end
redis.call('EXPIRE', KEYS[1], ARGV[2])
return redis.status_reply('OK')
",
    )
});

/// Deletes those entries of a list that still hold what was read: one that was set again meanwhile stays.
static DELETE_ENTRIES: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
for at = 1, #ARGV, 2 do
    if redis.call('HGET', KEYS[1], ARGV[at]) == ARGV[at + 1] then redis.call('HDEL', KEYS[1], ARGV[at]) end
end
return redis.status_reply('OK')
",
    )
});

/// A read of a list deletes at most so many expired entries.
const MOST_DELETED: usize = 100;

/// An expired entry is deleted only so many seconds later: clocks differ.
const EXPIRY_SLACK: i64 = 3600;

/// A store in Redis.
pub struct Redis {
    /// The ways to the server, which differ in the authorities that they trust: the operator's, then Mozilla's.
    clients: Vec<Client>,
    /// The way in use.
    client: AtomicUsize,
    timeout: Duration,
    connection: ArcSwapOption<ConnectionManager>,
    /// What the server refused when it was last tried.
    refused: ArcSwapOption<String>,
    /// What can be done about the last error.
    help: ArcSwapOption<&'static str>,
}

/// Whether a command may be sent again after a connection broke: what it does twice it does once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    Once,
    Twice,
}

impl Redis {
    /// A store at a URL; connected to by the first call. Over TLS it trusts Mozilla's authorities and these.
    ///
    /// # Errors
    ///
    /// A URL that names no server.
    pub fn open(url: &SecretString, authorities: &[CertificateDer<'static>], timeout: Duration) -> Result<Self, String> {
        // The error's own text may hold the URL, and with it a password.
        let problem = || {
            "is not a Redis URL: redis://[user:password@]HOST[:PORT][/DB], rediss:// for TLS, or redis+unix:///PATH[?db=DB&user=USER&pass=PASSWORD] for a Unix socket; in the user and the password, percent-encode every character other than letters, digits, - . _ ~"
                .to_owned()
        };
        let url = url.expose_secret();
        let mut clients = vec![Client::open(url).map_err(|_| problem())?];
        if !authorities.is_empty() && (url.starts_with("rediss:") || url.starts_with("valkeys:")) {
            // The client takes either Mozilla's authorities or others.
            let own = TlsCertificates { client_tls: None, root_cert: Some(pem(authorities)) };
            clients.insert(0, Client::build_with_tls(url, own).map_err(|_| problem())?);
        }
        Ok(Redis {
            clients,
            client: AtomicUsize::new(0),
            timeout,
            connection: ArcSwapOption::empty(),
            refused: ArcSwapOption::empty(),
            help: ArcSwapOption::empty(),
        })
    }

    fn connection(&self) -> Result<Arc<ConnectionManager>, Cause> {
        if let Some(connection) = self.connection.load_full() {
            return Ok(connection);
        }
        let client = self.clients.get(self.client.load(Ordering::Acquire)).or(self.clients.first()).ok_or(Cause::NoStore)?;
        // The ledger's callers hold the deadline; these only keep a dead connection from being waited for for ever.
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(5));
        let made = Arc::new(ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(|error| cause(&error))?);
        let earlier = self.connection.compare_and_swap(&None::<Arc<ConnectionManager>>, Some(Arc::clone(&made)));
        Ok(earlier.as_ref().map_or(made, Arc::clone))
    }

    /// Drops a connection to a server that cannot serve: after a failover the address leads to another one.
    fn check<T>(&self, used: &Arc<ConnectionManager>, answer: Result<T, RedisError>) -> Result<T, Cause> {
        answer.map_err(|error| {
            if needs_new_connection(&error) {
                self.connection.compare_and_swap(used, None);
            }
            self.help.store(reply::log(&error).map(Arc::new));
            cause(&error)
        })
    }

    /// After a handshake that failed, the next way to the server, unless each was tried.
    fn next_client(&self, tried: &mut usize) -> bool {
        *tried += 1;
        self.client.store((self.client.load(Ordering::Acquire) + 1) % self.clients.len(), Ordering::Release);
        *tried < self.clients.len()
    }

    async fn run<T: FromRedisValue>(&self, command: &Cmd, repeat: Repeat) -> Result<T, Cause> {
        let mut tried = 0;
        loop {
            let used = self.connection()?;
            let mut connection = ConnectionManager::clone(&used);
            let answer = match command.query_async(&mut connection).await {
                // A frozen Lambda wakes up with dead sockets.
                Err(error) if repeat == Repeat::Twice && error.is_connection_dropped() => command.query_async(&mut connection).await,
                answer => answer,
            };
            match self.check(&used, answer) {
                Err(Cause::Tls) if self.next_client(&mut tried) => {}
                answer => return answer,
            }
        }
    }

    async fn invoke<T: FromRedisValue>(&self, script: &Script, keys: &[impl AsRef<str>], args: &[&[u8]], repeat: Repeat) -> Result<T, Cause> {
        let mut call = script.prepare_invoke();
        keys.iter().for_each(|key| {
            call.key(key.as_ref());
        });
        args.iter().for_each(|arg| {
            call.arg(*arg);
        });
        let mut tried = 0;
        loop {
            let used = self.connection()?;
            let mut connection = ConnectionManager::clone(&used);
            let answer = match call.invoke_async(&mut connection).await {
                Err(error) if repeat == Repeat::Twice && error.is_connection_dropped() => call.invoke_async(&mut connection).await,
                answer => answer,
            };
            match self.check(&used, answer) {
                Err(Cause::Tls) if self.next_client(&mut tried) => {}
                answer => return answer,
            }
        }
    }

    async fn changed(&self, key: &str, expected: &str, change: &Change, repeat: Repeat) -> Result<Option<Record>, Cause> {
        let (keep, sets) = (change.keep.duration().as_secs().to_string(), change.set.len().to_string());
        let mut args: Vec<&[u8]> = vec![expected.as_bytes(), keep.as_bytes(), sets.as_bytes()];
        args.extend(change.set.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]));
        args.extend(change.remove.iter().map(|name| name.as_bytes()));
        let fields: Option<BTreeMap<String, Vec<u8>>> = self.invoke(&CHANGE, &[user(key)], &args, repeat).await?;
        Ok(fields.map(record))
    }
}

impl Store for Redis {
    fn name(&self) -> &'static str {
        "redis"
    }

    fn problem(&self) -> Option<String> {
        let refused = self.refused.load_full().map(|refused| refused.to_string());
        refused.or_else(|| self.help.load_full().map(|help| (*help).to_owned()))
    }

    fn probe(&self, _now: Timestamp) -> Reply<'_, ()> {
        Box::pin(async move {
            let refused: Vec<String> = self.invoke(&PROBE, &[probe::KEY], &[], Repeat::Twice).await?;
            let (cause, problem) = probe::problem(&refused).unzip();
            self.refused.store(problem.map(Arc::new));
            cause.map_or(Ok(()), Err)
        })
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

    fn replace<'a>(&'a self, key: &'a str, record: Record, keep: Duration, _now: Timestamp) -> Reply<'a, ()> {
        Box::pin(async move {
            let (version, keep) = (record.version.to_string(), seconds(keep));
            let mut args: Vec<&[u8]> = vec![version.as_bytes(), keep.as_bytes()];
            args.extend(record.fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]));
            self.invoke(&REPLACE, &[user(key)], &args, Repeat::Twice).await
        })
    }

    fn mark<'a>(&'a self, windows: &'a [SmolStr], mark: Mark, time: MarkTime) -> Reply<'a, Marked> {
        Box::pin(async move {
            let keys: SmallVec<[String; 2]> = windows.iter().map(|window| format!("{PREFIX}{window}")).collect();
            let score = format!("{}.{:06}", time.at.as_second(), rand::random_range(0..1_000_000));
            let (window, most) = (MARK_WINDOW.to_string(), MOST_MARKS.to_string());
            let args: [&[u8]; 4] = [&mark.to_bytes(), score.as_bytes(), window.as_bytes(), most.as_bytes()];
            let marked: Vec<Vec<Vec<u8>>> = self.invoke(&MARK, &keys, &args, Repeat::Twice).await?;
            Ok(marked.iter().map(|marks| marks.iter().filter_map(|bytes| Mark::from_bytes(bytes)).collect()).collect())
        })
    }

    fn claim<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, _now: Timestamp) -> Reply<'a, Vec<u8>> {
        Box::pin(async move { self.invoke(&CLAIM, &[format!("{PREFIX}{key}")], &[value, seconds(keep).as_bytes()], Repeat::Twice).await })
    }

    fn keep<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, _now: Timestamp) -> Reply<'a, ()> {
        Box::pin(async move { self.run(redis::cmd("SET").arg(format!("{PREFIX}{key}")).arg(value).arg("EX").arg(seconds(keep)), Repeat::Twice).await })
    }

    fn count<'a>(&'a self, key: &'a str, limit: u64, keep: Duration, _now: Timestamp) -> Reply<'a, bool> {
        Box::pin(async move { self.invoke(&COUNT, &[format!("{PREFIX}{key}")], &[limit.to_string().as_bytes(), seconds(keep).as_bytes()], Repeat::Once).await })
    }

    fn fetch<'a>(&'a self, key: &'a str, _now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.run(redis::cmd("GET").arg(format!("{PREFIX}{key}")), Repeat::Twice).await })
    }

    fn list<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        Box::pin(async move {
            let key = format!("{PREFIX}{}", list.key());
            let entries: BTreeMap<String, Vec<u8>> = self.run(redis::cmd("HGETALL").arg(&key), Repeat::Twice).await?;
            let expired: Vec<&[u8]> = entries
                .iter()
                .filter(|(_, stored)| has_long_expired(stored, now))
                .take(MOST_DELETED)
                .flat_map(|(name, stored)| [name.as_bytes(), stored.as_slice()])
                .collect();
            if !expired.is_empty() {
                // Best effort: what is not deleted now is deleted after the next read. The failure is logged where it occurs.
                self.invoke::<()>(&DELETE_ENTRIES, &[&key], &expired, Repeat::Once).await.unwrap_or_default();
            }
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

/// The authorities in PEM, the only form that the client takes.
fn pem(authorities: &[CertificateDer<'static>]) -> Vec<u8> {
    use base64::Engine as _;
    let block = |authority: &CertificateDer<'static>| {
        let text = base64::engine::general_purpose::STANDARD.encode(authority.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    authorities.iter().map(block).collect::<String>().into_bytes()
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
    match stored.split_first_chunk() {
        Some((until, value)) => (i64::from_be_bytes(*until) > now.as_second()).then(|| value.to_vec()),
        // Given out as it is: whoever reads the entry reports that it cannot be read.
        None => Some(stored.to_vec()),
    }
}

/// Whether a list's entry expired so long ago that no clock in the fleet takes it for one in force.
fn has_long_expired(stored: &[u8], now: Timestamp) -> bool {
    stored.split_first_chunk().is_some_and(|(until, _)| i64::from_be_bytes(*until) < now.as_second().saturating_sub(EXPIRY_SLACK))
}

fn seconds(keep: Duration) -> String {
    keep.as_secs().max(1).to_string()
}
