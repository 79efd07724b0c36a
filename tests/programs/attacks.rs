//! Twenty processes that share a store agree on whether their pool is under attack: over Redis, and over an emulator of DynamoDB.

use std::{collections::BTreeMap, process::Stdio, sync::Arc, time::Duration};

use futures_util::future::join_all;
use jiff::Timestamp;
use riskgate_config::pseudonym::{PseudonymKey, Pseudonyms};
use riskgate_pool::{Attempt, AttemptKind, Cell, Counts, PoolState, attempt::level_for, codec::MAX_STATE_BYTES};
use riskgate_store::{Change, Changed, CounterBucket, Store, Ttl};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{
    fixtures::{self, FIREFOX, KEY},
    runtime_api::{Answer, Environment},
};

const PROCESSES: usize = 20;

/// Attempts of each process, each at another account from another network.
const ATTEMPTS: usize = 6;

/// By when all processes agree.
const AGREED: Duration = Duration::from_secs(30);

/// A Lambda environment in a separate process, whose audit lines have the state as a metric.
struct Member {
    lambda: Environment,
    output: tempfile::NamedTempFile,
}

impl Member {
    async fn start(variables: &[(&str, &str)]) -> Self {
        let own = [
            ("PSEUDONYM_KEY", KEY),
            ("TRUSTED_CLIENTS", "web"),
            // Twenty processes on a small machine: what is tested is the state, not how long an answer takes.
            ("BUDGET", "2900ms"),
            ("CONNECT_TIMEOUT", "2s"),
            ("STORE_TIMEOUT", "2s"),
        ];
        let output = tempfile::NamedTempFile::new().unwrap();
        let stdout = output.reopen().unwrap();
        let lambda = Environment::start_with_output(&[&own[..], variables].concat(), stdout.into(), Stdio::null()).await;
        lambda.set_deadline(Some(Duration::from_secs(10)));
        Member { lambda, output }
    }

    async fn sign_in(&self, user: &str, ip: &str) {
        let event = fixtures::pre(user, "web", json!({ "ip": ip, "userAgent": FIREFOX })).to_string();
        assert!(matches!(self.lambda.invoke(event).await, Answer::Event(_) | Answer::Error(_)), "{user} has an answer");
        self.lambda.settled().await;
    }

    fn lines(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(self.output.path()).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The state in its last audit line.
    fn state(&self) -> Option<u64> {
        self.lines().iter().rev().find_map(|line| line["riskgate_attack_state"].as_u64())
    }

    /// The events of its lines about attacks.
    fn reported(&self) -> Vec<String> {
        let lines = self.lines();
        lines.iter().filter(|line| line["trigger"] == "attack").map(|line| line["event"].as_str().unwrap().to_owned()).collect()
    }
}

/// Stores the state of a pool that was observed for five quiet days, up to now.
async fn store_learned_state(store: &Arc<dyn Store>) {
    let now = Timestamp::now();
    let minute = now.as_second().div_euclid(60);
    let mut state = PoolState::default();
    let quiet = Counts::from_fields([("a", 1)]);
    assert!(state.advance(&BTreeMap::from([(minute - 5 * 1_440, quiet)]), minute).is_empty());
    let (kid, key) = KEY.split_once(':').unwrap();
    let pseudonyms = Pseudonyms::new(&[PseudonymKey { kid: kid.to_owned(), key: key.to_owned().into() }]);
    let key = format!("p{:08x}", pseudonyms.short_hash("pool", &[b"pool"]));
    let change = Change { set: vec![("w".into(), state.to_bytes())], remove: Vec::new(), ttl: Ttl::Set(Duration::from_secs(3_600)) };
    assert_eq!(store.update_if_version(&key, 0, change, now).await, Ok(Changed::Done));
}

async fn check(name: &str, store: Arc<dyn Store>, variables: &[(&str, &str)]) {
    store_learned_state(&store).await;
    let members = join_all((0..PROCESSES).map(|_| Member::start(variables))).await;
    join_all(members.iter().enumerate().map(|(process, member)| async move {
        for number in 0..ATTEMPTS {
            let (account, network) = (process * ATTEMPTS + number, process * ATTEMPTS + number);
            member.sign_in(&format!("leaked-{account}"), &format!("14.162.{network}.7")).await;
        }
    }))
    .await;
    let attacked = Instant::now();
    let mut calls = 0;
    loop {
        // The owner of an account signs in now and then. Without a sign-in, a Lambda environment is frozen.
        join_all(members.iter().enumerate().map(|(process, member)| async move { member.sign_in(&format!("owner-{process}"), "84.208.20.110").await })).await;
        calls += 1;
        let agreed = members.iter().filter(|member| member.state() == Some(2)).count();
        if agreed == PROCESSES && attacked.elapsed() < AGREED {
            break;
        }
        assert!(attacked.elapsed() < AGREED, "{name}: {agreed} of {PROCESSES} processes know of the attack");
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    println!("{name}: {PROCESSES} processes agree {:?} after the last attempt, at their sign-in {calls}", attacked.elapsed());
    // A minute is taken up, and reported, once it is over.
    for _ in 0..50 {
        if members.iter().any(|member| !member.reported().is_empty()) {
            break;
        }
        tokio::time::sleep(Duration::from_secs(2)).await;
        join_all(members.iter().enumerate().map(|(process, member)| async move { member.sign_in(&format!("owner-{process}"), "84.208.20.110").await })).await;
    }
    let reported: Vec<String> = members.iter().flat_map(Member::reported).collect();
    assert_eq!(reported, ["onset"], "{name}: one process reports");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_processes_on_one_redis_agree_on_an_attack() {
    let server = fixtures::redis_server();
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let store = riskgate_store::redis::Redis::open(&url.clone().into(), &[], fixtures::NO_DEADLINE).unwrap();
    check("redis", Arc::new(store), &[("STORE", &url)]).await;
}

#[cfg(feature = "dynamodb")]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_processes_on_one_table_agree_on_an_attack() {
    let backend = fixtures::atomic_dynamodb().await;
    let endpoint = format!("http://127.0.0.1:{}", backend.port());
    let variables = [
        ("STORE", "dynamodb://riskgate"),
        ("AWS_ENDPOINT_URL_DYNAMODB", &endpoint),
        ("AWS_REGION", "us-east-1"),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
    ];
    check("dynamodb", Arc::clone(&backend.store), &variables).await;
}

/// The counters of a minute of an attack by `attempts` accounts, each from another network, as one process counts them.
fn minute_of_attack(attempts: u32, before: u32, seed: u32) -> (usize, BTreeMap<smol_str::SmolStr, u32>) {
    let (mut counters, mut writes) = (BTreeMap::new(), 0);
    for number in 0..attempts {
        let hash = (number + seed).wrapping_mul(0x9e37_79b9);
        let cells = [Cell::Asn(number % 400), Cell::AgentFamily(format!("Browser {} on System", number % 50).into()), Cell::UserAgent(hash % 2_000)];
        let attempt = Attempt { user: hash, network: Some(hash.rotate_left(7)), kind: AttemptKind::NewValues, cells: cells.into_iter().collect() };
        if let Some(increments) = attempt.increments(level_for(number.max(before))) {
            writes += 1;
            increments.into_iter().for_each(|(name, value)| *counters.entry(name).or_default() += value);
        }
    }
    (writes, counters)
}

#[tokio::test]
async fn a_pool_under_attack_takes_less_than_a_megabyte() {
    let server = fixtures::redis_server();
    let url = format!("redis://127.0.0.1:{}/0", server.port);
    let store = riskgate_store::redis::Redis::open(&url.clone().into(), &[], fixtures::NO_DEADLINE).unwrap();
    let ttl = Duration::from_secs(900);
    let (mut writes, mut item_bytes, mut counted) = (0, 0, 0);
    // A quarter of an hour, then its minutes expire. 10,000 attempts a minute.
    for minute in 0..15_u32 {
        let (written, counters) = minute_of_attack(10_000, if minute == 0 { 0 } else { 10_000 }, minute * 10_000);
        writes += written;
        counted = counted.max(counters.len());
        // DynamoDB counts the bytes of a name and of a number of up to four digits.
        item_bytes = item_bytes.max(counters.keys().map(|name| name.len() + 3).sum::<usize>());
        let increments: Vec<_> = counters.into_iter().collect();
        let bucket = CounterBucket { key: "p1", number: i64::from(minute) };
        store.add_to_counters(bucket, &increments, ttl, Timestamp::now()).await.unwrap();
    }
    let client = redis::Client::open(url).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let keys: Vec<String> = redis::cmd("KEYS").arg("riskgate:w#*").query_async(&mut connection).await.unwrap();
    let mut bytes = MAX_STATE_BYTES;
    for key in &keys {
        bytes += redis::cmd("MEMORY").arg("USAGE").arg(key).arg("SAMPLES").arg(0).query_async::<usize>(&mut connection).await.unwrap();
    }
    println!(
        "150,000 attempts in 15 minutes: {writes} counted singly, at most {counted} counters and {item_bytes} bytes of a DynamoDB item a minute, {bytes} bytes in Redis"
    );
    assert!(keys.len() == 15 && bytes < 1_000_000 && writes < 15 * 200, "{bytes} bytes, {writes} writes");
}
