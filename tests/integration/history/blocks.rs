//! Blocks at run time: persons, ranges, devices, clients, tenants; seen by every instance within ten seconds.

use riskgate_engine::decision::Rule;
use riskgate_history::block_list::{BlockEntry, BlockEntryKind, BlockSubject};
use riskgate_store::List;
use serde_json::json;

use crate::fixtures::{self, AFAR, HOME, at, claims, pre, tokens};

const SUSPEND: BlockEntry = BlockEntry { kind: BlockEntryKind::Suspend, until: None, note: None, message: None };
const EXEMPT: BlockEntry = BlockEntry { kind: BlockEntryKind::Exempt, until: None, note: None, message: None };

#[tokio::test]
async fn each_subject_is_blocked_and_unblocked() {
    for backend in fixtures::all().await {
        let (first, other) = (backend.engine(&[("TENANT_ATTRIBUTE", "custom:tenant")]), backend.engine(&[("TENANT_ATTRIBUTE", "custom:tenant")]));
        let repository = first.repository();
        let subjects = [
            BlockSubject::Range("84.208.0.0/16".parse().unwrap()),
            BlockSubject::Network(first.enricher().pseudonyms().network(HOME.ip.parse().unwrap())),
            BlockSubject::Device(repository.subject_keys("device", HOME.device)[0].clone()),
            BlockSubject::Client("web".into()),
            BlockSubject::Tenant(repository.subject_keys("tenant", "acme")[0].clone()),
        ];
        let rule = async |time: &str| {
            let mut event = pre("ada", "web", claims(HOME));
            event["request"]["userAttributes"]["custom:tenant"] = json!("acme");
            other.attempt_by(event, at(0, time)).await.decision.rule
        };
        for (number, subject) in subjects.iter().enumerate() {
            let time = |second: &str| format!("{:02}:00:{second}", 7 + number);
            assert_eq!(rule(&time("00")).await, Rule::Thresholds, "{}: {subject:?}", backend.name);
            repository.block(subject, &SUSPEND).await.unwrap();
            assert_eq!(rule(&time("11")).await, Rule::Suspended, "{}: {subject:?}", backend.name);
            assert_eq!(repository.blocks(at(0, "12:00:00")).await.unwrap().len(), 1, "{}", backend.name);
            repository.unblock(subject).await.unwrap();
            assert_eq!(rule(&time("30")).await, Rule::Thresholds, "{}: {subject:?}", backend.name);
        }
    }
}

#[tokio::test]
async fn an_exemption_allows_any_score_but_not_for_a_claimed_address() {
    for backend in fixtures::all().await {
        let engine = backend.engine(&[("DENY_AT", "1")]);
        let repository = engine.repository();
        repository.block_user("pool", "sub-ada", &EXEMPT, at(0, "06:00:00")).await.unwrap();
        assert_eq!(engine.attempt("ada", AFAR, at(0, "07:00:00")).await.decision.rule, Rule::Exempt, "{}", backend.name);
        let listed = repository.blocks(at(0, "07:00:00")).await.unwrap();
        assert!(listed.iter().any(|block| block.subject.starts_with("person u#")), "{}: {listed:?}", backend.name);
        repository.unblock_user("pool", "sub-ada", at(0, "07:00:00")).await.unwrap();
        assert_eq!(engine.attempt("ada", AFAR, at(0, "07:01:00")).await.decision.rule, Rule::Thresholds, "{}", backend.name);
        repository.block(&BlockSubject::Range("84.208.0.0/16".parse().unwrap()), &EXEMPT).await.unwrap();
        let trusted = engine.attempt("bob", HOME, at(0, "08:00:00")).await;
        let claimed = engine.attempt_by(pre("bob", "app", claims(HOME)), at(0, "08:00:01")).await;
        assert_eq!((trusted.decision.rule, claimed.decision.rule), (Rule::Exempt, Rule::Thresholds), "{}", backend.name);
    }
}

#[tokio::test]
async fn a_block_ends_by_itself_and_outlives_a_history() {
    for (backend, engine) in fixtures::engines().await {
        let repository = engine.repository();
        let until = Some(at(2, "00:00:00"));
        repository.block(&BlockSubject::Client("web".into()), &BlockEntry { until, ..SUSPEND }).await.unwrap();
        assert_eq!(engine.attempt("ada", HOME, at(1, "23:59:59")).await.decision.rule, Rule::Suspended, "{}", backend.name);
        assert_eq!(engine.attempt("ada", HOME, at(2, "00:00:11")).await.decision.rule, Rule::Thresholds, "{}", backend.name);
        repository.block_user("pool", "sub-eve", &EXEMPT, at(0, "00:00:00")).await.unwrap();
        engine.sign_in("eve", HOME, at(3, "07:00:00")).await;
        let much_later = jiff::Timestamp::from_second(at(3, "07:00:00").as_second() + 200 * 86_400).unwrap();
        assert_eq!(engine.attempt("eve", AFAR, much_later).await.decision.rule, Rule::Exempt, "{}", backend.name);
    }
}

#[tokio::test]
async fn a_person_is_exported_and_forgotten() {
    for (backend, engine) in fixtures::engines().await {
        let repository = engine.repository();
        engine.sign_in_daily("ada", 3).await;
        let export = repository.export("pool", "sub-ada", at(3, "00:00:00")).await.unwrap();
        assert_eq!(export["records"][0]["successes"], 3, "{}: {export}", backend.name);
        let text = export.to_string();
        for personal in ["ada", HOME.ip, HOME.device, "Chrome"] {
            assert!(!text.contains(personal), "{}: {personal} is in clear", backend.name);
        }
        assert_eq!(export["activity"].as_array().map(Vec::len), Some(if backend.store.has_activity() { 3 } else { 0 }), "{}", backend.name);
        assert!(!backend.store.list_entries(List::DecoyTemplates, at(3, "00:00:00")).await.unwrap().is_empty(), "{}: her profile is a template", backend.name);
        repository.block_user("pool", "sub-ada", &EXEMPT, at(3, "00:00:00")).await.unwrap();
        let rows = repository.forget("pool", "sub-ada", at(3, "00:00:00")).await.unwrap();
        assert!(repository.blocks(at(3, "00:00:00")).await.unwrap().is_empty(), "{}: the list of blocks names her no more", backend.name);
        assert!(backend.store.list_entries(List::DecoyTemplates, at(3, "00:00:00")).await.unwrap().is_empty(), "{}", backend.name);
        assert_eq!(rows, if backend.store.has_activity() { 3 } else { 0 }, "{}", backend.name);
        let after = repository.export("pool", "sub-ada", at(3, "00:00:00")).await.unwrap();
        // The rest is an empty export. That of an unknown user differs in the keys and in the time of forgetting.
        assert_eq!(after["records"][0]["forgotten_at"], json!(at(3, "00:00:00")), "{}", backend.name);
        let mut unknown = repository.export("pool", "sub-nobody", at(3, "00:00:00")).await.unwrap();
        unknown["user"] = after["user"].clone();
        unknown["records"][0]["key"] = after["records"][0]["key"].clone();
        unknown["records"][0]["forgotten_at"] = after["records"][0]["forgotten_at"].clone();
        assert_eq!(after, unknown, "{}", backend.name);
    }
}

/// Nothing that the token trigger cannot check waits for it.
#[tokio::test]
async fn a_range_and_a_device_with_a_message_are_denied_before_the_password() {
    for (backend, engine) in fixtures::engines().await {
        let repository = engine.repository();
        let with_message = BlockEntry { message: Some("Not from here".into()), ..SUSPEND };
        for (day, subject) in
            (0..).zip([BlockSubject::Range("84.208.0.0/16".parse().unwrap()), BlockSubject::Device(repository.subject_keys("device", HOME.device)[0].clone())])
        {
            tokens(&engine, "ada", "web", at(day, "07:00:00")).await;
            repository.block(&subject, &with_message).await.unwrap();
            assert_eq!(engine.attempt("ada", HOME, at(day, "07:00:20")).await.decision.rule, Rule::Suspended, "{}: {subject:?}", backend.name);
            repository.unblock(&subject).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_message_waits_for_the_token_only_while_tokens_of_its_client_are_made_here() {
    for backend in fixtures::all().await {
        let engine = backend.engine(&[("TENANT_ATTRIBUTE", "custom:tenant")]);
        let repository = engine.repository();
        let with_message = BlockEntry { message: Some("Please renew".into()), ..SUSPEND };
        repository.block_user("pool", "sub-ada", &with_message, at(0, "06:00:00")).await.unwrap();
        let rule = async |client: &str, time| engine.attempt_by(pre("ada", client, claims(HOME)), time).await.decision.rule;
        assert_eq!(rule("web", at(0, "07:00:00")).await, Rule::Suspended, "{}: no token was seen yet", backend.name);
        // Tokens that are made for as long as a quarter of a day keep it waiting.
        for minute in 0..36_i64 {
            let time = jiff::Timestamp::from_second(at(1, "07:00:00").as_second() + minute * 600).unwrap();
            tokens(&engine, "bob", "web", time).await;
            let time = jiff::Timestamp::from_second(time.as_second() + 20).unwrap();
            assert_eq!(rule("web", time).await, Rule::Thresholds, "{}: reported with the token", backend.name);
            assert!(tokens(&engine, "ada", "web", time).await.is_some_and(|block| block.message.is_some()), "{}", backend.name);
        }
        assert_eq!(rule("app", at(1, "12:51:00")).await, Rule::Suspended, "{}: tokens of another client", backend.name);
        // The trigger is detached.
        assert_eq!(rule("web", at(1, "15:00:00")).await, Rule::Suspended, "{}: no token for two hours", backend.name);
        assert_eq!(rule("web", at(30, "15:00:00")).await, Rule::Suspended, "{}: no token for a month", backend.name);
    }
}

#[tokio::test]
async fn a_message_that_waits_hides_no_other_suspension() {
    for (backend, engine) in fixtures::engines().await {
        let repository = engine.repository();
        tokens(&engine, "bob", "web", at(0, "07:00:00")).await;
        repository.block_user("pool", "sub-ada", &BlockEntry { message: Some("Please renew".into()), ..SUSPEND }, at(0, "07:00:00")).await.unwrap();
        assert_eq!(engine.attempt("ada", HOME, at(0, "07:00:11")).await.decision.rule, Rule::Thresholds, "{}", backend.name);
        for subject in [BlockSubject::Client("web".into()), BlockSubject::Range("84.208.0.0/16".parse().unwrap())] {
            repository.block(&subject, &SUSPEND).await.unwrap();
            assert_eq!(engine.attempt("ada", HOME, at(0, "07:00:30")).await.decision.rule, Rule::Suspended, "{}: {subject:?}", backend.name);
            repository.unblock(&subject).await.unwrap();
            engine.attempt("ada", HOME, at(0, "07:00:50")).await;
        }
    }
}
