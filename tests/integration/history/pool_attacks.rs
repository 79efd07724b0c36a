//! Attacks on a whole pool, live: counts in the store, the detector's state, and what it changes for a sign-in.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use futures_util::StreamExt as _;
use jiff::Timestamp;
use riskgate_engine::decision::Verdict;
use riskgate_pool::{AttackEvent, AttackNotice, Status};
use riskgate_runtime::clock;
use riskgate_store::{Change, Changed, CounterBucket, Ttl};
use smol_str::SmolStr;

use crate::fixtures::{self, CHROME, FIREFOX, HOME, KEY, Origin, TestEngine, at, pre, reasons};

/// Enough attempts for a detector that expects none.
const ATTEMPTS: usize = 90;

const TTL: Duration = Duration::from_secs(3_600);

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(time.as_second() + seconds).unwrap()
}

async fn update(engine: &TestEngine, time: Timestamp) -> Vec<AttackNotice> {
    engine.enricher().update_pools(clock::at(time)).await
}

fn status(engine: &TestEngine) -> Status {
    engine.enricher().pools().statuses().first().map(|status| status.status).unwrap_or_default()
}

/// The key of the pool's record and counters in every engine of these tests.
fn key() -> String {
    use riskgate_config::pseudonym::{PseudonymKey, Pseudonyms};
    let (kid, key) = KEY.split_once(':').unwrap();
    let pseudonyms = Pseudonyms::new(&[PseudonymKey { kid: kid.to_owned(), key: key.to_owned().into() }]);
    format!("p{:08x}", pseudonyms.short_hash("pool", &[b"pool"]))
}

/// Five days in which one user signs in daily from home. Returns the time after them, in the middle of a minute.
async fn learn_pool(engine: &TestEngine) -> Timestamp {
    for day in 0..5 {
        let time = at(day, "07:00:00");
        engine.sign_in("ada", HOME, time).await;
        update(engine, later(time, 1)).await;
        assert_eq!(update(engine, later(time, 90)).await, []);
    }
    at(5, "12:00:20")
}

/// The attacker's address: each has its own /24 of one provider.
fn attacker(number: usize) -> String {
    format!("14.162.{number}.7")
}

/// One attempt for each account and address, spread over three minutes.
async fn attack(engines: &[&TestEngine], start: Timestamp) {
    for number in 0..ATTEMPTS {
        let engine = engines[number % engines.len()];
        let ip = attacker(number);
        let event = pre(&format!("leaked-{number}"), "web", serde_json::json!({ "ip": ip, "userAgent": FIREFOX, "deviceId": format!("d-{number}") }));
        let time = later(start, 2 * i64::try_from(number).unwrap());
        engine.attempt_by(event, time).await;
        if number % 5 == 4 {
            update(engine, time).await;
        }
    }
}

/// A pool whose attack was detected and reported, and when it began.
async fn pool_under_attack() -> (fixtures::Backend, Timestamp) {
    let backend = fixtures::memory();
    let engine = backend.engine(&[]);
    let start = learn_pool(&engine).await;
    attack(&[&engine], start).await;
    update(&engine, later(start, 200)).await;
    update(&engine, later(start, 260)).await;
    (backend, start)
}

/// A sign-in from the attacker's network, of somebody who was never there.
fn wave(user: &str) -> serde_json::Value {
    pre(user, "web", serde_json::json!({ "ip": attacker(200), "userAgent": FIREFOX, "deviceId": "another" }))
}

#[tokio::test]
async fn counters_of_several_processes_add_up_in_every_store() {
    // moto does not isolate concurrent updates, so its table gets one call after the other.
    let one_at_a_time = fixtures::all().await.into_iter().map(|backend| (backend, 1));
    let at_once = fixtures::atomic().await.into_iter().map(|backend| (backend, 20));
    for (backend, width) in one_at_a_time.chain(at_once) {
        let (store, now) = (&*backend.store, at(0, "07:00:00"));
        let bucket = |number| CounterBucket { key: "p1", number };
        let one: [(SmolStr, u32); 2] = [("a".into(), 1), ("fChrome on macOS".into(), 1)];
        let adds = futures_util::stream::iter((0..20).map(|_| store.add_to_counters(bucket(100), &one, TTL, now)));
        let mut totals: Vec<u64> = adds.buffer_unordered(width).map(|total| total.expect(backend.name)).collect().await;
        totals.sort_unstable();
        assert_eq!(totals, (1..=20).collect::<Vec<u64>>(), "{}", backend.name);
        let many: Vec<(SmolStr, u32)> = (0..450_u32).map(|number| (format!("u{number:08x}").into(), number + 1)).collect();
        assert_eq!(store.add_to_counters(bucket(102), &many, TTL, now).await, Ok(1), "{}", backend.name);
        store.add_to_counters(CounterBucket { key: "p2", number: 101 }, &one, TTL, now).await.expect(backend.name);
        let read = store.read_counters("p1", 99, 102, now).await.expect(backend.name);
        assert_eq!(read.keys().copied().collect::<Vec<_>>(), [100, 102], "{}", backend.name);
        let first: BTreeMap<&str, u64> = read[&100].iter().map(|(name, value)| (name.as_str(), *value)).collect();
        assert_eq!(first, BTreeMap::from([("a", 20), ("fChrome on macOS", 20)]), "{}", backend.name);
        assert_eq!(read[&102].iter().map(|(_, value)| value).sum::<u64>(), 450 * 451 / 2, "{}", backend.name);
        assert!(store.read_counters("p1", 101, 101, now).await.expect(backend.name).is_empty(), "{}", backend.name);
        assert_eq!(store.read_counters("p1", i64::MIN / 2, 100, now).await.map(|read| read.len()), Ok(1), "{}: a long range is cut", backend.name);
        if backend.name != "redis" {
            // Redis expires by its own clock.
            assert!(store.read_counters("p1", 99, 102, later(now, 3_601)).await.expect(backend.name).is_empty(), "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn an_attack_is_detected_reported_once_and_weighed() {
    for backend in fixtures::atomic().await {
        let (one, two) = (backend.engine(&[]), backend.engine(&[]));
        let start = learn_pool(&one).await;
        two.attempt("ada", HOME, start).await;
        assert!(!reasons(&two.attempt_by(wave("eve"), start).await).contains(&"attack_wave"), "{}", backend.name);
        attack(&[&one, &two], start).await;
        let mut notices = Vec::new();
        for (second, engine) in [(200, &one), (201, &two), (215, &one), (216, &two)] {
            notices.extend(update(engine, later(start, second)).await);
        }
        assert_eq!((status(&one), status(&two)), (Status::UnderAttack, Status::UnderAttack), "{}", backend.name);
        let attack = two.enricher().pools().statuses()[0].attack.clone().expect("an attack");
        assert!(attack.attempts >= 80 && attack.accounts >= 80 && attack.networks >= 80, "{}: {attack:?}", backend.name);
        assert!(attack.cells.iter().any(|cell| cell == "VN") && attack.cells.iter().any(|cell| cell.starts_with("AS")), "{}: {attack:?}", backend.name);
        let during = later(start, 220);
        let stranger = two.attempt_by(wave("eve-2"), during).await;
        assert!(reasons(&stranger).contains(&"attack_wave"), "{}: {:?}", backend.name, reasons(&stranger));
        assert!(!stranger.decision.is_degraded(), "{}", backend.name);
        // A user in the place that the attack comes from, with a known device and network: nothing changes.
        let known = two.attempt("ada", HOME, during).await;
        assert!(!reasons(&known).contains(&"attack_wave") && known.decision.action == Verdict::Allow, "{}", backend.name);
        // All onsets, also those that were reported while the attack was under way.
        assert!(notices.iter().all(|notice| notice.event != AttackEvent::Onset) || notices.len() <= 2, "{}: {notices:?}", backend.name);
        let ended = end(&[&one, &two], during).await;
        assert_eq!(ended.iter().map(|notice| notice.event).collect::<Vec<_>>(), [AttackEvent::End], "{}", backend.name);
        assert_eq!((status(&one), status(&two)), (Status::Calm, Status::Calm), "{}", backend.name);
        assert!(!reasons(&one.attempt_by(wave("eve-3"), later(during, 26_000)).await).contains(&"attack_wave"), "{}", backend.name);
    }
}

/// Seven hours without attempts: the hourly chart forgets in two, and the attack is over an hour and a half later. Returns what both processes reported.
async fn end(engines: &[&TestEngine], from: Timestamp) -> Vec<AttackNotice> {
    let mut notices = Vec::new();
    for minute in (10..420).step_by(10) {
        for engine in engines {
            notices.extend(update(engine, later(from, minute * 60)).await);
        }
    }
    notices
}

#[tokio::test]
async fn an_onset_is_reported_by_one_process() {
    let backend = fixtures::memory();
    let engines = [backend.engine(&[]), backend.engine(&[]), backend.engine(&[])];
    let start = learn_pool(&engines[0]).await;
    let mut onsets = Vec::new();
    for number in 0..ATTEMPTS {
        let engine = &engines[number % 3];
        let time = later(start, 2 * i64::try_from(number).unwrap());
        let origin = serde_json::json!({ "ip": attacker(number), "userAgent": FIREFOX, "deviceId": format!("d-{number}") });
        engine.attempt_by(pre(&format!("leaked-{number}"), "web", origin), time).await;
        for engine in &engines {
            onsets.extend(update(engine, time).await);
        }
    }
    for second in [200, 260] {
        for engine in &engines {
            onsets.extend(update(engine, later(start, second)).await);
        }
    }
    assert_eq!(onsets.iter().map(|notice| (notice.event, notice.pool.as_str())).collect::<Vec<_>>(), [(AttackEvent::Onset, "pool")]);
    assert!(onsets[0].attack.since <= start.as_second() + 120 && onsets[0].attack.detected > onsets[0].attack.since, "{onsets:?}");
}

#[tokio::test]
async fn a_restarted_process_knows_the_attack_at_its_first_sign_in() {
    let (backend, start) = pool_under_attack().await;
    let restarted = backend.engine(&[]);
    let assessment = restarted.attempt_by(wave("eve"), later(start, 270)).await;
    assert!(reasons(&assessment).contains(&"attack_wave") && !assessment.decision.is_degraded());
}

#[tokio::test]
async fn the_attack_is_found_under_an_older_pseudonym_key() {
    let (backend, start) = pool_under_attack().await;
    let both = format!("k2:{},{KEY}", "A".repeat(42) + "E");
    let rotated = backend.engine(&[("PSEUDONYM_KEY", &both)]);
    rotated.attempt("ada", HOME, later(start, 270)).await;
    update(&rotated, later(start, 281)).await;
    assert_eq!(status(&rotated), Status::UnderAttack);
    assert_eq!(update(&rotated, later(start, 340)).await, [], "it was reported before the rotation");
}

#[tokio::test]
async fn claims_without_trust_frame_no_network() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[]);
    let start = learn_pool(&engine).await;
    for number in 0..ATTEMPTS {
        let time = later(start, 2 * i64::try_from(number).unwrap());
        let origin = serde_json::json!({ "ip": attacker(number), "userAgent": FIREFOX });
        engine.attempt_by(pre(&format!("leaked-{number}"), "app", origin), time).await;
        update(&engine, time).await;
    }
    update(&engine, later(start, 260)).await;
    let attack = engine.enricher().pools().statuses()[0].attack.clone().expect("an attack");
    assert!(attack.cells.iter().all(|cell| !cell.starts_with("AS") && cell.len() > 2), "{attack:?}");
    assert!(attack.cells.iter().any(|cell| cell.starts_with("Firefox on")), "{attack:?}");
}

#[tokio::test]
async fn a_damaged_state_is_reported_and_replaced() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[]);
    let time = at(0, "07:00:00");
    let change = || Change { set: vec![("w".into(), b"no state".to_vec())], remove: Vec::new(), ttl: Ttl::Set(TTL) };
    assert_eq!(backend.store.update_if_version(&key(), 0, change(), time).await, Ok(Changed::Done));
    let assessment = engine.attempt("ada", HOME, time).await;
    assert!(!assessment.decision.is_degraded(), "the pool is learned again");
    update(&engine, later(time, 10)).await;
    let part = riskgate_engine::evidence::store_parts::StorePart::AttackState;
    assert_eq!(engine.health().store.failures(part), 1);
    update(&engine, later(time, 70)).await;
    assert!(engine.health().store.failures(part) <= 2);
    let state = backend.store.get_record(&key(), later(time, 70)).await.unwrap().fields["w"].clone();
    assert!(riskgate_pool::PoolState::from_bytes(&state).is_some(), "it is replaced when a minute is taken up");
    update(&engine, later(time, 81)).await;
    assert!(!engine.health().store.is_failing(part));
}

#[tokio::test]
async fn attempts_and_first_successes_are_counted() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[]);
    let time = at(0, "07:00:00");
    engine.attempt("ada", HOME, time).await;
    engine.success("ada", "web", later(time, 4)).await.unwrap();
    engine.attempt("ada", HOME, later(time, 5)).await;
    let elsewhere = Origin { ip: "203.0.114.7", agent: CHROME, device: "laptop-1" };
    engine.attempt("bob", elsewhere, later(time, 6)).await;
    update(&engine, later(time, 7)).await;
    let minute = time.as_second() / 60;
    let counters = backend.store.read_counters(&key(), minute, minute, time).await.unwrap();
    let counts = riskgate_pool::Counts::from_fields(counters[&minute].iter().map(|(name, value)| (name.as_str(), *value)));
    // Ada's first attempt, which succeeded, her second sign-in and Bob's attempt.
    assert_eq!((counts.attempts, counts.no_history, counts.first_successes, counts.unfamiliar()), (3, 2, 1, 1));
    assert_eq!(counts.users.len(), 2);
    let names: BTreeSet<&str> = counters[&minute].iter().map(|(name, _)| name.as_str()).collect();
    assert!(names.contains("a") && names.iter().all(|name| name.len() <= 49), "{names:?}");
}
