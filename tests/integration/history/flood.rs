//! What strangers can write by inventing names: how long it is stored, and how much memory it takes.

use std::time::Duration;

use jiff::Timestamp;
use riskgate_engine::evidence::{FailureReason, store_parts::StorePart};
use riskgate_event::response::Assessment;
use riskgate_history::repository::{Learned, ReportedOutcome};
use riskgate_store::{Change, Changed, Store, Ttl};
use serde_json::json;

use crate::{
    fixtures::{self, AFAR, HOME, KEY, Origin, TestEngine, at, claims, history, pre},
    outcome_reports,
};

/// The attempts that one network may make at once at names without a history.
const BURST: usize = 300;

/// Another host of the network of `HOME`.
const NEIGHBOUR: Origin = Origin { ip: "84.208.20.111", ..HOME };

fn key(engine: &TestEngine, user: &str) -> String {
    engine.repository().record_keys("pool", &format!("sub-{user}")).remove(0).to_string()
}

/// One of several guesses at one name in a second. Its event differs from the others', which would be repetitions otherwise.
async fn guess(engine: &TestEngine, user: &str, origin: Origin, number: u32, time: Timestamp) -> Assessment {
    let mut event = pre(user, "web", claims(origin));
    event["request"]["userAttributes"]["n"] = json!(number.to_string());
    engine.attempt_by(event, time).await
}

/// Attempts at invented names from the network of `HOME`, until it is over its budget.
async fn flood(engine: &TestEngine, names: usize, time: Timestamp) {
    for number in 0..names {
        engine.attempt(&format!("invented{number}"), HOME, time).await;
    }
}

/// The number of invented names that have a record.
async fn stored_names(engine: &TestEngine, store: &dyn Store, names: usize, now: Timestamp) -> usize {
    let mut stored = 0;
    for number in 0..names {
        let record = store.get_record(&key(engine, &format!("invented{number}")), now).await.unwrap();
        stored += usize::from(!record.fields.is_empty());
    }
    stored
}

fn limited(engine: &TestEngine) -> Option<FailureReason> {
    engine.health().store.failing().find(|(part, _)| *part == StorePart::NewRecords).map(|(_, cause)| cause)
}

#[tokio::test]
async fn a_flood_of_invented_names_stops_growing_the_store_and_leaves_the_owner_alone() {
    for backend in fixtures::atomic().await {
        let engine = TestEngine::over(&backend.store, &[]);
        engine.sign_in("ada", HOME, at(0, "06:00:00")).await;
        let time = at(0, "07:00:00");
        flood(&engine, BURST, time).await;
        assert_eq!(limited(&engine), None, "{}", backend.name);
        flood(&engine, BURST + 20, time).await;
        assert_eq!(stored_names(&engine, &*backend.store, BURST + 20, time).await, BURST, "{}", backend.name);
        assert_eq!(limited(&engine), Some(FailureReason::RateLimited), "{}", backend.name);
        assert!(engine.health().store.failures(StorePart::NewRecords) >= 20, "{}", backend.name);
        // The owner behind the same address is counted and learned.
        for failures in 1..4 {
            let attempt = guess(&engine, "ada", HOME, failures, time).await;
            assert_eq!(history(&attempt).velocity.account_failures, failures, "{}", backend.name);
        }
        assert_eq!(engine.success("ada", "web", time).await, Ok(Learned::ProfileUpdated), "{}", backend.name);
        let elsewhere = TestEngine::over(&backend.store, &[]).attempt("ada", HOME, at(0, "07:00:30")).await;
        assert_eq!(history(&elsewhere).profile.successes, 2, "{}: another process finds it", backend.name);
        // Another network is not affected, and the state ends a minute after the last limited write.
        engine.attempt("eve", AFAR, at(0, "07:02:00")).await;
        assert_eq!(limited(&engine), None, "{}", backend.name);
        assert!(!backend.store.get_record(&key(&engine, "eve"), at(0, "07:02:00")).await.unwrap().fields.is_empty(), "{}", backend.name);
    }
}

#[tokio::test]
async fn known_and_unknown_names_are_counted_alike_over_the_budget() {
    for backend in fixtures::atomic().await {
        let engine = TestEngine::over(&backend.store, &[]);
        engine.sign_in("ada", AFAR, at(0, "06:00:00")).await;
        flood(&engine, BURST, at(0, "07:00:00")).await;
        let mut counts = Vec::new();
        for user in ["ada", "unknown"] {
            let mut failures = Vec::new();
            for number in 0..5 {
                let attempt = guess(&engine, user, NEIGHBOUR, number, at(0, "07:00:00")).await;
                failures.push(history(&attempt).velocity.account_failures);
            }
            counts.push(failures);
        }
        assert_eq!(counts, [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]], "{}", backend.name);
        let stored = backend.store.get_record(&key(&engine, "unknown"), at(0, "07:00:00")).await.unwrap();
        assert!(stored.fields.is_empty(), "{}", backend.name);
        // The address has no window in the store, and its accounts are counted in this process.
        let third = engine.attempt("third", NEIGHBOUR, at(0, "07:00:00")).await;
        assert_eq!(history(&third).velocity.accounts_per_ip, 3, "{}", backend.name);
    }
}

#[tokio::test]
async fn a_first_success_over_the_budget_is_learned_in_the_same_process() {
    for backend in fixtures::atomic().await {
        let (here, elsewhere) = (TestEngine::over(&backend.store, &[]), TestEngine::over(&backend.store, &[]));
        let time = at(0, "07:00:00");
        flood(&here, BURST, time).await;
        here.attempt("ada", HOME, time).await;
        here.attempt("bob", HOME, time).await;
        assert_eq!(elsewhere.success("ada", "web", time).await, Ok(Learned::NothingPending), "{}", backend.name);
        assert_eq!(here.success("bob", "web", time).await, Ok(Learned::ProfileUpdated), "{}", backend.name);
        assert_eq!(here.success("bob", "web", time).await, Ok(Learned::NothingPending), "{}: it is learned once", backend.name);
        assert_eq!(history(&elsewhere.attempt("bob", HOME, at(0, "07:01:00")).await).profile.successes, 1, "{}", backend.name);
        // What was forgotten since is not learned.
        here.attempt("eve", HOME, time).await;
        here.repository().forget("pool", "sub-eve", time).await.unwrap();
        assert_eq!(here.success("eve", "web", time).await, Ok(Learned::NothingPending), "{}", backend.name);
    }
}

#[tokio::test]
async fn a_history_under_an_older_key_is_found_over_the_budget() {
    for backend in fixtures::atomic().await {
        let old = TestEngine::over(&backend.store, &[]);
        old.sign_in("ada", HOME, at(0, "06:00:00")).await;
        let both = TestEngine::over(&backend.store, &[("PSEUDONYM_KEY", &format!("k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA,{KEY}"))]);
        flood(&both, BURST, at(0, "07:00:00")).await;
        both.attempt("ada", HOME, at(0, "07:00:00")).await;
        assert_eq!(both.success("ada", "web", at(0, "07:00:00")).await, Ok(Learned::ProfileUpdated), "{}", backend.name);
        assert_eq!(history(&both.attempt("ada", HOME, at(1, "07:00:00")).await).profile.successes, 2, "{}", backend.name);
    }
}

#[tokio::test]
async fn outcomes_over_the_budget_are_in_this_process() {
    for backend in fixtures::atomic().await {
        let (here, elsewhere) = (TestEngine::over(&backend.store, &[]), TestEngine::over(&backend.store, &[]));
        let time = at(0, "07:00:00");
        for number in 0..BURST {
            outcome_reports::assess(&here, &format!("invented{number}"), time).await;
        }
        for (user, report, learned) in [("ada", ReportedOutcome::Success, Learned::ProfileUpdated), ("bob", ReportedOutcome::Failure, Learned::NotLearnable)] {
            let id = outcome_reports::assess(&here, user, time).await.id;
            assert_eq!(backend.store.get(&format!("o#{id}"), time).await, Ok(None), "{}", backend.name);
            assert_eq!(outcome_reports::report(&elsewhere, &id, report, time).await, Ok(None), "{}", backend.name);
            assert_eq!(outcome_reports::report(&here, &id, report, time).await, Ok(Some(learned)), "{}", backend.name);
            assert_eq!(outcome_reports::report(&here, &id, report, time).await, Ok(None), "{}: it is applied once", backend.name);
            assert_eq!(backend.store.get(&format!("o#{id}"), time).await, Ok(None), "{}: nor is the id consumed in the store", backend.name);
        }
        // A user with a history has a pending outcome in the store.
        let id = outcome_reports::assess(&here, "ada", time).await.id;
        assert!(backend.store.get(&format!("o#{id}"), at(6, "07:00:00")).await.unwrap().is_some(), "{}", backend.name);
    }
}

#[tokio::test]
async fn learning_without_proof_creates_few_profiles() {
    let backend = fixtures::memory();
    let engine = TestEngine::over(&backend.store, &[("LEARN", "allow")]);
    let successes = async |user: &str, time| history(&engine.attempt(user, HOME, time).await).profile.successes;
    flood(&engine, BURST, at(0, "07:00:00")).await;
    assert_eq!(successes("invented0", at(0, "07:00:30")).await, 1);
    // Later, attempts are within the budget, but profiles are not.
    for number in 0..60 {
        successes(&format!("later{number}"), at(0, "07:02:00")).await;
    }
    let mut learned = 0;
    for number in 0..60 {
        learned += successes(&format!("later{number}"), at(0, "07:02:30")).await;
    }
    assert_eq!(learned, 12, "six profiles a minute");
}

/// `LEARN=allow`: a challenge restricts at once. Names without a history that a pool did not confirm are subject to the write budget.
#[tokio::test]
async fn restrictions_without_proof_are_bounded_except_for_the_users_of_a_pool() {
    let backend = fixtures::memory();
    let settings = [("LEARN", "allow"), ("REVIEW_AT", "0"), ("CHALLENGE_AT", "0"), ("DENY_AT", "100")];
    let engine = TestEngine::over(&backend.store, &settings);
    let (time, later, weeks_later) = (at(0, "07:00:00"), at(0, "07:10:00"), at(20, "07:00:00"));
    let key = |user: &str| engine.repository().record_keys("", user).remove(0).to_string();
    let is_stored = async |key: &str, now| !backend.store.get_record(key, now).await.unwrap().fields.is_empty();
    for number in 0..BURST {
        outcome_reports::assess(&engine, &format!("invented{number}"), time).await;
    }
    assert!(is_stored(&key("invented0"), weeks_later).await, "within the budget");
    assert_eq!(limited(&engine), None);
    // The attempt is within the budget again, and a record for weeks is not.
    let minute = at(0, "07:01:00");
    for number in 0..20 {
        outcome_reports::assess(&engine, &format!("later{number}"), minute).await;
    }
    let mut stored = [0; 2];
    for number in 0..20 {
        let key = key(&format!("later{number}"));
        stored[0] += usize::from(is_stored(&key, later).await);
        stored[1] += usize::from(is_stored(&key, weeks_later).await);
    }
    assert_eq!(stored, [20, 6], "all are restricted for a while, six a minute for long");
    assert_eq!(limited(&engine), Some(FailureReason::RateLimited));
    // A user of a pool is restricted whatever the budget.
    engine.attempt("ada", HOME, minute).await;
    assert!(is_stored(&self::key(&engine, "ada"), weeks_later).await);
}

#[tokio::test]
async fn a_record_of_attempts_lasts_as_long_as_they_are_needed() {
    for (backend, engine) in fixtures::engines().await {
        let record = async |user: &str, day, time| {
            let key = engine.repository().record_keys("pool", &format!("sub-{user}")).remove(0);
            backend.store.get_record(&key, at(day, time)).await.unwrap()
        };
        engine.attempt("guessed", HOME, at(0, "07:00:00")).await;
        assert!(!record("guessed", 0, "07:19:00").await.fields.is_empty(), "{}", backend.name);
        // Redis deletes by its own clock.
        if backend.name != "redis" {
            assert!(record("guessed", 0, "07:20:01").await.fields.is_empty(), "{}", backend.name);
        }
        // A later attempt extends the TTL, until its own password is given.
        for time in ["07:00:00", "07:18:00"] {
            engine.attempt("mistyped", HOME, at(0, time)).await;
        }
        assert_eq!(engine.success("mistyped", "web", at(0, "07:32:59")).await, Ok(Learned::ProfileUpdated), "{}", backend.name);
        // A profile is stored as long as before.
        engine.attempt("mistyped", HOME, at(1, "07:00:00")).await;
        assert!(!record("mistyped", 170, "07:00:00").await.fields.is_empty(), "{}", backend.name);
    }
}

#[tokio::test]
async fn an_attempt_extends_a_short_ttl_and_shortens_no_long_one() {
    for backend in fixtures::atomic().await {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        let change = |field: &'static str, ttl: Ttl| Change { set: vec![(field.into(), vec![1])], remove: Vec::new(), ttl };
        let (store, start) = (&backend.store, at(0, "07:00:00"));
        for (key, has_history) in [("attempts", false), ("history", true)] {
            let read = store.update(key, change("a1", Ttl::AtLeast(minutes(20))), start).await.unwrap();
            if has_history {
                // A success comes between the attempt and its decision.
                let success = change("p", Ttl::Set(minutes(60 * 24 * 180)));
                assert_eq!(store.update_if_version(key, 0, success, start).await, Ok(Changed::Done), "{}", backend.name);
            }
            let extend = Ttl::Extend { from: read.expires_at.unwrap_or_default(), ttl: minutes(20) };
            store.update(key, change("a2", extend), at(0, "07:10:00")).await.unwrap();
            for (day, time, lasts) in [(0, "07:29:00", true), (170, "07:00:00", has_history)] {
                // Redis deletes by its own clock.
                let is_stored = store.get_record(key, at(day, time)).await.unwrap().fields.contains_key("a2");
                assert!(is_stored == lasts || backend.name == "redis", "{} {key} {day}", backend.name);
            }
        }
    }
}

#[cfg(all(feature = "programs", feature = "redis"))]
mod measured {
    use std::{process::Command, sync::Arc};

    use riskgate_store::redis::Redis;

    use super::*;
    use crate::fixtures::Server;

    fn query(server: &Server, words: &[&str]) -> Vec<String> {
        let output = Command::new("redis-cli").args(["-p", &server.port.to_string()]).args(words).output().expect("redis-cli");
        String::from_utf8(output.stdout).unwrap().lines().map(ToOwned::to_owned).collect()
    }

    /// The number of keys with this prefix, their memory in total, and the longest TTL in seconds.
    fn usage(server: &Server, prefix: &str) -> (usize, u64, u64) {
        let keys = query(server, &["KEYS", &format!("riskgate:{prefix}#*")]);
        let number = |words: &[&str]| query(server, words).first().unwrap().parse::<u64>().unwrap();
        let bytes = keys.iter().map(|key| number(&["MEMORY", "USAGE", key])).sum();
        (keys.len(), bytes, keys.iter().map(|key| number(&["TTL", key])).max().unwrap_or_default())
    }

    fn engine_over(server: &Server) -> TestEngine {
        let url = format!("redis://127.0.0.1:{}/0", server.port).into();
        let store: Arc<dyn Store> = Arc::new(Redis::open(&url, &[], fixtures::NO_DEADLINE).unwrap());
        TestEngine::over(&store, &[])
    }

    #[tokio::test]
    async fn an_invented_name_takes_little_memory_for_a_short_time() {
        let server = fixtures::redis_server();
        let engine = engine_over(&server);
        for number in 0..20 {
            let mut event = pre(&format!("name{number}"), "web", claims(HOME));
            event["request"]["userNotFound"] = json!(number % 2 == 0);
            engine.attempt_by(event, at(0, "07:00:00")).await;
        }
        let (names, bytes, longest) = usage(&server, "u");
        println!("a name: {} bytes for {longest} s; windows {:?}", bytes / 20, usage(&server, "n"));
        assert_eq!(names, 20);
        assert!(bytes / 20 <= 512 && longest <= 1_200, "{bytes} bytes, {longest} s");
        for number in 0..20 {
            outcome_reports::assess(&engine, &format!("over-http{number}"), at(0, "07:00:00")).await;
        }
        let (pending, bytes, longest) = usage(&server, "o");
        println!("an assessment over HTTP: {} bytes for {longest} s", bytes / 20);
        assert_eq!(pending, 20);
        assert!(bytes / 20 <= 512, "{bytes}");
    }

    #[tokio::test]
    async fn the_memory_that_one_network_can_use_is_bounded() {
        let server = fixtures::redis_server();
        let engine = engine_over(&server);
        let used = || {
            let memory = query(&server, &["INFO", "memory"]);
            memory.iter().find_map(|line| line.strip_prefix("used_memory:")).unwrap().trim().parse::<i64>().unwrap()
        };
        // The first sign-in writes what every instance writes once.
        outcome_reports::assess(&engine, "first", at(0, "06:00:00")).await;
        // In the second hour the network's budget is full again.
        for (kind, is_http, time) in [("Cognito", false, at(0, "07:00:00")), ("HTTP", true, at(0, "08:00:00"))] {
            let before = (usage(&server, "u").0, usage(&server, "n").0, usage(&server, "o").0);
            let memory = used();
            for number in 0..1_000 {
                let name = format!("{kind}{number}");
                match is_http {
                    true => outcome_reports::assess(&engine, &name, time).await,
                    false => engine.attempt(&name, HOME, time).await,
                };
            }
            let after = (usage(&server, "u").0, usage(&server, "n").0, usage(&server, "o").0);
            println!(
                "{kind}, 1,000 invented names from one network: {} bytes more; names, windows and outcomes before {before:?}, after {after:?}",
                used() - memory
            );
            assert_eq!(after.0 - before.0, BURST, "{kind}");
            assert!(after.1 <= 4, "{kind}: {after:?}");
            assert_eq!(after.2 - before.2, if is_http { BURST } else { 0 }, "{kind}");
        }
    }
}
