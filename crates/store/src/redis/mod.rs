//! A store in Redis 6.0 or later, or Valkey. A user record and a list are hashes, a window is a sorted set, a value is a string.
//!
//! Atomic operations are scripts. The first call connects, and all calls share one connection.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, LazyLock,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwapOption;
use futures_util::future::try_join_all;
use jiff::Timestamp;
use redis::{
    Client, Cmd, FromRedisValue, RedisError, Script, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig},
};
use rustls::pki_types::CertificateDer;
use secrecy::{ExposeSecret, SecretString};
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::activity::{ActivityBatch, ActivityCounts, ActivityPage, ActivityRange, ActivityRow};
use crate::{Change, Changed, CounterBucket, Counters, EntriesByWindow, EntryTime, List, MAX_BUCKETS, MissingWindow, Record, Reply, Store, WindowEntry};
use riskgate_engine::evidence::FailureReason;
use riskgate_engine::velocity::{ACCOUNT_WINDOW_SECONDS, MAX_WINDOW_ENTRIES};

use crate::redis::{
    lists::{DELETE_ENTRIES, MAX_DELETED, has_long_expired, unexpired_value},
    probe::PROBE,
    reply::{failure_reason, needs_new_connection},
};

mod activity;

mod lists;

mod probe;

mod reply;

/// The prefix of every key. Other programs may use the same server.
const PREFIX: &str = "riskgate:";

/// Sets and removes fields if the version is as expected and the required field exists. Returns the complete record, or nothing on a conflict.
static UPDATE: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local key, expected, required, ttl, sets = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if required ~= '' and not redis.call('HGET', key, required) then return redis.call('HGETALL', key) end
if expected ~= '' then
    if (redis.call('HGET', key, 'v') or '0') ~= expected then return false end
    redis.call('HSET', key, 'v', expected + 1)
end
local at = 5
for _ = 1, sets do
    redis.call('HSET', key, ARGV[at], ARGV[at + 1])
    at = at + 2
end
while ARGV[at] do
    redis.call('HDEL', key, ARGV[at])
    at = at + 1
end
if redis.call('TTL', key) < ttl then redis.call('EXPIRE', key, ttl) end
return redis.call('HGETALL', key)
",
    )
});

/// Adds an entry to each window, and skips missing windows unless they are to be created. Deletes entries that are older than an hour, adds or renews the entry, and deletes the oldest above the limit.
/// Returns the entries within the hour of its time. The fraction of a score orders the entries of one second, which can then be deleted singly.
static ADD_TO_WINDOW: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local mark, at, window, most = ARGV[1], tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local all = {}
local function add(key)
    if ARGV[5] == '0' and redis.call('TTL', key) == -2 then return {} end
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
    return marks
end
for number, key in ipairs(KEYS) do
    all[number] = add(key)
end
return all
",
    )
});

/// Increments a counter unless it has reached the limit. Returns whether it was incremented.
static INCREMENT_UP_TO: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
if tonumber(redis.call('GET', KEYS[1]) or '0') >= tonumber(ARGV[1]) then return 0 end
if redis.call('INCR', KEYS[1]) == 1 then redis.call('EXPIRE', KEYS[1], ARGV[2]) end
return 1
",
    )
});

/// Adds to the counters of a hash. Returns the new value of the first one. HINCRBY would be another command for access lists to allow.
static ADD_TO_COUNTERS: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
local first
for at = 2, #ARGV, 2 do
    local total = tonumber(redis.call('HGET', KEYS[1], ARGV[at]) or 0) + ARGV[at + 1]
    redis.call('HSET', KEYS[1], ARGV[at], string.format('%.0f', total))
    first = first or total
end
if redis.call('TTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('EXPIRE', KEYS[1], ARGV[1]) end
return first
",
    )
});

/// Stores a value if the key has none. Returns the stored value.
static PUT_IF_ABSENT: LazyLock<Script> = LazyLock::new(|| {
    Script::new(
        r"
redis.call('SET', KEYS[1], ARGV[1], 'NX', 'EX', ARGV[2])
return redis.call('GET', KEYS[1])
",
    )
});

/// Replaces a hash, including its TTL.
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

/// A store in Redis.
pub struct Redis {
    /// Clients that differ in the certificate authorities that they trust: the operator's, then Mozilla's.
    clients: Vec<Client>,
    /// Index of the client in use.
    client: AtomicUsize,
    timeout: Duration,
    connection: ArcSwapOption<ConnectionManager>,
    /// What the server refused in the last probe.
    refused: ArcSwapOption<String>,
    /// The server's version in the last probe.
    version: ArcSwapOption<String>,
    /// Advice for the last error.
    help: ArcSwapOption<&'static str>,
}

/// Whether a command is sent again after the connection broke. Only idempotent commands are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Retry {
    Never,
    OnDisconnect,
}

impl Redis {
    /// A store at a URL; the first call connects. Over TLS, it trusts the given authorities and Mozilla's.
    ///
    /// # Errors
    ///
    /// The URL is not a valid Redis URL.
    pub fn open(url: &SecretString, authorities: &[CertificateDer<'static>], timeout: Duration) -> Result<Self, String> {
        // The text of the client's error may contain the URL, and with it a password.
        let problem = || {
            "is not a Redis URL: redis://[user:password@]HOST[:PORT][/DB], rediss:// for TLS, or redis+unix:///PATH[?db=DB&user=USER&pass=PASSWORD] for a Unix socket; in the user and the password, percent-encode every character other than letters, digits, - . _ ~"
                .to_owned()
        };
        let url = url.expose_secret();
        let mut clients = vec![Client::open(url).map_err(|_| problem())?];
        if !authorities.is_empty() && (url.starts_with("rediss:") || url.starts_with("valkeys:")) {
            // A client accepts either Mozilla's authorities or others, not both.
            let certificates = TlsCertificates { client_tls: None, root_cert: Some(pem(authorities)) };
            clients.insert(0, Client::build_with_tls(url, certificates).map_err(|_| problem())?);
        }
        Ok(Redis {
            clients,
            client: AtomicUsize::new(0),
            timeout,
            connection: ArcSwapOption::empty(),
            refused: ArcSwapOption::empty(),
            version: ArcSwapOption::empty(),
            help: ArcSwapOption::empty(),
        })
    }

    fn connection(&self) -> Result<Arc<ConnectionManager>, FailureReason> {
        if let Some(connection) = self.connection.load_full() {
            return Ok(connection);
        }
        let client = self.clients.get(self.client.load(Ordering::Acquire)).or(self.clients.first()).ok_or(FailureReason::NoStore)?;
        // The callers of the history repository enforce the deadline. These timeouts only bound the wait for a dead connection.
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout))
            .set_number_of_retries(1)
            .set_min_delay(Duration::from_millis(5));
        let created = Arc::new(ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(|error| failure_reason(&error))?);
        let earlier = self.connection.compare_and_swap(&None::<Arc<ConnectionManager>>, Some(Arc::clone(&created)));
        Ok(earlier.as_ref().map_or(created, Arc::clone))
    }

    /// Converts and logs an error. Drops the connection if the server cannot serve: after a failover, the address leads to another server.
    fn handle_answer<T>(&self, used: &Arc<ConnectionManager>, answer: Result<T, RedisError>) -> Result<T, FailureReason> {
        answer.map_err(|error| {
            if needs_new_connection(&error) {
                self.connection.compare_and_swap(used, None);
            }
            self.help.store(reply::log(&error).map(Arc::new));
            failure_reason(&error)
        })
    }

    /// Switches to the next client after a failed TLS handshake. Returns whether one was left to try.
    fn next_client(&self, tried: &mut usize) -> bool {
        *tried += 1;
        self.client.store((self.client.load(Ordering::Acquire) + 1) % self.clients.len(), Ordering::Release);
        *tried < self.clients.len()
    }

    async fn run_command<T: FromRedisValue>(&self, command: &Cmd, retry: Retry) -> Result<T, FailureReason> {
        self.run(retry, |mut connection| async move { command.query_async(&mut connection).await }).await
    }

    async fn run_script<T: FromRedisValue>(&self, script: &Script, keys: &[impl AsRef<str>], args: &[&[u8]], retry: Retry) -> Result<T, FailureReason> {
        let mut call = script.prepare_invoke();
        keys.iter().for_each(|key| {
            call.key(key.as_ref());
        });
        args.iter().for_each(|arg| {
            call.arg(*arg);
        });
        let call = &call;
        self.run(retry, |mut connection| async move { call.invoke_async(&mut connection).await }).await
    }

    /// Runs a query on the connection, and again if the connection was dropped and the query may be repeated.
    async fn run<T, F: Future<Output = Result<T, RedisError>>>(&self, retry: Retry, query: impl Fn(ConnectionManager) -> F) -> Result<T, FailureReason> {
        let mut tried = 0;
        loop {
            let used = self.connection()?;
            let answer = match query(ConnectionManager::clone(&used)).await {
                // A Lambda instance that was frozen resumes with dead sockets.
                Err(error) if retry == Retry::OnDisconnect && error.is_connection_dropped() => query(ConnectionManager::clone(&used)).await,
                answer => answer,
            };
            match self.handle_answer(&used, answer) {
                Err(FailureReason::Tls) if self.next_client(&mut tried) => {}
                answer => return answer,
            }
        }
    }

    async fn run_update(&self, key: &str, expected: &str, required: &str, change: &Change, retry: Retry) -> Result<Option<Record>, FailureReason> {
        let (ttl, sets) = (change.ttl.duration().as_secs().to_string(), change.set.len().to_string());
        let mut args: Vec<&[u8]> = vec![expected.as_bytes(), required.as_bytes(), ttl.as_bytes(), sets.as_bytes()];
        args.extend(change.set.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]));
        args.extend(change.remove.iter().map(|name| name.as_bytes()));
        let fields: Option<BTreeMap<String, Vec<u8>>> = self.run_script(&UPDATE, &[user_key(key)], &args, retry).await?;
        Ok(fields.map(parse_record))
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
            let reply: Vec<String> = self.run_script(&PROBE, &[probe::KEY], &[], Retry::OnDisconnect).await?;
            let (version, refused) = reply.split_first().ok_or(FailureReason::BadAnswer)?;
            if self.version.swap(Some(Arc::new(version.clone()))).is_none_or(|earlier| *earlier != *version) {
                tracing::info!(version, "read the version of the Redis server");
            }
            let (reason, problem) = probe::problem(refused).or_else(|| probe::outdated(version)).unzip();
            self.refused.store(problem.map(Arc::new));
            reason.map_or(Ok(()), Err)
        })
    }

    fn update<'a>(&'a self, key: &'a str, change: Change, _now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move { self.run_update(key, "", "", &change, Retry::OnDisconnect).await?.map(Arc::new).ok_or(FailureReason::BadAnswer) })
    }

    fn update_if_field<'a>(&'a self, key: &'a str, field: &'a str, change: Change, _now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move { self.run_update(key, "", field, &change, Retry::OnDisconnect).await?.map(Arc::new).ok_or(FailureReason::BadAnswer) })
    }

    fn update_if_version<'a>(&'a self, key: &'a str, version: u64, change: Change, _now: Timestamp) -> Reply<'a, Changed> {
        Box::pin(async move {
            let changed = self.run_update(key, &version.to_string(), "", &change, Retry::Never).await?;
            Ok(changed.map_or(Changed::Conflict(change), |_| Changed::Done))
        })
    }

    fn get_record<'a>(&'a self, key: &'a str, _now: Timestamp) -> Reply<'a, Arc<Record>> {
        Box::pin(async move { Ok(Arc::new(parse_record(self.run_command(redis::cmd("HGETALL").arg(user_key(key)), Retry::OnDisconnect).await?))) })
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, ttl: Duration, _now: Timestamp) -> Reply<'a, ()> {
        Box::pin(async move {
            let (version, ttl) = (record.version.to_string(), seconds(ttl));
            let mut args: Vec<&[u8]> = vec![version.as_bytes(), ttl.as_bytes()];
            args.extend(record.fields.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_slice()]));
            self.run_script(&REPLACE, &[user_key(key)], &args, Retry::OnDisconnect).await
        })
    }

    fn add_to_window<'a>(&'a self, windows: &'a [SmolStr], entry: WindowEntry, missing: MissingWindow, time: EntryTime) -> Reply<'a, EntriesByWindow> {
        Box::pin(async move {
            let keys: SmallVec<[String; 2]> = windows.iter().map(|window| format!("{PREFIX}{window}")).collect();
            let score = format!("{}.{:06}", time.at.as_second(), fastrand::u32(0..1_000_000));
            let (window, most) = (ACCOUNT_WINDOW_SECONDS.to_string(), MAX_WINDOW_ENTRIES.to_string());
            let create: &[u8] = if missing == MissingWindow::Create { b"1" } else { b"0" };
            let args: [&[u8]; 5] = [&entry.to_bytes(), score.as_bytes(), window.as_bytes(), most.as_bytes(), create];
            // One script call per window: in cluster mode a script may name keys of one slot only.
            let call = |key| self.run_script(&ADD_TO_WINDOW, std::slice::from_ref(key), &args, Retry::OnDisconnect);
            let windows: Vec<Vec<Vec<Vec<u8>>>> = try_join_all(keys.iter().map(call)).await?;
            let mut found = EntriesByWindow::default();
            windows.iter().flatten().for_each(|entries| found.push_stored(entries.iter().map(Vec::as_slice)));
            Ok(found)
        })
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, _now: Timestamp) -> Reply<'a, Vec<u8>> {
        Box::pin(async move { self.run_script(&PUT_IF_ABSENT, &[format!("{PREFIX}{key}")], &[value, seconds(ttl).as_bytes()], Retry::OnDisconnect).await })
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, _now: Timestamp) -> Reply<'a, ()> {
        Box::pin(
            async move { self.run_command(redis::cmd("SET").arg(format!("{PREFIX}{key}")).arg(value).arg("EX").arg(seconds(ttl)), Retry::OnDisconnect).await },
        )
    }

    fn increment_up_to<'a>(&'a self, key: &'a str, limit: u64, ttl: Duration, _now: Timestamp) -> Reply<'a, bool> {
        Box::pin(async move {
            self.run_script(&INCREMENT_UP_TO, &[format!("{PREFIX}{key}")], &[limit.to_string().as_bytes(), seconds(ttl).as_bytes()], Retry::Never).await
        })
    }

    fn add_to_counters<'a>(&'a self, bucket: CounterBucket<'a>, increments: &'a [(SmolStr, u32)], ttl: Duration, _now: Timestamp) -> Reply<'a, u64> {
        Box::pin(async move {
            if increments.is_empty() {
                return Ok(0);
            }
            let (ttl, values): (String, Vec<String>) = (seconds(ttl), increments.iter().map(|(_, value)| value.to_string()).collect());
            let mut args: Vec<&[u8]> = vec![ttl.as_bytes()];
            args.extend(increments.iter().zip(&values).flat_map(|((name, _), value)| [name.as_bytes(), value.as_bytes()]));
            self.run_script(&ADD_TO_COUNTERS, &[counters_key(bucket.key, bucket.number)], &args, Retry::Never).await
        })
    }

    fn read_counters<'a>(&'a self, key: &'a str, from: i64, to: i64, _now: Timestamp) -> Reply<'a, BTreeMap<i64, Counters>> {
        Box::pin(async move {
            // Sent together on one connection. Each is a command with one key, as cluster mode needs it.
            let read = async |number: i64| {
                let counters: BTreeMap<String, u64> = self.run_command(redis::cmd("HGETALL").arg(counters_key(key, number)), Retry::OnDisconnect).await?;
                Ok::<_, FailureReason>((number, counters.into_iter().map(|(name, value)| (name.into(), value)).collect()))
            };
            let buckets: Vec<(i64, Counters)> = try_join_all((from.max(to - MAX_BUCKETS + 1)..=to).map(read)).await?;
            Ok(buckets.into_iter().filter(|(_, counters)| !counters.is_empty()).collect())
        })
    }

    fn get<'a>(&'a self, key: &'a str, _now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.run_command(redis::cmd("GET").arg(format!("{PREFIX}{key}")), Retry::OnDisconnect).await })
    }

    fn list_entries<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        Box::pin(async move {
            let key = format!("{PREFIX}{}", list.key());
            let entries: BTreeMap<String, Vec<u8>> = self.run_command(redis::cmd("HGETALL").arg(&key), Retry::OnDisconnect).await?;
            let expired: Vec<&[u8]> = entries
                .iter()
                .filter(|(_, stored)| has_long_expired(stored, now))
                .take(MAX_DELETED)
                .flat_map(|(name, stored)| [name.as_bytes(), stored.as_slice()])
                .collect();
            if !expired.is_empty() {
                // Best effort: an entry that is not deleted now is deleted by a later read. The failure is logged where it occurs.
                self.run_script::<()>(&DELETE_ENTRIES, &[&key], &expired, Retry::Never).await.unwrap_or_default();
            }
            Ok(entries.into_iter().filter_map(|(name, stored)| Some((name, unexpired_value(&stored, now)?))).collect())
        })
    }

    fn put_list_entry<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        Box::pin(async move {
            let until = until.map_or(i64::MAX, Timestamp::as_second).to_be_bytes();
            let stored = [&until, value].concat();
            self.run_command::<i64>(redis::cmd("HSET").arg(format!("{PREFIX}{}", list.key())).arg(name).arg(stored), Retry::OnDisconnect).await.map(|_| ())
        })
    }

    fn delete_list_entry<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        Box::pin(async move { self.run_command(redis::cmd("HDEL").arg(format!("{PREFIX}{}", list.key())).arg(name), Retry::OnDisconnect).await })
    }

    fn has_activity(&self) -> bool {
        true
    }

    fn put_activity<'a>(&'a self, batch: &'a ActivityBatch, ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        Box::pin(self.write_activity(batch, ttl, now))
    }

    fn read_activity<'a>(&'a self, range: ActivityRange, most: usize, _now: Timestamp) -> Reply<'a, ActivityPage> {
        Box::pin(self.read_rows(range, most))
    }

    fn read_activity_of<'a>(&'a self, user: &'a str, range: ActivityRange, _now: Timestamp) -> Reply<'a, Vec<ActivityRow>> {
        Box::pin(async move {
            let mut rows = self.read_rows(range, usize::MAX).await?.rows;
            rows.retain(|row| row.user == user);
            Ok(rows)
        })
    }

    fn read_activity_counts(&self, day: i64, _now: Timestamp) -> Reply<'_, BTreeMap<i64, ActivityCounts>> {
        Box::pin(self.read_counts(day))
    }

    fn delete_activity<'a>(&'a self, row: &'a ActivityRow) -> Reply<'a, ()> {
        Box::pin(self.delete_row(row))
    }
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redis")
    }
}

/// The authorities in PEM, the only format that the client accepts.
fn pem(authorities: &[CertificateDer<'static>]) -> Vec<u8> {
    use base64::Engine as _;
    let block = |authority: &CertificateDer<'static>| {
        let text = base64::engine::general_purpose::STANDARD.encode(authority.as_ref());
        let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    authorities.iter().map(block).collect::<String>().into_bytes()
}

fn counters_key(key: &str, number: i64) -> String {
    format!("{PREFIX}w#{key}#{number}")
}

fn user_key(key: &str) -> String {
    format!("{PREFIX}u#{key}")
}

fn parse_record(mut fields: BTreeMap<String, Vec<u8>>) -> Record {
    let version = fields.remove("v").and_then(|version| String::from_utf8(version).ok()?.parse().ok()).unwrap_or_default();
    Record { fields: fields.into_iter().map(|(name, value)| (name.into(), value)).collect(), version, expires_at: None }
}

fn seconds(ttl: Duration) -> String {
    ttl.as_secs().max(1).to_string()
}
