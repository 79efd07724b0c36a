//! Faults that take more than one sign-in.

use std::{
    process::{Command, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{FutureExt as _, future::BoxFuture};
use jsonwebtoken::{Algorithm, EncodingKey};
use riskgate_event::signed_context::{Claims, sign};
use riskgate_runtime::mode::RuntimeMode;
use serde_json::{Value, json};

use super::{
    BUDGET, SETTINGS, TOO_LATE, challenges,
    entry_points::{EntryPoint, InvocationResult, event},
    step_up,
};
use crate::{
    harness::{HANG, TestEnricher, described},
    runtime_api::{Answer, Environment},
    wire::{Act, Server, json as json_answer},
};

/// A scenario, run in both modes.
pub struct Scenario {
    pub id: &'static str,
    pub what: &'static str,
    /// What is right in Lambda and in the sidecar.
    pub expected: [&'static str; 2],
    pub play: fn(RuntimeMode) -> BoxFuture<'static, ScenarioResult>,
}

/// The result of a scenario.
pub struct ScenarioResult {
    /// The results in one line.
    pub seen: String,
    /// Every answer, for the check of its time.
    pub results: Vec<InvocationResult>,
}

/// One mode in a scenario, and its results.
struct Stage {
    entry_point: EntryPoint,
    seen: Vec<String>,
    results: Vec<InvocationResult>,
}

/// Every scenario.
pub fn stories() -> Vec<Scenario> {
    let sign_ins = vec![
        story("X1", "an unsigned address of ALLOW_CIDRS that the service classifies as fraud", "fresh deny", |runtime_mode| {
            claimed_address(runtime_mode).boxed()
        }),
        story("X2", "unsigned claims under UNTRUSTED_CONTEXT=ignore", "not_asked allow", |runtime_mode| ignored_claims(runtime_mode).boxed()),
        story(
            "X3",
            "signed contexts: one valid; in the future, old, negative, 1e308, not a number, in ms, with a flipped bit, truncated, alg none, duplicate keys, another user's",
            "1 signed, 11 bad",
            |runtime_mode| contexts(runtime_mode).boxed(),
        ),
        story("X4", "one signed context sent twice, then for another user", "2 signed, 1 bad", |runtime_mode| replayed(runtime_mode).boxed()),
        story("X5", "the wall clock jumps back an hour, forward three hours, forward two days", "fresh, hit, fresh, fresh", |runtime_mode| {
            jumping_clock(runtime_mode).boxed()
        }),
        story(
            "X6",
            "two users at one address, one with a device that the service classifies as fraud",
            "2 fresh deny, 1 fresh allow, 1 hit allow",
            |runtime_mode| two_people(runtime_mode).boxed(),
        ),
        story("X7", "the service fails, recovers, fails again", "http_5xx deny, fresh allow, hit allow", |runtime_mode| {
            errors_are_not_cached(runtime_mode).boxed()
        }),
        story("X8", "the service knows nothing about the address; two sign-ins", "negative allow, negative allow, 1 request", |runtime_mode| {
            nothing_known(runtime_mode).boxed()
        }),
        story("X9", "the service's answer changes within CACHE_TTL, and after it", "fresh allow, hit allow, fresh deny", |runtime_mode| {
            changed_mind(runtime_mode).boxed()
        }),
        Scenario {
            id: "X10",
            what: "HTTP_URL is http://169.254.169.254/",
            expected: ["monitor mode: allow, RISKGATE_HTTP_URL is named", "exit 2, RISKGATE_HTTP_URL is named"],
            play: |runtime_mode| faulty(runtime_mode, ("HTTP_URL", "http://169.254.169.254/".to_owned())).boxed(),
        },
        Scenario {
            id: "X11",
            what: "CITY_DB is truncated, empty or missing",
            expected: ["monitor mode: allow, RISKGATE_CITY_DB is named, 3 times", "exit 2, RISKGATE_CITY_DB is named, 3 times"],
            play: |runtime_mode| damaged_database(runtime_mode).boxed(),
        },
        story("X12", "a key that is refused", "key_refused deny, 1 request", |runtime_mode| refused_key(runtime_mode).boxed()),
        story("X13", "one answer in 20 takes 300 ms", "40 fresh allow, 40 requests", |runtime_mode| slow_tail(runtime_mode).boxed()),
        story("X14", "an idle connection broke", "fresh allow, fresh allow, 1 request after", |runtime_mode| dead_connection(runtime_mode).boxed()),
        story("X15", "an idle connection broke, and the service hangs on the new one", "fresh allow, timeout deny, 1 request after", |runtime_mode| {
            dead_and_slow(runtime_mode).boxed()
        }),
        story(
            "X16",
            "FALLBACK=allow and a service that hangs: any user, an address of DENY_CIDRS, and a DENY_AT so low that the local score denies",
            "timeout allow, timeout deny, timeout deny",
            |runtime_mode| forced_timeouts(runtime_mode).boxed(),
        ),
        story("X17", "a service that hangs, and 300 ms left", "timeout deny in time", |runtime_mode| short_deadline(runtime_mode).boxed()),
        story("X18", "frozen for two seconds during a request to the service, then resumed", "answered, fresh allow", |runtime_mode| {
            frozen(runtime_mode).boxed()
        }),
        story("X19", "the same event three times, as Cognito may repeat it", "fresh allow, hit allow, hit allow", |runtime_mode| thrice(runtime_mode).boxed()),
        story("X20", "SIGTERM during a request to the service", "fresh allow, exit 0, audited", |runtime_mode| terminated(runtime_mode).boxed()),
        story("X21", "the disk for the audit log is full", "3 allow", |runtime_mode| full_disk(runtime_mode).boxed()),
        story("X22", "FALLBACK=deny and a service that fails", "deny, degraded by http_5xx under fallback deny", |runtime_mode| {
            counted_fallback(runtime_mode).boxed()
        }),
        story("X23", "a service with its own reason codes", "allow, audited with codes tor, old abuse", |runtime_mode| own_reasons(runtime_mode).boxed()),
        story("X24", "a service that fails every other time", "3 http_5xx deny, 3 fresh allow", |runtime_mode| alternating(runtime_mode).boxed()),
        story("X25", "a service that starts slowly: 3500, 400, 100 ms, none", "timeout deny, fresh allow, fresh allow, fresh allow", |runtime_mode| {
            slow_start(runtime_mode).boxed()
        }),
    ];
    sign_ins.into_iter().chain(challenges::stories()).chain(step_up::stories()).collect()
}

fn story(id: &'static str, what: &'static str, expected: &'static str, play: fn(RuntimeMode) -> BoxFuture<'static, ScenarioResult>) -> Scenario {
    Scenario { id, what, expected: [expected; 2], play }
}

impl Stage {
    async fn open(runtime_mode: RuntimeMode, variables: &[(&str, &str)]) -> Self {
        Stage { entry_point: EntryPoint::open(runtime_mode, &[&SETTINGS[..], variables].concat()).await, seen: Vec::new(), results: Vec::new() }
    }

    /// As `open`, as a separate process.
    async fn open_process(runtime_mode: RuntimeMode, variables: &[(&str, &str)]) -> Self {
        Stage { entry_point: EntryPoint::open_process(runtime_mode, &[&SETTINGS[..], variables].concat()).await, seen: Vec::new(), results: Vec::new() }
    }

    async fn sign_in(&mut self, user: &str, data: Value) {
        let (seen, result) = self.entry_point.sign_in(user, data, "http").await;
        self.seen.push(seen);
        self.results.push(result);
    }

    /// Sends a sign-in. Signals to the process when the service has received its request, and further times after a wait in milliseconds.
    async fn send_signalled(&self, server: &Server, signals: &[(u64, &str)]) -> InvocationResult {
        let event = event("ada", json!({"ip":"8.8.8.1"}));
        let signalling = async {
            let received = async {
                while server.count() == 0 {
                    pause(5).await;
                }
            };
            tokio::time::timeout(HANG, received).await.expect("the service receives a request");
            for (wait, signal) in signals {
                pause(*wait).await;
                self.entry_point.signal(signal);
            }
        };
        tokio::join!(self.entry_point.send(event.as_bytes()), signalling).0
    }

    fn end(self) -> ScenarioResult {
        ScenarioResult { seen: self.seen.join(", "), results: self.results }
    }

    /// As `end`, with equal sights counted instead of listed.
    fn end_counted(self) -> ScenarioResult {
        let mut counts: Vec<(String, usize)> = Vec::new();
        for seen in self.seen {
            match counts.iter_mut().find(|(known, _)| *known == seen) {
                Some((_, count)) => *count += 1,
                None => counts.push((seen, 1)),
            }
        }
        ScenarioResult { seen: counts.iter().map(|(seen, count)| format!("{count} {seen}")).collect::<Vec<_>>().join(", "), results: self.results }
    }
}

fn score(score: u8) -> Act {
    json_answer(200, format!(r#"{{"score":{score}}}"#))
}

/// A server whose behaviour changes while a story goes on.
async fn switchable(first: Act) -> (Server, Arc<Mutex<Act>>) {
    let act = Arc::new(Mutex::new(first));
    let current = Arc::clone(&act);
    (Server::start(move |_| current.lock().expect("the act").clone()).await, act)
}

async fn pause(ms: u64) {
    tokio::time::sleep(Duration::from_millis(ms)).await;
}

async fn claimed_address(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::json(r#"{"score":100}"#).await;
    let mut stage = Stage::open(runtime_mode, &[("PROVIDERS", "http"), ("HTTP_URL", &server.origin()), ("ALLOW_CIDRS", "8.8.8.0/24")]).await;
    stage.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
    stage.end()
}

async fn ignored_claims(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::json(r#"{"score":100}"#).await;
    let mut stage = Stage::open(runtime_mode, &[("PROVIDERS", "http"), ("HTTP_URL", &server.origin()), ("UNTRUSTED_CONTEXT", "ignore")]).await;
    stage.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
    stage.end()
}

const SECRET: [u8; 32] = [7; 32];

fn context_keys() -> String {
    use base64::Engine as _;
    format!("hs:HS256:{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(SECRET))
}

fn claims(user: &str, iat: i64) -> Claims {
    Claims {
        aud: "eu-west-1_test".to_owned(),
        client_id: "web".to_owned(),
        sub: Some(user.to_owned()),
        iat,
        jti: format!("{:032x}", rand::random::<u128>()),
        ip: Some("8.8.8.8".to_owned()),
        ..Claims::default()
    }
}

fn token(claims: &Claims) -> String {
    sign(claims, "hs", Algorithm::HS256, &EncodingKey::from_secret(&SECRET)).expect("a token")
}

/// A token of any header and payload, under a good signature.
fn raw_token(header: &str, payload: &str) -> String {
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD as B64};
    let message = format!("{}.{}", B64.encode(header), B64.encode(payload));
    let signature = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &SECRET), message.as_bytes());
    format!("{message}.{}", B64.encode(signature))
}

async fn contexts(runtime_mode: RuntimeMode) -> ScenarioResult {
    let mut stage = Stage::open(runtime_mode, &[("CONTEXT_KEYS", &context_keys())]).await;
    let now = jiff::Timestamp::now().as_second();
    let good = token(&claims("ada", now));
    let payload = |iat: &str| serde_json::to_string(&claims("ada", now)).expect("JSON").replace(&format!(r#""iat":{now}"#), &format!(r#""iat":{iat}"#));
    let header = r#"{"alg":"HS256","kid":"hs","typ":"JWT"}"#;
    let last = if good.ends_with('A') { "B" } else { "A" };
    let tokens = [
        token(&claims("ada", now)),
        token(&claims("ada", now + 600)),
        token(&claims("ada", now - 3600)),
        token(&claims("ada", -1)),
        raw_token(header, &payload("1e308")),
        raw_token(header, &payload("\"NaN\"")),
        token(&claims("ada", now * 1000)),
        format!("{}{last}", &good[..good.len() - 1]),
        good[..1].to_owned(),
        raw_token(r#"{"alg":"none","kid":"hs","typ":"JWT"}"#, &payload(&now.to_string())),
        raw_token(header, &payload(&format!("{now},\"iat\":{now}"))),
        token(&claims("bob", now)),
    ];
    for token in tokens {
        stage.results.push(stage.entry_point.send(event("ada", json!({"riskgate":token,"ip":"8.8.4.4"})).as_bytes()).await);
        let line = stage.entry_point.audited().await;
        stage.seen.push(line["context"].as_str().unwrap_or("-").to_owned());
    }
    stage.end_counted()
}

async fn replayed(runtime_mode: RuntimeMode) -> ScenarioResult {
    let mut stage = Stage::open(runtime_mode, &[("CONTEXT_KEYS", &context_keys())]).await;
    let token = token(&claims("ada", jiff::Timestamp::now().as_second()));
    for user in ["ada", "ada", "bob"] {
        stage.results.push(stage.entry_point.send(event(user, json!({"riskgate":token})).as_bytes()).await);
        let line = stage.entry_point.audited().await;
        stage.seen.push(line["context"].as_str().unwrap_or("-").to_owned());
    }
    stage.end_counted()
}

/// The wall clock is an argument everywhere: only the entry point reads it.
async fn jumping_clock(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::json(r#"{"score":1}"#).await;
    let enricher = TestEnricher::new(
        runtime_mode,
        &[("PROVIDERS", "http"), ("HTTP_URL", &server.origin()), ("HTTP_BODY", r#"{"ip":{ip}}"#), ("CACHE_TTL", "30m"), ("CACHE_STALE_FOR", "1h")],
    );
    let mut seen = Vec::new();
    for jump in [0, -3600, 3 * 3600, 51 * 3600] {
        let mut sign_in = described(r#"{"user":"ada","ip":"8.8.8.8"}"#);
        sign_in.received.wall += jiff::SignedDuration::from_secs(jump);
        let evidence = enricher.gather(sign_in).await;
        seen.push(evidence.services[0].outcome.as_label());
    }
    ScenarioResult { seen: seen.join(", "), results: Vec::new() }
}

async fn two_people(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::start(|request| score(if request.body.contains("eves-device") { 100 } else { 1 })).await;
    let mut stage = Stage::open(runtime_mode, &[("PROVIDERS", "http"), ("HTTP_URL", &server.origin()), ("HTTP_SEND", "ip_device"), ("CACHE_TTL", "1h")]).await;
    for (user, device) in [("eve", "eves-device"), ("ada", "adas-device"), ("eve", "eves-device-2"), ("ada", "adas-device")] {
        stage.sign_in(user, json!({"ip":"8.8.8.8","deviceId":device})).await;
    }
    stage.end_counted()
}

async fn errors_are_not_cached(runtime_mode: RuntimeMode) -> ScenarioResult {
    let (server, act) = switchable(json_answer(500, "{}")).await;
    let mut stage = Stage::open(runtime_mode, &http_service(&server.origin())).await;
    for next in [score(1), json_answer(500, "{}"), json_answer(500, "{}")] {
        stage.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
        *act.lock().expect("the act") = next;
    }
    stage.end()
}

async fn nothing_known(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::start(|_| json_answer(404, r#"{"message":"IP address information not found"}"#)).await;
    let mut stage = Stage::open(runtime_mode, &[("PROVIDERS", "crowdsec_cti"), ("CROWDSEC_CTI_URL", &server.origin()), ("CROWDSEC_CTI_KEY", "k")]).await;
    for _ in 0..2 {
        let (seen, result) = stage.entry_point.sign_in("ada", json!({"ip":"8.8.8.8"}), "crowdsec_cti").await;
        stage.seen.push(seen);
        stage.results.push(result);
    }
    stage.seen.push(format!("{} request", server.count()));
    stage.end()
}

async fn changed_mind(runtime_mode: RuntimeMode) -> ScenarioResult {
    let (server, act) = switchable(score(1)).await;
    let mut stage = Stage::open(runtime_mode, &[("PROVIDERS", "http"), ("HTTP_URL", &server.origin()), ("CACHE_TTL", "3s")]).await;
    stage.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
    *act.lock().expect("the act") = score(100);
    stage.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
    // Past the time in which the sidecar serves an old answer while it is renewed.
    pause(6_050).await;
    stage.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
    stage.end()
}

async fn faulty(runtime_mode: RuntimeMode, (name, value): (&'static str, String)) -> ScenarioResult {
    let variables = [("PROVIDERS", "http"), ("HTTP_URL", "http://127.0.0.1:9/"), ("DENY_CLIENTS", "web")];
    let mut variables: Vec<(&str, &str)> = variables.into_iter().filter(|(known, _)| *known != name).collect();
    variables.push((name, &value));
    let seen = match runtime_mode {
        RuntimeMode::Lambda => {
            let lambda = Environment::start(&variables).await;
            let answered = lambda.invoke(event("ada", Value::Null)).await;
            let Answer::Event(check) = lambda.invoke(r#"{"riskgate":"check"}"#).await else {
                return ScenarioResult { seen: "no check".to_owned(), results: Vec::new() };
            };
            let check: Value = serde_json::from_str(&check).expect("JSON");
            let verdict = if matches!(answered, Answer::Event(_)) { "allow" } else { "deny" };
            format!("monitor mode: {verdict}, {}", named(&check["faults"].to_string(), name))
        }
        RuntimeMode::Sidecar | RuntimeMode::Command => {
            let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
            command.arg("serve").env_clear().envs(variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), *value)));
            let output = command.stdin(Stdio::null()).output().expect("the binary starts");
            format!("exit {}, {}", output.status.code().unwrap_or(-1), named(&String::from_utf8_lossy(&output.stderr), name))
        }
    };
    ScenarioResult { seen, results: Vec::new() }
}

fn named(text: &str, name: &str) -> String {
    let whole = format!("RISKGATE_{name}");
    if text.contains(&whole) { format!("{whole} is named") } else { format!("nothing is named: {text}") }
}

async fn damaged_database(runtime_mode: RuntimeMode) -> ScenarioResult {
    let home = tempfile::tempdir().expect("a directory");
    let whole = std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mmdb/GeoIP2-City-Test.mmdb")).expect("a database");
    let mut seen = Vec::new();
    for (name, bytes) in [("cut.mmdb", Some(&whole[..whole.len() / 2])), ("empty.mmdb", Some(&[][..])), ("missing.mmdb", None)] {
        let path = home.path().join(name);
        if let Some(bytes) = bytes {
            std::fs::write(&path, bytes).expect("written");
        }
        seen.push(faulty(runtime_mode, ("CITY_DB", path.to_string_lossy().into_owned())).await.seen);
    }
    let all_alike = seen.iter().all(|other| *other == seen[0]);
    ScenarioResult { seen: if all_alike { format!("{}, 3 times", seen[0]) } else { seen.join("; ") }, results: Vec::new() }
}

async fn refused_key(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::start(|_| json_answer(401, "{}")).await;
    let mut stage = Stage::open(runtime_mode, &http_service(&server.origin())).await;
    stage.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
    stage.seen.push(format!("{} request", server.count()));
    stage.end()
}

async fn slow_tail(runtime_mode: RuntimeMode) -> ScenarioResult {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    let treat = move |request: &crate::wire::Request| {
        let is_slow = !request.line.starts_with("HEAD ") && calls.fetch_add(1, std::sync::atomic::Ordering::Relaxed) % 20 == 19;
        if is_slow { Act::After(Duration::from_millis(300), Box::new(score(1))) } else { score(1) }
    };
    let server = Server::start(treat).await;
    let mut stage = Stage::open(runtime_mode, &http_service(&server.origin())).await;
    for n in 0..40 {
        stage.sign_in(&format!("user-{n}"), json!({"ip":format!("8.8.8.{n}")})).await;
    }
    let requests = server.count();
    let mut played = stage.end_counted();
    played.seen.push_str(&format!(", {requests} requests"));
    played
}

async fn dead_connection(runtime_mode: RuntimeMode) -> ScenarioResult {
    after_a_dead_connection(runtime_mode, score(1)).await
}

async fn dead_and_slow(runtime_mode: RuntimeMode) -> ScenarioResult {
    after_a_dead_connection(runtime_mode, Act::Hang).await
}

async fn after_a_dead_connection(runtime_mode: RuntimeMode, next: Act) -> ScenarioResult {
    let server = Server::json(r#"{"score":1}"#).await;
    let (address, origin) = (server.address(), server.origin());
    let mut stage = Stage::open(runtime_mode, &[("PROVIDERS", "http"), ("HTTP_URL", &origin)]).await;
    stage.sign_in("ada", json!({"ip":"8.8.8.1"})).await;
    drop(server);
    pause(50).await;
    let server = Server::start_at(address, move |_| next.clone()).await;
    stage.sign_in("ada", json!({"ip":"8.8.8.2"})).await;
    stage.seen.push(format!("{} request after", server.count()));
    stage.end()
}

async fn forced_timeouts(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::start(|_| Act::Hang).await;
    let origin = server.origin();
    let own = [("PROVIDERS", "http"), ("HTTP_URL", origin.as_str()), ("FALLBACK", "allow"), ("DENY_CIDRS", "9.9.9.0/24")];
    let mut stage = Stage::open(runtime_mode, &own).await;
    stage.sign_in("ada", json!({"ip":"8.8.8.8","userAgent":"x".repeat(65_536)})).await;
    stage.sign_in("ada", json!({"ip":"9.9.9.9"})).await;
    let mut strict = Stage::open(runtime_mode, &[&own[..], &[("DENY_AT", "0.1"), ("REVIEW_AT", "0.1")]].concat()).await;
    strict.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
    stage.seen.append(&mut strict.seen);
    stage.results.append(&mut strict.results);
    stage.end()
}

/// The variables for a service of the adapter `http`.
fn http_service(origin: &str) -> [(&'static str, &str); 2] {
    [("PROVIDERS", "http"), ("HTTP_URL", origin)]
}

/// A service that answers after this time.
async fn slow_server(ms: u64) -> Server {
    Server::start(move |_| Act::After(Duration::from_millis(ms), Box::new(score(1)))).await
}

async fn short_deadline(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::start(|_| Act::Hang).await;
    let origin = server.origin();
    let mut own = vec![("PROVIDERS", "http"), ("HTTP_URL", origin.as_str())];
    // The sidecar gets no deadline: its budget is the sign-in's.
    if runtime_mode == RuntimeMode::Sidecar {
        own.extend(["BUDGET", "PROVIDER_TIMEOUT", "CONNECT_TIMEOUT", "STORE_TIMEOUT"].map(|name| (name, "300ms")));
    }
    let mut stage = Stage::open(runtime_mode, &own).await;
    stage.entry_point.set_deadline(Duration::from_millis(300));
    stage.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
    let result = stage.results.last().expect("an answer");
    let in_time = result.took <= Duration::from_millis(300) + super::entry_points::GRACE;
    stage.seen[0].push_str(if in_time { " in time" } else { " late" });
    stage.end()
}

async fn frozen(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = slow_server(300).await;
    let mut stage = Stage::open_process(runtime_mode, &http_service(&server.origin())).await;
    let result = stage.send_signalled(&server, &[(0, "-STOP"), (2_000, "-CONT")]).await;
    stage.entry_point.audited().await;
    // Its time ran out while it was frozen, so the fallback decides, or an answer that arrived meanwhile.
    stage.seen.push(if matches!(result.verdict, "allow" | "deny") { "answered".to_owned() } else { result.verdict.to_owned() });
    stage.sign_in("ada", json!({"ip":"8.8.8.2"})).await;
    stage.end()
}

async fn thrice(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::json(r#"{"score":1}"#).await;
    let mut stage = Stage::open(runtime_mode, &http_service(&server.origin())).await;
    for _ in 0..3 {
        stage.sign_in("ada", json!({"ip":"8.8.8.8"})).await;
    }
    stage.end()
}

async fn terminated(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = slow_server(400).await;
    let mut stage = Stage::open_process(runtime_mode, &http_service(&server.origin())).await;
    let result = stage.send_signalled(&server, &[(0, "-TERM")]).await;
    let code = stage.entry_point.ended().await;
    let line = stage.entry_point.audited().await;
    stage.seen.push(format!("{} {}", line["evidence"]["http"].as_str().unwrap_or("-"), result.verdict));
    stage.results.push(result);
    stage.seen.push(format!("exit {}", code.unwrap_or(-1)));
    stage.seen.push(if line.is_null() { "not audited" } else { "audited" }.to_owned());
    stage.end()
}

async fn full_disk(runtime_mode: RuntimeMode) -> ScenarioResult {
    let mut stage = Stage::open_process(runtime_mode, &[("AUDIT", "/dev/full")]).await;
    for n in 0..3 {
        let result = stage.entry_point.send(event(&format!("user-{n}"), json!({"ip":"8.8.8.8"})).as_bytes()).await;
        stage.seen.push(result.verdict.to_owned());
        stage.results.push(result);
    }
    stage.end_counted()
}

async fn own_reasons(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::json(r#"{"score":1,"why":["tor","old abuse","b\u0000d",7]}"#).await;
    let mut stage = Stage::open(runtime_mode, &[("PROVIDERS", "http"), ("HTTP_URL", &server.origin()), ("HTTP_REASONS_POINTER", "/why")]).await;
    let result = stage.entry_point.send(event("ada", json!({"ip":"8.8.8.8"})).as_bytes()).await;
    let line = stage.entry_point.audited().await;
    let codes: Vec<&str> = line["codes"]["http"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    stage.seen.push(format!("{}, audited with codes {}", result.verdict, codes.join(", ")));
    stage.results.push(result);
    stage.end()
}

async fn counted_fallback(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = Server::start(|_| json_answer(500, "{}")).await;
    let mut stage = Stage::open(runtime_mode, &http_service(&server.origin())).await;
    let result = stage.entry_point.send(event("ada", json!({"ip":"8.8.8.8"})).as_bytes()).await;
    let degraded = &stage.entry_point.audited().await["degraded"];
    let (cause, fallback) = (degraded["causes"]["http"].as_str().unwrap_or("nothing"), degraded["fallback"].as_str().unwrap_or("none"));
    stage.seen.push(format!("{}, degraded by {cause} under fallback {fallback}", result.verdict));
    assert!(result.took < BUDGET + super::entry_points::GRACE, "{:?}", result.took);
    stage.results.push(result);
    stage.end()
}

/// A server that treats its requests like this, one after the other. The last act is repeated.
async fn in_turn(acts: Vec<Act>) -> Server {
    let calls = std::sync::atomic::AtomicUsize::new(0);
    Server::start(move |request| {
        let opens_only = request.line.starts_with("HEAD ");
        let turn = calls.fetch_add(usize::from(!opens_only), std::sync::atomic::Ordering::Relaxed);
        acts[turn.min(acts.len() - 1)].clone()
    })
    .await
}

async fn alternating(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server = in_turn((0..6).map(|turn| if turn % 2 == 0 { json_answer(500, "{}") } else { score(1) }).collect()).await;
    let mut stage = Stage::open(runtime_mode, &http_service(&server.origin())).await;
    for n in 0..6 {
        stage.sign_in(&format!("user-{n}"), json!({"ip":format!("8.8.8.{n}")})).await;
    }
    stage.end_counted()
}

async fn slow_start(runtime_mode: RuntimeMode) -> ScenarioResult {
    let server =
        in_turn([TOO_LATE, Duration::from_millis(400), Duration::from_millis(100), Duration::ZERO].map(|wait| Act::After(wait, Box::new(score(1)))).to_vec())
            .await;
    let mut stage = Stage::open(runtime_mode, &http_service(&server.origin())).await;
    for n in 0..4 {
        stage.sign_in(&format!("user-{n}"), json!({"ip":format!("8.8.8.{n}")})).await;
    }
    stage.end()
}
