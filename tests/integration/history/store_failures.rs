//! A store that refuses some calls and answers the rest: what could not be read or written is reported and never lowers a score.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use riskgate_engine::{
    decision::Verdict,
    evidence::{
        FailureReason,
        history::NonceStatus,
        store_parts::{StorePart, UnreadParts},
    },
    settings::Fallback,
    time::EventTime,
};
use riskgate_event::signed_context::{Claims, sign};
use riskgate_history::repository::{challenge::ChallengeResult, outcome::ReportedOutcome};
use riskgate_pipeline::{claims, learn};
use riskgate_runtime::clock;
use riskgate_store::{
    Change, Changed, CounterBucket, Counters, EntriesByWindow, EntryTime, List, MissingWindow, Record, Reply, Store, WindowEntry, memory::Memory,
};
use serde_json::{Value, json};
use smol_str::SmolStr;

use crate::fixtures::{self, AFAR, CHROME, HOME, KEY, Origin, TestEngine, at, history, pre};

/// A store in memory that refuses the calls that are named.
#[derive(Debug, Default)]
struct Refusing {
    store: Memory,
    refused: Mutex<Vec<&'static str>>,
    /// Calls that never end.
    hanging: Mutex<Vec<&'static str>>,
}

impl Refusing {
    fn refuse(&self, calls: &[&'static str]) {
        *self.refused.lock().unwrap() = calls.to_vec();
    }

    fn hang(&self, calls: &[&'static str]) {
        *self.hanging.lock().unwrap() = calls.to_vec();
    }

    fn answer<'a, T: Send + 'a>(&self, call: &str, answer: Reply<'a, T>) -> Reply<'a, T> {
        if self.hanging.lock().unwrap().contains(&call) {
            return Box::pin(std::future::pending());
        }
        if self.refused.lock().unwrap().contains(&call) { Box::pin(std::future::ready(Err(FailureReason::KeyRefused))) } else { answer }
    }
}

fn on(call: &str, list: List) -> String {
    format!("{call} {list:?}")
}

impl Store for Refusing {
    fn name(&self) -> &'static str {
        "refusing"
    }

    fn update<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("update", self.store.update(key, change, now))
    }

    fn update_if_field<'a>(&'a self, key: &'a str, field: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("update", self.store.update_if_field(key, field, change, now))
    }

    fn update_if_version<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        self.answer("update_if_version", self.store.update_if_version(key, version, change, now))
    }

    fn get_record<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("get_record", self.store.get_record(key, now))
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.answer("replace", self.store.replace(key, record, ttl, now))
    }

    fn add_to_window<'a>(&'a self, windows: &'a [SmolStr], entry: WindowEntry, missing: MissingWindow, time: EntryTime) -> Reply<'a, EntriesByWindow> {
        self.answer("add_to_window", self.store.add_to_window(windows, entry, missing, time))
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        self.answer("put_if_absent", self.store.put_if_absent(key, value, ttl, now))
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.answer("put", self.store.put(key, value, ttl, now))
    }

    fn increment_up_to<'a>(&'a self, key: &'a str, limit: u64, ttl: Duration, now: Timestamp) -> Reply<'a, bool> {
        self.answer("increment_up_to", self.store.increment_up_to(key, limit, ttl, now))
    }

    fn get<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        self.answer("get", self.store.get(key, now))
    }

    fn add_to_counters<'a>(&'a self, bucket: CounterBucket<'a>, increments: &'a [(SmolStr, u32)], ttl: Duration, now: Timestamp) -> Reply<'a, u64> {
        self.answer("add_to_counters", self.store.add_to_counters(bucket, increments, ttl, now))
    }

    fn read_counters<'a>(&'a self, key: &'a str, from: i64, to: i64, now: Timestamp) -> Reply<'a, BTreeMap<i64, Counters>> {
        self.answer("read_counters", self.store.read_counters(key, from, to, now))
    }

    fn list_entries<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        self.answer(&on("list_entries", list), self.store.list_entries(list, now))
    }

    fn put_list_entry<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        self.answer(&on("put_list_entry", list), self.store.put_list_entry(list, name, value, until))
    }

    fn delete_list_entry<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        self.answer(&on("delete_list_entry", list), self.store.delete_list_entry(list, name))
    }
}

fn engine(variables: &[(&str, &str)]) -> (Arc<Refusing>, TestEngine) {
    let store = Arc::new(Refusing::default());
    let engine = TestEngine::over(&(Arc::clone(&store) as Arc<dyn Store>), variables);
    (store, engine)
}

fn unread(part: StorePart) -> UnreadParts {
    let mut unread = UnreadParts::default();
    unread.set(part, Some(FailureReason::KeyRefused));
    unread
}

fn is_failing(engine: &TestEngine, part: StorePart) -> bool {
    engine.health().store.failing().any(|failing| failing == (part, FailureReason::KeyRefused))
}

fn failures(engine: &TestEngine, part: StorePart) -> u64 {
    engine.health().store.failures(part)
}

#[tokio::test]
async fn a_context_whose_nonce_cannot_be_claimed_is_not_trusted() {
    let secret = [7; 32];
    let (store, engine) = engine(&[("CONTEXT_KEYS", &format!("hs:HS256:{}", B64.encode(secret))), ("ALLOW_CIDRS", "84.208.20.0/24")]);
    let attempt = async |nonce: &str, second: i64| {
        let time = Timestamp::from_second(at(0, "07:00:00").as_second() + second).unwrap();
        let claims = Claims {
            aud: "pool".to_owned(),
            client_id: "app".to_owned(),
            iat: time.as_second(),
            jti: nonce.to_owned(),
            ip: Some(HOME.ip.to_owned()),
            user_agent: Some(CHROME.to_owned()),
            ..Claims::default()
        };
        let token = sign(&claims, "hs", Algorithm::HS256, &EncodingKey::from_secret(&secret)).unwrap();
        engine.attempt_by(pre("ada", "app", json!({ "riskgate": token })), time).await
    };
    let read = attempt("nonce-000000000001", 0).await;
    assert!(read.decision.score.signals.lists.allowed && !read.decision.is_degraded());
    store.refuse(&["put_if_absent"]);
    let refused = attempt("nonce-000000000002", 1).await;
    assert!(!refused.decision.score.signals.lists.allowed, "an allow list needs a context that is known to be new");
    assert!(!refused.decision.score.signals.evidence.is_trusted());
    assert_eq!((history(&refused).nonce, history(&refused).unread), (NonceStatus::Unchecked, unread(StorePart::Nonce)));
    assert!(refused.decision.is_degraded() && is_failing(&engine, StorePart::Nonce));
    assert_eq!(failures(&engine, StorePart::Nonce), 1);
    store.refuse(&[]);
    assert!(!attempt("nonce-000000000003", 2).await.decision.is_degraded() && !is_failing(&engine, StorePart::Nonce));
}

#[tokio::test]
async fn velocity_that_cannot_be_counted_is_reported() {
    let (store, engine) = engine(&[]);
    store.refuse(&["add_to_window"]);
    let refused = engine.attempt("ada", HOME, at(0, "07:00:00")).await;
    assert!(refused.decision.is_degraded() && is_failing(&engine, StorePart::Velocity));
    assert_eq!((history(&refused).unread, failures(&engine, StorePart::Velocity)), (unread(StorePart::Velocity), 1));
    store.refuse(&[]);
    let counted = engine.attempt("ada", HOME, at(0, "07:00:01")).await;
    assert!(!counted.decision.is_degraded() && history(&counted).velocity.accounts_per_ip == 1 && !is_failing(&engine, StorePart::Velocity));
}

#[tokio::test]
async fn a_block_that_cannot_be_read_is_reported_and_the_others_are_in_force() {
    let (store, engine) = engine(&[]);
    let day = r#"{"kind":"suspend","by":"test","at":"2026-01-01T00:00:00Z"}"#;
    let good = ["block#range#203.0.113.0/24", "block#client#evil"];
    for name in good {
        store.put_list_entry(List::BlockList, name, day.as_bytes(), None).await.unwrap();
    }
    let sound = engine.attempt("ada", HOME, at(0, "07:00:00")).await;
    assert!(!sound.decision.is_degraded());
    let evil = async |time: &str| engine.attempt_by(pre("ada", "evil", json!({})), at(0, time)).await;
    let blocked = format!("{:?}", evil("07:00:01").await.decision.verdict);
    for (number, (name, value)) in
        [("block#range#nonsense", day), ("block#device#x", "torn"), ("block#shape#x", day), ("block#client#web", r#"{"kind":"banish"}"#)]
            .into_iter()
            .enumerate()
    {
        store.put_list_entry(List::BlockList, name, value.as_bytes(), None).await.unwrap();
        let time = |second: u8| format!("07:{:02}:{second:02}", 10 * (number + 1));
        let assessment = engine.attempt("ada", HOME, at(0, &time(0))).await;
        assert_eq!(history(&assessment).unread.cause(StorePart::BlockList), Some(FailureReason::BadAnswer), "{name}");
        assert!(assessment.decision.is_degraded() && engine.health().store.is_failing(StorePart::BlockList), "{name}");
        assert_eq!(format!("{:?}", evil(&time(1)).await.decision.verdict), blocked, "{name}: the other blocks hold");
        store.delete_list_entry(List::BlockList, name).await.unwrap();
        assert!(!engine.attempt("ada", HOME, at(0, &time(50))).await.decision.is_degraded(), "{name}");
    }
}

async fn token(engine: &TestEngine, time: Timestamp) -> Value {
    let event = json!({ "version": "2", "triggerSource": "TokenGeneration_Authentication", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "web" },
        "request": { "userAttributes": { "sub": "sub-ada" }, "groupConfiguration": {} }, "response": { "claimsAndScopeOverrideDetails": null } });
    let claimed = claims::pre_token_generation(engine.enricher(), &engine.config.token, *engine.token(event, time)).await.unwrap();
    let event: Value = serde_json::from_str(claimed.event.text()).unwrap();
    event["response"]["claimsAndScopeOverrideDetails"]["idTokenGeneration"]["claimsToAddOrOverride"]["riskgate:degraded"].clone()
}

#[tokio::test]
async fn lists_that_later_triggers_cannot_read_are_reported() {
    let (store, engine) = engine(&[]);
    engine.sign_in("ada", HOME, at(0, "07:00:00")).await;
    assert_eq!(token(&engine, at(0, "07:00:01")).await, json!(false));
    store.refuse(&["list_entries BlockList"]);
    assert_eq!(token(&engine, at(0, "07:01:00")).await, json!(true));
    assert!(is_failing(&engine, StorePart::BlockList));
    let before = failures(&engine, StorePart::BlockList);
    assert_eq!(before, engine.health().store.all_failures());
    store.refuse(&[]);
    assert_eq!(token(&engine, at(0, "07:02:00")).await, json!(false));
    assert!(!is_failing(&engine, StorePart::BlockList));
    store.refuse(&["list_entries BlockList"]);
    engine.success("ada", "web", at(0, "07:03:00")).await.unwrap();
    assert!(is_failing(&engine, StorePart::BlockList) && failures(&engine, StorePart::BlockList) > before);
}

#[tokio::test]
async fn records_that_later_triggers_cannot_read_or_write_are_reported() {
    let (store, engine) = engine(&[]);
    engine.attempt("ada", HOME, at(0, "07:00:00")).await;
    store.refuse(&["get_record"]);
    engine.success("ada", "web", at(0, "07:00:01")).await.unwrap_err();
    assert!(is_failing(&engine, StorePart::Record));
    store.refuse(&["update_if_version"]);
    engine.success("ada", "web", at(0, "07:00:02")).await.unwrap_err();
    assert!(!is_failing(&engine, StorePart::Record) && is_failing(&engine, StorePart::Success));
    store.refuse(&["get_record"]);
    token(&engine, at(0, "07:00:03")).await;
    assert!(is_failing(&engine, StorePart::Record));
}

#[tokio::test(start_paused = true)]
async fn calls_that_the_timeout_cuts_off_are_reported_once() {
    let (store, engine) = engine(&[("STORE_TIMEOUT", "100ms")]);
    let assessment = engine.attempt("ada", HOME, at(0, "07:00:00")).await;
    let failing = |part| engine.health().store.failing().any(|failing| failing == (part, FailureReason::Timeout));
    store.hang(&["get_record"]);
    assert_eq!(engine.success("ada", "web", at(0, "07:00:01")).await, Err(FailureReason::Timeout));
    assert!(failing(StorePart::Record));
    assert_eq!(failures(&engine, StorePart::Record), 1);
    let user = ("pool", "sub-ada");
    let result = learn::record_challenge_result(engine.enricher(), user, &assessment.id, ChallengeResult::Passed, clock::at(at(0, "07:00:02"))).await;
    assert_eq!((result, failures(&engine, StorePart::Record)), (Err(FailureReason::Timeout), 2));
    token(&engine, at(0, "07:00:03")).await;
    assert_eq!((failures(&engine, StorePart::Record), failures(&engine, StorePart::Success)), (3, 0));
    store.hang(&["get"]);
    let outcome =
        learn::record_outcome(engine.enricher(), &assessment.id, ReportedOutcome::Success, EventTime::new(at(0, "07:00:04")), clock::at(at(0, "07:00:04")));
    assert_eq!((outcome.await, failures(&engine, StorePart::Success)), (Err(FailureReason::Timeout), 1));
    assert!(failing(StorePart::Success));
    store.hang(&[]);
    assert!(engine.success("ada", "web", at(0, "07:00:05")).await.is_ok() && !engine.health().store.is_failing(StorePart::Record));
}

#[tokio::test]
async fn templates_that_cannot_be_read_are_reported_and_the_others_replace_them() {
    let (store, engine) = engine(&[]);
    store.store.put_list_entry(List::DecoyTemplates, "7", &[1, 2, 3], None).await.unwrap();
    let assessment = engine.attempt("ada", HOME, at(0, "07:00:00")).await;
    let failing: Vec<_> = engine.health().store.failing().collect();
    assert_eq!(failing, [(StorePart::Templates, FailureReason::BadAnswer)]);
    assert!(!assessment.decision.is_degraded(), "nothing of this sign-in is missing");
    store.store.delete_list_entry(List::DecoyTemplates, "7").await.unwrap();
    engine.attempt("ada", HOME, at(0, "07:20:00")).await;
    engine.attempt("ada", HOME, at(0, "07:20:05")).await;
    assert!(!engine.health().store.is_failing(StorePart::Templates));
}

#[tokio::test]
async fn writes_that_a_sign_in_can_do_without_are_reported() {
    let (store, engine) = engine(&[]);
    store.refuse(&["put_list_entry BlockList", "put_list_entry DecoyTemplates"]);
    for day in 0..3 {
        engine.sign_in("ada", HOME, at(day, "07:00:00")).await;
        token(&engine, at(day, "07:00:01")).await;
    }
    for part in [StorePart::ClientUse, StorePart::KeyUse, StorePart::TemplateWrite] {
        assert!(is_failing(&engine, part) && failures(&engine, part) > 0, "{part:?}");
    }
    assert!(!is_failing(&engine, StorePart::Success) && !is_failing(&engine, StorePart::Decision));
    store.refuse(&[]);
    for day in 3..6 {
        engine.sign_in("ada", AFAR, at(day, "07:00:00")).await;
    }
    assert!(!is_failing(&engine, StorePart::ClientUse) && !is_failing(&engine, StorePart::KeyUse));
}

#[tokio::test]
async fn what_cannot_be_moved_to_the_newest_key_is_reported() {
    let (store, old) = engine(&[]);
    old.sign_in("ada", HOME, at(0, "07:00:00")).await;
    let newest = format!("k2:{},{KEY}", B64.encode([9; 32]));
    let engine = TestEngine::over(&(Arc::clone(&store) as Arc<dyn Store>), &[("PSEUDONYM_KEY", &newest)]);
    store.refuse(&["update_if_version"]);
    engine.attempt("ada", HOME, at(1, "07:00:00")).await;
    assert!(is_failing(&engine, StorePart::KeyRotation));
}

/// The block list is read, then refused: for a day it is in force, then the fallback decides until it can be read again.
#[tokio::test]
async fn after_a_day_without_the_block_list_the_fallback_decides() {
    for (name, fallback, verdict) in
        [("deny", Fallback::Deny, Verdict::Deny), ("allow", Fallback::Allow, Verdict::Allow), ("local", Fallback::Local, Verdict::Allow)]
    {
        let (store, engine) = engine(&[("FALLBACK", name)]);
        store.put_list_entry(List::BlockList, "block#range#14.162.100.0/24", br#"{"kind":"suspend"}"#, None).await.unwrap();
        let attempt = async |origin: Origin, day: i64, time: &str| engine.attempt("ada", origin, at(day, time)).await.decision;
        attempt(HOME, 0, "07:00:00").await;
        let health = &engine.health().store;
        assert_eq!(health.block_list_read(), u64::try_from(at(0, "07:00:00").as_second()).unwrap());
        store.refuse(&["list_entries BlockList"]);
        for (day, time) in [(0, "07:00:11"), (1, "07:00:00")] {
            assert_eq!(attempt(AFAR, day, time).await.verdict, Verdict::Deny, "the list is in force");
            let other = attempt(HOME, day, time).await;
            assert_eq!((other.verdict, other.fallback), (Verdict::Allow, None));
        }
        let late = attempt(HOME, 1, "07:00:01").await;
        assert_eq!((late.verdict, late.fallback), (verdict, Some(fallback)), "{name}");
        assert_eq!(late.score.signals.evidence.history.unread, unread(StorePart::BlockList));
        // So do sign-ins for which the store does not answer at all.
        store.refuse(&["list_entries BlockList", "update"]);
        assert_eq!(attempt(HOME, 1, "07:00:02").await.fallback, Some(fallback), "{name}");
        store.refuse(&[]);
        let again = attempt(HOME, 1, "07:01:00").await;
        assert_eq!((again.verdict, again.fallback), (Verdict::Allow, None), "{name}");
        assert_eq!(health.block_list_read(), u64::try_from(at(1, "07:01:00").as_second()).unwrap());
        assert_eq!(attempt(AFAR, 1, "07:01:01").await.verdict, Verdict::Deny);
    }
}

/// Without a block list a machine's token is reported with the store's own cause.
#[tokio::test]
async fn a_machine_token_without_a_block_list_names_the_cause() {
    let (store, engine) = engine(&[]);
    store.refuse(&["list_entries BlockList"]);
    let event = json!({ "version": "3", "triggerSource": "TokenGeneration_ClientCredentials", "userPoolId": "pool", "callerContext": { "clientId": "web" },
        "request": {}, "response": {} });
    let claimed = claims::pre_token_generation(engine.enricher(), &engine.config.token, *engine.token(event, at(0, "07:00:00"))).await.unwrap();
    assert_eq!(claimed.missing, Some(FailureReason::KeyRefused));
    assert!(is_failing(&engine, StorePart::BlockList));
    assert!(fixtures::reasons(&engine.attempt("ada", HOME, at(0, "07:00:01")).await).contains(&"degraded"));
}

#[tokio::test]
async fn an_attack_state_that_cannot_be_read_degrades() {
    let (store, engine) = engine(&[]);
    let time = |second| Timestamp::from_second(at(0, "07:00:00").as_second() + second).unwrap();
    assert!(!engine.attempt("ada", HOME, time(0)).await.decision.is_degraded());
    // Only the pool's state is read so: the attempt itself is an update.
    store.refuse(&["get_record"]);
    engine.enricher().update_pools(clock::at(time(11))).await;
    assert!(is_failing(&engine, StorePart::AttackState));
    let during = engine.attempt("ada", HOME, time(12)).await;
    assert!(!during.decision.is_degraded(), "the state is a few seconds old");
    let unknown = engine.attempt("ada", HOME, time(61)).await;
    assert_eq!(history(&unknown).unread, unread(StorePart::AttackState));
    assert!(unknown.decision.is_degraded());
    store.refuse(&[]);
    assert!(!engine.attempt("ada", HOME, time(80)).await.decision.is_degraded(), "a later sign-in reads it again");
    assert!(!is_failing(&engine, StorePart::AttackState));
}

#[tokio::test]
async fn counts_of_a_pool_that_cannot_be_written_are_reported_and_delay_no_sign_in() {
    let (store, engine) = engine(&[("STORE_TIMEOUT", "50ms")]);
    let time = at(0, "07:00:00");
    store.refuse(&["add_to_counters"]);
    assert!(!engine.attempt("ada", HOME, time).await.decision.is_degraded());
    engine.enricher().update_pools(clock::at(time)).await;
    assert!(is_failing(&engine, StorePart::PoolCounts) && failures(&engine, StorePart::PoolCounts) == 1);
    store.refuse(&[]);
    store.hang(&["add_to_counters"]);
    engine.attempt("ada", HOME, time).await;
    engine.enricher().update_pools(clock::at(time)).await;
    assert_eq!(failures(&engine, StorePart::PoolCounts), 2, "a write that hangs is cut off");
}
