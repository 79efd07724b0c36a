//! Redis as it is operated: failovers, old versions, entries that expired, values of other programs.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::{Timestamp, ToSpan as _};
use riskgate_config::Config;
use riskgate_engine::{
    client_ip::ClientIp,
    evidence::{
        Evidence, FailureReason, Outcome,
        store_parts::{StorePart, UnreadParts},
    },
    time::ClockReading,
};
use riskgate_event::http;
use riskgate_pipeline::enricher::Enricher;
use riskgate_runtime::clock;
use riskgate_runtime::{deadline::Deadline, mode::RuntimeMode};
use riskgate_store::{Change, List, Store, Ttl, redis::Redis};

use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpListener,
};

use crate::{
    fixtures::{HOME, KEY, NO_DEADLINE, Server, TestEngine, at, free_port, history, redis_server, redis_server_with},
    harness::sign_in as a_sign_in,
    tls::{Authority, Validity},
};

fn store(server: &Server) -> Redis {
    let url = secrecy::SecretString::from(format!("redis://127.0.0.1:{}/0", server.port));
    Redis::open(&url, &[], NO_DEADLINE).unwrap()
}

async fn command(server: &Server, words: &[&str]) {
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut command = redis::cmd(words[0]);
    words[1..].iter().for_each(|word| {
        command.arg(*word);
    });
    let _: redis::Value = command.query_async(&mut connection).await.unwrap();
}

fn change() -> Change {
    Change { set: vec![("p".into(), vec![1])], ttl: Ttl::AtLeast(Duration::from_secs(600)), ..Change::default() }
}

#[tokio::test]
async fn a_replica_is_left_for_a_new_connection() {
    let server = redis_server();
    let (store, now) = (store(&server), Timestamp::now());
    store.update("ada", change(), now).await.unwrap();
    let connections = async || {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", server.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let info: String = redis::cmd("INFO").arg("stats").query_async(&mut connection).await.unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    command(&server, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let before = connections().await;
    assert!(store.update("ada", change(), now).await.is_err());
    assert!(store.update("ada", change(), now).await.is_err());
    // One of them is the one that counts.
    assert!(connections().await >= before + 2, "the connection to the replica is used again");
    command(&server, &["REPLICAOF", "NO", "ONE"]).await;
    store.update("ada", change(), now).await.unwrap();
}

#[tokio::test]
async fn expired_list_entries_are_deleted() {
    let server = redis_server();
    let (store, now) = (store(&server), Timestamp::now());
    let ago = |hours: i64| now.checked_sub(hours.hours()).ok();
    store.put_list_entry(List::BlockList, "block#range#192.0.2.0/24", b"{}", ago(2)).await.unwrap();
    store.put_list_entry(List::BlockList, "block#range#198.51.100.0/24", b"{}", None).await.unwrap();
    assert_eq!(store.list_entries(List::BlockList, now).await.unwrap().len(), 1);
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let stored: u64 = redis::cmd("HLEN").arg("riskgate:b#shared").query_async(&mut connection).await.unwrap();
    assert_eq!(stored, 1);
}

#[tokio::test]
async fn a_value_of_another_type_is_a_bad_answer_and_a_refused_command_is_a_refused_key() {
    let server = redis_server();
    let (store, now) = (store(&server), Timestamp::now());
    command(&server, &["SET", "riskgate:u#ada", "x"]).await;
    assert_eq!(store.get_record("ada", now).await, Err(FailureReason::BadAnswer));
    assert_eq!(store.update("ada", change(), now).await, Err(FailureReason::BadAnswer));
    command(&server, &["ACL", "SETUSER", "default", "-hgetall"]).await;
    assert_eq!(store.list_entries(List::BlockList, now).await, Err(FailureReason::KeyRefused));
    assert_eq!(store.update("bob", change(), now).await, Err(FailureReason::KeyRefused));
}

/// A sign-in of one person so many seconds from now.
async fn sign_in(engine: &TestEngine, user: &str, after: i64) -> Evidence {
    let now = clock::read();
    let now = ClockReading { wall: now.wall.checked_add(after.seconds()).unwrap(), ..now };
    let body = format!(r#"{{"user":"{user}","ip":"192.0.2.7"}}"#);
    let parsed = http::parse(body.as_bytes(), ClientIp::Missing, now).unwrap();
    *engine.enricher().enrich(parsed, Deadline::after(now.mono, NO_DEADLINE)).await.evidence
}

#[tokio::test]
async fn lists_that_cannot_be_read_stay_in_force_and_are_reported() {
    let server = redis_server();
    let store: Arc<dyn Store> = Arc::new(store(&server));
    let engine = TestEngine::over(&store, &[]);
    store.put_list_entry(List::BlockList, "block#range#192.0.2.0/24", br#"{"kind":"suspend"}"#, None).await.unwrap();
    let read = sign_in(&engine, "ada", 0).await;
    assert!(read.history.block.is_some() && read.history.unread == UnreadParts::default());
    command(&server, &["ACL", "SETUSER", "default", "-hgetall", "-zremrangebyscore"]).await;
    for after in [11, 12] {
        let refused = sign_in(&engine, "ada", after).await;
        assert!(refused.history.block.is_some(), "the list that was read last is in force");
        assert_eq!(refused.history.unread.cause(StorePart::BlockList), Some(FailureReason::KeyRefused));
    }
    let health = engine.enricher().health();
    assert!(health.store.failures(StorePart::BlockList) >= 2);
    assert!(health.store.failing().any(|(part, _)| part == StorePart::BlockList), "/readyz names it");
    command(&server, &["ACL", "SETUSER", "default", "+@all"]).await;
    let again = sign_in(&engine, "ada", 30).await;
    assert!(again.history_outcome.is_usable() && again.history.unread == UnreadParts::default());
    drop(server);
    let gone = sign_in(&engine, "ada", 60).await;
    assert!(!gone.history_outcome.is_usable() && gone.history.block.is_some());
    assert!(sign_in(&engine, "ada", 60 + 2 * 86_400).await.history.unread.cause(StorePart::BlockList).is_some());
}

#[tokio::test]
async fn a_persons_unreadable_record_is_that_persons_alone() {
    let server = redis_server();
    let store: Arc<dyn Store> = Arc::new(store(&server));
    let engine = TestEngine::over(&store, &[]);
    sign_in(&engine, "bob", 0).await;
    let repository = engine.repository();
    let key = format!("riskgate:u#{}", repository.record_keys("", "ada")[0]);
    command(&server, &["SET", &key, "x"]).await;
    for _ in 0..10 {
        assert!(!sign_in(&engine, "ada", 0).await.history_outcome.is_usable());
    }
    assert!(sign_in(&engine, "bob", 0).await.history_outcome.is_usable());
}

/// A server that answers every command with one reply.
struct Replying {
    port: u16,
    reply: Arc<Mutex<&'static str>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Replying {
    async fn start(reply: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (reply, connections) = (Arc::new(Mutex::new(reply)), Arc::<AtomicUsize>::default());
        let (next, counted) = (Arc::clone(&reply), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let next = Arc::clone(&next);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    while let Some(name) = command_name(&mut stream).await {
                        let reply = if name == "CLIENT" { "+OK" } else { *next.lock().unwrap() };
                        let _ = stream.write_all(format!("{reply}\r\n").as_bytes()).await;
                    }
                });
            }
        });
        Replying { port, reply, connections, task }
    }

    fn store(&self) -> Redis {
        Redis::open(&format!("redis://127.0.0.1:{}/0", self.port).into(), &[], NO_DEADLINE).unwrap()
    }
}

impl Drop for Replying {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Reads a command and returns its first word; `None` at the end of the connection.
async fn command_name(stream: &mut BufReader<tokio::net::TcpStream>) -> Option<String> {
    let length = async |stream: &mut BufReader<_>| {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok()?;
        line.trim().get(1..)?.parse::<usize>().ok()
    };
    let mut words = Vec::new();
    for _ in 0..length(stream).await? {
        let mut word = vec![0; length(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        words.push(word);
    }
    Some(String::from_utf8_lossy(words.first()?).trim().to_uppercase())
}

#[tokio::test]
async fn each_refusal_has_its_cause_and_is_recovered_from() {
    for (reply, cause, is_left) in [
        ("-LOADING Redis is loading the dataset in memory", FailureReason::Shed, true),
        ("-MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.", FailureReason::NoStore, true),
        ("-READONLY You can't write against a read only replica.", FailureReason::NoStore, true),
        ("-MOVED 3999 192.0.2.1:6381", FailureReason::NoStore, true),
        ("-ASK 3999 192.0.2.1:6381", FailureReason::NoStore, true),
        ("-CLUSTERDOWN Hash slot not served", FailureReason::NoStore, true),
        ("-NOAUTH Authentication required.", FailureReason::KeyRefused, true),
        ("-WRONGPASS invalid username-password pair or user is disabled.", FailureReason::KeyRefused, true),
        ("-MISCONF Redis is configured to save RDB snapshots", FailureReason::NoStore, true),
        ("-NOREPLICAS Not enough good replicas to write.", FailureReason::NoStore, true),
        ("-NOPERM this user has no permissions to run the 'hgetall' command", FailureReason::KeyRefused, false),
        ("-OOM command not allowed when used memory > 'maxmemory'.", FailureReason::Shed, false),
        ("-WRONGTYPE Operation against a key holding the wrong kind of value", FailureReason::BadAnswer, false),
        ("-ERR unknown command 'HGETALL', with args beginning with: ", FailureReason::NoStore, false),
        ("-DENIED Redis is running in protected mode because protected mode is enabled", FailureReason::KeyRefused, true),
        ("-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.", FailureReason::Shed, false),
        ("-TRYAGAIN Multiple keys request during rehashing of slot", FailureReason::NoStore, false),
        ("-ERR max number of clients reached", FailureReason::Shed, false),
        // As Redis 6 words the errors of a script's commands.
        (
            "-ERR Error running script (call to f_4f): @user_script:7: @user_script: 7: -READONLY You can't write against a read only replica.",
            FailureReason::NoStore,
            true,
        ),
        (
            "-ERR Error running script (call to f_4f): @user_script:7: @user_script: 7: -OOM command not allowed when used memory > 'maxmemory'.",
            FailureReason::Shed,
            false,
        ),
    ] {
        let server = Replying::start(reply).await;
        let (store, now) = (server.store(), Timestamp::now());
        for _ in 0..2 {
            assert_eq!(store.get_record("ada", now).await, Err(cause), "{reply}");
        }
        assert_eq!(server.connections.load(Ordering::Relaxed), if is_left { 2 } else { 1 }, "{reply}");
        *server.reply.lock().unwrap() = "*0";
        assert!(store.get_record("ada", now).await.is_ok(), "{reply}");
    }
}

#[tokio::test]
async fn an_old_server_is_named_by_its_version() {
    let server = Replying::start("*1\r\n$6\r\n5.0.14").await;
    let store = server.store();
    assert_eq!(store.probe(Timestamp::now()).await, Err(FailureReason::NoStore));
    assert_eq!(store.problem().unwrap(), "the server is Redis 5.0.14; Redis 6.0 or later, or Valkey, is needed");
    *server.reply.lock().unwrap() = "*1\r\n$5\r\n7.2.4";
    assert_eq!((store.probe(Timestamp::now()).await, store.problem()), (Ok(()), None));
}

#[tokio::test]
async fn a_mark_that_cannot_be_read_is_reported_and_the_others_count() {
    let server = redis_server();
    let store: Arc<dyn Store> = Arc::new(store(&server));
    let engine = TestEngine::over(&store, &[]);
    let attempt = async |user: &str| history(&engine.attempt(user, HOME, at(0, "07:00:00")).await).clone();
    attempt("ada").await;
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", server.port)).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let windows: Vec<String> = redis::cmd("KEYS").arg("riskgate:n#*").query_async(&mut connection).await.unwrap();
    assert_eq!(windows.len(), 2);
    for window in windows {
        let () = redis::cmd("ZADD").arg(window).arg(at(0, "07:00:00").as_second()).arg("garbage").query_async(&mut connection).await.unwrap();
    }
    let read = attempt("eve").await;
    assert_eq!((read.velocity.accounts_per_ip, read.unread.cause(StorePart::Velocity)), (2, Some(FailureReason::BadAnswer)));
    assert!(engine.health().store.is_failing(StorePart::Velocity));
}

#[tokio::test]
async fn a_full_server_and_a_replica_without_its_primary_are_named_by_the_server_itself() {
    let (server, now) = (redis_server(), Timestamp::now());
    let store = store(&server);
    store.update("ada", change(), now).await.unwrap();
    command(&server, &["CONFIG", "SET", "maxmemory", "1"]).await;
    assert_eq!(store.update("ada", change(), now).await, Err(FailureReason::Shed));
    assert!(store.get_record("ada", now).await.is_ok(), "reads go on");
    command(&server, &["CONFIG", "SET", "maxmemory", "0"]).await;
    store.update("ada", change(), now).await.unwrap();
    command(&server, &["CONFIG", "SET", "replica-serve-stale-data", "no"]).await;
    command(&server, &["REPLICAOF", "127.0.0.1", "1"]).await;
    assert_eq!(store.get_record("ada", now).await, Err(FailureReason::NoStore));
    command(&server, &["REPLICAOF", "NO", "ONE"]).await;
    assert!(store.get_record("ada", now).await.is_ok());
}

#[tokio::test]
async fn the_store_trusts_the_authorities_of_services_ca() {
    let (known, other, port) = (Authority::new(), Authority::new(), free_port());
    let home = tempfile::tempdir().unwrap();
    let (certificate, key) = known.certificate("localhost", Validity::Current);
    let file = |name: &str, kind: &str, bytes: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(bytes);
        let path = home.path().join(name);
        std::fs::write(&path, format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (certificate, key) = (file("certificate", "CERTIFICATE", &certificate), file("key", "PRIVATE KEY", key.secret_der()));
    let tls_port = port.to_string();
    let options =
        ["--tls-port", &tls_port, "--tls-cert-file", &certificate, "--tls-key-file", &key, "--tls-ca-cert-file", &certificate, "--tls-auth-clients", "no"];
    let _server = redis_server_with(&options);
    let outcome = async |authority: &Authority| {
        let variables = [
            ("STORE", format!("rediss://localhost:{port}/0")),
            ("PSEUDONYM_KEY", KEY.to_owned()),
            ("STORE_TIMEOUT", "2400ms".to_owned()),
            ("BUDGET", "2900ms".to_owned()),
        ];
        let variables: BTreeMap<String, String> =
            variables.into_iter().chain([("SERVICES_CA", authority.pem())]).map(|(name, value)| (format!("RISKGATE_{name}"), value)).collect();
        let (config, faults) = Config::read(&variables);
        assert!(faults.is_empty(), "{faults:?}");
        let (sources, faults) = Enricher::open(&config, RuntimeMode::Sidecar);
        assert!(faults.is_empty(), "{faults:?}");
        let sign_in = a_sign_in("8.8.8.8");
        let deadline = Deadline::after(sign_in.received.mono, Duration::from_secs(10));
        sources.enrich(sign_in, deadline).await.evidence.history_outcome
    };
    assert_eq!(outcome(&known).await, Outcome::Fresh);
    assert_eq!(outcome(&other).await, Outcome::Failed(FailureReason::Tls));
}
