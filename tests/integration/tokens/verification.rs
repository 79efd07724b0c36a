//! Each way in which a token is wrong has its own error.

use riskgate_tokens::{Claim, Requirement, TokenError, TokenUse};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{NOW, TestVerifier, after};
use crate::{
    harness::HANG,
    issuer::{Issuer, Key, POOL, with},
};
use riskgate_runtime::deadline::Deadline;

/// An issuer, and a verifier that accepts its tokens.
async fn started() -> (Issuer, TestVerifier) {
    let issuer = Issuer::start().await;
    let verifier = TestVerifier::new(&issuer, &[]);
    (issuer, verifier)
}

#[tokio::test]
async fn a_good_token_is_accepted() {
    let (issuer, verifier) = started().await;
    let token = verifier.verify(&Key::Current.sign(&issuer.claims(NOW)), after(1)).await.expect("accepted");
    assert_eq!((token.pool.as_str(), token.client.as_str(), token.sub.expose().as_str()), (POOL, "web", "sub-ada"));
    assert_eq!(token.username.as_ref().map(|name| name.expose().as_str()), Some("ada"));
    assert!(token.stale_keys.is_none());
    assert!(!format!("{token:?}").contains("ada"), "{token:?}");
}

#[tokio::test]
async fn each_wrong_claim_has_its_own_error() {
    let (issuer, verifier) = started().await;
    let missing = TokenError::MissingClaim;
    let cases = [
        (json!({ "iss": "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_other" }), TokenError::Issuer),
        (json!({ "iss": format!("{}/", issuer.url()) }), TokenError::Issuer),
        (json!({ "iss": null }), missing(Claim::Issuer)),
        (json!({ "iss": 7 }), missing(Claim::Issuer)),
        (json!({ "client_id": "other" }), TokenError::Audience),
        (json!({ "client_id": null, "aud": "web" }), missing(Claim::Client)),
        (json!({ "client_id": ["web"] }), missing(Claim::Client)),
        (json!({ "token_use": "id", "aud": "web" }), TokenError::TokenUse),
        (json!({ "token_use": "refresh" }), TokenError::TokenUse),
        (json!({ "token_use": null }), missing(Claim::TokenUse)),
        (json!({ "exp": NOW - 60 }), TokenError::Expired),
        (json!({ "exp": i64::MIN }), TokenError::Expired),
        (json!({ "exp": null }), missing(Claim::Expiry)),
        (json!({ "exp": 1e300 }), missing(Claim::Expiry)),
        (json!({ "iat": NOW + 3600 }), TokenError::NotYetValid),
        (json!({ "nbf": NOW + 3600 }), TokenError::NotYetValid),
        (json!({ "iat": null }), missing(Claim::IssuedAt)),
        (json!({ "sub": null }), missing(Claim::Subject)),
        (json!({ "sub": "" }), missing(Claim::Subject)),
    ];
    for (change, expected) in cases {
        let token = Key::Current.sign(&with(&issuer.claims(NOW), &change));
        assert_eq!(verifier.verify(&token, after(0)).await.err(), Some(expected), "{change}");
    }
    let skewed = Key::Current.sign(&with(&issuer.claims(NOW), &json!({ "exp": NOW - 59, "iat": NOW + 60, "aud": "elsewhere" })));
    assert!(verifier.verify(&skewed, after(0)).await.is_ok(), "clocks may differ by a minute");
}

#[tokio::test]
async fn each_wrong_signature_has_its_own_error() {
    let (issuer, verifier) = started().await;
    let claims = issuer.claims(NOW);
    let signed = |header: Value| Key::Current.token(&header, &claims);
    let good = Key::Current.sign(&claims);
    let (head, signature) = good.rsplit_once('.').expect("a signature");
    let other = Key::Current.sign(&with(&claims, &json!({ "sub": "sub-bob" })));
    let changed = format!("{}.{signature}", other.rsplit_once('.').expect("a signature").0);
    let cases = [
        (Key::Stranger.sign(&claims), TokenError::Signature),
        (changed, TokenError::Signature),
        (format!("{head}."), TokenError::Signature),
        (format!("{head}.AAAA"), TokenError::Signature),
        (signed(json!({ "kid": "1", "alg": "none" })), TokenError::Unsecured),
        (signed(json!({ "kid": "1", "alg": "NONE" })), TokenError::Unsecured),
        (signed(json!({ "kid": "1", "alg": "HS256" })), TokenError::KeyConfusion),
        (signed(json!({ "kid": "1", "alg": "RS512" })), TokenError::Algorithm),
        (signed(json!({ "kid": "1", "alg": "ES256" })), TokenError::Algorithm),
        (signed(json!({ "kid": "1", "alg": "rs256" })), TokenError::Algorithm),
        (signed(json!({ "kid": "2", "alg": "RS256" })), TokenError::UnknownKey),
        (signed(json!({ "alg": "RS256" })), TokenError::UnknownKey),
        (signed(json!({ "kid": "1", "alg": "RS256", "crit": ["b64"], "b64": false })), TokenError::Malformed),
        (signed(json!({ "kid": "1", "alg": "RS256", "jwk": Key::Stranger.jwk("1") })), TokenError::Malformed),
        (signed(json!({ "kid": "1" })), TokenError::Malformed),
        (signed(json!(["RS256", "1"])), TokenError::Malformed),
        (head.to_owned(), TokenError::Malformed),
        (format!("{good}.x"), TokenError::Malformed),
        (String::new(), TokenError::Malformed),
        ("a.b.c".to_owned(), TokenError::Malformed),
        ("x".repeat(20_000), TokenError::TooLarge),
    ];
    for (token, expected) in cases {
        assert_eq!(verifier.verify(&token, after(0)).await.err(), Some(expected), "{token}");
    }
    assert_eq!(issuer.fetches(), 1, "unknown key ids do not cause a fetch each");
}

#[tokio::test]
async fn an_id_token_names_its_client_in_aud() {
    let (issuer, verifier) = started().await;
    let id = json!({ "token_use": "id", "aud": "ios", "client_id": null, "username": null, "cognito:username": "ada" });
    let token = Key::Current.sign(&with(&issuer.claims(NOW), &id));
    let both = [TokenUse::Access, TokenUse::Id];
    let verified = verifier.verifier.verify(&token, &both, after(0), Deadline::after(Instant::now(), HANG)).await.expect("accepted");
    assert_eq!((verified.token_use, verified.client.as_str()), (TokenUse::Id, "ios"));
    assert_eq!(verified.username.as_ref().map(|name| name.expose().as_str()), Some("ada"));
}

#[tokio::test]
async fn level_and_time_are_compared_with_the_requirement() {
    let (issuer, verifier) = started().await;
    let missing = TokenError::MissingClaim;
    let cases = [
        (json!({}), None),
        (json!({ "acr": "urn:cognito:loa:3", "auth_time": NOW - 99 }), None),
        (json!({ "acr": "gold" }), None),
        (json!({ "acr": "urn:cognito:loa:2" }), Some(TokenError::Acr)),
        (json!({ "acr": "urn:cognito:loa:" }), Some(TokenError::Acr)),
        (json!({ "acr": null }), Some(missing(Claim::Acr))),
        (json!({ "auth_time": null }), Some(missing(Claim::AuthTime))),
        (json!({ "auth_time": NOW - 100 }), Some(TokenError::AuthTime)),
    ];
    let acr_values = ["gold", "urn:cognito:loa:4", "urn:cognito:loa:3"].map(str::to_owned).to_vec();
    let requirement = Requirement { acr_values, after: NOW - 100 };
    for (change, expected) in cases {
        let token = verifier.verify(&Key::Current.sign(&with(&issuer.claims(NOW), &change)), after(0)).await.expect("a valid token");
        assert_eq!(token.check_authentication(&requirement).err(), expected, "{change}");
    }
}

#[tokio::test]
async fn the_requirement_is_read_from_the_tokens_claims() {
    let (issuer, verifier) = started().await;
    let missing = |claim| Err(TokenError::MissingClaim(claim));
    let required = Ok(Some(Requirement { acr_values: vec!["gold".to_owned(), "urn:cognito:loa:3".to_owned()], after: NOW }));
    let cases = [
        (json!({}), Ok(None)),
        (json!({ "riskgate:acr": "gold urn:cognito:loa:3", "riskgate:step_up_after": NOW }), required.clone()),
        (json!({ "riskgate:acr": "gold urn:cognito:loa:3", "riskgate:step_up_after": NOW.to_string() }), required.clone()),
        (json!({ "riskgate:acr": "gold urn:cognito:loa:3", "riskgate:step_up_after": NOW, "riskgate:level": null }), required.clone()),
        (json!({ "riskgate:level": null }), missing(Claim::RiskLevel)),
        (json!({ "riskgate:acr": "gold\", max_age=\"9", "riskgate:step_up_after": NOW }), missing(Claim::RequiredAcr)),
        (json!({ "riskgate:acr": "urn:cognito:loa:3" }), missing(Claim::StepUpAfter)),
        (json!({ "riskgate:step_up_after": NOW }), missing(Claim::RequiredAcr)),
        (json!({ "riskgate:acr": 3, "riskgate:step_up_after": NOW }), missing(Claim::RequiredAcr)),
    ];
    for (change, expected) in cases {
        let token = verifier.verify(&Key::Current.sign(&with(&issuer.claims(NOW), &change)), after(0)).await.expect("a valid token");
        assert_eq!(token.requirement("riskgate:"), expected, "{change}");
    }
}

#[test]
fn every_error_has_its_own_label() {
    let labels: std::collections::BTreeSet<&str> = TokenError::ALL.iter().map(|error| error.as_label()).collect();
    assert_eq!(labels.len(), TokenError::ALL.len());
}
