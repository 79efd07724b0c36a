//! The custom challenge, step by step as Cognito calls it: who gets tokens, who gets a code, and who gets neither.

use std::sync::Arc;

use jiff::Timestamp;
use riskgate_engine::personal::RawEvent;
use riskgate_event::cognito::{self, Event};
use riskgate_pipeline::challenge::{ChallengeHandler, delivery::CodeSender};
use riskgate_runtime::{challenge_health::ChallengeEvent, clock, mode::RuntimeMode};
use riskgate_store::Store;
use serde_json::{Value, json};

use crate::{
    fixtures::{self, AFAR, HOME, Origin, TestEngine, at},
    wire::{self, Act, Server},
};

/// Every sign-in is challenged.
const ALWAYS: [(&str, &str); 3] = [("REVIEW_AT", "0"), ("CHALLENGE_AT", "0"), ("DENY_AT", "100")];

/// Only sign-ins that the model finds strange are challenged.
const STRANGERS: [(&str, &str); 3] = [("REVIEW_AT", "30"), ("CHALLENGE_AT", "30"), ("DENY_AT", "100")];

/// Another network and device in the user's own country.
const NEARBY: Origin = Origin { ip: "84.208.99.1", agent: fixtures::FIREFOX, device: "box-9" };

/// A third place, which the user does not use.
const ELSEWHERE: Origin = Origin { ip: "41.190.3.7", agent: fixtures::IPHONE, device: "phone-3" };

/// An engine whose codes go to a service of the test.
struct Bench {
    tested: TestEngine,
    sender: CodeSender,
    server: Server,
}

/// One sign-in, as Cognito remembers it.
struct Session<'a> {
    bench: &'a Bench,
    user: &'static str,
    origin: Origin,
    at: Timestamp,
    entries: Vec<Value>,
    private: Value,
}

/// The answer of a trigger.
type Answer = Result<Value, String>;

impl Bench {
    async fn new(variables: &[(&str, &str)]) -> Self {
        Self::over(&fixtures::memory().store, variables, |_| wire::json(200, "{}")).await
    }

    async fn over(store: &Arc<dyn Store>, variables: &[(&str, &str)], treat: impl Fn(&wire::Request) -> Act + Send + Sync + 'static) -> Self {
        let server = Server::start(treat).await;
        let url = format!("{}/codes", server.origin());
        let own = [("CHALLENGE_WEBHOOK", url.as_str()), ("CHALLENGE_WEBHOOK_SECRET", "0123456789abcdef0123456789abcdef")];
        let tested = TestEngine::over(store, &[&own[..], variables].concat());
        let (sender, faults) = CodeSender::open(&tested.config, RuntimeMode::Sidecar);
        assert!(faults.is_empty(), "{faults:?}");
        Bench { tested, sender, server }
    }

    async fn answer(&self, event: &Value, time: Timestamp) -> Answer {
        let raw = RawEvent::new(serde_json::value::to_raw_value(event).unwrap());
        let Event::AuthChallenge(parsed) = cognito::parse(raw, clock::at(time), &self.tested.config.trust).unwrap() else { panic!("{event}") };
        let engine = &self.tested.engine;
        let handler =
            ChallengeHandler { engine, sender: &self.sender, mode: &self.tested.config.decision.mode, deny_message: &self.tested.config.decision.deny_message };
        let (answer, _) = handler.answer(&parsed, engine.deadline(parsed.sign_in.received.mono, None)).await;
        answer.map(|event| serde_json::from_str(event.text()).unwrap()).map_err(|denial| denial.message)
    }

    fn begin(&self, user: &'static str, origin: Origin, at: Timestamp) -> Session<'_> {
        Session { bench: self, user, origin, at, entries: vec![passed("SRP_A")], private: Value::Null }
    }

    /// A sign-in with the right password, up to the decision.
    async fn password(&self, user: &'static str, origin: Origin, at: Timestamp) -> (Session<'_>, &'static str) {
        let mut session = self.begin(user, origin, at);
        assert_eq!(session.define().await, "PASSWORD_VERIFIER");
        session.entries.push(passed("PASSWORD_VERIFIER"));
        let next = session.define().await;
        (session, next)
    }

    /// The codes that were sent, oldest first.
    fn codes(&self) -> Vec<String> {
        let body = |request: &wire::Request| serde_json::from_str::<Value>(&request.body).unwrap()["code"].as_str().unwrap().to_owned();
        self.server.requests().iter().map(body).collect()
    }

    fn count(&self, event: ChallengeEvent) -> u64 {
        self.tested.engine.health().challenge.count(event)
    }

    /// Whether a token that is issued now is restricted.
    async fn is_restricted(&self, user: &str, time: Timestamp) -> bool {
        let event = json!({ "version": "2", "triggerSource": "TokenGeneration_Authentication", "userPoolId": "pool", "userName": user, "callerContext": { "clientId": "web" },
            "request": { "userAttributes": { "sub": format!("sub-{user}") }, "scopes": [] }, "response": { "claimsAndScopeOverrideDetails": null } });
        let claimed =
            riskgate_pipeline::claims::pre_token_generation(self.tested.engine.enricher(), &self.tested.config.token, *self.tested.token(event, time));
        claimed.await.unwrap().event.text().contains("aws.cognito.signin.user.admin")
    }
}

impl Session<'_> {
    fn event(&self, trigger: &str, members: Value) -> Value {
        let mut event = json!({ "version": "1", "triggerSource": format!("{trigger}_Authentication"), "region": "eu-west-1", "userPoolId": "pool", "userName": self.user,
            "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": "web" },
            "request": { "userAttributes": { "sub": format!("sub-{}", self.user), "email": format!("{}@example.com", self.user), "email_verified": "true", "cognito:user_status": "CONFIRMED" },
                "session": self.entries, "clientMetadata": fixtures::claims(self.origin) } });
        members.as_object().unwrap().iter().for_each(|(name, value)| event["request"][name] = value.clone());
        event["response"] = match trigger {
            "DefineAuthChallenge" => json!({ "challengeName": null, "issueTokens": null, "failAuthentication": null }),
            "CreateAuthChallenge" => json!({ "publicChallengeParameters": null, "privateChallengeParameters": null, "challengeMetadata": null }),
            _ => json!({ "answerCorrect": null }),
        };
        event
    }

    /// What comes next: a challenge's name, `tokens` or `failure`.
    async fn define(&self) -> &'static str {
        let answer = self.bench.answer(&self.event("DefineAuthChallenge", json!({})), self.at).await.unwrap();
        read_definition(&answer)
    }

    /// Makes the challenge; its public parameters.
    async fn create(&mut self) -> Answer {
        let event = self.event("CreateAuthChallenge", json!({ "challengeName": "CUSTOM_CHALLENGE" }));
        let answer = self.bench.answer(&event, self.at).await?;
        let response = &answer["response"];
        self.private = response["privateChallengeParameters"].clone();
        self.entries.push(json!({ "challengeName": "CUSTOM_CHALLENGE", "challengeResult": null, "challengeMetadata": response["challengeMetadata"] }));
        Ok(response["publicChallengeParameters"].clone())
    }

    /// Answers the challenge; whether the answer is right.
    async fn verify(&mut self, code: &str) -> bool {
        let event = self.event("VerifyAuthChallengeResponse", json!({ "challengeAnswer": code, "privateChallengeParameters": self.private, "session": null }));
        let answer = self.bench.answer(&event, self.at).await.unwrap();
        let is_right = answer["response"]["answerCorrect"].as_bool().unwrap();
        self.entries.last_mut().unwrap()["challengeResult"] = json!(is_right);
        is_right
    }
}

fn passed(name: &str) -> Value {
    json!({ "challengeName": name, "challengeResult": true, "challengeMetadata": null })
}

fn read_definition(answer: &Value) -> &'static str {
    let response = &answer["response"];
    match (response["challengeName"].as_str(), &response["issueTokens"], &response["failAuthentication"]) {
        (None, Value::Bool(true), Value::Bool(false)) => "tokens",
        (None, Value::Bool(false), Value::Bool(true)) => "failure",
        (Some("PASSWORD_VERIFIER"), Value::Bool(false), Value::Bool(false)) => "PASSWORD_VERIFIER",
        (Some("CUSTOM_CHALLENGE"), Value::Bool(false), Value::Bool(false)) => "CUSTOM_CHALLENGE",
        (Some("NEW_PASSWORD_REQUIRED"), Value::Bool(false), Value::Bool(false)) => "NEW_PASSWORD_REQUIRED",
        _ => "unchanged",
    }
}

/// A code that is not this one.
fn wrong(code: &str) -> String {
    format!("{:08}", (code.parse::<u32>().unwrap() + 1) % 100_000_000)
}

#[tokio::test]
async fn a_familiar_sign_in_gets_tokens_and_a_strange_one_a_code() {
    for backend in fixtures::all().await {
        let bench = Bench::over(&backend.store, &STRANGERS, |_| wire::json(200, "{}")).await;
        for day in 0..5 {
            bench.tested.sign_in("ada", HOME, at(day, "07:00:00")).await;
        }
        let (_, next) = bench.password("ada", HOME, at(5, "07:00:00")).await;
        assert_eq!(next, "tokens", "{}", backend.name);
        bench.tested.success("ada", "web", at(5, "07:00:01")).await.expect("the store answers");

        let (mut session, next) = bench.password("ada", NEARBY, at(6, "07:00:00")).await;
        assert_eq!(next, "CUSTOM_CHALLENGE", "{}", backend.name);
        let shown = session.create().await.unwrap();
        assert_eq!(shown, json!({ "CODE_DELIVERY_DELIVERY_MEDIUM": "CUSTOM", "CODE_DELIVERY_DESTINATION": "***" }));
        let code = bench.codes().pop().unwrap();
        assert!(session.verify(&code).await && session.define().await == "tokens", "{}", backend.name);
        bench.tested.success("ada", "web", at(6, "07:00:01")).await.expect("the store answers");
        assert!(!bench.is_restricted("ada", at(6, "07:00:02")).await, "{}: a pass lifts the restriction", backend.name);
        // A pass is learned from at once.
        let (_, next) = bench.password("ada", NEARBY, at(7, "07:00:00")).await;
        assert_eq!(next, "tokens", "{}", backend.name);
        assert_eq!(bench.codes().len(), 1, "{}", backend.name);
    }
}

#[tokio::test]
async fn three_wrong_codes_fail_and_cost_one_message() {
    let bench = Bench::new(&ALWAYS).await;
    let (mut session, _) = bench.password("ada", AFAR, at(0, "07:00:00")).await;
    for round in 0..3 {
        session.create().await.unwrap();
        let code = bench.codes().pop().unwrap();
        assert!(!session.verify(&wrong(&code)).await, "{round}");
        assert_eq!(session.define().await, if round < 2 { "CUSTOM_CHALLENGE" } else { "failure" });
    }
    assert_eq!(bench.codes().len(), 1, "a retry has the same code");
    // Even if a session of Cognito could be used again, the fourth answer does not count.
    let code = bench.codes().pop().unwrap();
    assert!(!session.verify(&code).await);
    assert_eq!(session.define().await, "failure");
    assert_eq!(bench.count(ChallengeEvent::Wrong), 4);
}

#[tokio::test]
async fn a_retry_is_answered_with_the_first_code() {
    let bench = Bench::new(&ALWAYS).await;
    let (mut session, _) = bench.password("ada", AFAR, at(0, "07:00:00")).await;
    session.create().await.unwrap();
    let code = bench.codes().pop().unwrap();
    assert!(!session.verify(&wrong(&code)).await && session.define().await == "CUSTOM_CHALLENGE");
    session.create().await.unwrap();
    assert!(session.verify(&code).await && session.define().await == "tokens");
}

#[tokio::test]
async fn a_code_belongs_to_one_sign_in_and_expires() {
    let bench = Bench::new(&ALWAYS).await;
    let (mut first, _) = bench.password("ada", AFAR, at(0, "07:00:00")).await;
    first.create().await.unwrap();
    let (mut second, _) = bench.password("ada", ELSEWHERE, at(0, "07:00:30")).await;
    second.create().await.unwrap();
    let (mut bob, _) = bench.password("bob", AFAR, at(0, "07:00:40")).await;
    bob.create().await.unwrap();
    let codes = bench.codes();
    assert_eq!(codes.len(), 3);
    assert!(!second.verify(&codes[0]).await, "another session's code");
    assert!(!bob.verify(&codes[0]).await, "another user's code");
    first.at = at(0, "07:03:01");
    assert!(!first.verify(&codes[0]).await, "an expired code");
    assert_eq!(bench.count(ChallengeEvent::Expired), 1);
    // A sign-in that begins again does not accept the code of the one that ended.
    let (mut third, _) = bench.password("ada", AFAR, at(0, "07:04:00")).await;
    third.create().await.unwrap();
    assert!(!third.verify(&codes[0]).await && third.define().await == "CUSTOM_CHALLENGE", "a replayed code");
    third.create().await.unwrap();
    assert!(third.verify(&bench.codes()[3]).await);
}

#[tokio::test]
async fn a_repeated_call_sends_nothing_again() {
    let bench = Bench::new(&ALWAYS).await;
    let (mut session, _) = bench.password("ada", AFAR, at(0, "07:00:00")).await;
    let event = session.event("CreateAuthChallenge", json!({ "challengeName": "CUSTOM_CHALLENGE" }));
    let first = bench.answer(&event, at(0, "07:00:00")).await.unwrap();
    let repeated = bench.answer(&event, at(0, "07:00:06")).await.unwrap();
    assert_eq!(first, repeated);
    let code = bench.codes();
    assert_eq!(code.len(), 1);
    session.create().await.unwrap();
    assert!(session.verify(&code[0]).await);
}

#[tokio::test]
async fn who_skips_the_password_gets_nothing() {
    let bench = Bench::new(&[("MODE", "monitor")]).await;
    let define = async |session: Value| {
        let mut event = bench.begin("ada", HOME, at(0, "07:00:00")).event("DefineAuthChallenge", json!({}));
        event["request"]["session"] = session;
        read_definition(&bench.answer(&event, at(0, "07:00:00")).await.unwrap())
    };
    let ours = json!({ "challengeName": "CUSTOM_CHALLENGE", "challengeResult": true, "challengeMetadata": "riskgate/1/01ARZ3NDEKTSV4RRFFQ69G5FAV/c/1/x" });
    for session in [
        Value::Null,
        json!([]),
        json!({}),
        json!("SRP_A"),
        json!([passed("PASSWORD_VERIFIER")]),
        json!([passed("ADMIN_NO_SRP_AUTH")]),
        json!([ours]),
        json!([passed("SRP_A"), ours]),
        json!([passed("SRP_A"), { "challengeName": "PASSWORD_VERIFIER", "challengeResult": false, "challengeMetadata": null }]),
        json!([passed("SRP_A"), { "challengeName": "PASSWORD_VERIFIER", "challengeResult": "true" }]),
        json!([passed("SRP_A"), passed("SOFTWARE_TOKEN_MFA")]),
        json!([passed("SRP_A"), passed("PASSWORD_VERIFIER"), { "challengeName": "SMS_MFA", "challengeResult": false }]),
    ] {
        assert_eq!(define(session.clone()).await, "failure", "{session}");
    }
    // Monitor mode asks for the password too, and for nothing else.
    assert_eq!(define(json!([passed("SRP_A"), passed("PASSWORD_VERIFIER")])).await, "tokens");
    let mut event = bench.begin("ada", HOME, at(0, "07:00:00")).event("CreateAuthChallenge", json!({ "challengeName": "CUSTOM_CHALLENGE", "session": [] }));
    assert!(bench.answer(&event, at(0, "07:00:00")).await.is_err());
    event["request"]["session"] = json!([passed("SRP_A")]);
    assert!(bench.answer(&event, at(0, "07:00:00")).await.is_err() && bench.codes().is_empty());
}

#[tokio::test]
async fn an_unknown_user_takes_the_way_of_a_wrong_password() {
    let bench = Bench::new(&ALWAYS).await;
    let verifier = |is_right| json!({ "challengeName": "PASSWORD_VERIFIER", "challengeResult": is_right, "challengeMetadata": null });
    for (known, unknown) in [
        (json!([passed("SRP_A")]), json!([passed("SRP_A")])),
        (json!([passed("SRP_A"), verifier(false)]), json!([passed("SRP_A"), verifier(false)])),
        // What no unknown user can reach fails as well.
        (json!([passed("SRP_A"), verifier(false)]), json!([passed("SRP_A"), verifier(true)])),
    ] {
        let mut answers = Vec::new();
        for (session, is_unknown) in [(known, false), (unknown, true)] {
            let mut event = bench.begin("ada", AFAR, at(0, "07:00:00")).event("DefineAuthChallenge", json!({ "session": session }));
            if is_unknown {
                event["request"]["userNotFound"] = json!(true);
                event["request"]["userAttributes"] = json!({});
            }
            answers.push(bench.answer(&event, at(0, "07:00:00")).await.unwrap()["response"].clone());
        }
        assert_eq!(answers[0], answers[1]);
    }
    let mut session = bench.begin("eve", AFAR, at(0, "07:00:00"));
    session.entries.push(passed("PASSWORD_VERIFIER"));
    let create = session.event("CreateAuthChallenge", json!({ "challengeName": "CUSTOM_CHALLENGE", "userNotFound": true }));
    assert!(bench.answer(&create, at(0, "07:00:00")).await.is_err() && bench.codes().is_empty());
}

#[tokio::test]
async fn events_as_aws_sends_them_are_answered_and_otherwise_unchanged() {
    let bench = Bench::new(&[]).await;
    for (event, expected) in [
        (
            r#"{"version":"1","triggerSource":"DefineAuthChallenge_Authentication","region":"eu-west-1","userPoolId":"p","userName":"ada","callerContext":{"awsSdkVersion":"aws-sdk-unknown-unknown","clientId":"web"},"request":{"userAttributes":{"sub":"s","n":1.10},"session":[]},"response":{"challengeName":null,"issueTokens":null,"failAuthentication":null}}"#,
            r#""response":{"challengeName":null,"issueTokens":false,"failAuthentication":true}}"#,
        ),
        (
            r#"{"triggerSource":"DefineAuthChallenge_Authentication","userPoolId":"p","userName":"ada","callerContext":{"clientId":"web"},"odd":1e400,"request":{"userAttributes":null,"session":[{"challengeName":"SRP_A","challengeResult":true,"challengeMetadata":null}],"clientMetadata":null},"response":null}"#,
            r#""response":{"challengeName":"PASSWORD_VERIFIER","issueTokens":false,"failAuthentication":false}}"#,
        ),
        (
            r#"{"triggerSource":"VerifyAuthChallenge_Authentication","userPoolId":"p","userName":"ada","callerContext":{"clientId":"web"},"request":{"privateChallengeParameters":{"riskgate":"riskgate/1/x"},"challengeAnswer":null},"response":{"answerCorrect":null}}"#,
            r#""response":{"answerCorrect":false}}"#,
        ),
        (
            r#"{"triggerSource":"DefineAuthChallenge_Authentication"}"#,
            r#"{"triggerSource":"DefineAuthChallenge_Authentication","response":{"challengeName":null,"issueTokens":false,"failAuthentication":true}}"#,
        ),
    ] {
        let raw = RawEvent::new(serde_json::value::RawValue::from_string(event.to_owned()).unwrap());
        let Event::AuthChallenge(parsed) = cognito::parse(raw, clock::read(), &bench.tested.config.trust).unwrap() else { panic!("{event}") };
        let decision = &bench.tested.config.decision;
        let handler = ChallengeHandler { engine: &bench.tested.engine, sender: &bench.sender, mode: &decision.mode, deny_message: &decision.deny_message };
        let (answer, _) = handler.answer(&parsed, bench.tested.engine.deadline(parsed.sign_in.received.mono, None)).await;
        let answer = answer.unwrap();
        let (answer, before) = (answer.text(), event.split(r#""response""#).next().unwrap());
        assert!(answer.ends_with(expected) && answer.starts_with(before.trim_end_matches('}')), "{answer}");
    }
}

#[tokio::test]
async fn challenges_of_others_pass_unchanged() {
    let bench = Bench::new(&ALWAYS).await;
    let mut session = bench.begin("ada", AFAR, at(0, "07:00:00"));
    session.entries.push(passed("PASSWORD_VERIFIER"));
    session.entries.push(json!({ "challengeName": "CUSTOM_CHALLENGE", "challengeResult": true, "challengeMetadata": "MAGIC_LINK" }));
    for event in [
        session.event("DefineAuthChallenge", json!({})),
        session.event("CreateAuthChallenge", json!({ "challengeName": "CUSTOM_CHALLENGE" })),
        bench.begin("ada", AFAR, at(0, "07:00:00")).event("CreateAuthChallenge", json!({ "challengeName": "CAPTCHA" })),
        session.event("VerifyAuthChallengeResponse", json!({ "challengeAnswer": "1", "privateChallengeParameters": { "answer": "1" } })),
    ] {
        assert_eq!(bench.answer(&event, at(0, "07:00:00")).await.unwrap(), event);
    }
}

#[tokio::test]
async fn a_passed_second_factor_is_a_passed_challenge() {
    let bench = Bench::new(&ALWAYS).await;
    let mut session = bench.begin("ada", AFAR, at(0, "07:00:00"));
    session.entries.extend([passed("PASSWORD_VERIFIER"), passed("SOFTWARE_TOKEN_MFA")]);
    assert_eq!(session.define().await, "tokens");
    bench.tested.success("ada", "web", at(0, "07:00:01")).await.expect("the store answers");
    assert!(!bench.is_restricted("ada", at(0, "07:00:02")).await && bench.codes().is_empty());
}

#[tokio::test]
async fn a_temporary_password_is_replaced_after_the_challenge() {
    let bench = Bench::new(&ALWAYS).await;
    let attributes = json!({ "userAttributes": { "sub": "sub-ada", "cognito:user_status": "FORCE_CHANGE_PASSWORD" } });
    let (mut session, _) = bench.password("ada", AFAR, at(0, "07:00:00")).await;
    session.create().await.unwrap();
    assert!(session.verify(&bench.codes()[0]).await);
    let answer = bench.answer(&session.event("DefineAuthChallenge", attributes.clone()), session.at).await.unwrap();
    assert_eq!(read_definition(&answer), "NEW_PASSWORD_REQUIRED");
    session.entries.push(passed("NEW_PASSWORD_REQUIRED"));
    let answer = bench.answer(&session.event("DefineAuthChallenge", attributes), session.at).await.unwrap();
    assert_eq!(read_definition(&answer), "tokens");
}

#[tokio::test]
async fn a_thief_uses_up_no_codes_of_the_owner() {
    let bench = Bench::new(&[&ALWAYS[..], &[("CHALLENGE_CODES", "2")]].concat()).await;
    for day in 0..3 {
        bench.tested.sign_in("ada", HOME, at(day, "07:00:00")).await;
    }
    // The owner's sign-ins are learned from after a pass only, so one is passed.
    let (mut session, _) = bench.password("ada", HOME, at(3, "07:00:00")).await;
    session.create().await.unwrap();
    assert!(session.verify(&bench.codes()[0]).await && session.define().await == "tokens");
    bench.tested.success("ada", "web", at(3, "07:00:01")).await.expect("the store answers");
    let sent = bench.codes().len();
    for attempt in 0..6 {
        let (mut attacker, next) = bench.password("ada", AFAR, at(4, &format!("07:0{attempt}:00"))).await;
        assert_eq!(next, "CUSTOM_CHALLENGE");
        assert_eq!(attacker.create().await.is_ok(), attempt < 2, "{attempt}: the mailbox is not flooded");
    }
    assert_eq!((bench.codes().len() - sent, bench.count(ChallengeEvent::Limited)), (2, 4));
    let (mut owner, _) = bench.password("ada", HOME, at(4, "07:10:00")).await;
    assert!(owner.create().await.is_ok());
    let code = bench.codes().pop().unwrap();
    assert!(owner.verify(&code).await);
    // Another hour, another two.
    let (mut attacker, _) = bench.password("ada", AFAR, at(4, "08:00:00")).await;
    assert!(attacker.create().await.is_ok());
}

#[tokio::test]
async fn a_network_sends_few_codes_to_strangers() {
    const NAMES: [&str; 5] = ["ann", "ben", "cid", "dan", "eve"];
    let bench = Bench::new(&[&ALWAYS[..], &[("CHALLENGE_NETWORK_CODES", "3")]].concat()).await;
    for (number, user) in NAMES.into_iter().enumerate() {
        let (mut session, _) = bench.password(user, AFAR, at(0, "07:00:00")).await;
        assert_eq!(session.create().await.is_ok(), number < 3, "{user}");
    }
    let (mut session, _) = bench.password("fay", ELSEWHERE, at(0, "07:00:00")).await;
    assert!(session.create().await.is_ok(), "another network");
}

#[tokio::test]
async fn only_a_transport_that_fails_takes_the_fallback() {
    for fallback in ["deny", "allow"] {
        let variables = [&ALWAYS[..], &[("CHALLENGE_FALLBACK", fallback), ("CHALLENGE_CODES", "1")]].concat();
        let bench = Bench::over(&fixtures::memory().store, &variables, |_| wire::json(500, "{}")).await;
        let (mut session, _) = bench.password("ada", AFAR, at(0, "07:00:00")).await;
        let shown = session.create().await;
        assert_eq!(bench.count(ChallengeEvent::Undeliverable), 1);
        if fallback == "deny" {
            assert!(shown.unwrap_err().starts_with("Sign-in was declined"));
        } else {
            assert_eq!(shown.unwrap()["CODE_DELIVERY_DELIVERY_MEDIUM"], "NONE");
            assert!(session.verify("anything").await && session.define().await == "tokens");
            bench.tested.success("ada", "web", at(0, "07:00:01")).await.expect("the store answers");
            assert!(bench.is_restricted("ada", at(0, "07:00:02")).await, "no proof was given");
        }
        let (mut second, _) = bench.password("ada", ELSEWHERE, at(0, "07:01:00")).await;
        assert!(second.create().await.is_err(), "{fallback}: an exhausted limit fails");
        assert_eq!(bench.count(ChallengeEvent::Limited), 1);
    }
}

#[tokio::test]
async fn monitor_mode_challenges_nobody_and_shows_the_verdict() {
    let bench = Bench::new(&[&ALWAYS[..], &[("MODE", "monitor")]].concat()).await;
    let mut session = bench.begin("ada", AFAR, at(0, "07:00:00"));
    session.entries.push(passed("PASSWORD_VERIFIER"));
    assert_eq!(session.define().await, "tokens");
    let raw = RawEvent::new(serde_json::value::to_raw_value(&session.event("DefineAuthChallenge", json!({}))).unwrap());
    let Event::AuthChallenge(parsed) = cognito::parse(raw, clock::read(), &bench.tested.config.trust).unwrap() else { panic!("a challenge") };
    let decision = &bench.tested.config.decision;
    let handler = ChallengeHandler { engine: &bench.tested.engine, sender: &bench.sender, mode: &decision.mode, deny_message: &decision.deny_message };
    let (_, assessment) = handler.answer(&parsed, bench.tested.engine.deadline(parsed.sign_in.received.mono, None)).await;
    let assessment = assessment.expect("an assessment").decision;
    assert_eq!((assessment.verdict.as_label(), assessment.action.as_label()), ("challenge", "allow"));
    bench.tested.success("ada", "web", at(0, "07:00:01")).await.expect("the store answers");
    assert!(!bench.is_restricted("ada", at(0, "07:00:02")).await && bench.codes().is_empty());
    // Challenges that began before the mode changed end with tokens too.
    session
        .entries
        .extend(std::iter::repeat_n(json!({ "challengeName": "CUSTOM_CHALLENGE", "challengeResult": false, "challengeMetadata": "riskgate/1/a/c/1/x" }), 3));
    assert_eq!(session.define().await, "tokens");
}

#[tokio::test]
async fn a_denied_sign_in_looks_like_a_wrong_password() {
    let bench = Bench::new(&[("DENY_CIDRS", "14.162.0.0/16")]).await;
    let (_, next) = bench.password("ada", AFAR, at(0, "07:00:00")).await;
    assert_eq!(next, "failure");
}

#[tokio::test]
async fn an_abandoned_challenge_is_no_pass() {
    let bench = Bench::new(&ALWAYS).await;
    let (mut session, _) = bench.password("ada", AFAR, at(0, "07:00:00")).await;
    session.create().await.unwrap();
    // The attacker leaves and takes a flow without a challenge.
    bench.tested.attempt("ada", AFAR, at(0, "07:00:20")).await;
    bench.tested.success("ada", "web", at(0, "07:00:21")).await.expect("the store answers");
    assert!(bench.is_restricted("ada", at(0, "07:00:22")).await);
}

#[tokio::test]
async fn a_decision_before_the_password_does_not_restrict_who_passes() {
    let bench = Bench::new(&ALWAYS).await;
    // Pre-authentication runs at the first call, here with the context and there without.
    for (user, first) in [("ada", fixtures::pre("ada", "web", fixtures::claims(AFAR))), ("bob", fixtures::pre("bob", "web", Value::Null))] {
        let before = bench.tested.attempt_by(first, at(0, "07:00:00")).await;
        assert_eq!(before.decision.action.as_label(), "challenge");
        let (mut session, _) = bench.password(user, AFAR, at(0, "07:00:02")).await;
        session.create().await.unwrap();
        let code = bench.codes().pop().unwrap();
        assert!(session.verify(&code).await && session.define().await == "tokens");
        bench.tested.success(user, "web", at(0, "07:00:10")).await.expect("the store answers");
        assert!(!bench.is_restricted(user, at(0, "07:00:11")).await, "{user}");
    }
}

#[tokio::test]
async fn a_signed_context_may_come_with_both_calls_of_a_sign_in() {
    let key = "marker-context-secret-of-32-bytes";
    let bench = Bench::new(&[("CONTEXT_KEYS", "k1:HS256:bWFya2VyLWNvbnRleHQtc2VjcmV0LW9mLTMyLWJ5dGVz"), ("TRUSTED_CLIENTS", "other")]).await;
    let claims = riskgate_event::signed_context::Claims {
        aud: "pool".to_owned(),
        client_id: "web".to_owned(),
        sub: Some("ada".to_owned()),
        iat: at(0, "07:00:00").as_second(),
        jti: "marker-nonce-0000001".to_owned(),
        ip: Some(HOME.ip.to_owned()),
        ..riskgate_event::signed_context::Claims::default()
    };
    let token =
        riskgate_event::signed_context::sign(&claims, "k1", jsonwebtoken::Algorithm::HS256, &jsonwebtoken::EncodingKey::from_secret(key.as_bytes())).unwrap();
    let first = bench.tested.attempt_by(fixtures::pre("ada", "web", json!({ "riskgate": token })), at(0, "07:00:00")).await;
    assert_eq!(fixtures::reasons(&first).iter().filter(|reason| **reason == "context_replayed").count(), 0);
    let mut nonces = Vec::new();
    // The answer of the same sign-in, the same answer in another sign-in, and one long after the first call.
    for (second, time) in [("a", at(0, "07:00:02")), ("b", at(0, "07:00:04"))] {
        let mut session = bench.begin("ada", HOME, time);
        session.entries.push(passed("PASSWORD_VERIFIER"));
        let event = session.event("DefineAuthChallenge", json!({ "clientMetadata": { "riskgate": token, "other": second } }));
        let raw = RawEvent::new(serde_json::value::to_raw_value(&event).unwrap());
        let Event::AuthChallenge(parsed) = cognito::parse(raw, clock::at(time), &bench.tested.config.trust).unwrap() else { panic!("a challenge") };
        let assessment = bench.tested.assess((*parsed.sign_in).clone()).await;
        nonces.push(fixtures::history(&assessment).nonce);
    }
    use riskgate_engine::evidence::history::NonceStatus;
    assert_eq!(nonces, [NonceStatus::Retried, NonceStatus::Replayed]);
}
