//! Challenges: a challenged sign-in that goes on restricts tokens until a pass is recorded, which is learned from at once.

use std::sync::Arc;

use jiff::Timestamp;
use riskgate_engine::decision::Verdict;
use riskgate_history::{
    attempt::TokenRestriction,
    repository::{ChallengeResult, learning::Learned, outcome::ReportedOutcome, token::TokenFacts},
};
use riskgate_store::Store;
use serde_json::json;

use crate::{
    fixtures::{self, AFAR, HOME, KEY, Origin, TestEngine, at, claims, history, pre},
    interrupted::{Fault, Interrupted},
    outcome_reports::{assess, report, report_interrupted},
};

/// Every sign-in is challenged.
pub const CHALLENGE: [(&str, &str); 3] = [("REVIEW_AT", "0"), ("CHALLENGE_AT", "0"), ("DENY_AT", "100")];

/// Hardly any sign-in is.
const CALM: [(&str, &str); 2] = [("REVIEW_AT", "99"), ("DENY_AT", "100")];

/// What token generation finds for a person.
async fn facts(engine: &TestEngine, user: &str, time: Timestamp) -> TokenFacts {
    let event = json!({ "triggerSource": "TokenGeneration_RefreshTokens", "userPoolId": "pool", "userName": user, "callerContext": { "clientId": "web" },
        "request": { "userAttributes": { "sub": format!("sub-{user}") }, "groupConfiguration": {} }, "response": {} });
    engine.repository().read_token_facts(&engine.token(event, time)).await.unwrap()
}

async fn restriction(engine: &TestEngine, user: &str, time: Timestamp) -> TokenRestriction {
    facts(engine, user, time).await.restriction
}

async fn result(engine: &TestEngine, user: &str, id: &str, result: ChallengeResult, time: Timestamp) -> Learned {
    let repository = engine.repository();
    repository.record_challenge_result("pool", &format!("sub-{user}"), id, result, time).await.unwrap()
}

async fn successes(engine: &TestEngine, user: &str, time: Timestamp) -> u32 {
    history(&engine.attempt(user, HOME, time).await).profile.successes
}

#[tokio::test]
async fn a_challenged_sign_in_restricts_tokens_until_it_is_passed() {
    for backend in fixtures::all().await {
        let name = backend.name;
        let (strict, calm) = (backend.engine(&CHALLENGE), backend.engine(&CALM));
        let challenged = strict.sign_in("ada", AFAR, at(0, "07:00:00")).await;
        assert_eq!((challenged.decision.verdict, challenged.decision.action), (Verdict::Challenge, Verdict::Challenge), "{name}");
        let found = facts(&strict, "ada", at(0, "07:00:01")).await;
        assert_eq!((found.restriction, found.challenged_since), (TokenRestriction::Challenge, Some(at(0, "07:00:00"))), "{name}");
        // Other sign-ins lift nothing, by whichever app client, and however often.
        for day in 1..4 {
            calm.sign_in("ada", HOME, at(day, "07:00:00")).await;
            assert_eq!(restriction(&calm, "ada", at(day, "07:00:01")).await, TokenRestriction::Challenge, "{name}: day {day}");
        }
        assert_eq!(result(&calm, "ada", &challenged.id, ChallengeResult::Passed, at(4, "07:00:00")).await, Learned::ProfileUpdated, "{name}");
        let found = facts(&calm, "ada", at(4, "07:00:01")).await;
        assert_eq!((found.restriction, found.challenged_since), (TokenRestriction::None, None), "{name}");
        assert_eq!(result(&calm, "ada", &challenged.id, ChallengeResult::Passed, at(4, "07:00:02")).await, Learned::NothingPending, "{name}: again");
    }
}

#[tokio::test]
async fn a_restriction_ends_after_its_time_or_by_an_operator() {
    for backend in fixtures::all().await {
        let engine = TestEngine::over(&backend.store, &[&CHALLENGE[..], &[("CHALLENGE_HOLD", "10d")]].concat());
        engine.sign_in("ada", AFAR, at(0, "07:00:00")).await;
        engine.sign_in("bob", AFAR, at(0, "07:00:00")).await;
        assert_eq!(restriction(&engine, "ada", at(10, "06:59:59")).await, TokenRestriction::Challenge, "{}", backend.name);
        assert_eq!(restriction(&engine, "ada", at(10, "07:00:00")).await, TokenRestriction::None, "{}", backend.name);
        engine.repository().lift_restriction("pool", "sub-bob", at(0, "08:00:00")).await.unwrap();
        assert_eq!(restriction(&engine, "bob", at(0, "08:00:01")).await, TokenRestriction::None, "{}", backend.name);
    }
}

/// A password that is wrong has no post-authentication, so a stranger restricts no user (invariant 5).
#[tokio::test]
async fn only_a_success_of_the_challenged_attempt_restricts() {
    for backend in fixtures::all().await {
        let (strict, calm) = (backend.engine(&CHALLENGE), backend.engine(&CALM));
        strict.attempt("ada", AFAR, at(0, "07:00:00")).await;
        assert_eq!(restriction(&calm, "ada", at(0, "07:00:01")).await, TokenRestriction::None, "{}", backend.name);
        // The owner's own attempt would not restrict, so the ambiguous success does not either.
        calm.sign_in("ada", HOME, at(0, "07:00:30")).await;
        assert_eq!(restriction(&calm, "ada", at(0, "07:00:31")).await, TokenRestriction::None, "{}", backend.name);
        // Two challenged attempts from different origins: whichever succeeded, it was challenged.
        strict.attempt("bob", AFAR, at(0, "07:00:00")).await;
        strict.sign_in("bob", HOME, at(0, "07:00:30")).await;
        assert_eq!(restriction(&calm, "bob", at(0, "07:00:31")).await, TokenRestriction::Challenge, "{}", backend.name);
    }
}

#[tokio::test]
async fn a_pass_is_learned_from_at_once_and_only_once() {
    for backend in fixtures::all().await {
        let name = backend.name;
        let engine = backend.engine(&CHALLENGE);
        // Before the post-authentication, as the custom challenge triggers record it, and after it.
        for (user, is_early) in [("early", true), ("late", false)] {
            let challenged = engine.attempt(user, HOME, at(0, "07:00:00")).await;
            if is_early {
                assert_eq!(result(&engine, user, &challenged.id, ChallengeResult::Passed, at(0, "07:00:10")).await, Learned::ProfileUpdated, "{name}: {user}");
                assert_eq!(result(&engine, user, &challenged.id, ChallengeResult::Passed, at(0, "07:00:10")).await, Learned::NotLearnable, "{name}: {user}");
            }
            let learned = engine.success(user, "web", at(0, "07:00:11")).await.unwrap();
            assert_eq!(learned, Learned::NotLearnable, "{name}: {user}: the success by itself teaches nothing");
            if !is_early {
                assert_eq!(result(&engine, user, &challenged.id, ChallengeResult::Passed, at(0, "07:00:12")).await, Learned::ProfileUpdated, "{name}: {user}");
            }
            assert_eq!(restriction(&engine, user, at(0, "07:00:13")).await, TokenRestriction::None, "{name}: {user}");
            // On the same day: the values are as good as if they had been seen on two days.
            let next = engine.attempt(user, HOME, at(0, "09:00:00")).await;
            let profile = &history(&next).profile;
            assert_eq!(profile.successes, 1, "{name}: {user}");
            assert!(profile.entries.iter().all(|entry| entry.is_established()), "{name}: {user}: {:?}", profile.entries);
        }
    }
}

#[tokio::test]
async fn a_failed_challenge_counts_as_a_failure_and_is_never_learned_from() {
    for backend in fixtures::all().await {
        let name = backend.name;
        let engine = backend.engine(&CHALLENGE);
        // The client reports outcomes.
        engine.sign_in("other", HOME, at(0, "06:00:00")).await;
        for (user, succeeds) in [("before", false), ("after", true)] {
            let challenged = engine.attempt(user, AFAR, at(0, "07:00:00")).await;
            if succeeds {
                engine.success(user, "web", at(0, "07:00:01")).await.unwrap();
            }
            for _ in 0..2 {
                assert_eq!(result(&engine, user, &challenged.id, ChallengeResult::Failed, at(0, "07:00:20")).await, Learned::NotLearnable, "{name}: {user}");
            }
            assert_eq!(result(&engine, user, &challenged.id, ChallengeResult::Passed, at(0, "07:00:21")).await, Learned::NotLearnable, "{name}: {user}");
            let expected = if succeeds { TokenRestriction::Challenge } else { TokenRestriction::None };
            assert_eq!(restriction(&engine, user, at(0, "07:00:22")).await, expected, "{name}: {user}");
            let next = engine.attempt(user, HOME, at(0, "07:05:00")).await;
            assert!(history(&next).profile.is_new(), "{name}: {user}");
            assert_eq!(history(&next).velocity.account_failures, 2, "{name}: {user}: the failed one and the present one");
        }
    }
}

/// A pass proves one sign-in. A later one from elsewhere stays restricted, and an earlier one that was given up does not.
#[tokio::test]
async fn a_pass_ends_earlier_challenges_and_no_later_one() {
    let backend = fixtures::memory();
    let engine = backend.engine(&CHALLENGE);
    engine.sign_in("ada", HOME, at(0, "07:00:00")).await;
    let owner = engine.sign_in("ada", HOME, at(1, "07:00:00")).await;
    let attacker = engine.sign_in("ada", AFAR, at(1, "07:30:00")).await;
    result(&engine, "ada", &owner.id, ChallengeResult::Passed, at(1, "08:00:00")).await;
    assert_eq!(restriction(&engine, "ada", at(1, "08:00:01")).await, TokenRestriction::Challenge);
    let repository = engine.repository();
    assert_eq!(repository.end_challenges("pool", "sub-ada", at(1, "07:30:00"), at(1, "08:00:02")).await, Ok(0), "the proof is not later");
    assert_eq!(repository.end_challenges("pool", "sub-ada", at(1, "08:30:00"), at(1, "08:30:02")).await, Ok(1));
    assert_eq!(restriction(&engine, "ada", at(1, "08:30:03")).await, TokenRestriction::None);
    assert_eq!(result(&engine, "ada", &attacker.id, ChallengeResult::Passed, at(1, "08:31:00")).await, Learned::NothingPending);
    assert_eq!(successes(&engine, "ada", at(1, "09:00:00")).await, 1, "the attacker's place was not learned");
}

#[tokio::test]
async fn a_record_has_few_open_challenges() {
    let backend = fixtures::memory();
    let engine = backend.engine(&CHALLENGE);
    for hour in 10..20 {
        engine.sign_in("ada", HOME, at(0, &format!("{hour}:00:00"))).await;
    }
    let repository = engine.repository();
    let export = repository.export("pool", "sub-ada", at(0, "20:00:00")).await.unwrap();
    let mut open: Vec<&str> = export["records"][0]["challenges"].as_array().unwrap().iter().map(|open| open["until"].as_str().unwrap()).collect();
    open.sort_unstable();
    assert_eq!(open, ["2026-12-01T16:00:00Z", "2026-12-01T17:00:00Z", "2026-12-01T18:00:00Z", "2026-12-01T19:00:00Z"]);
    repository.forget("pool", "sub-ada", at(0, "20:00:01")).await.unwrap();
    assert_eq!(restriction(&engine, "ada", at(0, "20:00:02")).await, TokenRestriction::None);
}

#[tokio::test]
async fn a_challenge_is_found_under_every_key() {
    const NEW: &str = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";
    for backend in fixtures::all().await {
        let both = format!("{NEW},{KEY}");
        let with_keys = |keys: &str| TestEngine::over(&backend.store, &[&[("PSEUDONYM_KEY", keys)], &CHALLENGE[..]].concat());
        let (old, both, new) = (with_keys(KEY), with_keys(&both), with_keys(NEW));
        let challenged = old.sign_in("ada", HOME, at(0, "07:00:00")).await;
        assert_eq!(restriction(&both, "ada", at(0, "07:01:00")).await, TokenRestriction::Challenge, "{}", backend.name);
        assert_eq!(restriction(&new, "ada", at(0, "07:02:00")).await, TokenRestriction::Challenge, "{}: moved", backend.name);
        assert_eq!(result(&new, "ada", &challenged.id, ChallengeResult::Passed, at(0, "07:03:00")).await, Learned::ProfileUpdated, "{}", backend.name);
        assert_eq!(restriction(&both, "ada", at(0, "07:04:00")).await, TokenRestriction::None, "{}", backend.name);
        // A pending attempt moves too.
        let pending = old.attempt("bob", HOME, at(0, "07:00:00")).await;
        assert_eq!(result(&both, "bob", &pending.id, ChallengeResult::Passed, at(0, "07:01:00")).await, Learned::ProfileUpdated, "{}", backend.name);
        assert_eq!(restriction(&new, "bob", at(0, "07:02:00")).await, TokenRestriction::None, "{}", backend.name);
    }
}

#[tokio::test]
async fn monitor_mode_challenges_and_restricts_nobody_and_shows_the_decision() {
    for backend in fixtures::all().await {
        let monitored = TestEngine::over(&backend.store, &[&CHALLENGE[..], &[("MODE", "monitor")]].concat());
        let seen = monitored.sign_in("ada", HOME, at(0, "07:00:00")).await;
        assert_eq!((seen.decision.verdict, seen.decision.action), (Verdict::Challenge, Verdict::Allow), "{}", backend.name);
        assert!(seen.decision.acr_values.is_none(), "{}", backend.name);
        assert_eq!(restriction(&monitored, "ada", at(0, "07:00:01")).await, TokenRestriction::None, "{}", backend.name);
        assert_eq!(successes(&monitored, "ada", at(1, "07:00:00")).await, 1, "{}: learned as without challenges", backend.name);
    }
}

/// No success is reported where `LEARN=allow` is needed.
#[tokio::test]
async fn without_the_second_trigger_the_decision_restricts() {
    for backend in fixtures::all().await {
        let engine = TestEngine::over(&backend.store, &[&CHALLENGE[..], &[("LEARN", "allow")]].concat());
        let challenged = engine.attempt("ada", HOME, at(0, "07:00:00")).await;
        assert_eq!(restriction(&engine, "ada", at(0, "07:00:01")).await, TokenRestriction::Challenge, "{}", backend.name);
        assert_eq!(result(&engine, "ada", &challenged.id, ChallengeResult::Passed, at(0, "07:00:02")).await, Learned::ProfileUpdated, "{}", backend.name);
        assert_eq!(restriction(&engine, "ada", at(0, "07:00:03")).await, TokenRestriction::None, "{}", backend.name);
    }
}

/// `POST /v1/outcome`: the password's result and the challenge's result are two reports.
#[tokio::test]
async fn the_sidecar_takes_a_success_and_then_the_result_of_the_challenge() {
    for backend in fixtures::all().await {
        let engine = backend.engine(&CHALLENGE);
        for (user, succeeds, last, learned, count) in [
            ("both", true, ReportedOutcome::ChallengePassed, Learned::ProfileUpdated, 1),
            ("pass", false, ReportedOutcome::ChallengePassed, Learned::ProfileUpdated, 1),
            ("same", true, ReportedOutcome::NotFraud, Learned::ProfileUpdated, 1),
            ("fail", true, ReportedOutcome::ChallengeFailed, Learned::NotLearnable, 0),
            ("none", false, ReportedOutcome::ChallengeFailed, Learned::NotLearnable, 0),
        ] {
            let what = format!("{}: {user}", backend.name);
            let challenged = assess(&engine, user, at(0, "07:00:00")).await;
            assert_eq!(challenged.decision.action, Verdict::Challenge, "{what}");
            let repository = engine.repository();
            let open = async || repository.export("", user, at(0, "07:00:05")).await.unwrap()["records"][0]["challenges"].as_array().map(Vec::len);
            if succeeds {
                assert_eq!(report(&engine, &challenged.id, ReportedOutcome::Success, at(0, "07:00:01")).await, Ok(Some(Learned::NotLearnable)), "{what}");
                assert_eq!(report(&engine, &challenged.id, ReportedOutcome::Success, at(0, "07:00:02")).await, Ok(None), "{what}: again");
                assert_eq!(open().await, Some(1), "{what}");
            }
            assert_eq!(report(&engine, &challenged.id, last, at(0, "07:00:03")).await, Ok(Some(learned)), "{what}");
            assert_eq!(report(&engine, &challenged.id, last, at(0, "07:00:04")).await, Ok(None), "{what}: again");
            assert_eq!(open().await, Some(usize::from(user == "fail")), "{what}");
            assert_eq!(history(&assess(&engine, user, at(0, "09:00:00")).await).profile.successes, count, "{what}");
        }
    }
}

#[tokio::test]
async fn a_challenge_result_survives_a_store_that_fails_at_any_call() {
    // The steps are the same over every store.
    for backend in [fixtures::memory()] {
        for fault in [Fault::Refused, Fault::AnswerLost] {
            let flaky = Interrupted::over(&backend.store);
            let engine = TestEngine::over(&(Arc::clone(&flaky) as Arc<dyn Store>), &CHALLENGE);
            for call in 0..8 {
                for outcome in [ReportedOutcome::Success, ReportedOutcome::ChallengePassed, ReportedOutcome::ChallengeFailed] {
                    let (user, what) = (format!("{outcome:?}-{fault:?}-{call}"), format!("{}: {outcome:?}, {fault:?} from call {call} on", backend.name));
                    let assessment = assess(&engine, &user, at(0, "07:00:00")).await;
                    let (answer, _) = report_interrupted(&engine, &flaky, (call, fault), &assessment.id, outcome).await;
                    let passed = outcome == ReportedOutcome::ChallengePassed;
                    assert_eq!(answer, Some(if passed { Learned::ProfileUpdated } else { Learned::NotLearnable }), "{what}");
                    let export = engine.repository().export("", &user, at(0, "07:00:06")).await.unwrap();
                    let open = export["records"][0]["challenges"].as_array().map(Vec::len);
                    assert_eq!(open, Some(usize::from(outcome == ReportedOutcome::Success)), "{what}");
                    assert_eq!(history(&assess(&engine, &user, at(0, "09:00:00")).await).profile.successes, u32::from(passed), "{what}");
                }
            }
        }
    }
}

/// An attacker with the password who is challenged at one app client, and uses another that is not.
#[tokio::test]
async fn a_thief_who_uses_another_flow_gains_nothing() {
    for backend in fixtures::all().await {
        let engine = TestEngine::over(
            &backend.store,
            &[("REVIEW_AT__web", "0"), ("CHALLENGE_AT__web", "0"), ("REVIEW_AT", "99"), ("DENY_AT", "100"), ("TRUSTED_CLIENTS", "web,api")],
        );
        engine.sign_in("ada", AFAR, at(0, "07:00:00")).await;
        let direct = engine.attempt_by(pre("ada", "api", claims(Origin { device: "box-10", ..AFAR })), at(0, "07:10:00")).await;
        assert_eq!(direct.decision.action, Verdict::Allow, "{}", backend.name);
        engine.success("ada", "api", at(0, "07:10:01")).await.unwrap();
        assert_eq!(restriction(&engine, "ada", at(0, "07:10:02")).await, TokenRestriction::Challenge, "{}", backend.name);
        // The other app client was not challenged, so its tokens alone would be free.
        engine.attempt_by(pre("bob", "api", claims(AFAR)), at(0, "07:10:00")).await;
        engine.success("bob", "api", at(0, "07:10:01")).await.unwrap();
        assert_eq!(restriction(&engine, "bob", at(0, "07:10:02")).await, TokenRestriction::None, "{}", backend.name);
    }
}
