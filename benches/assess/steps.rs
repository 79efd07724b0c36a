//! The measured steps. Each prepares its inputs first, so only the work itself is measured.

use std::{
    cell::{Cell, OnceCell},
    collections::BTreeMap,
    fmt::Write as _,
    hint::black_box,
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use riskgate_config::pseudonym::Pseudonyms;
use riskgate_config::{Config, history::Learn};
use riskgate_engine::{
    client_ip::ClientIp,
    evaluator::Evaluator,
    evidence::{Answer, Evidence, Risk, Tier},
    features::Features,
    personal::RawEvent,
    score::model::Model,
    sign_in::SignIn,
};
use riskgate_event::{
    cognito::{self, Event},
    http,
    response::{Assessment, http::AssessmentJson},
};
use riskgate_network::Networks;
use riskgate_pipeline::triggers::{self, Payload};
use riskgate_pipeline::{enricher::Enricher, instance::Instance};
use riskgate_providers::cache::{Cache, CacheEntry};
use riskgate_runtime::clock;
use riskgate_runtime::{
    deadline::Deadline,
    health::{CacheResult, Health},
    mode::RuntimeMode,
};
use riskgate_telemetry::Telemetry;
use serde_json::{json, value::RawValue};
use tokio::{runtime::Runtime, time::Instant};

use super::risk_service;

/// The steps in the order of an assessment. `whole` is all of them, in Lambda; `whole http` is all of them, in the sidecar.
pub const STEPS: [&str; 12] = [
    "parse cognito",
    "parse http",
    "networks",
    "features",
    "cache hit",
    "cache miss",
    "enrich",
    "evaluate",
    "render http",
    "metrics and audit line",
    "whole",
    "whole http",
];

/// The step after a right password, whose instructions only are counted: the post-authentication of a public client.
pub const SUCCESS: &str = "success";

/// The resources of all steps.
pub struct Bench {
    runtime: Runtime,
    config: Config,
    networks: Networks,
    pseudonyms: Pseudonyms,
    sources: Enricher,
    evaluator: Evaluator,
    sidecar: Telemetry,
    lambda: Arc<Instance>,
    served: Arc<Instance>,
    /// Learns from successes.
    learning: OnceCell<Arc<Instance>>,
    people: u64,
    /// The number of sign-ins so far. The next one is of another number.
    sign_ins: Cell<u64>,
}

/// The number of people per warm-up batch.
const WARM_UP_BATCH: usize = 512;

/// The number of people who sign in again, to check that their answers are cached.
const CHECKED: u64 = 8192;

/// The number of warm-up attempts.
const MAX_WARM_UPS: usize = 120;

/// Work with prepared inputs.
pub type Work<'a> = Box<dyn FnOnce() + 'a>;

impl Bench {
    /// Creates a bench with one cached provider and `people` people. `more` are additional variables.
    pub fn new(people: u64, more: &[(&str, String)]) -> Self {
        let service = risk_service::start();
        let mut variables = BTreeMap::from(
            [
                ("RISKGATE_PROVIDERS", "http".to_owned()),
                ("RISKGATE_HTTP_URL", format!("http://{service}/score")),
                ("RISKGATE_TRUSTED_CLIENTS", "web".to_owned()),
                ("RISKGATE_LEARN", "allow".to_owned()),
                ("RISKGATE_AUDIT", "/dev/null".to_owned()),
            ]
            .map(|(name, value)| (name.to_owned(), value)),
        );
        variables.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        let (config, faults) = Config::read(&variables);
        assert!(faults.is_empty(), "{faults:?}");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime starts");
        let (sources, faults) = Enricher::open(&config, RuntimeMode::Sidecar);
        assert!(faults.is_empty(), "{faults:?}");
        let evaluator = Evaluator::new(&config.decision, Model::bundled(config.history.model_config()));
        let (sidecar, _) = Telemetry::open(&config, RuntimeMode::Sidecar, sources.health(), sources.pseudonyms());
        let (networks, _) = Networks::open(&config.networks, sources.health());
        let instance = |runtime_mode| Instance::strict(config.clone(), Vec::new(), runtime_mode).expect("the configuration has no fault");
        let (lambda, served) = (instance(RuntimeMode::Lambda), instance(RuntimeMode::Sidecar));
        let pseudonyms = Pseudonyms::new(&config.history.pseudonym_keys);
        Bench { runtime, networks, pseudonyms, sources, evaluator, sidecar, lambda, served, learning: OnceCell::new(), config, people, sign_ins: Cell::new(0) }
    }

    /// Signs in every number once. Then they have a history, and the answers for their addresses are cached.
    pub fn warm_up(&self, step: &str) {
        let step = match step {
            "evaluate" => "enrich",
            "enrich" | "whole" | "whole http" => step,
            _ => return,
        };
        (0..self.people).step_by(WARM_UP_BATCH).for_each(|_| self.prepare(step, WARM_UP_BATCH)());
        // On a busy machine, the service may be slow and the circuit breaker may open. The sign-ins in between are repeated.
        for _ in 0..MAX_WARM_UPS {
            let before = self.cache_misses();
            (0..self.people.min(CHECKED)).step_by(WARM_UP_BATCH).for_each(|_| self.prepare(step, WARM_UP_BATCH)());
            if self.cache_misses() == before {
                return;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("the risk service does not respond");
    }

    /// Returns the number of cache misses.
    fn cache_misses(&self) -> u64 {
        let health: [&Health; 3] = [self.sources.health(), self.lambda.engine.health(), self.served.engine.health()];
        health.map(|health| health.cache(Tier::Memory, CacheResult::Miss).load(Ordering::Relaxed)).iter().sum()
    }

    /// Prepares `count` inputs of a step. Returns the work on all of them.
    pub fn prepare(&self, step: &str, count: usize) -> Work<'_> {
        match step {
            "parse cognito" => {
                let events = self.repeat(count, |n| raw(&event(n)));
                let now = clock::read();
                Box::new(move || events.into_iter().for_each(|raw| drop(black_box(cognito::parse(raw, now, &self.config.trust)))))
            }
            "parse http" => {
                let (body, now) = (body(0), clock::read());
                Box::new(move || (0..count).for_each(|_| drop(black_box(http::parse(body.as_bytes(), ClientIp::Missing, now)))))
            }
            "networks" => {
                let sign_ins = self.repeat(count, |n| self.sign_in(n));
                Box::new(move || {
                    sign_ins.iter().for_each(|sign_in| {
                        black_box(self.networks.facts(&sign_in.context));
                    })
                })
            }
            "features" => {
                let sign_in = self.sign_in(0);
                let facts = self.networks.facts(&sign_in.context);
                Box::new(move || {
                    (0..count).for_each(|_| {
                        black_box(Features::of(black_box(&sign_in), &facts, self.pseudonyms.feature_key()));
                    })
                })
            }
            "cache hit" => self.look_up(count, 1),
            "cache miss" => self.look_up(count, 0),
            "enrich" => {
                let sign_ins = self.repeat(count, |n| self.sign_in(n));
                Box::new(move || {
                    self.runtime.block_on(async {
                        for sign_in in sign_ins {
                            drop(black_box(self.gather(sign_in).await))
                        }
                    })
                })
            }
            "evaluate" => {
                let evidence = self.repeat(count, |n| self.runtime.block_on(self.gather(self.sign_in(n))));
                Box::new(move || evidence.into_iter().for_each(|evidence| drop(black_box(self.evaluator.evaluate(evidence)))))
            }
            "render http" => {
                let assessment = self.assessment();
                Box::new(move || (0..count).for_each(|_| drop(black_box(AssessmentJson(&assessment).to_bytes()))))
            }
            "metrics and audit line" => {
                let assessment = self.assessment();
                Box::new(move || {
                    self.runtime.block_on(async {
                        for _ in 0..count {
                            self.sidecar.record_assessment(&assessment, Deadline::after(Instant::now(), Duration::from_secs(2))).await;
                        }
                    });
                })
            }
            "whole" => self.answer(self.repeat(count, event)),
            "whole http" => self.answer_http(self.repeat(count, body)),
            SUCCESS => self.succeed(count),
            other => panic!("no step {other}: {STEPS:?}"),
        }
    }

    /// Processes events as in Lambda, without the runtime API.
    pub fn answer(&self, events: Vec<String>) -> Work<'_> {
        Box::new(move || {
            self.runtime.block_on(async {
                for event in events {
                    drop(black_box(triggers::answer(&self.lambda, Payload::from_slice(event.as_bytes()), 0).await));
                }
            });
        })
    }

    /// Prepares sign-ins of a public client. Returns the work on their post-authentications.
    fn succeed(&self, count: usize) -> Work<'_> {
        let instance = self.learning.get_or_init(|| {
            let mut config = self.config.clone();
            config.history.learn = Learn::PostAuth;
            Instance::strict(config, Vec::new(), RuntimeMode::Lambda).expect("the configuration has no fault")
        });
        let sign_ins = self.repeat(count, |n| event(n).replace(r#""clientId":"web""#, r#""clientId":"app""#));
        let successes: Vec<String> =
            sign_ins.iter().map(|event| event.replace("PreAuthentication_Authentication", "PostAuthentication_Authentication")).collect();
        let answer = async |events: Vec<String>| {
            for event in events {
                drop(black_box(triggers::answer(instance, Payload::from_slice(event.as_bytes()), 0).await));
            }
        };
        self.runtime.block_on(answer(sign_ins));
        Box::new(move || self.runtime.block_on(answer(successes)))
    }

    /// Processes requests as in the sidecar, without HTTP. The history is in memory.
    pub fn answer_http(&self, bodies: Vec<String>) -> Work<'_> {
        Box::new(move || {
            self.runtime.block_on(async {
                for body in bodies {
                    drop(black_box(self.serve(&body).await));
                }
            });
        })
    }

    /// Looks up answers in a cache of `size` entries. The returned function prepares a batch of lookups that are spread over all entries.
    pub fn look_up_in_cache_of<'a>(&'a self, size: u64) -> impl Fn(usize) -> Work<'a> {
        let cache = self.filled_cache(u128::from(size));
        let now = clock::read();
        move |count| {
            let cache = cache.clone();
            let next = self.sign_ins.replace(self.sign_ins.get() + count as u64);
            Box::new(move || {
                for n in next..next + count as u64 {
                    let key = u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % size);
                    black_box(cache.look_up(black_box(key), now));
                }
            })
        }
    }

    /// Processes one request as in the sidecar.
    async fn serve(&self, body: &str) -> Vec<u8> {
        let received = clock::read();
        let sign_in = http::parse(body.as_bytes(), ClientIp::Missing, received).expect("the request is valid");
        let deadline = self.served.engine.deadline(received.mono, None);
        let assessment = self.served.engine.assess(sign_in, deadline).await;
        self.served.telemetry.record_assessment(&assessment, deadline).await;
        AssessmentJson(&assessment).to_bytes()
    }

    fn look_up(&self, count: usize, size: u128) -> Work<'_> {
        let (cache, now) = (self.filled_cache(size), clock::read());
        Box::new(move || {
            for _ in 0..count {
                black_box(cache.look_up(black_box(0), now));
            }
        })
    }

    /// Creates a cache with `size` answers.
    fn filled_cache(&self, size: u128) -> Arc<Cache> {
        let cache = Cache::new(self.config.services.cache, RuntimeMode::Sidecar);
        let now = clock::read();
        let answer = Answer::new(Risk::Score(7.0), Default::default());
        for key in 0..size {
            cache.insert(key, CacheEntry::new(Some(answer.clone()), now));
        }
        cache.run_pending_tasks();
        Arc::new(cache)
    }

    async fn gather(&self, sign_in: SignIn) -> Box<Evidence> {
        let deadline = Deadline::after(sign_in.received.mono, Duration::from_secs(2));
        self.sources.enrich(sign_in, deadline).await.evidence
    }

    fn assessment(&self) -> Assessment {
        let sign_in = self.sign_in(0);
        let deadline = self.served.engine.deadline(sign_in.received.mono, None);
        self.runtime.block_on(self.served.engine.assess(sign_in, deadline))
    }

    fn sign_in(&self, number: u64) -> SignIn {
        match cognito::parse(raw(&event(number)), clock::read(), &self.config.trust) {
            Ok(Event::PreAuthentication(sign_in)) => Arc::unwrap_or_clone(sign_in),
            other => panic!("the event is not a sign-in: {other:?}"),
        }
    }

    /// Calls `make` for each of the next people.
    fn repeat<T>(&self, count: usize, make: impl Fn(u64) -> T) -> Vec<T> {
        let from = self.sign_ins.replace(self.sign_ins.get() + count as u64);
        // The stride is coprime to the number of people. It reaches all of them, and consecutive ones are not neighbours in memory.
        (from..from + count as u64).map(|n| make(n % self.people * 2_654_435_761 % self.people)).collect()
    }
}

const AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/// A pre-authentication event as Cognito sends it.
pub fn event(number: u64) -> String {
    event_from(number, address(number))
}

fn event_from(number: u64, ip: Ipv4Addr) -> String {
    let user = format!("user-{number}");
    json!({
        "version": "1", "triggerSource": "PreAuthentication_Authentication", "region": "eu-west-1", "userPoolId": "eu-west-1_bench",
        "userName": user, "callerContext": {"awsSdkVersion": "aws-sdk-js-3.600.0", "clientId": "web"},
        "request": {
            "userAttributes": {
                "sub": format!("7f9c24e5-1111-4a4a-9f9f-{user:0>12}"), "email": format!("{user}@example.com"), "email_verified": "true",
                "cognito:user_status": "CONFIRMED", "given_name": "Ada", "family_name": "Byron", "locale": "en-GB", "zoneinfo": "Europe/London",
                "phone_number": "+447700900123", "phone_number_verified": "false",
            },
            "validationData": {
                "ip": ip.to_string(), "userAgent": AGENT, "deviceId": format!("device-{user}"), "acceptLanguage": "en-GB,en;q=0.9", "timezone": "Europe/London",
            },
            "userNotFound": false,
        },
        "response": {},
    })
    .to_string()
}

fn body(number: u64) -> String {
    body_from(number, address(number))
}

/// The same sign-in as a request to the sidecar, from a given address.
pub fn body_from(number: u64, ip: Ipv4Addr) -> String {
    let user = format!("user-{number}");
    json!({
        "user": user, "ip": ip.to_string(), "userAgent": AGENT, "deviceId": format!("device-{user}"), "acceptLanguage": "en-GB,en;q=0.9", "timezone": "Europe/London",
    })
    .to_string()
}

/// Returns an address of 80.0.0.0/5 for each number.
pub fn address(n: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x5000_0000 | u32::try_from(n.wrapping_mul(0x9E37_79B9) & 0x07ff_ffff).expect("27 bits"))
}

fn raw(event: &str) -> RawEvent {
    RawEvent::new(RawValue::from_string(event.to_owned()).expect("the event is JSON"))
}

/// Returns a list of `count` /24 networks, as the value of a variable.
pub fn cidrs(count: u32) -> String {
    (0..count).fold(String::new(), |mut list, n| {
        let [_, a, b, c] = n.to_be_bytes();
        let comma = if n == 0 { "" } else { "," };
        // From 100.0.0.0/8 up, so none contains an address of a sign-in.
        write!(list, "{comma}{}.{b}.{c}.0/24", 100 + a).expect("writing to a string cannot fail");
        list
    })
}
