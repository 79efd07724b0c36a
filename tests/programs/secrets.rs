//! Secrets in Secrets Manager and Parameter Store: of moto's server, or of a server on loopback that fails.

use std::{
    collections::BTreeMap,
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use aws_config::{Region, SdkConfig};
use aws_credential_types::{Credentials, provider::SharedCredentialsProvider};
use riskgate_aws::secrets::SecretsClient;
use riskgate_engine::{
    evidence::{FailureReason, Outcome, history::NonceStatus},
    time::ClockReading,
};
use riskgate_http_client::{Client, Tls};
use riskgate_pipeline::{
    instance::Instance,
    secrets::{RenewalReason, RenewalResult, Secrets, WAIT_TIMEOUT},
};
use riskgate_runtime::clock;
use riskgate_runtime::mode::RuntimeMode;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    fixtures,
    harness::{self, HANG},
    process::Process,
    runtime_api::{Answer, Environment},
    wire::{self, Act},
};

const CONTEXT_1: &str = "k1:HS256:AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM";
const CONTEXT_2: &str = "k2:HS256:BAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQ";

/// moto's server, with what it keeps.
struct Moto {
    server: fixtures::Server,
    client: reqwest::Client,
}

impl Moto {
    fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        Moto { server: fixtures::moto(&[]), client: reqwest::Client::builder().no_proxy().build().unwrap() }
    }

    fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.server.port)
    }

    async fn call(&self, operation: &str, body: Value) {
        let service = if operation.starts_with("AmazonSSM") { "ssm" } else { "secretsmanager" };
        let scope = format!("AWS4-HMAC-SHA256 Credential=testing/20261122/eu-west-1/{service}/aws4_request, SignedHeaders=host, Signature=0");
        let call =
            self.client.post(self.url()).header("x-amz-target", operation).header("authorization", scope).header("content-type", "application/x-amz-json-1.1");
        let answer = call.body(body.to_string()).send().await.unwrap();
        assert!(answer.status().is_success(), "{operation}: {}", answer.text().await.unwrap());
    }

    async fn create(&self, name: &str, value: Value) {
        self.call("secretsmanager.CreateSecret", json!({ "Name": name, "SecretString": value.to_string() })).await;
    }

    async fn rotate(&self, name: &str, value: Value) {
        self.call("secretsmanager.PutSecretValue", json!({ "SecretId": name, "SecretString": value.to_string() })).await;
    }
}

fn secrets_client(url: &str) -> SecretsClient {
    let credentials = SharedCredentialsProvider::new(Credentials::new("testing", "testing", Some("session".to_owned()), None, "tests"));
    let surroundings = SdkConfig::builder().region(Region::new("eu-west-1")).credentials_provider(credentials).endpoint_url(url).build();
    SecretsClient::with_config(surroundings, Client::new(WAIT_TIMEOUT, RuntimeMode::Lambda, Tls::default()))
}

fn secrets(url: &str, variables: &[(&str, &str)]) -> Secrets {
    let quiet = [("AUDIT", "off"), ("PROVIDER_TIMEOUT", "2s"), ("STORE_TIMEOUT", "2s")];
    let map: BTreeMap<String, String> = quiet.iter().chain(variables).map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
    Secrets::new(map).with_client(secrets_client(url))
}

fn instance(secrets: Secrets) -> Arc<Instance> {
    let (config, faults) = secrets.read_config();
    assert!(faults.is_empty(), "{faults:?}");
    let instance = Instance::strict(config, faults, RuntimeMode::Sidecar).unwrap();
    instance.set_secrets(secrets);
    instance
}

/// So many seconds after a moment, by the wall clock: what a process sees that was frozen meanwhile.
fn later(now: ClockReading, seconds: i64) -> ClockReading {
    ClockReading { wall: jiff::Timestamp::from_second(now.wall.as_second() + seconds).unwrap(), mono: now.mono }
}

async fn look_up(instance: &Instance, ip: &str) -> Outcome {
    let sign_in = harness::sign_in(ip);
    let deadline = instance.engine.deadline(sign_in.received.mono, None);
    instance.engine.enricher().enrich(sign_in, deadline).await.evidence.services[0].outcome
}

fn kids(instance: &Instance) -> Vec<String> {
    instance.trust.load().context_keys.iter().map(|key| key.kid.clone()).collect()
}

#[tokio::test]
async fn a_rotated_secret_is_in_force_without_a_restart_and_a_lost_one_stays() {
    let moto = Moto::start();
    moto.create("keys", json!({ "ipqs": "old-key", "context": CONTEXT_1 })).await;
    moto.call("AmazonSSM.PutParameter", json!({ "Name": "/riskgate/token", "Value": "a-token-of-sixteen\n", "Type": "SecureString" })).await;
    let revoked = Arc::new(AtomicBool::new(false));
    let is_revoked = Arc::clone(&revoked);
    let ipqs = wire::Server::start(move |request| {
        let refused = request.line.contains("/old-key/") == is_revoked.load(Ordering::Relaxed);
        if refused { Act::Answer(401, Vec::new(), Vec::new()) } else { wire::json(200, r#"{"success":true,"fraud_score":0}"#) }
    })
    .await;
    let secrets = secrets(
        &moto.url(),
        &[
            ("PROVIDERS", "ipqs"),
            ("IPQS_URL", &ipqs.origin()),
            ("IPQS_KEY", "secretsmanager://keys#ipqs"),
            ("CONTEXT_KEYS", "secretsmanager://keys#context"),
            ("TOKEN", "ssm:///riskgate/token"),
        ],
    );
    let start = clock::read();
    assert_eq!(secrets.fetch(Duration::from_secs(5), start).await, RenewalResult::Changed, "{:?}", secrets.failures());
    let instance = instance(secrets);
    assert!(instance.secret_failures().iter().all(|(_, cause)| cause.is_none()), "{:?}", instance.secret_failures());
    {
        use secrecy::ExposeSecret as _;
        assert_eq!(instance.config.sidecar.token.as_ref().map(|token| token.expose_secret()), Some("a-token-of-sixteen"));
    }
    assert_eq!((look_up(&instance, "8.8.8.8").await, kids(&instance)), (Outcome::Fresh, vec!["k1".to_owned()]));

    moto.rotate("keys", json!({ "ipqs": "new-key", "context": format!("{CONTEXT_2},{CONTEXT_1}") })).await;
    revoked.store(true, Ordering::Relaxed);
    let refresh = async |need: RenewalReason, seconds: i64| instance.refresh_secrets(need, Duration::from_secs(5), later(start, seconds)).await;
    assert_eq!(refresh(RenewalReason::Stale, 299).await, RenewalResult::Unchanged, "not due");
    assert_eq!(look_up(&instance, "8.8.4.4").await, Outcome::Failed(FailureReason::KeyRefused));
    // A key that its service refuses is fetched again early.
    assert_eq!(refresh(RenewalReason::Missing, 29).await, RenewalResult::Unchanged, "just fetched");
    assert_eq!(refresh(RenewalReason::Missing, 31).await, RenewalResult::Changed);
    assert_eq!((look_up(&instance, "9.9.9.9").await, kids(&instance)), (Outcome::Fresh, vec!["k2".to_owned(), "k1".to_owned()]));

    // One that cannot be used changes nothing.
    moto.rotate("keys", json!({ "ipqs": "new-key", "context": "nonsense" })).await;
    assert_eq!(refresh(RenewalReason::Stale, 332).await, RenewalResult::Unchanged);
    assert_eq!(kids(&instance), ["k2", "k1"]);

    // Nor does one that is gone.
    moto.call("secretsmanager.DeleteSecret", json!({ "SecretId": "keys", "ForceDeleteWithoutRecovery": true })).await;
    assert_eq!(refresh(RenewalReason::Stale, 700).await, RenewalResult::Unchanged);
    assert_eq!(instance.secret_failures(), [("IPQS_KEY", Some(FailureReason::Http4xx)), ("CONTEXT_KEYS", Some(FailureReason::Http4xx)), ("TOKEN", None)]);
    assert_eq!((look_up(&instance, "1.1.1.1").await, kids(&instance)), (Outcome::Fresh, vec!["k2".to_owned(), "k1".to_owned()]));
    assert!(instance.telemetry.render().unwrap_or_default().contains("riskgate_secrets_missing 2\n"));
}

/// Keys of pseudonyms are rotated as every secret is: under the new one what the old one wrote is found.
#[tokio::test]
async fn histories_go_on_under_a_rotated_pseudonym_key() {
    let moto = Moto::start();
    moto.create("pseudonym", json!({ "key": "old:AAAAAAAAAAAAAAAAAAAAAA" })).await;
    let secrets = secrets(&moto.url(), &[("PSEUDONYM_KEY", "secretsmanager://pseudonym#key")]);
    let start = clock::read();
    secrets.fetch(Duration::from_secs(5), start).await;
    let instance = instance(secrets);
    let export = async || instance.engine.enricher().repository().unwrap().export("", "user-8.8.8.8", start.wall).await.unwrap();
    let deadline = instance.engine.deadline(start.mono, None);
    let assessment = instance.engine.assess(harness::sign_in("8.8.8.8"), deadline).await;
    let learned = riskgate_pipeline::learn::record_outcome(
        instance.engine.enricher(),
        &assessment.id,
        riskgate_history::repository::outcome::ReportedOutcome::Success,
        clock::read().into(),
        clock::read(),
    )
    .await;
    assert!(learned.unwrap().is_some());
    assert_eq!(export().await["records"][0]["successes"], 1);
    moto.rotate("pseudonym", json!({ "key": "new:_____________________w,old:AAAAAAAAAAAAAAAAAAAAAA" })).await;
    assert_eq!(instance.refresh_secrets(RenewalReason::Stale, Duration::from_secs(5), later(start, 301)).await, RenewalResult::Changed);
    let export = export().await;
    assert_eq!((&export["records"][0]["successes"], &export["records"][1]["successes"]), (&json!(0), &json!(1)), "{export}");
    let again = instance.engine.assess(harness::sign_in("8.8.8.8"), instance.engine.deadline(Instant::now(), None)).await;
    let history = &again.decision.score.signals.evidence.history;
    assert_eq!((history.profile.successes, history.nonce), (1, NonceStatus::New));
}

/// One signed call for one secret, even if several variables refer to it. A secrets service that hangs costs half a second, once.
#[tokio::test]
async fn a_secrets_service_that_hangs_degrades_only_what_needs_it() {
    let secrets_service = wire::Server::start(|_| Act::Hang).await;
    let ipqs = wire::Server::json(r#"{"success":true,"fraud_score":0}"#).await;
    let own = wire::Server::json(r#"{"score":3}"#).await;
    let secrets = secrets(
        &secrets_service.origin(),
        &[
            ("PROVIDERS", "ipqs,http"),
            ("IPQS_URL", &ipqs.origin()),
            ("IPQS_KEY", "secretsmanager://keys#ipqs"),
            ("HTTP_URL", &own.origin()),
            ("CONTEXT_KEYS", "secretsmanager://keys#context"),
            ("TOKEN", "secretsmanager://keys#token"),
        ],
    );
    let (start, clock) = (clock::read(), Instant::now());
    assert_eq!(secrets.fetch(WAIT_TIMEOUT, start).await, RenewalResult::Unchanged);
    let took = clock.elapsed();
    assert!((WAIT_TIMEOUT..HANG).contains(&took), "{took:?}");
    let calls = secrets_service.requests();
    assert_eq!(calls.len(), 1, "{calls:?}");
    let header = |name: &str| calls[0].headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.clone()).unwrap_or_default();
    assert!(header("authorization").starts_with("AWS4-HMAC-SHA256 Credential=testing/"), "{calls:?}");
    assert_eq!((header("x-amz-target").as_str(), header("x-amz-security-token").as_str()), ("secretsmanager.GetSecretValue", "session"));

    let instance = instance(secrets);
    let sign_in = harness::sign_in("8.8.8.8");
    let deadline = instance.engine.deadline(sign_in.received.mono, None);
    let evidence = instance.engine.enricher().enrich(sign_in, deadline).await.evidence;
    let outcomes: Vec<Outcome> = evidence.services.iter().map(|result| result.outcome).collect();
    assert_eq!(outcomes, [Outcome::Failed(FailureReason::KeyRefused), Outcome::Fresh]);
    assert_eq!((evidence.history_outcome, ipqs.requests().len()), (Outcome::Fresh, 0), "no call without a key");
    // The first sign-in tries again at once, those after it do not pay for it.
    let clock = Instant::now();
    instance.refresh_secrets(RenewalReason::Missing, WAIT_TIMEOUT, later(start, 1)).await;
    assert!(clock.elapsed() >= WAIT_TIMEOUT);
    instance.refresh_secrets(RenewalReason::Missing, WAIT_TIMEOUT, later(start, 3)).await;
    assert_eq!(secrets_service.requests().len(), 1, "all of them wait for the same call");
}

/// A secrets service that is slower than a sign-in may wait serves later sign-ins.
#[tokio::test]
async fn a_slow_secrets_service_is_called_once_and_its_answer_is_used_later() {
    let secrets_service = wire::Server::start(|_| {
        Act::After(Duration::from_millis(700), Box::new(wire::json(200, r#"{"SecretString":"kid1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#)))
    })
    .await;
    let secrets = secrets(&secrets_service.origin(), &[("CONTEXT_KEYS", "secretsmanager://keys")]);
    let start = clock::read();
    assert_eq!(secrets.fetch(Duration::from_millis(50), start).await, RenewalResult::Unchanged);
    assert_eq!(secrets.failures(), [("CONTEXT_KEYS", Some(FailureReason::Timeout))]);
    let mut news = RenewalResult::Unchanged;
    for _ in 0..100 {
        news = secrets.fetch(Duration::from_millis(50), later(start, 1)).await;
        if news == RenewalResult::Changed {
            break;
        }
    }
    assert_eq!((news, secrets.failures()), (RenewalResult::Changed, vec![("CONTEXT_KEYS", None)]));
    assert_eq!(secrets_service.requests().len(), 1);
}

/// moto checks the caller's credentials and accepts none.
#[tokio::test]
async fn a_refusal_by_the_secrets_service_is_reported_with_its_cause() {
    let server = fixtures::moto(&[("INITIAL_NO_AUTH_ACTION_COUNT", "0")]);
    let secrets = secrets(&format!("http://127.0.0.1:{}", server.port), &[("CONTEXT_KEYS", "secretsmanager://keys"), ("TOKEN", "ssm://token")]);
    let start = clock::read();
    // moto loads a service at its first request, on a busy machine for longer than a fetch may take.
    for second in 0..10 {
        assert_eq!(secrets.fetch(HANG, later(start, second)).await, RenewalResult::Unchanged);
        if !secrets.failures().iter().any(|(_, cause)| *cause == Some(FailureReason::Timeout)) {
            break;
        }
    }
    assert_eq!(secrets.failures(), [("CONTEXT_KEYS", Some(FailureReason::KeyRefused)), ("TOKEN", Some(FailureReason::KeyRefused))]);
    let instance = instance(secrets);
    assert!(kids(&instance).is_empty());
    assert_ne!(assessed_verdict(&instance).await, riskgate_engine::decision::Verdict::Deny);
}

async fn assessed_verdict(instance: &Instance) -> riskgate_engine::decision::Verdict {
    let sign_in = harness::sign_in("8.8.8.8");
    let deadline = instance.engine.deadline(sign_in.received.mono, None);
    instance.engine.assess(sign_in, deadline).await.decision.action
}

/// The binary as Lambda starts it, with a secrets service that never answers: init and the first sign-in wait half a second each.
#[tokio::test]
async fn lambda_waits_at_most_half_a_second_for_secrets() {
    let secrets_service = wire::Server::start(|_| Act::Hang).await;
    let url = secrets_service.origin();
    let aws = [("AWS_ENDPOINT_URL", url.as_str()), ("AWS_REGION", "eu-west-1"), ("AWS_ACCESS_KEY_ID", "testing"), ("AWS_SECRET_ACCESS_KEY", "testing")];
    let variables = [&aws[..], &[("CONTEXT_KEYS", "secretsmanager://keys#context")]].concat();
    let environment = Environment::start(&variables).await;
    let event = fixtures::pre("ada", "web", fixtures::claims(fixtures::HOME)).to_string();
    assert_eq!(environment.invoke(event.clone()).await, Answer::Event(event.clone()));
    assert_eq!(secrets_service.requests().len(), 1, "the first use waits for the call of init");
    assert_eq!(environment.invoke(event.clone()).await, Answer::Event(event));
    assert_eq!(secrets_service.requests().len(), 1, "no second wait");
}

/// The sidecar refuses all requests until its token is fetched, then accepts those that have it.
#[tokio::test]
async fn requests_are_refused_until_the_token_is_fetched() {
    let moto = Moto::start();
    let port = fixtures::free_port();
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
    command.args(["serve", "--listen", &format!("127.0.0.1:{port}")]).stdout(Stdio::null()).stderr(Stdio::null()).env_clear();
    command.envs([
        ("AWS_ENDPOINT_URL", moto.url().as_str()),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "testing"),
        ("AWS_SECRET_ACCESS_KEY", "testing"),
    ]);
    let _sidecar = Process::start(command.env("RISKGATE_TOKEN", "secretsmanager://sidecar#token"));
    let status = async |token: &str| {
        let ask = moto.client.post(format!("http://127.0.0.1:{port}/v1/assess")).bearer_auth(token).header("content-type", "application/json");
        ask.body(r#"{"user":"ada"}"#).send().await.map_or(0, |answer| answer.status().as_u16())
    };
    let breaker = Instant::now() + Duration::from_secs(30);
    while status("a-token-of-sixteen").await == 0 {
        assert!(Instant::now() < breaker, "the sidecar does not listen");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for guess in ["a-token-of-sixteen", "", "secretsmanager://sidecar#token"] {
        assert_eq!(status(guess).await, 401, "{guess}");
    }
    moto.create("sidecar", json!({ "token": "a-token-of-sixteen" })).await;
    while status("a-token-of-sixteen").await != 200 {
        assert!(Instant::now() < breaker, "the token is not taken up");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_eq!(status("another-token-of-it").await, 401);
}
