//! Classification of Redis errors: the failure reason, whether a new connection may help, and advice for the operator.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis::{ErrorKind, RedisError};
use tokio::time::Instant;

use riskgate_engine::evidence::FailureReason;

/// Error codes with advice, in the order in which the text of a script's error is searched for them.
const KNOWN: [(&str, &str); 17] = [
    ("READONLY", "the server is a replica; connecting again, as after a failover. If it lasts, name the primary in STORE"),
    ("MASTERDOWN", "the server is a replica without a primary; connecting again. If it lasts, name the primary in STORE"),
    ("MOVED", "the server belongs to a Redis Cluster; name one without cluster mode in STORE"),
    ("ASK", "the server belongs to a Redis Cluster; name one without cluster mode in STORE"),
    ("CROSSSLOT", "the server belongs to a Redis Cluster; name one without cluster mode in STORE"),
    ("CLUSTERDOWN", "the server belongs to a Redis Cluster that is down; name one without cluster mode in STORE"),
    ("LOADING", "the server is loading its data; it answers when that is done"),
    ("NOAUTH", "the server wants a password; put it, percent-encoded, into STORE: redis://user:password@HOST"),
    ("WRONGPASS", "the server refuses the user or the password in STORE; percent-encode every character other than letters, digits, - . _ ~"),
    ("NOPERM", "the server's ACL refuses a command or a key; allow the user the commands of docs/STORE.md on riskgate:*"),
    ("OOM", "the server's memory is full; raise maxmemory or choose an eviction policy such as volatile-ttl"),
    ("MISCONF", "the server cannot write its snapshot and refuses writes; look at its log"),
    ("NOREPLICAS", "the server has too few replicas and refuses writes; look at min-replicas-to-write"),
    ("DENIED", "the server is in protected mode and serves its own host only; set a password for it, and put it into STORE"),
    ("BUSY", "the server runs a script of another program for too long; look at its log"),
    ("TRYAGAIN", "the server belongs to a Redis Cluster that moves keys; name one without cluster mode in STORE"),
    ("WRONGTYPE", "a key under riskgate: holds a value of another program; give that program another prefix or database"),
];

/// Error replies with the code ERR, recognised by a part of their text.
const TEXTS: [(&str, FailureReason, &str); 4] = [
    ("max number of clients", FailureReason::Shed, "the server has as many clients as it allows; raise maxclients or run fewer processes"),
    ("DB index is out of range", FailureReason::NoStore, "the server has no such database; correct the number at the end of STORE"),
    ("invalid DB index", FailureReason::NoStore, "the server has no such database; correct the number at the end of STORE"),
    ("SELECT is not allowed in cluster mode", FailureReason::NoStore, "the server belongs to a Redis Cluster; name one without cluster mode in STORE"),
];

// Advice for errors without a reply code.
const UNKNOWN_COMMAND: &str = "the server does not know a command; Redis 6.0 or later, or Valkey, is needed, and not a Sentinel's port";
const PASSWORD: &str =
    "the server refuses the user or the password in STORE, or has no password set; percent-encode every character other than letters, digits, - . _ ~";
const TLS: &str = "the TLS handshake failed; SERVICES_CA names authorities in addition to Mozilla's, and rediss:// needs the server's TLS port";
const OTHER: &str = "look at the server's log";
const NO_REDIS: &str = "the answer is not Redis' protocol; a TLS port needs rediss:// in STORE";

/// Minimum time between two log lines of one kind.
const LOG_INTERVAL: Duration = Duration::from_secs(60);

/// The minute, counted from one, in which each kind was last logged: the kinds of `KNOWN`, four others, then those of `TEXTS`.
static LOGGED: [AtomicU64; KINDS] = [const { AtomicU64::new(0) }; KINDS];
const KINDS: usize = KNOWN.len() + 4 + TEXTS.len();
static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// The failure reason of an error.
pub(super) fn failure_reason(error: &RedisError) -> FailureReason {
    if is_tls(error) {
        return FailureReason::Tls;
    }
    if error.is_timeout() {
        return FailureReason::Timeout;
    }
    if error.is_connection_refusal() {
        return FailureReason::Connect;
    }
    if let Some(reason) = code(error).and_then(failure_reason_of_code) {
        return reason;
    }
    if let Some(index) = text_index(error) {
        return TEXTS[index].1;
    }
    if error.is_connection_dropped() {
        return FailureReason::Reset;
    }
    #[expect(clippy::wildcard_enum_match_arm, reason = "a foreign enum that grows; any other kind means that the store is unavailable")]
    match error.kind() {
        ErrorKind::AuthenticationFailed => FailureReason::KeyRefused,
        ErrorKind::Parse | ErrorKind::UnexpectedReturnType => FailureReason::BadAnswer,
        ErrorKind::Io => FailureReason::Connect,
        _ => FailureReason::NoStore,
    }
}

fn failure_reason_of_code(code: &str) -> Option<FailureReason> {
    match code {
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" => Some(FailureReason::KeyRefused),
        "LOADING" | "OOM" | "BUSY" => Some(FailureReason::Shed),
        // Only this key is affected: it holds another program's value.
        "WRONGTYPE" => Some(FailureReason::BadAnswer),
        _ => None,
    }
}

/// Whether this server cannot serve, but the server to which the address leads now may.
pub(super) fn needs_new_connection(error: &RedisError) -> bool {
    is_tls(error)
        || error.is_unrecoverable_error()
        || matches!(
            code(error),
            Some("READONLY" | "MASTERDOWN" | "MOVED" | "ASK" | "CLUSTERDOWN" | "LOADING" | "NOAUTH" | "WRONGPASS" | "MISCONF" | "NOREPLICAS" | "DENIED")
        )
}

/// Logs advice for the operator, at most one line of a kind per minute, and returns it. The server's text is omitted: it may contain a key.
pub(super) fn log(error: &RedisError) -> Option<&'static str> {
    let code = code(error);
    let known = code.and_then(|code| KNOWN.iter().position(|(known, _)| *known == code));
    let (kind, reply, help) = match (known, text_index(error)) {
        (Some(index), _) => (index, KNOWN[index].0, KNOWN[index].1),
        (None, Some(index)) => (KNOWN.len() + 4 + index, "ERR", TEXTS[index].2),
        (None, None) if is_tls(error) => (KNOWN.len(), "tls", TLS),
        (None, None) if code == Some("ERR") && error.detail().is_some_and(|detail| detail.to_ascii_lowercase().contains("unknown")) => {
            (KNOWN.len() + 1, "ERR", UNKNOWN_COMMAND)
        }
        (None, None) if error.kind() == ErrorKind::Parse => (KNOWN.len() + 2, "none", NO_REDIS),
        (None, None) if error.kind() == ErrorKind::AuthenticationFailed => (KNOWN.len() + 3, "ERR", PASSWORD),
        (None, None) => return None,
    };
    let minute = STARTED.elapsed().as_secs() / LOG_INTERVAL.as_secs() + 1;
    if LOGGED[kind].swap(minute, Ordering::Relaxed) != minute {
        tracing::warn!(reply, help, "the store refused a command; this line is logged at most once a minute");
    }
    Some(help)
}

/// The failure reason of an error of a command in a script, and advice for the operator.
pub(super) fn classify_script_error(error: &str) -> (FailureReason, &'static str) {
    let code = script_code(error);
    let known = KNOWN.iter().find(|(known, _)| Some(*known) == code).map(|(_, help)| *help);
    let help = known.unwrap_or(if error.contains("nknown") { UNKNOWN_COMMAND } else { OTHER });
    (code.and_then(failure_reason_of_code).unwrap_or(FailureReason::NoStore), help)
}

/// The code of the reply. Before Redis 7, an error inside a script has the code ERR, and its actual code is in the text.
fn code(error: &RedisError) -> Option<&str> {
    let code = error.code()?;
    if code != "ERR" {
        return Some(code);
    }
    script_code(error.detail().unwrap_or_default()).or(Some(code))
}

/// The index in `TEXTS` of an error whose code is ERR.
fn text_index(error: &RedisError) -> Option<usize> {
    let detail = error.detail().filter(|_| error.code() == Some("ERR") || error.code().is_none())?;
    TEXTS.iter().position(|(text, ..)| detail.contains(text))
}

fn script_code(detail: &str) -> Option<&'static str> {
    let words = || detail.split(|letter: char| !letter.is_ascii_uppercase() && letter != '_');
    if detail.contains("can't run this command or subcommand") || detail.contains("can't access") {
        return Some("NOPERM");
    }
    KNOWN.iter().map(|(known, _)| *known).find(|known| words().any(|word| word == *known))
}

fn is_tls(error: &RedisError) -> bool {
    // The client wraps its inner errors in a pointer type, which is an error itself.
    let mut next: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    while let Some(inner) = next {
        let shared = inner.downcast_ref::<Arc<dyn std::error::Error + Send + Sync>>().map(|shared| &**shared as &(dyn std::error::Error + 'static));
        let inner = shared.unwrap_or(inner);
        let io = inner.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is::<rustls::Error>() || io.is_some_and(|io| io.is::<rustls::Error>()) {
            return true;
        }
        next = inner.source();
    }
    false
}
