//! Faults during a custom challenge: its three triggers are called in order, as Cognito calls them.

use std::time::Duration;

use futures_util::FutureExt as _;
use riskgate_runtime::mode::RuntimeMode;
use serde_json::{Value, json};

use super::{
    SETTINGS,
    entry_points::EntryPoint,
    stories::{Scenario, ScenarioResult},
};
use crate::wire::{Act, Server, answer, json as json_answer};

/// Every sign-in is challenged.
const CHALLENGES: [(&str, &str); 5] = [
    ("REVIEW_AT", "0"),
    ("CHALLENGE_AT", "0"),
    ("DENY_AT", "100"),
    ("PSEUDONYM_KEY", "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    ("CHALLENGE_WEBHOOK_SECRET", "0123456789abcdef0123456789abcdef"),
];

/// Nothing listens here.
const NOWHERE: &str = "http://127.0.0.1:1/codes";

/// Every scenario.
pub fn stories() -> Vec<Scenario> {
    // Lambda has no store here, so it knows no limit and sends nothing.
    let story = |id, what, sidecar, play| Scenario { id, what, expected: ["challenge, deny", sidecar], play };
    let alike = |id, what, expected, play| Scenario { id, what, expected: [expected; 2], play };
    vec![
        story(
            "Q1",
            "a challenge without a store in Lambda, with one in the sidecar; the service that delivers codes answers",
            "challenge, code, right, tokens",
            |mode| delivered(mode, Duration::ZERO).boxed(),
        ),
        story("Q2", "it answers late, but in time", "challenge, code, right, tokens", |mode| delivered(mode, Duration::from_millis(300)).boxed()),
        story("Q3", "it hangs", "challenge, deny", |mode| undelivered(mode, "deny", |_| Act::Hang).boxed()),
        story("Q4", "it answers 500", "challenge, deny", |mode| undelivered(mode, "deny", |_| json_answer(500, "{}")).boxed()),
        story("Q5", "it breaks the connection", "challenge, deny", |mode| undelivered(mode, "deny", |_| Act::Reset).boxed()),
        story("Q6", "it redirects", "challenge, deny", |mode| undelivered(mode, "deny", |_| redirect()).boxed()),
        story("Q7", "it cannot be reached", "challenge, deny", |mode| unreachable(mode, NOWHERE, &[]).boxed()),
        story("Q8", "it hangs, and CHALLENGE_FALLBACK=allow", "challenge, no code, right, tokens", |mode| undelivered(mode, "allow", |_| Act::Hang).boxed()),
        story("Q9", "neither CHALLENGE_FROM nor CHALLENGE_WEBHOOK is set", "challenge, deny", |mode| unreachable(mode, "", &[]).boxed()),
        alike("Q10", "the store cannot be reached, so no limit is known", "challenge, deny", |mode| {
            unreachable(mode, NOWHERE, &[("STORE", "redis://127.0.0.1:1/0")]).boxed()
        }),
        alike("Q11", "a session that begins without a password, and one that is not a list", "failure, failure, deny", |mode| passwordless(mode).boxed()),
        alike("Q12", "a response that is text", "deny, deny, deny", |mode| malformed(mode).boxed()),
    ]
}

/// One face, and what was seen of it.
struct Stage {
    entry_point: EntryPoint,
    entries: Vec<Value>,
    private: Value,
    result: ScenarioResult,
}

impl Stage {
    async fn open(runtime_mode: RuntimeMode, url: &str, variables: &[(&str, &str)]) -> Self {
        let url = [("CHALLENGE_WEBHOOK", url)];
        let own = if url[0].1.is_empty() { &[][..] } else { &url[..] };
        let entry_point = EntryPoint::open(runtime_mode, &[&SETTINGS[..], &CHALLENGES, own, variables].concat()).await;
        let entries = ["SRP_A", "PASSWORD_VERIFIER"].map(|name| json!({ "challengeName": name, "challengeResult": true, "challengeMetadata": null })).to_vec();
        Stage { entry_point, entries, private: Value::Null, result: ScenarioResult { seen: String::new(), results: Vec::new() } }
    }

    /// Calls a trigger; its response, or null if it failed.
    async fn call(&mut self, trigger: &str, request: Value) -> Value {
        self.send(event(trigger, &self.entries, &request)).await["response"].clone()
    }

    async fn send(&mut self, event: Value) -> Value {
        let (answer, result) = self.entry_point.exchange(event.to_string().as_bytes()).await;
        self.result.results.push(result);
        answer
    }

    fn see(&mut self, what: &str) {
        if !self.result.seen.is_empty() {
            self.result.seen.push_str(", ");
        }
        self.result.seen.push_str(what);
    }

    async fn define(&mut self) {
        let response = self.call("DefineAuthChallenge", json!({})).await;
        let seen = match (&response["challengeName"], &response["issueTokens"], &response["failAuthentication"]) {
            (Value::String(_), Value::Bool(false), Value::Bool(false)) => "challenge",
            (_, Value::Bool(true), _) => "tokens",
            (_, _, Value::Bool(true)) => "failure",
            _ => "deny",
        };
        self.see(seen);
    }

    async fn create(&mut self) {
        let response = self.call("CreateAuthChallenge", json!({ "challengeName": "CUSTOM_CHALLENGE" })).await;
        self.private = response["privateChallengeParameters"].clone();
        self.entries.push(json!({ "challengeName": "CUSTOM_CHALLENGE", "challengeResult": true, "challengeMetadata": response["challengeMetadata"] }));
        self.see(match response["publicChallengeParameters"]["CODE_DELIVERY_DELIVERY_MEDIUM"].as_str() {
            Some("NONE") => "no code",
            Some(_) => "code",
            None => "deny",
        });
    }

    async fn verify(&mut self, code: &str) {
        let response = self.call("VerifyAuthChallengeResponse", json!({ "challengeAnswer": code, "privateChallengeParameters": self.private })).await;
        self.see(match response["answerCorrect"] {
            Value::Bool(true) => "right",
            Value::Bool(false) => "wrong",
            _ => "deny",
        });
    }
}

fn event(trigger: &str, session: &[Value], request: &Value) -> Value {
    let mut event = json!({
        "version":"1","triggerSource":format!("{trigger}_Authentication"),"userPoolId":"eu-west-1_test","userName":"ada","callerContext":{"clientId":"web"},
        "request":{"userAttributes":{"sub":"9c5b"},"session":session},"response":{}});
    request.as_object().expect("an object").iter().for_each(|(name, value)| event["request"][name] = value.clone());
    event
}

async fn delivered(runtime_mode: RuntimeMode, after: Duration) -> ScenarioResult {
    let server = Server::start(move |_| Act::After(after, Box::new(json_answer(200, "{}")))).await;
    let mut stage = Stage::open(runtime_mode, &server.origin(), &[]).await;
    stage.define().await;
    stage.create().await;
    if stage.private.is_null() {
        return stage.result;
    }
    let body: Value = serde_json::from_str(&server.requests().last().expect("a request").body).expect("JSON");
    stage.verify(body["code"].as_str().expect("a code")).await;
    stage.define().await;
    stage.result
}

async fn undelivered(runtime_mode: RuntimeMode, fallback: &'static str, treat: fn(&crate::wire::Request) -> Act) -> ScenarioResult {
    let server = Server::start(treat).await;
    let mut stage = Stage::open(runtime_mode, &server.origin(), &[("CHALLENGE_FALLBACK", fallback)]).await;
    stage.define().await;
    stage.create().await;
    if !stage.private.is_null() {
        stage.verify("anything").await;
        stage.define().await;
    }
    stage.result
}

async fn unreachable(runtime_mode: RuntimeMode, url: &str, variables: &[(&str, &str)]) -> ScenarioResult {
    let mut stage = Stage::open(runtime_mode, url, variables).await;
    stage.define().await;
    stage.create().await;
    stage.result
}

async fn passwordless(runtime_mode: RuntimeMode) -> ScenarioResult {
    let mut stage = Stage::open(runtime_mode, NOWHERE, &[]).await;
    for session in [json!([]), json!(7)] {
        let response = stage.call("DefineAuthChallenge", json!({ "session": session })).await;
        stage.see(if response["failAuthentication"] == true { "failure" } else { "open" });
    }
    let response = stage.call("CreateAuthChallenge", json!({ "challengeName": "CUSTOM_CHALLENGE", "session": [] })).await;
    stage.see(if response.is_null() { "deny" } else { "open" });
    stage.result
}

async fn malformed(runtime_mode: RuntimeMode) -> ScenarioResult {
    let mut stage = Stage::open(runtime_mode, NOWHERE, &[]).await;
    for trigger in ["DefineAuthChallenge", "CreateAuthChallenge", "VerifyAuthChallengeResponse"] {
        let mut event = event(trigger, &[], &json!({ "privateChallengeParameters": { "riskgate": "riskgate/1/x" }, "challengeName": "CUSTOM_CHALLENGE" }));
        event["response"] = json!("text");
        let answer = stage.send(event).await;
        stage.see(if answer.is_null() { "deny" } else { "open" });
    }
    stage.result
}

fn redirect() -> Act {
    answer(302, &[("location", NOWHERE)], "")
}
