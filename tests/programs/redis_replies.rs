//! Redis as it is operated: failovers, old versions, entries that expired, values of other programs.

use std::{sync::Arc, time::Duration};

use jiff::{Timestamp, ToSpan as _};
use riskgate::{
    event::{ClientIp, Now, http},
    evidence::{
        Cause, Evidence,
        history::{
            Store,
            redis::Redis,
            store::{Change, Keep, List},
            unread::{Part, Unread},
        },
        resilience::deadline::Deadline,
    },
};

use crate::stores::{House, Server, redis_server, redis_server_with};

fn store(server: &Server) -> Redis {
    let url = secrecy::SecretString::from(format!("redis://127.0.0.1:{}/0", server.port));
    Redis::open(&url, &[], Duration::from_secs(2)).unwrap()
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
    Change { set: vec![("p".into(), vec![1])], keep: Keep::Least(Duration::from_secs(600)), ..Change::default() }
}

#[tokio::test]
async fn redis_before_6_2_returns_a_value_once() {
    let server = redis_server_with(&["--rename-command", "GETDEL", ""]);
    let (store, now) = (store(&server), Timestamp::now());
    store.keep("o#1", &[7], Duration::from_secs(60), now).await.unwrap();
    assert_eq!(store.take("o#1", now).await, Ok(Some(vec![7])));
    assert_eq!(store.take("o#1", now).await, Ok(None));
}

#[tokio::test]
async fn a_replica_is_left_for_a_new_connection() {
    let server = redis_server();
    let (store, now) = (store(&server), Timestamp::now());
    store.change("ada", change(), now).await.unwrap();
    let connections = async || {
        let client = redis::Client::open(format!("redis://127.0.0.1:{}/0", server.port)).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let info: String = redis::cmd("INFO").arg("stats").query_async(&mut connection).await.unwrap();
        let line = info.lines().find_map(|line| line.strip_prefix("total_connections_received:")).unwrap();
        line.trim().parse::<u64>().unwrap()
    };
    command(&server, &["REPLICAOF", "127.0.0.1", "1"]).await;
    let before = connections().await;
    assert!(store.change("ada", change(), now).await.is_err());
    assert!(store.change("ada", change(), now).await.is_err());
    // One of them is the one that counts.
    assert!(connections().await >= before + 2, "the connection to the replica is used again");
    command(&server, &["REPLICAOF", "NO", "ONE"]).await;
    store.change("ada", change(), now).await.unwrap();
}

#[tokio::test]
async fn expired_list_entries_are_deleted() {
    let server = redis_server();
    let (store, now) = (store(&server), Timestamp::now());
    let ago = |hours: i64| now.checked_sub(hours.hours()).ok();
    store.enlist(List::Shared, "block#range#192.0.2.0/24", b"{}", ago(2)).await.unwrap();
    store.enlist(List::Shared, "block#range#198.51.100.0/24", b"{}", None).await.unwrap();
    assert_eq!(store.list(List::Shared, now).await.unwrap().len(), 1);
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
    assert_eq!(store.read("ada", now).await, Err(Cause::BadAnswer));
    assert_eq!(store.change("ada", change(), now).await, Err(Cause::BadAnswer));
    command(&server, &["ACL", "SETUSER", "default", "-hgetall"]).await;
    assert_eq!(store.list(List::Shared, now).await, Err(Cause::KeyRefused));
    assert_eq!(store.change("bob", change(), now).await, Err(Cause::KeyRefused));
}

/// A sign-in of one person so many seconds from now.
async fn sign_in(house: &House, user: &str, after: i64) -> Evidence {
    let now = Now::read();
    let now = Now { wall: now.wall.checked_add(after.seconds()).unwrap(), ..now };
    let body = format!(r#"{{"user":"{user}","ip":"192.0.2.7"}}"#);
    let parsed = http::parse(body.as_bytes(), ClientIp::Missing, now).unwrap();
    *house.gate.sources().gather(parsed, Deadline::after(now.mono, Duration::from_secs(5))).await.evidence
}

#[tokio::test]
async fn lists_that_cannot_be_read_stay_in_force_and_are_reported() {
    let server = redis_server();
    let store: Arc<dyn Store> = Arc::new(store(&server));
    let house = House::over(&store, &[("STORE_TIMEOUT", "2s")]);
    store.enlist(List::Shared, "block#range#192.0.2.0/24", br#"{"kind":"suspend"}"#, None).await.unwrap();
    let read = sign_in(&house, "ada", 0).await;
    assert!(read.history.block.is_some() && read.history.unread == Unread::default());
    command(&server, &["ACL", "SETUSER", "default", "-hgetall", "-zremrangebyscore"]).await;
    for after in [11, 12] {
        let refused = sign_in(&house, "ada", after).await;
        assert!(refused.history.block.is_some(), "the list that was read last is in force");
        assert_eq!(refused.history.unread.cause(Part::BlockList), Some(Cause::KeyRefused));
    }
    let health = house.gate.sources().health();
    assert!(health.store.failures(Part::BlockList) >= 2);
    assert!(health.store.failing().any(|(part, _)| part == Part::BlockList), "/readyz names it");
    command(&server, &["ACL", "SETUSER", "default", "+@all"]).await;
    let again = sign_in(&house, "ada", 30).await;
    assert!(again.history_outcome.is_usable() && again.history.unread == Unread::default());
    drop(server);
    let gone = sign_in(&house, "ada", 60).await;
    assert!(!gone.history_outcome.is_usable() && gone.history.block.is_some());
    assert!(sign_in(&house, "ada", 60 + 2 * 86_400).await.history.unread.cause(Part::BlockList).is_some());
}

#[tokio::test]
async fn a_persons_unreadable_record_is_that_persons_alone() {
    let server = redis_server();
    let store: Arc<dyn Store> = Arc::new(store(&server));
    let house = House::over(&store, &[("STORE_TIMEOUT", "2s")]);
    sign_in(&house, "bob", 0).await;
    let ledger = house.gate.sources().ledger().unwrap();
    let key = format!("riskgate:u#{}", ledger.keys("", "ada")[0]);
    command(&server, &["SET", &key, "x"]).await;
    for _ in 0..10 {
        assert!(!sign_in(&house, "ada", 0).await.history_outcome.is_usable());
    }
    assert!(sign_in(&house, "bob", 0).await.history_outcome.is_usable());
}
