//! Real stores to test with, and an engine over each, which receives Cognito events.

#[cfg(feature = "programs")]
use std::process::{Child, Command, Stdio};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use riskgate_config::Config;
use riskgate_engine::{evaluator::Evaluator, evidence::FailureReason, personal::RawEvent, score::model::Model, sign_in::SignIn};
use riskgate_event::{
    cognito::{self, Event, PostAuthentication, PreTokenGeneration},
    response::Assessment,
};
use riskgate_history::repository::{HistoryRepository, learning::Learned};
use riskgate_pipeline::{enricher::Enricher, learn, risk_engine::RiskEngine};
use riskgate_runtime::{clock, health::Health, mode::RuntimeMode};
use riskgate_store::{Store, memory::Memory};
use serde_json::{Value, json};

/// Longer than any answer of a store that does not hang.
pub const NO_DEADLINE: Duration = Duration::from_secs(60);

/// A key for tests; the same in every engine, as in a fleet.
pub const KEY: &str = "k1:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

/// A store, and the server behind it where there is one.
pub struct Backend {
    pub name: &'static str,
    pub store: Arc<dyn Store>,
    #[cfg(feature = "programs")]
    _server: Option<Server>,
}

/// A server's process, ended with its test.
#[cfg(feature = "programs")]
pub struct Server {
    child: Child,
    pub port: u16,
    _home: tempfile::TempDir,
}

/// An engine over a store.
pub struct TestEngine {
    pub engine: RiskEngine,
    pub config: Config,
}

/// One device in one place.
#[derive(Debug, Clone, Copy)]
pub struct Origin {
    pub ip: &'static str,
    pub agent: &'static str,
    pub device: &'static str,
}

pub const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";
pub const IPHONE: &str =
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1";
pub const FIREFOX: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// The user at home in Norway, on the laptop.
pub const HOME: Origin = Origin { ip: "84.208.20.110", agent: CHROME, device: "laptop-1" };
/// An attacker in Vietnam.
pub const AFAR: Origin = Origin { ip: "14.162.100.3", agent: FIREFOX, device: "box-9" };

/// The binary `programs` runs these tests over real servers too. In `integration`, which has the same tests, they would only take time.
#[cfg(feature = "programs")]
const HAS_SERVERS: bool = matches!(env!("CARGO_CRATE_NAME").as_bytes(), b"programs");

/// Every store of this binary, empty.
pub async fn all() -> Vec<Backend> {
    let stores = without_dynamodb();
    #[cfg(all(feature = "programs", feature = "dynamodb"))]
    let stores = if HAS_SERVERS { with(stores, dynamodb().await) } else { stores };
    stores
}

/// An engine without further variables over each of these stores.
pub async fn engines() -> Vec<(Backend, TestEngine)> {
    let with_engine = |backend: Backend| {
        let engine = backend.engine(&[]);
        (backend, engine)
    };
    all().await.into_iter().map(with_engine).collect()
}

/// Every store that isolates concurrent updates, as the real ones do.
pub async fn atomic() -> Vec<Backend> {
    let stores = without_dynamodb();
    #[cfg(all(feature = "programs", feature = "dynamodb"))]
    let stores = if HAS_SERVERS { with(stores, atomic_dynamodb().await) } else { stores };
    stores
}

fn without_dynamodb() -> Vec<Backend> {
    let stores = vec![memory()];
    #[cfg(all(feature = "programs", feature = "redis"))]
    let stores = if HAS_SERVERS { with(stores, redis()) } else { stores };
    stores
}

#[cfg(feature = "programs")]
fn with(mut stores: Vec<Backend>, store: Backend) -> Vec<Backend> {
    stores.push(store);
    stores
}

pub fn memory() -> Backend {
    Backend {
        name: "memory",
        store: Arc::new(Memory::default()),
        #[cfg(feature = "programs")]
        _server: None,
    }
}

#[cfg(all(feature = "programs", feature = "redis"))]
pub fn redis() -> Backend {
    let server = redis_server();
    let url = secrecy::SecretString::from(format!("redis://127.0.0.1:{}/0", server.port));
    let store = riskgate_store::redis::Redis::open(&url, &[], NO_DEADLINE).unwrap();
    Backend { name: "redis", store: Arc::new(store), _server: Some(server) }
}

#[cfg(feature = "programs")]
pub fn redis_server() -> Server {
    redis_server_with(&[])
}

/// A Redis with further options.
#[cfg(feature = "programs")]
pub fn redis_server_with(options: &[&str]) -> Server {
    let home = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]).arg(home.path()).args(options);
    Server::start(command, port, home, "redis-server is needed (Debian: apt-get install redis-server)")
}

/// The table in moto's server, which knows most of DynamoDB but does not keep its updates apart.
#[cfg(all(feature = "programs", feature = "dynamodb"))]
pub async fn dynamodb() -> Backend {
    let server = moto(&[]);
    let store = dynamodb_table(server.port).await;
    Backend { name: "dynamodb", store: Arc::new(store), _server: Some(server) }
}

/// The table in dynalite, which knows less but is atomic.
#[cfg(all(feature = "programs", feature = "dynamodb"))]
pub async fn atomic_dynamodb() -> Backend {
    let mut command = Command::new("dynalite");
    let port = free_port();
    command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--createTableMs", "0"]);
    emulated(command, port, "dynalite is needed (npm install dynalite, and its .bin on PATH)").await
}

#[cfg(all(feature = "programs", feature = "dynamodb"))]
async fn emulated(command: Command, port: u16, needed: &str) -> Backend {
    let server = Server::start(command, port, tempfile::tempdir().unwrap(), needed);
    let store = dynamodb_table(port).await;
    Backend { name: "dynamodb", store: Arc::new(store), _server: Some(server) }
}

#[cfg(all(feature = "programs", feature = "dynamodb"))]
async fn dynamodb_table(port: u16) -> riskgate_store::dynamodb::DynamoDb {
    use aws_sdk_dynamodb::{
        Client,
        config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig},
        types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType},
    };
    let http = aws_smithy_http_client::Builder::new().build_http();
    let config = aws_sdk_dynamodb::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("testing", "testing", None, None, "tests"))
        .endpoint_url(format!("http://127.0.0.1:{port}"))
        .http_client(http)
        .retry_config(RetryConfig::disabled())
        // The SDK's own limit of 3.1 s is that of a network. An emulator on a busy machine may take longer to accept.
        .timeout_config(TimeoutConfig::builder().connect_timeout(NO_DEADLINE).build())
        .build();
    let client = Client::from_conf(config);
    let mut creation = client.create_table().table_name("riskgate").billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in [("pk", KeyType::Hash), ("sk", KeyType::Range)] {
        creation = creation
            .attribute_definitions(AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build().unwrap())
            .key_schema(KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap());
    }
    creation.send().await.expect("the emulator makes the table");
    riskgate_store::dynamodb::DynamoDb::with_client(client, "riskgate")
}

/// moto's server, with these variables.
#[cfg(all(feature = "programs", feature = "aws"))]
pub fn moto(variables: &[(&str, &str)]) -> Server {
    let (mut command, port) = (Command::new("moto_server"), free_port());
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]).envs(variables.iter().copied());
    Server::start(command, port, tempfile::tempdir().unwrap(), "moto_server is needed (pip install 'moto[dynamodb,secretsmanager,server,ssm]')")
}

#[cfg(feature = "programs")]
pub fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A time on a day of November and December 2026.
pub fn at(day: i64, time: &str) -> Timestamp {
    let start: Timestamp = format!("2026-11-01T{time}Z").parse().unwrap();
    Timestamp::from_second(start.as_second() + day * 86_400).unwrap()
}

#[cfg(feature = "programs")]
impl Server {
    fn start(mut command: Command, port: u16, home: tempfile::TempDir, needed: &str) -> Self {
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap_or_else(|error| panic!("{needed}: {error}"));
        let server = Server { child, port, _home: home };
        for _ in 0..600 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return server;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("nothing listens on port {port}: {needed}");
    }
}

#[cfg(feature = "programs")]
impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Backend {
    /// The port of its server.
    #[cfg(feature = "programs")]
    #[allow(dead_code, reason = "only the tests over real servers need it")]
    pub fn port(&self) -> u16 {
        self._server.as_ref().expect("the store has a server").port
    }

    /// An engine over the store.
    pub fn engine(&self, variables: &[(&str, &str)]) -> TestEngine {
        TestEngine::over(&self.store, variables)
    }
}

impl TestEngine {
    /// An engine over a store. App client `web` is trusted, `app` is not.
    pub fn over(store: &Arc<dyn Store>, variables: &[(&str, &str)]) -> Self {
        TestEngine::with_mode(store, variables, RuntimeMode::Sidecar)
    }

    /// An engine in a runtime mode over a store. In mode `Command` it reads the store and writes nothing.
    pub fn with_mode(store: &Arc<dyn Store>, variables: &[(&str, &str)], runtime_mode: RuntimeMode) -> Self {
        let defaults = [("PSEUDONYM_KEY", KEY), ("TRUSTED_CLIENTS", "web")];
        let map: BTreeMap<String, String> = defaults.iter().chain(variables).map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
        let (mut config, faults) = Config::read(&map);
        assert!(faults.is_empty(), "{faults:?}");
        // An emulator on a busy machine may take longer than any budget allows: a test of what is stored has no deadline but a hang's.
        if !["RISKGATE_STORE_TIMEOUT", "RISKGATE_BUDGET"].iter().any(|name| map.contains_key(*name)) {
            (config.budget.store, config.budget.total) = (NO_DEADLINE, NO_DEADLINE);
        }
        let (sources, faults) = Enricher::open(&config, runtime_mode);
        assert!(faults.is_empty(), "{faults:?}");
        let sources = sources.with_store(&config, Arc::clone(store));
        let engine = RiskEngine::new(&config, sources, Evaluator::new(&config.decision, Model::bundled(config.history.model_config())));
        TestEngine { engine, config }
    }

    /// Its enricher.
    pub fn enricher(&self) -> &Enricher {
        self.engine.enricher()
    }

    /// Its repository.
    pub fn repository(&self) -> Arc<HistoryRepository> {
        self.enricher().repository().expect("the engine has a store")
    }

    /// Its counters.
    pub fn health(&self) -> &Health {
        self.enricher().health()
    }

    /// A person's attempt, through the trusted client.
    pub async fn attempt(&self, user: &str, origin: Origin, at: Timestamp) -> Assessment {
        self.attempt_by(pre(user, "web", claims(origin)), at).await
    }

    /// An attempt, by its event.
    pub async fn attempt_by(&self, event: Value, at: Timestamp) -> Assessment {
        self.assess(self.sign_in_of(event, at)).await
    }

    /// A sign-in's assessment.
    pub async fn assess(&self, sign_in: SignIn) -> Assessment {
        let deadline = self.engine.deadline(sign_in.received.mono, None);
        self.engine.assess(sign_in, deadline).await
    }

    /// A pre-authentication event, read.
    pub fn sign_in_of(&self, event: Value, at: Timestamp) -> SignIn {
        let Event::PreAuthentication(sign_in) = self.parsed(event, at) else { panic!("the event is no pre-authentication") };
        Arc::unwrap_or_clone(sign_in)
    }

    /// The password was right.
    pub async fn success(&self, user: &str, client: &str, at: Timestamp) -> Result<Learned, FailureReason> {
        let event = json!({ "triggerSource": "PostAuthentication_Authentication", "userPoolId": "pool", "userName": user, "callerContext": { "clientId": client },
            "request": { "userAttributes": { "sub": format!("sub-{user}") } }, "response": {} });
        self.success_by(event, at).await
    }

    /// The password was right, by its event.
    pub async fn success_by(&self, event: Value, at: Timestamp) -> Result<Learned, FailureReason> {
        learn::post_authentication(self.engine.enricher(), &self.post(event, at)).await.map(|success| success.learned)
    }

    pub fn post(&self, event: Value, at: Timestamp) -> Box<PostAuthentication> {
        let Event::PostAuthentication(event) = self.parsed(event, at) else { panic!("the event is no post-authentication") };
        event
    }

    pub fn token(&self, event: Value, at: Timestamp) -> Box<PreTokenGeneration> {
        let Event::PreTokenGeneration(event) = self.parsed(event, at) else { panic!("the event makes no token") };
        event
    }

    /// One sign-in a day from home, at seven.
    pub async fn sign_in_daily(&self, user: &str, days: i64) {
        for day in 0..days {
            self.sign_in(user, HOME, at(day, "07:00:00")).await;
        }
    }

    /// A sign-in from attempt to success, half a second later.
    pub async fn sign_in(&self, user: &str, origin: Origin, time: Timestamp) -> Assessment {
        let assessment = self.attempt(user, origin, time).await;
        self.success(user, "web", time).await.expect("the store answers");
        assessment
    }

    fn parsed(&self, event: Value, at: Timestamp) -> Event {
        let raw = RawEvent::new(serde_json::value::to_raw_value(&event).unwrap());
        cognito::parse(raw, clock::at(at), &self.config.trust).unwrap()
    }
}

/// The claims of a trusted client about a connection.
pub fn claims(origin: Origin) -> Value {
    json!({ "ip": origin.ip, "userAgent": origin.agent, "deviceId": origin.device })
}

/// A pre-authentication event.
pub fn pre(user: &str, client: &str, claims: Value) -> Value {
    json!({ "version": "1", "triggerSource": "PreAuthentication_Authentication", "region": "eu-west-1", "userPoolId": "pool", "userName": user,
        "callerContext": { "awsSdkVersion": "aws-sdk-unknown-unknown", "clientId": client },
        "request": { "userAttributes": { "sub": format!("sub-{user}"), "cognito:user_status": "CONFIRMED" }, "validationData": claims }, "response": {} })
}

/// Requests a token after a sign-in. Returns the block that applies to it.
pub async fn tokens(engine: &TestEngine, user: &str, client: &str, at: Timestamp) -> Option<riskgate_engine::evidence::history::Block> {
    let event = json!({ "triggerSource": "TokenGeneration_Authentication", "userPoolId": "pool", "userName": user, "callerContext": { "clientId": client },
        "request": { "userAttributes": { "sub": format!("sub-{user}") }, "groupConfiguration": {} }, "response": { "claimsOverrideDetails": null } });
    engine.repository().read_token_facts(&engine.token(event, at)).await.expect("the store answers").block
}

/// The codes of an assessment's reasons, weightiest first.
pub fn reasons(assessment: &Assessment) -> Vec<&'static str> {
    assessment.decision.score.reasons.iter().map(|reason| reason.code.as_label()).collect()
}

/// The history that the store returned for an assessment.
pub fn history(assessment: &Assessment) -> &riskgate_engine::evidence::history::History {
    &assessment.decision.score.signals.evidence.history
}
