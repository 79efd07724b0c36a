//! Tests of the number of store calls at each trigger.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use crate::attempt::{Admission, AttemptDecision, Completeness, RiskLevel, TokenRestriction};
use crate::repository::*;
use riskgate_config::Config;
use riskgate_engine::personal::RawEvent;
use riskgate_event::cognito::{self, Event};
use riskgate_runtime::clock;
use riskgate_store::memory::Memory;
use riskgate_store::{Change, Changed, CounterBucket, Counters, EntriesByWindow, MissingWindow, Record, Reply, WindowEntry, activity::ActivityBatch};

/// A store that counts its reads and writes.
#[derive(Debug, Default)]
struct CountingStore {
    store: Memory,
    reads: AtomicU32,
    writes: AtomicU32,
}

impl CountingStore {
    fn read(&self) -> &Memory {
        self.reads.fetch_add(1, Ordering::Relaxed);
        &self.store
    }

    fn write(&self) -> &Memory {
        self.writes.fetch_add(1, Ordering::Relaxed);
        &self.store
    }

    fn take_counts(&self) -> (u32, u32) {
        (self.reads.swap(0, Ordering::Relaxed), self.writes.swap(0, Ordering::Relaxed))
    }
}

impl Store for CountingStore {
    fn name(&self) -> &'static str {
        "counted"
    }

    fn update<'a>(&'a self, key: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.write().update(key, change, now)
    }

    fn update_if_field<'a>(&'a self, key: &'a str, field: &'a str, change: Change, now: Timestamp) -> Reply<'a, Arc<Record>> {
        self.write().update_if_field(key, field, change, now)
    }

    fn update_if_version<'a>(&'a self, key: &'a str, version: u64, change: Change, now: Timestamp) -> Reply<'a, Changed> {
        self.write().update_if_version(key, version, change, now)
    }

    fn get_record<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Arc<Record>> {
        CountingStore::read(self).get_record(key, now)
    }

    fn replace<'a>(&'a self, key: &'a str, record: Record, ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.write().replace(key, record, ttl, now)
    }

    fn add_to_window<'a>(&'a self, windows: &'a [SmolStr], entry: WindowEntry, missing: MissingWindow, time: EntryTime) -> Reply<'a, EntriesByWindow> {
        self.write().add_to_window(windows, entry, missing, time)
    }

    fn put_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, Vec<u8>> {
        self.write().put_if_absent(key, value, ttl, now)
    }

    fn put<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.write().put(key, value, ttl, now)
    }

    fn get<'a>(&'a self, key: &'a str, now: Timestamp) -> Reply<'a, Option<Vec<u8>>> {
        CountingStore::read(self).get(key, now)
    }

    fn increment_up_to<'a>(&'a self, key: &'a str, limit: u64, ttl: Duration, now: Timestamp) -> Reply<'a, bool> {
        self.write().increment_up_to(key, limit, ttl, now)
    }

    fn add_to_counters<'a>(&'a self, bucket: CounterBucket<'a>, increments: &'a [(SmolStr, u32)], ttl: Duration, now: Timestamp) -> Reply<'a, u64> {
        self.write().add_to_counters(bucket, increments, ttl, now)
    }

    fn read_counters<'a>(&'a self, key: &'a str, from: i64, to: i64, now: Timestamp) -> Reply<'a, BTreeMap<i64, Counters>> {
        CountingStore::read(self).read_counters(key, from, to, now)
    }

    fn list_entries<'a>(&'a self, list: List, now: Timestamp) -> Reply<'a, BTreeMap<String, Vec<u8>>> {
        CountingStore::read(self).list_entries(list, now)
    }

    fn put_list_entry<'a>(&'a self, list: List, name: &'a str, value: &'a [u8], until: Option<Timestamp>) -> Reply<'a, ()> {
        self.write().put_list_entry(list, name, value, until)
    }

    fn delete_list_entry<'a>(&'a self, list: List, name: &'a str) -> Reply<'a, ()> {
        self.write().delete_list_entry(list, name)
    }

    fn has_activity(&self) -> bool {
        true
    }

    fn put_activity<'a>(&'a self, batch: &'a ActivityBatch, ttl: Duration, now: Timestamp) -> Reply<'a, ()> {
        self.write().put_activity(batch, ttl, now)
    }
}

const ALLOWED: AttemptDecision = AttemptDecision {
    admission: Admission::Allow,
    risk_level: RiskLevel::Low,
    completeness: Completeness::Complete,
    restriction: TokenRestriction::None,
    score: 1,
    reasons: [0; 4],
    counted: None,
};

fn event(kind: &str, config: &Config, second: i64) -> Event {
    let text = format!(
        r#"{{"version":"2","triggerSource":"{kind}","userPoolId":"p","userName":"ada","callerContext":{{"clientId":"web"}},
        "request":{{"userAttributes":{{"sub":"s"}},"validationData":{{"ip":"84.208.20.110"}}}},"response":{{}}}}"#
    );
    let raw = RawEvent::new(serde_json::value::RawValue::from_string(text).expect("JSON"));
    cognito::parse(raw, clock::at(Timestamp::from_second(1_800_000_000 + second).expect("a timestamp")), &config.trust).expect("an event")
}

#[tokio::test]
async fn each_trigger_stays_within_its_round_trips() {
    let (config, _) = Config::read(&BTreeMap::from([("RISKGATE_TRUSTED_CLIENTS".to_owned(), "web".to_owned())]));
    let store = Arc::new(CountingStore::default());
    let repository = HistoryRepository::new(Arc::clone(&store) as Arc<dyn Store>, Arc::new(Pseudonyms::random()), &config, Arc::default());
    // The first round also records the client's capabilities. Later rounds take a constant number of calls.
    for round in 0..5_i64 {
        let Event::PreAuthentication(mut sign_in) = event("PreAuthentication_Authentication", &config, round * 3600) else { unreachable!() };
        Arc::make_mut(&mut sign_in).context.nonce = Some(format!("nonce {round}").into());
        let (_, mut pending_attempt) =
            repository.begin_attempt(&sign_in, &NetworkFacts::default(), &Features::default(), Some(9)).await.expect("memory answers");
        // The first sign-in of an instance reads both lists.
        assert_eq!(store.take_counts(), (1 + u32::from(round == 0), 3), "pre-authentication, lists due, with a nonce");
        pending_attempt.template = None;
        repository.record_decision(pending_attempt, "id", ALLOWED, sign_in.received.wall).await.expect("memory answers");
        assert_eq!(store.take_counts(), (0, 1), "the decision");
        let Event::PostAuthentication(post) = event("PostAuthentication_Authentication", &config, round * 3600 + 1) else { unreachable!() };
        assert_eq!(repository.record_success(&post).await.map(|success| success.learned), Ok(Learned::ProfileUpdated));
        let extra = u32::from(round == 0);
        // The first list was read a second ago, so the other one is read now.
        let list = u32::from(round > 0);
        assert_eq!(store.take_counts(), (1 + list, 3 + extra), "post-authentication, which renews the template after an hour");
        let Event::PreTokenGeneration(token) = event("TokenGeneration_Authentication", &config, round * 3600 + 2) else { unreachable!() };
        repository.read_token_facts(&token).await.expect("memory answers");
        assert_eq!(store.take_counts(), (1, 1), "token, with the client capability, once in a quarter of an hour");
        let Event::PreTokenGeneration(next) = event("TokenGeneration_Authentication", &config, round * 3600 + 3) else { unreachable!() };
        repository.read_token_facts(&next).await.expect("memory answers");
        assert_eq!(store.take_counts(), (1, 0), "the next token");
    }
}

#[test]
fn addresses_are_formatted_like_the_standard_formatter() {
    for text in ["0.0.0.0", "1.2.3.4", "10.20.30.40", "100.109.110.199", "255.255.255.255", "2001:db8::1"] {
        let ip: std::net::IpAddr = text.parse().expect("an address");
        assert_eq!(crate::repository::windows::format_ip(ip), ip.to_string());
    }
}

/// `LEARN=allow` learns from the record that `begin_attempt` read, and concurrent sign-ins are not lost.
#[tokio::test]
async fn learning_from_a_decision_needs_no_second_read() {
    let (config, _) = Config::read(&BTreeMap::from([("RISKGATE_LEARN".to_owned(), "allow".to_owned())]));
    let store = Arc::new(CountingStore::default());
    let repository = HistoryRepository::new(Arc::clone(&store) as Arc<dyn Store>, Arc::new(Pseudonyms::random()), &config, Arc::default());
    let Event::PreAuthentication(sign_in) = event("PreAuthentication_Authentication", &config, 0) else { unreachable!() };
    let begin = || async { repository.begin_attempt(&sign_in, &NetworkFacts::default(), &Features::default(), Some(9)).await.expect("memory answers") };
    for round in 0..3 {
        let (first, second) = (begin().await, begin().await);
        assert_eq!((first.0.profile.successes, second.0.profile.successes), (2 * round, 2 * round));
        store.take_counts();
        for (_, pending_attempt) in [first, second] {
            repository.record_decision(pending_attempt, "id", ALLOWED, sign_in.received.wall).await.expect("memory answers");
        }
        assert_eq!(store.take_counts().0, 0, "no read");
    }
}
