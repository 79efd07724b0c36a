//! Sessions: a success waits for its session's judgement, and what the judgement teaches.

use std::sync::Arc;

use jiff::Timestamp;
use riskgate_config::pseudonym::UserKeys;
use riskgate_engine::{
    context::{Context, RawClaims, Trust},
    evidence::Evidence,
    sign_in::Trigger,
};
use riskgate_history::repository::sessions::{JudgementClaim, SessionSignIn, SessionVerdict};
use riskgate_store::Store;

use crate::fixtures::{self, AFAR, HOME, KEY, Origin, TestEngine, at, claims, history, pre};

/// Sessions are looked up for the public client `app`.
fn engine(store: &Arc<dyn Store>) -> TestEngine {
    engine_with(store, KEY)
}

fn engine_with(store: &Arc<dyn Store>, pseudonym_keys: &str) -> TestEngine {
    let queue = ("SESSION_QUEUE", "https://sqs.eu-west-1.amazonaws.com/1/q");
    TestEngine::over(store, &[queue, ("STORE", "redis://127.0.0.1:1/0"), ("DENY_AT", "100"), ("REVIEW_AT", "99"), ("PSEUDONYM_KEY", pseudonym_keys)])
}

/// A sign-in with the right password. Returns the assessment's id and the field of the success.
async fn sign_in(engine: &TestEngine, origin: Origin, time: Timestamp) -> (String, Option<String>) {
    let id = engine.attempt_by(pre("ada", "app", claims(origin)), time).await.id;
    let event = serde_json::json!({ "triggerSource": "PostAuthentication_Authentication", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "app" },
        "request": { "userAttributes": { "sub": "sub-ada" } }, "response": {} });
    let success = engine.repository().record_success(&engine.post(event, time)).await.expect("the store answers");
    let session = success.session.expect("the session is looked up");
    (id.to_string(), session.sample.map(|field| field.to_string()))
}

fn about<'a>(keys: &'a UserKeys, id: &'a str, sample: Option<&'a str>, time: Timestamp) -> SessionSignIn<'a> {
    SessionSignIn { pool: "pool", keys, client: "app", id, sample, at: time }
}

/// The evidence about a user's session with this address, as the user pool saw it.
pub async fn verified_evidence(engine: &TestEngine, user: &str, ip: &str, time: Timestamp) -> Box<Evidence> {
    let mut sign_in = engine.sign_in_of(pre(user, "app", serde_json::json!({})), time);
    sign_in.trigger = Trigger::Session;
    sign_in.context = Context::read(Trust::Verified, &RawClaims { ip: Some(ip), ..RawClaims::default() });
    let deadline = engine.engine.deadline(sign_in.received.mono, None);
    engine.enricher().enrich(sign_in, deadline).await.evidence
}

async fn verified(engine: &TestEngine, ip: &str, time: Timestamp) -> Box<Evidence> {
    verified_evidence(engine, "ada", ip, time).await
}

async fn successes(engine: &TestEngine, time: Timestamp) -> u32 {
    history(&engine.attempt_by(pre("ada", "app", claims(HOME)), time).await).profile.successes
}

#[tokio::test]
async fn a_success_waits_for_its_session_or_five_minutes() {
    let engine = engine(&fixtures::memory().store);
    sign_in(&engine, HOME, at(0, "07:00:00")).await;
    assert_eq!(successes(&engine, at(0, "07:04:59")).await, 0);
    assert_eq!(successes(&engine, at(0, "07:05:00")).await, 1);
}

#[tokio::test]
async fn a_confirmed_session_is_learned_with_its_address_and_once() {
    let engine = engine(&fixtures::memory().store);
    let (repository, time) = (engine.repository(), at(0, "07:00:00"));
    let keys = repository.record_keys("pool", "sub-ada");
    let (id, sample) = sign_in(&engine, HOME, time).await;
    let about = about(&keys, &id, sample.as_deref(), time);
    let evidence = verified(&engine, AFAR.ip, at(0, "07:00:10")).await;
    let claimed = repository.read_session(&about, "tkn1", time).await.unwrap().claimed.expect("the claim waits");
    let seen = repository.verified_origin(&evidence, time);
    assert_eq!(claimed.contradicts(&seen), (true, false), "another country");
    let home = verified(&engine, "84.208.99.1", time).await;
    assert_eq!(claimed.contradicts(&repository.verified_origin(&home, time)), (false, false), "addresses are not compared");
    for _ in 0..2 {
        assert!(repository.apply_judgement(&about, "tkn1", &seen, Some(7), SessionVerdict::Learn, at(0, "07:00:10")).await.unwrap());
    }
    let next = verified(&engine, AFAR.ip, at(0, "08:00:00")).await;
    assert_eq!(next.history.profile.successes, 1);
    let level = riskgate_engine::features::FeatureLevel::Country;
    assert!(next.history.profile.entry(level, next.features.at(level).unwrap()).is_some(), "the session's country is learned");
    assert!(repository.read_session(&about, "tkn1", time).await.unwrap().first_seen.is_some());
}

/// The levels whose value is marked as verified, and all others, in the export of a user under the newest key.
async fn exported_levels(engine: &TestEngine, time: Timestamp) -> (Vec<String>, Vec<String>) {
    let exported = engine.repository().export("pool", "sub-ada", time).await.unwrap();
    let values = exported["records"][0]["values"].as_array().unwrap().clone();
    let (verified, claimed): (Vec<_>, Vec<_>) = values.into_iter().partition(|value| value["verified"] == true);
    let names = |values: Vec<serde_json::Value>| values.iter().map(|value| value["level"].as_str().unwrap().to_owned()).collect();
    (names(verified), names(claimed))
}

const NETWORK: [&str; 4] = ["country", "asn", "network", "ip"];

#[tokio::test]
async fn a_session_marks_its_network_as_verified_and_a_key_rotation_retains_the_marks() {
    for backend in fixtures::all().await {
        let name = backend.name;
        let engine = engine(&backend.store);
        let (repository, time) = (engine.repository(), at(0, "07:00:00"));
        let keys = repository.record_keys("pool", "sub-ada");
        sign_in(&engine, HOME, time).await;
        let (id, sample) = sign_in(&engine, HOME, at(0, "08:00:00")).await;
        assert_eq!(exported_levels(&engine, at(0, "08:00:01")).await.0, [""; 0], "{name}: a claim that was learned marks nothing");
        let about = about(&keys, &id, sample.as_deref(), at(0, "08:00:00"));
        let evidence = verified(&engine, AFAR.ip, at(0, "08:00:10")).await;
        let seen = repository.verified_origin(&evidence, at(0, "08:00:00"));
        assert!(repository.apply_judgement(&about, "tkn1", &seen, Some(8), SessionVerdict::Learn, at(0, "08:00:10")).await.unwrap());
        let (marked, rest) = exported_levels(&engine, at(0, "08:00:20")).await;
        assert_eq!(marked, NETWORK, "{name}: the session's, and not the claimed ones");
        assert!(NETWORK.iter().all(|level| rest.iter().any(|other| other == level)), "{name}: the first success was claimed: {rest:?}");
        // A trusted address is verified beside others that are.
        engine.sign_in("ada", HOME, at(1, "07:00:00")).await;
        assert_eq!(exported_levels(&engine, at(1, "07:00:20")).await.0.len(), 8, "{name}");
        let both = engine_with(&backend.store, &format!("k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA,{KEY}"));
        both.sign_in("ada", HOME, at(2, "07:00:00")).await;
        assert_eq!(exported_levels(&both, at(2, "07:00:20")).await.0.len(), 8, "{name}: under the new key");
    }
}

#[tokio::test]
async fn trusted_addresses_are_not_marked_without_a_session() {
    let engine = engine(&fixtures::memory().store);
    engine.sign_in_daily("ada", 3).await;
    let (marked, rest) = exported_levels(&engine, at(3, "07:00:00")).await;
    assert!(marked.is_empty() && !rest.is_empty(), "{marked:?} {rest:?}");
}

#[tokio::test]
async fn a_denied_session_is_never_learned() {
    let engine = engine(&fixtures::memory().store);
    let (repository, time) = (engine.repository(), at(0, "07:00:00"));
    let keys = repository.record_keys("pool", "sub-ada");
    let (id, sample) = sign_in(&engine, HOME, time).await;
    let evidence = verified(&engine, AFAR.ip, time).await;
    let seen = repository.verified_origin(&evidence, time);
    assert!(repository.apply_judgement(&about(&keys, &id, sample.as_deref(), time), "tkn1", &seen, None, SessionVerdict::Deny, time).await.unwrap());
    assert_eq!(successes(&engine, at(0, "09:00:00")).await, 0);
}

#[tokio::test]
async fn a_forgotten_user_is_not_learned_from_a_session() {
    let engine = engine(&fixtures::memory().store);
    let (repository, time) = (engine.repository(), at(0, "07:00:00"));
    let keys = repository.record_keys("pool", "sub-ada");
    let (id, sample) = sign_in(&engine, HOME, time).await;
    let evidence = verified(&engine, HOME.ip, time).await;
    let seen = repository.verified_origin(&evidence, time);
    repository.forget("pool", "sub-ada", at(0, "07:00:05")).await.unwrap();
    let about = about(&keys, &id, sample.as_deref(), time);
    assert!(repository.read_session(&about, "tkn1", time).await.unwrap().is_forgotten);
    assert!(!repository.apply_judgement(&about, "tkn1", &seen, None, SessionVerdict::Learn, at(0, "07:00:10")).await.unwrap());
    assert_eq!(successes(&engine, at(0, "09:00:00")).await, 0);
}

#[tokio::test]
async fn a_finding_is_stored_until_a_look_up_succeeds() {
    let store = fixtures::memory().store;
    let (function, sidecar) = (engine(&store), engine(&store));
    let problem = async |time| {
        let found = sidecar.repository().read_session_findings(time).await.unwrap();
        sidecar.repository().refresh_session_findings(time).await;
        assert_eq!(found, sidecar.repository().session_findings(time), "the list that is read with sign-ins has it too");
        found.get("pool").map(|finding| (finding.problem.to_string(), finding.at))
    };
    let repository = function.repository();
    repository.record_session_finding("pool", "tracking_off", at(0, "07:00:00")).await.unwrap();
    assert_eq!(problem(at(0, "07:00:01")).await, Some(("tracking_off".to_owned(), at(0, "07:00:00"))));
    repository.record_session_finding("pool", "tracking_off", at(0, "07:00:02")).await.unwrap();
    repository.record_session_finding("pool", "not_permitted", at(0, "07:00:03")).await.unwrap();
    assert_eq!(problem(at(0, "07:00:30")).await, Some(("not_permitted".to_owned(), at(0, "07:00:03"))));
    assert_eq!(problem(at(1, "07:00:04")).await, None, "for a day");
    repository.record_session_finding("pool", "not_permitted", at(1, "08:00:00")).await.unwrap();
    repository.clear_session_finding("pool", at(1, "08:00:01")).await.unwrap();
    assert_eq!(problem(at(1, "08:00:20")).await, None);
}

#[tokio::test]
async fn a_message_from_before_a_key_rotation_finds_the_record_that_moved() {
    let (store, time) = (fixtures::memory().store, at(0, "07:00:00"));
    let (old, both) = (engine(&store), engine_with(&store, &format!("k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA,{KEY}")));
    let (id, sample) = sign_in(&old, HOME, time).await;
    let sent = old.repository().record_keys("pool", "sub-ada");
    sign_in(&both, HOME, at(0, "07:00:05")).await;
    let repository = both.repository();
    let keys = repository.current_keys(&sent, time).await.unwrap();
    assert_eq!(keys, repository.record_keys("pool", "sub-ada"), "the newest key first");
    let about = about(&keys, &id, sample.as_deref(), time);
    assert!(repository.read_session(&about, "tkn1", time).await.unwrap().claimed.is_some(), "the success still waits");
    let evidence = verified(&both, HOME.ip, time).await;
    let seen = repository.verified_origin(&evidence, time);
    assert!(repository.apply_judgement(&about, "tkn1", &seen, Some(7), SessionVerdict::Learn, at(0, "07:00:10")).await.unwrap());
    assert_eq!(successes(&both, at(0, "07:00:20")).await, 1);
}

#[tokio::test]
async fn a_message_is_judged_once_and_taken_over_after_its_lease() {
    let engine = engine(&fixtures::memory().store);
    let (repository, lease) = (engine.repository(), std::time::Duration::from_secs(30));
    let claim = async |message, time| repository.claim_judgement(message, lease, time).await.unwrap();
    assert_eq!(claim("s2", at(0, "07:00:00")).await, JudgementClaim::Granted);
    assert_eq!(claim("s2", at(0, "07:00:29")).await, JudgementClaim::Busy);
    assert_eq!(claim("s1", at(0, "07:00:00")).await, JudgementClaim::Granted);
    assert_eq!(claim("s1", at(0, "07:00:31")).await, JudgementClaim::Granted);
    repository.record_judgement("s1", at(0, "07:00:32")).await.unwrap();
    assert_eq!(claim("s1", at(0, "07:02:00")).await, JudgementClaim::Judged);
    assert!(repository.is_judged("s1", at(0, "07:02:00")).await.unwrap());
}

#[tokio::test]
async fn an_address_of_many_users_is_shared() {
    let engine = engine(&fixtures::memory().store);
    let (repository, time) = (engine.repository(), at(0, "07:00:00"));
    let keys = repository.record_keys("pool", "sub-ada");
    let evidence = verified(&engine, HOME.ip, time).await;
    let mut shared = Vec::new();
    for number in 0..12 {
        let keys = repository.record_keys("pool", &format!("sub-{number}"));
        let about = about(&keys, "", None, time);
        shared.push(repository.is_shared_egress(&about, &evidence, time).await.unwrap());
    }
    assert_eq!(shared.iter().position(|is_shared| *is_shared), Some(9));
    let later = at(2, "07:00:00");
    assert!(repository.is_shared_egress(&about(&keys, "", None, later), &evidence, later).await.unwrap(), "for a week");
    let other = SessionSignIn { client: "web", ..about(&keys, "", None, later) };
    assert!(!repository.is_shared_egress(&other, &evidence, later).await.unwrap(), "for that client only");
}
