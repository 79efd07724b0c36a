//! Token events, V1 to V3: claims are added, groups and scopes withheld, and everything else is as it was.

use riskgate_history::{
    block_list::{BlockEntry, BlockEntryKind, BlockSubject},
    repository::ChallengeResult,
};
use riskgate_pipeline::claims::{self, Suspended};
use serde_json::{Value, json};

use crate::{
    challenges::CHALLENGE,
    fixtures::{self, AFAR, HOME, TestEngine, at},
};

/// Every score is under review.
const REVIEW: [(&str, &str); 4] = [("REVIEW_AT", "0"), ("DENY_AT", "100"), ("WITHHOLD_GROUPS", "admins"), ("WITHHOLD_SCOPES", "payments/write")];

fn event(version: &str, source: &str) -> Value {
    let (version, details) = match version {
        "1" => ("1", "claimsOverrideDetails"),
        other => (other, "claimsAndScopeOverrideDetails"),
    };
    let mut event = json!({ "version": version, "triggerSource": format!("TokenGeneration_{source}"), "region": "eu-west-1", "userPoolId": "pool", "userName": "ada",
        "callerContext": { "awsSdkVersion": "x", "clientId": "web" }, "unknown": [1, null],
        "request": { "userAttributes": { "sub": "sub-ada" }, "groupConfiguration": { "groupsToOverride": ["admins", "staff"], "iamRolesToOverride": ["arn:aws:iam::1:role/admins"], "preferredRole": null } },
        "response": { details: null } });
    if version != "1" {
        event["request"]["scopes"] = json!(["openid", "payments/write"]);
    }
    event
}

async fn answer(engine: &TestEngine, event: &Value, time: jiff::Timestamp) -> Value {
    let claimed = claims::pre_token_generation(engine.enricher(), &engine.config.token, *engine.token(event.clone(), time)).await.unwrap();
    serde_json::from_str(claimed.event.text()).unwrap()
}

#[tokio::test]
async fn an_ordinary_sign_in_adds_claims_and_nothing_else() {
    for (backend, engine) in fixtures::engines().await {
        engine.sign_in("ada", HOME, at(0, "07:00:00")).await;
        let mut expected = event("1", "Authentication");
        expected["response"]["claimsOverrideDetails"] = json!({ "claimsToAddOrOverride": { "riskgate:level": "low", "riskgate:degraded": "false" } });
        assert_eq!(answer(&engine, &event("1", "Authentication"), at(0, "07:00:01")).await, expected, "{}", backend.name);
        for version in ["2", "3"] {
            let mut expected = event(version, "Authentication");
            let claims = json!({ "claimsToAddOrOverride": { "riskgate:level": "low", "riskgate:degraded": false } });
            expected["response"]["claimsAndScopeOverrideDetails"] = json!({ "idTokenGeneration": claims, "accessTokenGeneration": claims });
            assert_eq!(answer(&engine, &event(version, "Authentication"), at(0, "07:00:01")).await, expected, "{}", backend.name);
        }
    }
}

#[tokio::test]
async fn a_sign_in_under_review_is_held_on_every_source_until_its_time_has_passed() {
    for backend in fixtures::all().await {
        let engine = backend.engine(&REVIEW);
        engine.sign_in("ada", AFAR, at(0, "07:00:00")).await;
        for source in ["Authentication", "RefreshTokens", "HostedAuth", "NewPasswordChallenge"] {
            let held = answer(&engine, &event("2", source), at(1, "06:59:00")).await;
            let details = &held["response"]["claimsAndScopeOverrideDetails"];
            assert_eq!(
                details["groupOverrideDetails"],
                json!({ "groupsToOverride": ["staff"], "iamRolesToOverride": [], "preferredRole": null }),
                "{}: {source}",
                backend.name
            );
            assert_eq!(details["accessTokenGeneration"]["scopesToSuppress"], json!(["payments/write"]), "{}: {source}", backend.name);
            assert_eq!(details["idTokenGeneration"]["claimsToAddOrOverride"]["riskgate:level"], "medium", "{}: {source}", backend.name);
        }
        let v1 = answer(&engine, &event("1", "RefreshTokens"), at(1, "06:59:00")).await;
        assert_eq!(v1["response"]["claimsOverrideDetails"]["groupOverrideDetails"]["groupsToOverride"], json!(["staff"]), "{}", backend.name);
        let free = answer(&engine, &event("2", "RefreshTokens"), at(1, "07:00:01")).await;
        assert_eq!(free["response"]["claimsAndScopeOverrideDetails"].get("groupOverrideDetails"), None, "{}", backend.name);
    }
}

/// Without the scope, a thief's token cannot enrol a factor, add a passkey or change the e-mail address.
#[tokio::test]
async fn a_challenged_token_cannot_change_the_account() {
    const OWN_ACCOUNT: &str = "aws.cognito.signin.user.admin";
    for backend in fixtures::all().await {
        let engine = backend.engine(&[&CHALLENGE[..], &REVIEW[2..]].concat());
        let challenged = engine.sign_in("ada", AFAR, at(0, "07:00:00")).await;
        for source in ["Authentication", "RefreshTokens", "HostedAuth"] {
            let restricted = answer(&engine, &event("2", source), at(20, "07:00:00")).await;
            let details = &restricted["response"]["claimsAndScopeOverrideDetails"];
            assert_eq!(details["accessTokenGeneration"]["scopesToSuppress"], json!(["payments/write", OWN_ACCOUNT]), "{}: {source}", backend.name);
            assert_eq!(details["groupOverrideDetails"]["groupsToOverride"], json!(["staff"]), "{}: {source}", backend.name);
        }
        // A review does not withhold it.
        let reviewed = backend.engine(&REVIEW);
        engine.repository().record_challenge_result("pool", "sub-ada", &challenged.id, ChallengeResult::Passed, at(20, "08:00:00")).await.unwrap();
        let free = answer(&engine, &event("2", "RefreshTokens"), at(20, "08:00:01")).await;
        assert_eq!(free["response"]["claimsAndScopeOverrideDetails"]["accessTokenGeneration"].get("scopesToSuppress"), None, "{}", backend.name);
        reviewed.sign_in("ada", AFAR, at(21, "07:00:00")).await;
        let held = answer(&reviewed, &event("2", "RefreshTokens"), at(21, "07:00:01")).await;
        let scopes = &held["response"]["claimsAndScopeOverrideDetails"]["accessTokenGeneration"]["scopesToSuppress"];
        assert_eq!(*scopes, json!(["payments/write"]), "{}", backend.name);
    }
}

#[tokio::test]
async fn groups_that_are_not_withheld_are_not_touched() {
    let backend = fixtures::memory();
    let engine = backend.engine(&REVIEW);
    engine.sign_in("ada", AFAR, at(0, "07:00:00")).await;
    for groups in [json!({ "groupsToOverride": ["staff"], "iamRolesToOverride": ["r"], "preferredRole": "r" }), json!({}), Value::Null] {
        let mut event = event("2", "Authentication");
        event["request"]["groupConfiguration"] = groups;
        let held = answer(&engine, &event, at(0, "07:00:01")).await;
        let details = &held["response"]["claimsAndScopeOverrideDetails"];
        assert_eq!(details.get("groupOverrideDetails"), None, "{details}");
        assert_eq!(details["accessTokenGeneration"]["scopesToSuppress"], json!(["payments/write"]));
    }
}

#[tokio::test]
async fn an_operator_lifts_a_restriction() {
    let backend = fixtures::memory();
    let engine = backend.engine(&REVIEW);
    engine.sign_in("ada", AFAR, at(0, "07:00:00")).await;
    engine.repository().lift_restriction("pool", "sub-ada", at(0, "08:00:00")).await.unwrap();
    let free = answer(&engine, &event("2", "RefreshTokens"), at(0, "08:00:01")).await;
    assert_eq!(free["response"]["claimsAndScopeOverrideDetails"].get("groupOverrideDetails"), None);
}

#[tokio::test]
async fn a_token_without_a_known_success_starts_no_restriction() {
    for backend in fixtures::all().await {
        let engine = backend.engine(&REVIEW);
        engine.attempt("ada", AFAR, at(0, "07:00:00")).await;
        for source in ["Authentication", "HostedAuth", "NewPasswordChallenge", "AuthenticateDevice", "RefreshTokens"] {
            let event = event("2", source);
            assert_eq!(answer(&engine, &event, at(0, "07:00:02")).await, event, "{}: {source}", backend.name);
        }
    }
}

#[tokio::test]
async fn a_strangers_attempt_does_not_restrict_the_owner() {
    const CALM: [(&str, &str); 3] = [("REVIEW_AT", "99"), ("DENY_AT", "100"), ("WITHHOLD_GROUPS", "admins")];
    for backend in fixtures::all().await {
        let (calm, strict) = (backend.engine(&CALM), backend.engine(&REVIEW));
        strict.attempt("ada", AFAR, at(0, "07:00:00")).await;
        calm.sign_in("ada", HOME, at(0, "07:00:30")).await;
        let token = answer(&calm, &event("2", "Authentication"), at(0, "07:00:31")).await;
        let details = &token["response"]["claimsAndScopeOverrideDetails"];
        assert_eq!(details.get("groupOverrideDetails"), None, "{}", backend.name);
        assert_eq!(details["idTokenGeneration"]["claimsToAddOrOverride"]["riskgate:level"], "low", "{}", backend.name);
    }
}

#[tokio::test]
async fn an_attempt_in_flight_lifts_no_restriction() {
    for backend in fixtures::all().await {
        let engine = backend.engine(&REVIEW);
        engine.attempt("ada", AFAR, at(0, "07:00:00")).await;
        let second = engine.sign_in_of(fixtures::pre("ada", "web", fixtures::claims(AFAR)), at(0, "07:00:01"));
        let deadline = engine.engine.deadline(second.received.mono, None);
        // It is recorded, and its decision is not.
        drop(engine.enricher().enrich(second, deadline).await);
        engine.success("ada", "web", at(0, "07:00:01")).await.expect("the store answers");
        let token = answer(&engine, &event("2", "Authentication"), at(0, "07:00:02")).await;
        assert!(token["response"]["claimsAndScopeOverrideDetails"]["groupOverrideDetails"].is_object(), "{}: {token}", backend.name);
    }
}

#[tokio::test]
async fn claims_that_others_have_overridden_stay() {
    let backend = fixtures::memory();
    let engine = backend.engine(&REVIEW);
    engine.sign_in("ada", AFAR, at(0, "07:00:00")).await;
    let mut before = event("2", "Authentication");
    before["request"]["groupConfiguration"] = Value::Null;
    before["response"]["claimsAndScopeOverrideDetails"] = json!({
        "idTokenGeneration": { "claimsToAddOrOverride": { "favorite_number": 2.50, "big": 12345678901234567890_u64 }, "claimsToSuppress": ["email"] },
        "accessTokenGeneration": { "claimsToAddOrOverride": { "x": 1 }, "scopesToAdd": ["s"], "scopesToSuppress": ["phone_number"] },
        "groupOverrideDetails": { "groupsToOverride": ["group-A", "admins"], "iamRolesToOverride": ["r"], "preferredRole": "r" } });
    let after = answer(&engine, &before, at(0, "07:00:01")).await;
    let mut expected = before.clone();
    let details = &mut expected["response"]["claimsAndScopeOverrideDetails"];
    for generation in ["idTokenGeneration", "accessTokenGeneration"] {
        details[generation]["claimsToAddOrOverride"]["riskgate:level"] = json!("medium");
        details[generation]["claimsToAddOrOverride"]["riskgate:degraded"] = json!(false);
    }
    details["accessTokenGeneration"]["scopesToSuppress"] = json!(["phone_number", "payments/write"]);
    details["groupOverrideDetails"] = json!({ "groupsToOverride": ["group-A"], "iamRolesToOverride": [], "preferredRole": null });
    assert_eq!(after, expected);
}

#[tokio::test]
async fn tokens_without_a_sign_in_and_machine_tokens_are_unchanged() {
    let backend = fixtures::memory();
    let engine = backend.engine(&REVIEW);
    for (version, source) in [("1", "Authentication"), ("2", "RefreshTokens"), ("3", "ClientCredentials")] {
        let event = event(version, source);
        let claimed = claims::pre_token_generation(engine.enricher(), &engine.config.token, *engine.token(event.clone(), at(0, "07:00:00"))).await.unwrap();
        assert_eq!(claimed.event.text(), serde_json::to_string(&event).unwrap(), "{source}");
    }
}

#[tokio::test]
async fn a_blocked_client_gets_no_token_for_any_grant() {
    const GRANTS: [&str; 6] = ["ClientCredentials", "Authentication", "HostedAuth", "NewPasswordChallenge", "AuthenticateDevice", "RefreshTokens"];
    for backend in fixtures::all().await {
        let (listed, suspended) = (backend.engine(&[("DENY_CLIENTS", "web")]), backend.engine(&[]));
        let monitored = backend.engine(&[("DENY_CLIENTS", "web"), ("MODE", "monitor")]);
        let other = backend.engine(&[("DENY_CLIENTS", "other")]);
        let refused = async |engine: &TestEngine, source, second| {
            let config = if engine.config.decision.mode.default == riskgate_engine::settings::Mode::Monitor {
                riskgate_config::token::TokenConfig { denied_clients: Vec::new(), ..engine.config.token.clone() }
            } else {
                engine.config.token.clone()
            };
            claims::pre_token_generation(engine.enricher(), &config, *engine.token(event("3", source), at(0, second))).await.is_err()
        };
        for source in GRANTS {
            assert!(refused(&listed, source, "07:00:00").await, "{} DENY_CLIENTS {source}", backend.name);
            for engine in [&suspended, &monitored, &other] {
                assert!(!refused(engine, source, "07:00:00").await, "{} {source}", backend.name);
            }
        }
        let entry = BlockEntry { kind: BlockEntryKind::Suspend, until: Some(at(9, "00:00:00")), note: None, message: None };
        let repository = suspended.repository();
        repository.block(&BlockSubject::Client("web".into()), &entry).await.unwrap();
        for source in GRANTS {
            assert!(refused(&suspended, source, "09:00:00").await, "{} a suspended client: {source}", backend.name);
            assert!(refused(&monitored, source, "09:00:00").await, "{} a suspension holds in monitor mode: {source}", backend.name);
        }
    }
}

#[tokio::test]
async fn suspended_users_get_the_message_only_with_the_right_password() {
    for (backend, engine) in fixtures::engines().await {
        let repository = engine.repository();
        // Tokens of this client were made here within the hour.
        engine.sign_in("ada", HOME, at(1, "06:50:00")).await;
        answer(&engine, &event("2", "Authentication"), at(1, "06:50:01")).await;
        let message = "Your subscription has expired. Please renew.";
        let entry = BlockEntry { kind: BlockEntryKind::Suspend, until: Some(at(9, "00:00:00")), note: None, message: Some(message.into()) };
        repository.block_user("pool", "sub-ada", &entry, at(1, "07:00:00")).await.unwrap();
        let attempt = engine.attempt("ada", HOME, at(1, "07:01:00")).await;
        assert_eq!(attempt.decision.action.as_label(), "allow", "{}: before the password nothing is revealed", backend.name);
        let result =
            claims::pre_token_generation(engine.enricher(), &engine.config.token, *engine.token(event("2", "Authentication"), at(1, "07:01:01"))).await;
        assert_eq!(result.unwrap_err(), Suspended { message: Some(message.into()) }, "{}", backend.name);
        // Without a message there is nothing to wait for.
        repository.block_user("pool", "sub-ada", &BlockEntry { message: None, ..entry }, at(1, "08:00:00")).await.unwrap();
        assert_eq!(engine.attempt("ada", HOME, at(1, "08:01:00")).await.decision.action.as_label(), "deny", "{}", backend.name);
        assert_eq!(engine.attempt("ada", HOME, at(9, "00:00:01")).await.decision.action.as_label(), "allow", "{}: it has ended", backend.name);
    }
}
