//! Key rotation loses nothing (invariant 14): every kind of entry is found under every configured key and moved to the newest.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
use jsonwebtoken::{Algorithm, EncodingKey};
use riskgate_engine::{decision::Rule, evidence::history::NonceStatus, sign_in::SignIn};
use riskgate_event::signed_context::{Claims, sign};
use riskgate_history::{
    attempt::TokenRestriction,
    block_list::{BlockEntry, BlockEntryKind, BlockSubject},
    repository::{learning::Learned, outcome::ReportedOutcome},
};
use riskgate_store::Store;
use serde_json::json;

use crate::fixtures::{self, AFAR, HOME, KEY, TestEngine, at, claims, history, pre, reasons, tokens};
use crate::interrupted::{Fault, Interrupted};

const NEW: &str = "k2:BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBA";

const SUSPEND: BlockEntry = BlockEntry { kind: BlockEntryKind::Suspend, until: None, note: None, message: None };
const EXEMPT: BlockEntry = BlockEntry { kind: BlockEntryKind::Exempt, until: None, note: None, message: None };

/// The deployment before, during and after a rotation from k1 to k2, over one store.
struct Rotation {
    old: TestEngine,
    both: TestEngine,
    new: TestEngine,
}

impl Rotation {
    fn over(store: &std::sync::Arc<dyn Store>, variables: &[(&str, &str)]) -> Self {
        let both = format!("{NEW},{KEY}");
        let engine = |keys: &str| TestEngine::over(store, &[&[("PSEUDONYM_KEY", keys)], variables].concat());
        Rotation { old: engine(KEY), both: engine(&both), new: engine(NEW) }
    }
}

#[tokio::test]
async fn a_person_stays_suspended_or_exempt_when_the_old_key_is_dropped() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[("DENY_AT", "1")]);
        let repository = rotation.old.repository();
        let with_message = BlockEntry { message: Some("Please renew".into()), ..SUSPEND };
        for (user, entry, rule) in [("ada", &SUSPEND, Rule::Suspended), ("bob", &EXEMPT, Rule::Exempt), ("eve", &with_message, Rule::Suspended)] {
            repository.block_user("pool", &format!("sub-{user}"), entry, at(0, "06:00:00")).await.unwrap();
            assert_eq!(rotation.both.attempt(user, AFAR, at(0, "07:00:00")).await.decision.rule, rule, "{}: {user}", backend.name);
            assert_eq!(rotation.new.attempt(user, AFAR, at(1, "07:00:00")).await.decision.rule, rule, "{}: {user}", backend.name);
        }
        let listed = rotation.new.repository().blocks(at(1, "08:00:00")).await.unwrap();
        assert_eq!(listed.len(), 3, "{}: {listed:?}", backend.name);
        for user in ["ada", "bob", "eve"] {
            let key = rotation.new.repository().record_keys("pool", &format!("sub-{user}"))[0].clone();
            assert!(listed.iter().any(|block| block.subject == format!("person u#{key}")), "{}: {user} is listed under the new key", backend.name);
        }
    }
}

#[tokio::test]
async fn a_message_survives_a_sign_in_that_moves_the_profile() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[]);
        rotation.old.sign_in_daily("ada", 3).await;
        tokens(&rotation.old, "bob", "web", at(3, "06:50:00")).await;
        let entry = BlockEntry { message: Some("Please renew".into()), ..SUSPEND };
        rotation.old.repository().block_user("pool", "sub-ada", &entry, at(3, "06:55:00")).await.unwrap();
        assert_eq!(rotation.both.attempt("ada", HOME, at(3, "07:00:00")).await.decision.rule, Rule::Thresholds, "{}: it waits for the token", backend.name);
        rotation.both.success("ada", "web", at(3, "07:00:01")).await.unwrap();
        assert!(tokens(&rotation.both, "ada", "web", at(3, "07:00:02")).await.is_some(), "{}", backend.name);
        assert!(tokens(&rotation.new, "ada", "web", at(4, "07:00:02")).await.is_some(), "{}: after the old key", backend.name);
        assert_eq!(history(&rotation.new.attempt("ada", HOME, at(4, "07:10:00")).await).profile.successes, 4, "{}: the profile with it", backend.name);
    }
}

/// A sign-in with the keys of one engine, and a suspension an hour later with those of another.
async fn sign_in_and_suspend(signed_in: &TestEngine, suspended: &TestEngine) {
    signed_in.sign_in("ada", HOME, at(0, "07:00:00")).await;
    suspended.repository().block_user("pool", "sub-ada", &SUSPEND, at(0, "08:00:00")).await.unwrap();
}

#[tokio::test]
async fn a_suspension_under_the_old_key_acts_on_a_person_whose_history_has_moved() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[]);
        sign_in_and_suspend(&rotation.both, &rotation.old).await;
        assert_eq!(rotation.both.attempt("ada", HOME, at(0, "09:00:00")).await.decision.rule, Rule::Suspended, "{}", backend.name);
        assert_eq!(rotation.new.attempt("ada", HOME, at(0, "09:10:00")).await.decision.rule, Rule::Suspended, "{}", backend.name);
        rotation.both.repository().unblock_user("pool", "sub-ada", at(0, "09:20:00")).await.unwrap();
        assert_eq!(rotation.both.attempt("ada", HOME, at(0, "09:30:00")).await.decision.rule, Rule::Thresholds, "{}", backend.name);
        assert!(rotation.both.repository().blocks(at(0, "10:00:00")).await.unwrap().is_empty(), "{}", backend.name);
    }
}

#[tokio::test]
async fn devices_and_tenants_stay_blocked() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[("TENANT_ATTRIBUTE", "custom:tenant")]);
        let repository = rotation.old.repository();
        let rule = async |engine: &TestEngine, time| {
            let mut event = pre("ada", "web", claims(HOME));
            event["request"]["userAttributes"]["custom:tenant"] = json!("acme");
            engine.attempt_by(event, time).await.decision.rule
        };
        let subjects = [
            BlockSubject::Device(repository.subject_keys("device", HOME.device)[0].clone()),
            BlockSubject::Tenant(repository.subject_keys("tenant", "acme")[0].clone()),
        ];
        for (day, subject) in (0..).zip(subjects) {
            repository.block(&subject, &SUSPEND).await.unwrap();
            assert_eq!(rule(&rotation.both, at(day, "07:00:00")).await, Rule::Suspended, "{}: {subject:?}", backend.name);
            assert_eq!(rule(&rotation.new, at(day, "07:00:20")).await, Rule::Suspended, "{}: {subject:?}", backend.name);
            let both = rotation.both.repository();
            assert_eq!(both.blocks(at(day, "07:00:30")).await.unwrap().len(), 1, "{}: {subject:?}", backend.name);
            for (purpose, value) in [("device", HOME.device), ("tenant", "acme")] {
                for key in both.subject_keys(purpose, value) {
                    let subject = if purpose == "device" { BlockSubject::Device(key) } else { BlockSubject::Tenant(key) };
                    both.unblock(&subject).await.unwrap();
                }
            }
            // Removed means removed: nothing that an instance has read before brings it back.
            assert_eq!(rule(&rotation.both, at(day, "07:00:50")).await, Rule::Thresholds, "{}: {subject:?}", backend.name);
        }
    }
}

#[tokio::test]
async fn a_token_restriction_is_moved() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[("REVIEW_AT", "0"), ("WITHHOLD_GROUPS", "admins")]);
        let hold = async |engine: &TestEngine, time| {
            let event = json!({ "triggerSource": "TokenGeneration_RefreshTokens", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "web" },
                "request": { "userAttributes": { "sub": "sub-ada" }, "groupConfiguration": {} }, "response": {} });
            engine.repository().read_token_facts(&engine.token(event, time)).await.unwrap().restriction
        };
        rotation.old.sign_in("ada", HOME, at(0, "07:00:00")).await;
        assert_eq!(hold(&rotation.old, at(0, "07:01:00")).await, TokenRestriction::Withhold, "{}", backend.name);
        assert_eq!(hold(&rotation.both, at(0, "07:02:00")).await, TokenRestriction::Withhold, "{}", backend.name);
        assert_eq!(hold(&rotation.new, at(0, "07:03:00")).await, TokenRestriction::Withhold, "{}", backend.name);
    }
}

#[tokio::test]
async fn an_attempt_that_began_under_the_old_key_is_completed_under_the_new_one() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[]);
        rotation.old.attempt("ada", HOME, at(0, "07:00:00")).await;
        assert_eq!(rotation.both.success("ada", "web", at(0, "07:00:01")).await, Ok(Learned::ProfileUpdated), "{}", backend.name);
        let next = rotation.both.attempt("ada", HOME, at(1, "07:00:00")).await;
        assert_eq!(history(&next).profile.successes, 1, "{}", backend.name);
        assert!(reasons(&next).iter().all(|reason| !reason.starts_with("new_")), "{}: {:?}", backend.name, reasons(&next));
        // One device at one place is one origin, whichever key an instance names it by.
        rotation.old.attempt("bob", HOME, at(2, "07:00:00")).await;
        rotation.both.attempt("bob", HOME, at(2, "07:00:20")).await;
        assert_eq!(rotation.both.success("bob", "web", at(2, "07:00:21")).await, Ok(Learned::ProfileUpdated), "{}", backend.name);
        // Another device is another origin.
        rotation.old.attempt("eve", AFAR, at(3, "07:00:00")).await;
        rotation.both.attempt("eve", HOME, at(3, "07:00:20")).await;
        assert_eq!(rotation.both.success("eve", "web", at(3, "07:00:21")).await, Ok(Learned::Ambiguous), "{}", backend.name);
    }
}

#[tokio::test]
async fn failures_count_across_the_rotation() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[]);
        rotation.old.sign_in("ada", HOME, at(0, "06:00:00")).await;
        for minute in 0..3 {
            rotation.old.attempt("ada", AFAR, at(0, &format!("07:0{minute}:00"))).await;
        }
        // Under the old key this client is known to report successes; under the new one it is not yet.
        let next = rotation.both.attempt("ada", AFAR, at(0, "07:04:00")).await;
        assert_eq!(history(&next).velocity.account_failures, 4, "{}", backend.name);
        for number in 0..5 {
            rotation.old.attempt(&format!("user{number}"), AFAR, at(1, "07:00:00")).await;
        }
        let next = rotation.both.attempt("ada", AFAR, at(1, "07:01:00")).await;
        assert_eq!(history(&next).velocity.accounts_per_ip, 6, "{}", backend.name);
    }
}

#[tokio::test]
async fn an_outcome_of_an_assessment_under_the_old_key_is_accepted() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[]);
        let sign_in = |engine: &TestEngine, second: &str| -> SignIn {
            let body = json!({ "user": "ada", "ip": HOME.ip, "userAgent": HOME.agent, "deviceId": HOME.device }).to_string();
            let _ = engine;
            riskgate_event::http::parse(body.as_bytes(), riskgate_engine::client_ip::ClientIp::Missing, riskgate_runtime::clock::at(at(0, second))).unwrap()
        };
        let before = rotation.old.assess(sign_in(&rotation.old, "07:00:00")).await;
        // Her record is moved in between.
        rotation.both.assess(sign_in(&rotation.both, "07:01:00")).await;
        let repository = rotation.both.repository();
        let time = at(0, "07:02:00");
        let recorded = repository.record_outcome(&before.id, ReportedOutcome::Success, riskgate_engine::time::EventTime::new(time), time).await;
        assert_eq!(recorded.map(|recorded| Some(recorded?.learned)), Ok(Some(Learned::ProfileUpdated)), "{}", backend.name);
        let next = rotation.new.assess(sign_in(&rotation.new, "07:03:00")).await;
        assert_eq!(history(&next).profile.successes, 1, "{}", backend.name);
    }
}

#[tokio::test]
async fn a_nonce_used_under_one_key_is_known_under_the_other() {
    let secret = [7; 32];
    let keys = format!("hs:HS256:{}", B64.encode(secret));
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[("CONTEXT_KEYS", &keys)]);
        let nonce = async |engine: &TestEngine, user: &str, number: u32, time| {
            let claims = Claims {
                aud: "pool".to_owned(),
                client_id: "app".to_owned(),
                iat: at(0, "07:00:00").as_second(),
                jti: format!("nonce-{number:016}"),
                ..Claims::default()
            };
            let token = sign(&claims, "hs", Algorithm::HS256, &EncodingKey::from_secret(&secret)).unwrap();
            let sign_in = engine.sign_in_of(pre(user, "app", json!({ "riskgate": token })), at(0, time));
            engine.repository().begin_attempt(&sign_in, &Default::default(), &Default::default(), None).await.unwrap().0.nonce
        };
        assert_eq!(nonce(&rotation.old, "ada", 1, "07:00:00").await, NonceStatus::New, "{}", backend.name);
        assert_eq!(nonce(&rotation.both, "ada", 1, "07:00:05").await, NonceStatus::Retried, "{}: Cognito's retry reaches another instance", backend.name);
        assert_eq!(nonce(&rotation.both, "eve", 1, "07:01:00").await, NonceStatus::Replayed, "{}", backend.name);
        assert_eq!(nonce(&rotation.both, "ada", 2, "07:01:00").await, NonceStatus::New, "{}", backend.name);
        assert_eq!(nonce(&rotation.old, "eve", 2, "07:02:00").await, NonceStatus::Replayed, "{}: instances that lack the new key", backend.name);
        assert_eq!(nonce(&rotation.new, "eve", 2, "07:02:00").await, NonceStatus::Replayed, "{}: and the old one", backend.name);
    }
}

#[tokio::test]
async fn histories_of_both_keys_are_added_up_and_forgotten() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[]);
        rotation.old.sign_in_daily("ada", 3).await;
        rotation.both.sign_in("ada", HOME, at(3, "07:00:00")).await;
        // An instance of the old deployment is still there.
        rotation.old.sign_in("ada", HOME, at(4, "07:00:00")).await;
        rotation.both.sign_in("ada", HOME, at(5, "07:00:00")).await;
        assert_eq!(history(&rotation.new.attempt("ada", HOME, at(6, "07:00:00")).await).profile.successes, 6, "{}", backend.name);
        let repository = rotation.both.repository();
        let activity = repository.export("pool", "sub-ada", at(6, "08:00:00")).await.unwrap()["activity"].as_array().map(Vec::len);
        assert_eq!(activity, Some(if backend.store.has_activity() { 6 } else { 0 }), "{}", backend.name);
        repository.forget("pool", "sub-ada", at(6, "08:00:00")).await.unwrap();
        assert_eq!(repository.export("pool", "sub-ada", at(6, "08:00:00")).await.unwrap()["activity"], json!([]), "{}", backend.name);
        let templates = backend.store.list_entries(riskgate_store::List::DecoyTemplates, at(6, "08:00:00")).await.unwrap();
        assert!(templates.is_empty(), "{}: her templates are gone under both keys", backend.name);
        // Later attempts may contribute again: an empty profile.
        for engine in [&rotation.old, &rotation.both, &rotation.new] {
            assert!(history(&engine.attempt("ada", HOME, at(7, "07:00:00")).await).profile.is_new(), "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn a_history_that_is_moved_shortens_no_block() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[]);
        sign_in_and_suspend(&rotation.old, &rotation.both).await;
        for (engine, day) in [(&rotation.both, 0), (&rotation.new, 400)] {
            assert_eq!(engine.attempt("ada", HOME, at(day, "09:00:00")).await.decision.rule, Rule::Suspended, "{}: day {day}", backend.name);
        }
    }
}

/// A function's role may put and update, but not delete.
#[tokio::test]
async fn a_block_that_ended_in_a_list_does_not_come_back() {
    use riskgate_store::List;
    for backend in fixtures::all().await {
        backend.store.put_list_entry(List::BlockedUsers, "key", &SUSPEND.to_bytes(), None).await.unwrap();
        backend.store.put_list_entry(List::BlockedUsers, "key", &[], Some(jiff::Timestamp::UNIX_EPOCH)).await.unwrap();
        assert!(backend.store.list_entries(List::BlockedUsers, at(0, "07:00:00")).await.unwrap().is_empty(), "{}", backend.name);
    }
}

/// A move is several writes: one that ends after the first of them adds nothing twice, nor loses anything.
#[tokio::test]
async fn a_move_that_is_interrupted_is_completed() {
    for backend in fixtures::all().await {
        let rotation = Rotation::over(&backend.store, &[]);
        for fault in [Fault::Refused, Fault::AnswerLost] {
            for call in 0..12 {
                let (user, what) = (format!("ada-{fault:?}-{call}"), format!("{}: {fault:?} from call {call} on", backend.name));
                for day in 0..2 {
                    rotation.old.sign_in(&user, HOME, at(day, "07:00:00")).await;
                }
                let flaky = Interrupted::over(&backend.store);
                let moving = TestEngine::over(&(std::sync::Arc::clone(&flaky) as std::sync::Arc<dyn Store>), &[("PSEUDONYM_KEY", &format!("{NEW},{KEY}"))]);
                flaky.fail_from(call, fault);
                moving.attempt(&user, HOME, at(2, "07:00:00")).await;
                flaky.recover();
                rotation.both.attempt(&user, HOME, at(3, "07:00:00")).await;
                // Without a deadline: a busy machine is no interruption.
                let sign_in = rotation.both.sign_in_of(pre(&user, "web", claims(HOME)), at(4, "07:00:00"));
                let profile = rotation.both.repository().read_history(&sign_in, &Default::default(), &Default::default()).await.unwrap().profile;
                assert_eq!((profile.successes, profile.entries.iter().map(|entry| entry.count).max()), (2, Some(2)), "{what}");
            }
        }
    }
}
