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
        let engine_under_test = |keys: &str| TestEngine::over(store, &[&[("PSEUDONYM_KEY", keys)], variables].concat());
        Rotation { old: engine_under_test(KEY), both: engine_under_test(&both), new: engine_under_test(NEW) }
    }
}

#[tokio::test]
async fn a_person_stays_suspended_or_exempt_when_the_old_key_is_dropped() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[("DENY_AT", "1")]);
        let repository = rotation.old.engine.enricher().repository().unwrap();
        let with_message = BlockEntry { message: Some("Please renew".into()), ..SUSPEND };
        for (user, entry, rule) in [("ada", &SUSPEND, Rule::Suspended), ("bob", &EXEMPT, Rule::Exempt), ("eve", &with_message, Rule::Suspended)] {
            repository.block_user("pool", &format!("sub-{user}"), entry, at(0, "06:00:00")).await.unwrap();
            assert_eq!(rotation.both.attempt(user, AFAR, at(0, "07:00:00")).await.decision.rule, rule, "{}: {user}", kept.name);
            assert_eq!(rotation.new.attempt(user, AFAR, at(1, "07:00:00")).await.decision.rule, rule, "{}: {user}", kept.name);
        }
        let listed = rotation.new.engine.enricher().repository().unwrap().blocks(at(1, "08:00:00")).await.unwrap();
        assert_eq!(listed.len(), 3, "{}: {listed:?}", kept.name);
        for user in ["ada", "bob", "eve"] {
            let key = rotation.new.engine.enricher().repository().unwrap().record_keys("pool", &format!("sub-{user}"))[0].clone();
            assert!(listed.iter().any(|block| block.subject == format!("person u#{key}")), "{}: {user} is listed under the new key", kept.name);
        }
    }
}

#[tokio::test]
async fn a_message_survives_a_sign_in_that_moves_the_profile() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[]);
        for day in 0..3 {
            rotation.old.sign_in("ada", HOME, at(day, "07:00:00")).await;
        }
        tokens(&rotation.old, "bob", "web", at(3, "06:50:00")).await;
        let entry = BlockEntry { message: Some("Please renew".into()), ..SUSPEND };
        rotation.old.engine.enricher().repository().unwrap().block_user("pool", "sub-ada", &entry, at(3, "06:55:00")).await.unwrap();
        assert_eq!(rotation.both.attempt("ada", HOME, at(3, "07:00:00")).await.decision.rule, Rule::Thresholds, "{}: it waits for the token", kept.name);
        rotation.both.success("ada", "web", at(3, "07:00:01")).await.unwrap();
        assert!(tokens(&rotation.both, "ada", "web", at(3, "07:00:02")).await.is_some(), "{}", kept.name);
        assert!(tokens(&rotation.new, "ada", "web", at(4, "07:00:02")).await.is_some(), "{}: after the old key", kept.name);
        assert_eq!(history(&rotation.new.attempt("ada", HOME, at(4, "07:10:00")).await).profile.successes, 4, "{}: the profile with it", kept.name);
    }
}

#[tokio::test]
async fn a_suspension_under_the_old_key_acts_on_a_person_whose_history_has_moved() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[]);
        rotation.both.sign_in("ada", HOME, at(0, "07:00:00")).await;
        rotation.old.engine.enricher().repository().unwrap().block_user("pool", "sub-ada", &SUSPEND, at(0, "08:00:00")).await.unwrap();
        assert_eq!(rotation.both.attempt("ada", HOME, at(0, "09:00:00")).await.decision.rule, Rule::Suspended, "{}", kept.name);
        assert_eq!(rotation.new.attempt("ada", HOME, at(0, "09:10:00")).await.decision.rule, Rule::Suspended, "{}", kept.name);
        rotation.both.engine.enricher().repository().unwrap().unblock_user("pool", "sub-ada", at(0, "09:20:00")).await.unwrap();
        assert_eq!(rotation.both.attempt("ada", HOME, at(0, "09:30:00")).await.decision.rule, Rule::Thresholds, "{}", kept.name);
        assert!(rotation.both.engine.enricher().repository().unwrap().blocks(at(0, "10:00:00")).await.unwrap().is_empty(), "{}", kept.name);
    }
}

#[tokio::test]
async fn devices_and_tenants_stay_blocked() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[("TENANT_ATTRIBUTE", "custom:tenant")]);
        let repository = rotation.old.engine.enricher().repository().unwrap();
        let rule = async |engine_under_test: &TestEngine, time| {
            let mut event = pre("ada", "web", claims(HOME));
            event["request"]["userAttributes"]["custom:tenant"] = json!("acme");
            engine_under_test.attempt_by(event, time).await.decision.rule
        };
        let subjects = [
            BlockSubject::Device(repository.subject_keys("device", HOME.device)[0].clone()),
            BlockSubject::Tenant(repository.subject_keys("tenant", "acme")[0].clone()),
        ];
        for (day, subject) in (0..).zip(subjects) {
            repository.block(&subject, &SUSPEND).await.unwrap();
            assert_eq!(rule(&rotation.both, at(day, "07:00:00")).await, Rule::Suspended, "{}: {subject:?}", kept.name);
            assert_eq!(rule(&rotation.new, at(day, "07:00:20")).await, Rule::Suspended, "{}: {subject:?}", kept.name);
            let both = rotation.both.engine.enricher().repository().unwrap();
            assert_eq!(both.blocks(at(day, "07:00:30")).await.unwrap().len(), 1, "{}: {subject:?}", kept.name);
            for (purpose, value) in [("device", HOME.device), ("tenant", "acme")] {
                for key in both.subject_keys(purpose, value) {
                    let subject = if purpose == "device" { BlockSubject::Device(key) } else { BlockSubject::Tenant(key) };
                    both.unblock(&subject).await.unwrap();
                }
            }
            // Removed means removed: nothing that an instance has read before brings it back.
            assert_eq!(rule(&rotation.both, at(day, "07:00:50")).await, Rule::Thresholds, "{}: {subject:?}", kept.name);
        }
    }
}

#[tokio::test]
async fn a_token_restriction_is_moved() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[("REVIEW_AT", "0"), ("WITHHOLD_GROUPS", "admins")]);
        let hold = async |engine_under_test: &TestEngine, time| {
            let event = json!({ "triggerSource": "TokenGeneration_RefreshTokens", "userPoolId": "pool", "userName": "ada", "callerContext": { "clientId": "web" },
                "request": { "userAttributes": { "sub": "sub-ada" }, "groupConfiguration": {} }, "response": {} });
            engine_under_test.engine.enricher().repository().unwrap().read_token_facts(&engine_under_test.token(event, time)).await.unwrap().restriction
        };
        rotation.old.sign_in("ada", HOME, at(0, "07:00:00")).await;
        assert_eq!(hold(&rotation.old, at(0, "07:01:00")).await, TokenRestriction::Withhold, "{}", kept.name);
        assert_eq!(hold(&rotation.both, at(0, "07:02:00")).await, TokenRestriction::Withhold, "{}", kept.name);
        assert_eq!(hold(&rotation.new, at(0, "07:03:00")).await, TokenRestriction::Withhold, "{}", kept.name);
    }
}

#[tokio::test]
async fn an_attempt_that_began_under_the_old_key_is_completed_under_the_new_one() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[]);
        rotation.old.attempt("ada", HOME, at(0, "07:00:00")).await;
        assert_eq!(rotation.both.success("ada", "web", at(0, "07:00:01")).await, Ok(Learned::ProfileUpdated), "{}", kept.name);
        let next = rotation.both.attempt("ada", HOME, at(1, "07:00:00")).await;
        assert_eq!(history(&next).profile.successes, 1, "{}", kept.name);
        assert!(reasons(&next).iter().all(|reason| !reason.starts_with("new_")), "{}: {:?}", kept.name, reasons(&next));
        // One device at one place is one origin, whichever key an instance names it by.
        rotation.old.attempt("bob", HOME, at(2, "07:00:00")).await;
        rotation.both.attempt("bob", HOME, at(2, "07:00:20")).await;
        assert_eq!(rotation.both.success("bob", "web", at(2, "07:00:21")).await, Ok(Learned::ProfileUpdated), "{}", kept.name);
        // Another device is another origin.
        rotation.old.attempt("eve", AFAR, at(3, "07:00:00")).await;
        rotation.both.attempt("eve", HOME, at(3, "07:00:20")).await;
        assert_eq!(rotation.both.success("eve", "web", at(3, "07:00:21")).await, Ok(Learned::Ambiguous), "{}", kept.name);
    }
}

#[tokio::test]
async fn failures_count_across_the_rotation() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[]);
        rotation.old.sign_in("ada", HOME, at(0, "06:00:00")).await;
        for minute in 0..3 {
            rotation.old.attempt("ada", AFAR, at(0, &format!("07:0{minute}:00"))).await;
        }
        // The old key's mark says that this client reports successes; the new one has none yet.
        let next = rotation.both.attempt("ada", AFAR, at(0, "07:04:00")).await;
        assert_eq!(history(&next).velocity.account_failures, 4, "{}", kept.name);
        for number in 0..5 {
            rotation.old.attempt(&format!("user{number}"), AFAR, at(1, "07:00:00")).await;
        }
        let next = rotation.both.attempt("ada", AFAR, at(1, "07:01:00")).await;
        assert_eq!(history(&next).velocity.accounts_per_ip, 6, "{}", kept.name);
    }
}

#[tokio::test]
async fn an_assessment_under_the_old_key_hears_its_outcome() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[]);
        let sign_in = |engine_under_test: &TestEngine, second: &str| -> SignIn {
            let body = json!({ "user": "ada", "ip": HOME.ip, "userAgent": HOME.agent, "deviceId": HOME.device }).to_string();
            let _ = engine_under_test;
            riskgate_event::http::parse(body.as_bytes(), riskgate_engine::client_ip::ClientIp::Missing, riskgate_runtime::clock::at(at(0, second))).unwrap()
        };
        let before = rotation.old.assess(sign_in(&rotation.old, "07:00:00")).await;
        // Her record is moved in between.
        rotation.both.assess(sign_in(&rotation.both, "07:01:00")).await;
        let repository = rotation.both.engine.enricher().repository().unwrap();
        assert_eq!(
            repository.record_outcome(&before.id, ReportedOutcome::Success, riskgate_engine::time::EventTime::new(at(0, "07:02:00")), at(0, "07:02:00")).await,
            Ok(Some(Learned::ProfileUpdated)),
            "{}",
            kept.name
        );
        let next = rotation.new.assess(sign_in(&rotation.new, "07:03:00")).await;
        assert_eq!(history(&next).profile.successes, 1, "{}", kept.name);
    }
}

#[tokio::test]
async fn a_nonce_used_under_one_key_is_known_under_the_other() {
    let secret = [7; 32];
    let keys = format!("hs:HS256:{}", B64.encode(secret));
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[("CONTEXT_KEYS", &keys)]);
        let nonce = async |engine_under_test: &TestEngine, user: &str, number: u32, time| {
            let claims = Claims {
                aud: "pool".to_owned(),
                client_id: "app".to_owned(),
                iat: at(0, "07:00:00").as_second(),
                jti: format!("nonce-{number:016}"),
                ..Claims::default()
            };
            let token = sign(&claims, "hs", Algorithm::HS256, &EncodingKey::from_secret(&secret)).unwrap();
            let sign_in = engine_under_test.sign_in_of(pre(user, "app", json!({ "riskgate": token })), at(0, time));
            engine_under_test
                .engine
                .enricher()
                .repository()
                .unwrap()
                .begin_attempt(&sign_in, &Default::default(), &Default::default(), None)
                .await
                .unwrap()
                .0
                .nonce
        };
        assert_eq!(nonce(&rotation.old, "ada", 1, "07:00:00").await, NonceStatus::New, "{}", kept.name);
        assert_eq!(nonce(&rotation.both, "ada", 1, "07:00:05").await, NonceStatus::Retried, "{}: Cognito's retry reaches another instance", kept.name);
        assert_eq!(nonce(&rotation.both, "eve", 1, "07:01:00").await, NonceStatus::Replayed, "{}", kept.name);
        assert_eq!(nonce(&rotation.both, "ada", 2, "07:01:00").await, NonceStatus::New, "{}", kept.name);
        assert_eq!(nonce(&rotation.old, "eve", 2, "07:02:00").await, NonceStatus::Replayed, "{}: instances that lack the new key", kept.name);
        assert_eq!(nonce(&rotation.new, "eve", 2, "07:02:00").await, NonceStatus::Replayed, "{}: and the old one", kept.name);
    }
}

#[tokio::test]
async fn histories_of_both_keys_are_added_up_and_forgotten() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[]);
        for day in 0..3 {
            rotation.old.sign_in("ada", HOME, at(day, "07:00:00")).await;
        }
        rotation.both.sign_in("ada", HOME, at(3, "07:00:00")).await;
        // An instance of the old deployment is still there.
        rotation.old.sign_in("ada", HOME, at(4, "07:00:00")).await;
        rotation.both.sign_in("ada", HOME, at(5, "07:00:00")).await;
        assert_eq!(history(&rotation.new.attempt("ada", HOME, at(6, "07:00:00")).await).profile.successes, 6, "{}", kept.name);
        let repository = rotation.both.engine.enricher().repository().unwrap();
        let activity = repository.export("pool", "sub-ada", at(6, "08:00:00")).await.unwrap()["activity"].as_array().map(Vec::len);
        assert_eq!(activity, Some(if kept.name == "dynamodb" { 6 } else { 0 }), "{}", kept.name);
        repository.forget("pool", "sub-ada", at(6, "08:00:00")).await.unwrap();
        assert_eq!(repository.export("pool", "sub-ada", at(6, "08:00:00")).await.unwrap()["activity"], json!([]), "{}", kept.name);
        let templates = kept.store.list_entries(riskgate_store::List::DecoyTemplates, at(6, "08:00:00")).await.unwrap();
        assert!(templates.is_empty(), "{}: what her history lent is gone under both keys", kept.name);
        // Attempts that follow may lend again: an empty history.
        for engine_under_test in [&rotation.old, &rotation.both, &rotation.new] {
            assert!(history(&engine_under_test.attempt("ada", HOME, at(7, "07:00:00")).await).profile.is_new(), "{}", kept.name);
        }
    }
}

#[tokio::test]
async fn a_history_that_is_moved_shortens_no_block() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[]);
        rotation.old.sign_in("ada", HOME, at(0, "07:00:00")).await;
        rotation.both.engine.enricher().repository().unwrap().block_user("pool", "sub-ada", &SUSPEND, at(0, "08:00:00")).await.unwrap();
        assert_eq!(rotation.both.attempt("ada", HOME, at(0, "09:00:00")).await.decision.rule, Rule::Suspended, "{}", kept.name);
        assert_eq!(rotation.new.attempt("ada", HOME, at(400, "09:00:00")).await.decision.rule, Rule::Suspended, "{}", kept.name);
    }
}

/// A function's role may put and update, but not delete.
#[tokio::test]
async fn a_block_that_ended_in_a_list_does_not_come_back() {
    use riskgate_store::List;
    for kept in fixtures::all().await {
        kept.store.put_list_entry(List::BlockedUsers, "key", &SUSPEND.to_bytes(), None).await.unwrap();
        kept.store.put_list_entry(List::BlockedUsers, "key", &[], Some(jiff::Timestamp::UNIX_EPOCH)).await.unwrap();
        assert!(kept.store.list_entries(List::BlockedUsers, at(0, "07:00:00")).await.unwrap().is_empty(), "{}", kept.name);
    }
}

/// A move is several writes: one that ends after the first of them adds nothing twice, nor loses anything.
#[tokio::test]
async fn a_move_that_is_interrupted_is_completed() {
    for kept in fixtures::all().await {
        let rotation = Rotation::over(&kept.store, &[]);
        for fault in [Fault::Refused, Fault::AnswerLost] {
            for call in 0..12 {
                let (user, what) = (format!("ada-{fault:?}-{call}"), format!("{}: {fault:?} from call {call} on", kept.name));
                for day in 0..2 {
                    rotation.old.sign_in(&user, HOME, at(day, "07:00:00")).await;
                }
                let flaky = Interrupted::over(&kept.store);
                let moving = TestEngine::over(&(std::sync::Arc::clone(&flaky) as std::sync::Arc<dyn Store>), &[("PSEUDONYM_KEY", &format!("{NEW},{KEY}"))]);
                flaky.fail_from(call, fault);
                moving.attempt(&user, HOME, at(2, "07:00:00")).await;
                flaky.recover();
                rotation.both.attempt(&user, HOME, at(3, "07:00:00")).await;
                // Without a deadline: a busy machine is no interruption.
                let sign_in = rotation.both.sign_in_of(pre(&user, "web", claims(HOME)), at(4, "07:00:00"));
                let profile = rotation
                    .both
                    .engine
                    .enricher()
                    .repository()
                    .unwrap()
                    .read_history(&sign_in, &Default::default(), &Default::default())
                    .await
                    .unwrap()
                    .profile;
                assert_eq!((profile.successes, profile.entries.iter().map(|entry| entry.count).max()), (2, Some(2)), "{what}");
            }
        }
    }
}
