//! A store that refuses some calls and answers the rest: what could not be read or written is reported, and helps nobody.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey};
use riskgate::{
    claims,
    config::decision::Fallback,
    decision::Verdict,
    event::context::{Claims, sign},
    evidence::{
        Cause,
        history::{
            Nonce, Store,
            memory::Memory,
            store::{Change, Changed, List, Mark, MarkTime, Marked, Record, Reply},
            unread::{Part, Unread},
        },
    },
    response::http::is_degraded,
};
use serde_json::{Value, json};
use smol_str::SmolStr;

use super::stores::{self, AFAR, CHROME, HOME, House, KEY, Origin, at, history, pre};

/// A store in memory that refuses the calls that are named.
#[derive(Debug, Default)]
struct Refusing {
    store: Memory,
    refused: Mutex<Vec<&'static str>>,
}

impl Refusing {
    fn refuse(&self, calls: &[&'static str]) {
        *self.refused.lock().unwrap() = calls.to_vec();
    }

    fn answer<'a, T: Send + 'a>(&self, call: &str, answer: Reply<'a, T>) -> Reply<'a, T> {
        if self.refused.lock().unwrap().contains(&call) { Box::pin(std::future::ready(Err(Cause::KeyRefused))) } else { answer }
    }
}

fn on(call: &str, list: List) -> String {
    format!("{call} {list:?}")
}

impl Store for Refusing {
    fn name(&self) -> &'static str {
        "refusing"
    }

    fn change<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("change", self.store.change(key, change, now))
    }

    fn change_if<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        self.answer("change_if", self.store.change_if(key, version, change, now))
    }

    fn read<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.answer("read", self.store.read(key, now))
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.answer("replace", self.store.replace(key, record, keep, now))
    }

    fn mark<'a>(&'a self, windows: &'a [SmolStr], mark: Mark, time: MarkTime) -> Reply<'a, Marked> {
        self.answer("mark", self.store.mark(windows, mark, time))
    }

    fn claim<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        self.answer("claim", self.store.claim(key, value, keep, now))
    }

    fn keep<'a>(&'a self, key: &'a str, value: &'a [u8], keep: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.answer("keep", self.store.keep(key, value, keep, now))
    }

    fn count<'a>(&'a self, key: &'a str, limit: u64, keep: Duration, now: Timestamp) -> Reply<'a, bool> {
        self.answer("count", self.store.count(key, limit, keep, now))
    }

    fn fetch<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        self.answer("fetch", self.store.fetch(key, now))
    }

    fn list<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        self.answer(&on("list", list), self.store.list(list, now))
    }

    fn enlist<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        self.answer(&on("enlist", list), self.store.enlist(list, name, value, until))
    }

    fn delist<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        self.answer(&on("delist", list), self.store.delist(list, name))
    }
}

fn house(variables: &[(&str, &str)]) -> (Arc<Refusing>, House) {
    let store = Arc::new(Refusing::default());
    let house = House::over(&(Arc::clone(&store) as Arc<dyn Store>), variables);
    (store, house)
}

fn unread(part: Part) -> Unread {
    let mut unread = Unread::default();
    unread.set(part, Some(Cause::KeyRefused));
    unread
}

fn is_failing(house: &House, part: Part) -> bool {
    house.gate.health().store.failing().any(|failing| failing == (part, Cause::KeyRefused))
}

fn failures(house: &House, part: Part) -> u64 {
    house.gate.health().store.failures(part)
}

#[tokio::test]
async fn a_context_whose_nonce_cannot_be_claimed_is_not_believed() {
    let secret = [7; 32];
    let (store, house) = house(&[("CONTEXT_KEYS", &format!("hs:HS256:{}", B64.encode(secret))), ("ALLOW_CIDRS", "84.208.20.0/24")]);
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
        house.attempt_by(pre("ada", "app", json!({ "riskgate": token })), time).await
    };
    let read = attempt("nonce-000000000001", 0).await;
    assert!(read.decision.score.signals.lists.allowed && !is_degraded(&read.decision));
    store.refuse(&["claim"]);
    let refused = attempt("nonce-000000000002", 1).await;
    assert!(!refused.decision.score.signals.lists.allowed, "an allow list needs a context that is known to be new");
    assert!(!refused.decision.score.signals.evidence.is_believed());
    assert_eq!((history(&refused).nonce, history(&refused).unread), (Nonce::Unchecked, unread(Part::Nonce)));
    assert!(is_degraded(&refused.decision) && is_failing(&house, Part::Nonce));
    assert_eq!(failures(&house, Part::Nonce), 1);
    store.refuse(&[]);
    assert!(!is_degraded(&attempt("nonce-000000000003", 2).await.decision) && !is_failing(&house, Part::Nonce));
}

#[tokio::test]
async fn velocity_that_cannot_be_counted_is_reported() {
    let (store, house) = house(&[]);
    store.refuse(&["mark"]);
    let refused = house.attempt("ada", HOME, at(0, "07:00:00")).await;
    assert!(is_degraded(&refused.decision) && is_failing(&house, Part::Velocity));
    assert_eq!((history(&refused).unread, failures(&house, Part::Velocity)), (unread(Part::Velocity), 1));
    store.refuse(&[]);
    let counted = house.attempt("ada", HOME, at(0, "07:00:01")).await;
    assert!(!is_degraded(&counted.decision) && history(&counted).velocity.accounts_per_ip == 1 && !is_failing(&house, Part::Velocity));
}

#[tokio::test]
async fn a_block_that_cannot_be_read_is_reported_and_the_others_are_in_force() {
    let (store, house) = house(&[]);
    let day = r#"{"kind":"suspend","by":"test","at":"2026-01-01T00:00:00Z"}"#;
    let good = ["block#range#203.0.113.0/24", "block#client#evil"];
    for name in good {
        store.enlist(List::Shared, name, day.as_bytes(), None).await.unwrap();
    }
    let sound = house.attempt("ada", HOME, at(0, "07:00:00")).await;
    assert!(!is_degraded(&sound.decision));
    let evil = async |time: &str| house.attempt_by(pre("ada", "evil", json!({})), at(0, time)).await;
    let blocked = format!("{:?}", evil("07:00:01").await.decision.verdict);
    for (number, (name, value)) in
        [("block#range#nonsense", day), ("block#device#x", "torn"), ("block#shape#x", day), ("block#client#web", r#"{"kind":"banish"}"#)]
            .into_iter()
            .enumerate()
    {
        store.enlist(List::Shared, name, value.as_bytes(), None).await.unwrap();
        let time = |second: u8| format!("07:{:02}:{second:02}", 10 * (number + 1));
        let assessment = house.attempt("ada", HOME, at(0, &time(0))).await;
        assert_eq!(history(&assessment).unread.cause(Part::BlockList), Some(Cause::BadAnswer), "{name}");
        assert!(is_degraded(&assessment.decision) && house.gate.health().store.is_failing(Part::BlockList), "{name}");
        assert_eq!(format!("{:?}", evil(&time(1)).await.decision.verdict), blocked, "{name}: the other blocks hold");
        store.delist(List::Shared, name).await.unwrap();
        assert!(!is_degraded(&house.attempt("ada", HOME, at(0, &time(50))).await.decision), "{name}");
    }
}

async fn token(house: &House, time: Timestamp) -> Value {
    let event = json!({ "version": "2", "triggerSource": "TokenGeneration_Authentication", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "web" },
        "request": { "userAttributes": { "sub": "sub-ada" }, "groupConfiguration": {} }, "response": { "claimsAndScopeOverrideDetails": null } });
    let claimed = claims::pre_token_generation(house.gate.sources(), &house.config.token, *house.token(event, time)).await.unwrap();
    let event: Value = serde_json::from_str(claimed.event.text()).unwrap();
    event["response"]["claimsAndScopeOverrideDetails"]["idTokenGeneration"]["claimsToAddOrOverride"]["riskgate:degraded"].clone()
}

#[tokio::test]
async fn lists_that_later_triggers_cannot_read_are_reported() {
    let (store, house) = house(&[]);
    house.sign_in("ada", HOME, at(0, "07:00:00")).await;
    assert_eq!(token(&house, at(0, "07:00:01")).await, json!(false));
    store.refuse(&["list Shared"]);
    assert_eq!(token(&house, at(0, "07:01:00")).await, json!(true));
    assert!(is_failing(&house, Part::BlockList));
    let before = failures(&house, Part::BlockList);
    assert_eq!(before, house.gate.health().store.all_failures());
    store.refuse(&[]);
    assert_eq!(token(&house, at(0, "07:02:00")).await, json!(false));
    assert!(!is_failing(&house, Part::BlockList));
    store.refuse(&["list Shared"]);
    house.success("ada", "web", at(0, "07:03:00")).await.unwrap();
    assert!(is_failing(&house, Part::BlockList) && failures(&house, Part::BlockList) > before);
}

#[tokio::test]
async fn records_that_later_triggers_cannot_read_or_write_are_reported() {
    let (store, house) = house(&[]);
    house.attempt("ada", HOME, at(0, "07:00:00")).await;
    store.refuse(&["read"]);
    house.success("ada", "web", at(0, "07:00:01")).await.unwrap_err();
    assert!(is_failing(&house, Part::Record));
    store.refuse(&["change_if"]);
    house.success("ada", "web", at(0, "07:00:02")).await.unwrap_err();
    assert!(!is_failing(&house, Part::Record) && is_failing(&house, Part::Success));
    store.refuse(&["read"]);
    token(&house, at(0, "07:00:03")).await;
    assert!(is_failing(&house, Part::Record));
}

#[tokio::test]
async fn writes_that_a_sign_in_can_do_without_are_reported() {
    let (store, house) = house(&[]);
    store.refuse(&["enlist Shared", "enlist Shapes"]);
    for day in 0..3 {
        house.sign_in("ada", HOME, at(day, "07:00:00")).await;
        token(&house, at(day, "07:00:01")).await;
    }
    for part in [Part::ClientUse, Part::KeyUse, Part::TemplateWrite] {
        assert!(is_failing(&house, part) && failures(&house, part) > 0, "{part:?}");
    }
    assert!(!is_failing(&house, Part::Success) && !is_failing(&house, Part::Decision));
    store.refuse(&[]);
    for day in 3..6 {
        house.sign_in("ada", AFAR, at(day, "07:00:00")).await;
    }
    assert!(!is_failing(&house, Part::ClientUse) && !is_failing(&house, Part::KeyUse));
}

#[tokio::test]
async fn what_cannot_be_moved_to_the_newest_key_is_reported() {
    let (store, old) = house(&[]);
    old.sign_in("ada", HOME, at(0, "07:00:00")).await;
    let newest = format!("k2:{},{KEY}", B64.encode([9; 32]));
    let house = House::over(&(Arc::clone(&store) as Arc<dyn Store>), &[("PSEUDONYM_KEY", &newest)]);
    store.refuse(&["change_if"]);
    house.attempt("ada", HOME, at(1, "07:00:00")).await;
    assert!(is_failing(&house, Part::KeyRotation));
}

/// The block list is read, then refused: for a day it is in force, then the fallback decides until it can be read again.
#[tokio::test]
async fn after_a_day_without_the_block_list_the_fallback_decides() {
    for (name, fallback, verdict) in
        [("deny", Fallback::Deny, Verdict::Deny), ("allow", Fallback::Allow, Verdict::Allow), ("local", Fallback::Local, Verdict::Allow)]
    {
        let (store, house) = house(&[("FALLBACK", name)]);
        store.enlist(List::Shared, "block#range#14.162.100.0/24", br#"{"kind":"suspend"}"#, None).await.unwrap();
        let attempt = async |origin: Origin, day: i64, time: &str| house.attempt("ada", origin, at(day, time)).await.decision;
        attempt(HOME, 0, "07:00:00").await;
        let health = &house.gate.health().store;
        assert_eq!(health.block_list_read(), u64::try_from(at(0, "07:00:00").as_second()).unwrap());
        store.refuse(&["list Shared"]);
        for (day, time) in [(0, "07:00:11"), (1, "07:00:00")] {
            assert_eq!(attempt(AFAR, day, time).await.verdict, Verdict::Deny, "the list is in force");
            let other = attempt(HOME, day, time).await;
            assert_eq!((other.verdict, other.fallback), (Verdict::Allow, None));
        }
        let late = attempt(HOME, 1, "07:00:01").await;
        assert_eq!((late.verdict, late.fallback), (verdict, Some(fallback)), "{name}");
        assert_eq!(late.score.signals.evidence.history.unread, unread(Part::BlockList));
        // So do sign-ins for which the store does not answer at all.
        store.refuse(&["list Shared", "change"]);
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
async fn a_machines_token_without_a_block_list_names_the_cause() {
    let (store, house) = house(&[]);
    store.refuse(&["list Shared"]);
    let event = json!({ "version": "3", "triggerSource": "TokenGeneration_ClientCredentials", "userPoolId": "pool", "callerContext": { "clientId": "web" },
        "request": {}, "response": {} });
    let claimed = claims::pre_token_generation(house.gate.sources(), &house.config.token, *house.token(event, at(0, "07:00:00"))).await.unwrap();
    assert_eq!(claimed.missing, Some(Cause::KeyRefused));
    assert!(is_failing(&house, Part::BlockList));
    assert!(stores::reasons(&house.attempt("ada", HOME, at(0, "07:00:01")).await).contains(&"degraded"));
}
