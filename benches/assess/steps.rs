//! The steps: each makes its inputs first, and does nothing but its work afterwards.

use std::{
    cell::Cell,
    collections::BTreeMap,
    fmt::Write as _,
    hint::black_box,
    net::Ipv4Addr,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use riskgate::{
    assess::Judge,
    config::Config,
    event::{
        ClientIp, Now, RawEvent, SignIn,
        cognito::{self, Event},
        http,
    },
    evidence::{
        Answer, Evidence, Face, Features, Risk, Sources, Tier,
        health::{CacheResult, Health},
        history::Pseudonyms,
        networks::Networks,
        resilience::{
            cache::{Cache, Entry},
            deadline::Deadline,
        },
    },
    response::{Assessment, http::AssessmentJson},
    score::Model,
    serve::{
        Instance,
        lambda::{self, Payload},
    },
    telemetry::Telemetry,
};
use serde_json::{json, value::RawValue};
use tokio::{runtime::Runtime, time::Instant};

use super::outside;

/// The steps in the order of the way through the gate; `whole` is all of it.
pub const STEPS: [&str; 12] = [
    "parse cognito",
    "parse http",
    "networks",
    "features",
    "cache hit",
    "cache miss",
    "gather",
    "judge",
    "render http",
    "metrics and audit line",
    "whole",
    "whole http",
];

/// What all steps need; made once.
pub struct Bench {
    runtime: Runtime,
    config: Config,
    networks: Networks,
    pseudonyms: Pseudonyms,
    sources: Sources,
    judge: Judge,
    sidecar: Telemetry,
    lambda: Arc<Instance>,
    served: Arc<Instance>,
    people: u64,
    /// Sign-ins so far: the next one is another person's.
    met: Cell<u64>,
}

/// People who are met before their texts are dropped.
const AT_ONCE: usize = 512;

/// How many of them are met again, to see that their answers were kept; and how often that is tried.
const MET_AGAIN: u64 = 8192;
const ROUNDS: usize = 120;

/// Work whose inputs are ready.
pub type Work<'a> = Box<dyn FnOnce() + 'a>;

impl Bench {
    /// A gate with one cached service and so many people, as the variables in `more` change it.
    pub fn new(people: u64, more: &[(&str, String)]) -> Self {
        let service = outside::start();
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
        let (sources, faults) = Sources::open(&config, Face::Sidecar);
        assert!(faults.is_empty(), "{faults:?}");
        let judge = Judge::new(&config, Model::bundled(&config.history));
        let (sidecar, _) = Telemetry::open(&config, Face::Sidecar, &sources);
        let (networks, _) = Networks::open(&config.networks, sources.health());
        let instance = |face| Instance::strict(config.clone(), Vec::new(), face).expect("the configuration has no fault");
        let (lambda, served) = (instance(Face::Lambda), instance(Face::Sidecar));
        let pseudonyms = Pseudonyms::new(&config.history.pseudonym_keys);
        Bench { runtime, networks, pseudonyms, sources, judge, sidecar, lambda, served, config, people, met: Cell::new(0) }
    }

    /// Has everybody sign in once, so that a step finds them known and their addresses asked about.
    pub fn meet(&self, step: &str) {
        let step = match step {
            "judge" => "gather",
            "gather" | "whole" | "whole http" => step,
            _ => return,
        };
        (0..self.people).step_by(AT_ONCE).for_each(|_| self.prepare(step, AT_ONCE)());
        // On a busy machine the service is slow at times, and is then left alone for a while: who was met meanwhile is met again.
        for _ in 0..ROUNDS {
            let before = self.misses();
            (0..self.people.min(MET_AGAIN)).step_by(AT_ONCE).for_each(|_| self.prepare(step, AT_ONCE)());
            if self.misses() == before {
                return;
            }
            std::thread::sleep(Duration::from_millis(500));
        }
        panic!("the bench's service does not answer");
    }

    /// Questions that no kept answer was found for.
    fn misses(&self) -> u64 {
        let health: [&Health; 3] = [self.sources.health(), self.lambda.gate.health(), self.served.gate.health()];
        health.map(|health| health.cache(Tier::Memory, CacheResult::Miss).load(Ordering::Relaxed)).iter().sum()
    }

    /// Makes the inputs of a step, `count` times, and returns the work on all of them.
    pub fn prepare(&self, step: &str, count: usize) -> Work<'_> {
        match step {
            "parse cognito" => {
                let events = self.repeat(count, |n| raw(&event(n)));
                let now = Now::read();
                Box::new(move || events.into_iter().for_each(|raw| drop(black_box(cognito::parse(raw, now, &self.config.trust)))))
            }
            "parse http" => {
                let (body, now) = (body(0), Now::read());
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
            "gather" => {
                let sign_ins = self.repeat(count, |n| self.sign_in(n));
                Box::new(move || {
                    self.runtime.block_on(async {
                        for sign_in in sign_ins {
                            drop(black_box(self.gather(sign_in).await))
                        }
                    })
                })
            }
            "judge" => {
                let evidence = self.repeat(count, |n| self.runtime.block_on(self.gather(self.sign_in(n))));
                Box::new(move || evidence.into_iter().for_each(|evidence| drop(black_box(self.judge.judge(evidence)))))
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
                            self.sidecar.assessed(&assessment, Deadline::after(Instant::now(), Duration::from_secs(2))).await;
                        }
                    });
                })
            }
            "whole" => self.answer(self.repeat(count, event)),
            "whole http" => self.answer_http(self.repeat(count, body)),
            other => panic!("no step {other}: {STEPS:?}"),
        }
    }

    /// The whole way of these events through the Lambda face, but for the runtime API.
    pub fn answer(&self, events: Vec<String>) -> Work<'_> {
        Box::new(move || {
            self.runtime.block_on(async {
                for event in events {
                    drop(black_box(lambda::answer(&self.lambda, Payload::from_slice(event.as_bytes()), 0).await));
                }
            });
        })
    }

    /// The whole way of these requests through the sidecar, but for HTTP itself; with history, which is in memory there.
    pub fn answer_http(&self, bodies: Vec<String>) -> Work<'_> {
        Box::new(move || {
            self.runtime.block_on(async {
                for body in bodies {
                    drop(black_box(self.serve(&body).await));
                }
            });
        })
    }

    /// Look-ups among so many kept answers, strewn over all of them, in batches as long as asked for.
    pub fn look_ups_among<'a>(&'a self, kept: u64) -> impl Fn(usize) -> Work<'a> {
        let cache = self.kept(u128::from(kept));
        let now = Now::read();
        move |count| {
            let cache = cache.clone();
            let next = self.met.replace(self.met.get() + count as u64);
            Box::new(move || {
                for n in next..next + count as u64 {
                    let key = u128::from(n.wrapping_mul(0x9E37_79B9_7F4A_7C15) % kept);
                    black_box(cache.look_up(black_box(key), now));
                }
            })
        }
    }

    /// One request through the sidecar.
    async fn serve(&self, body: &str) -> Vec<u8> {
        let received = Now::read();
        let sign_in = http::parse(body.as_bytes(), ClientIp::Missing, received).expect("the bench's request is one");
        let deadline = self.served.gate.deadline(received.mono, None);
        let assessment = self.served.gate.assess(sign_in, deadline).await;
        self.served.telemetry.assessed(&assessment, deadline).await;
        AssessmentJson(&assessment).to_bytes()
    }

    fn look_up(&self, count: usize, kept: u128) -> Work<'_> {
        let (cache, now) = (self.kept(kept), Now::read());
        Box::new(move || {
            for _ in 0..count {
                black_box(cache.look_up(black_box(0), now));
            }
        })
    }

    /// A cache of so many answers.
    fn kept(&self, kept: u128) -> Arc<Cache> {
        let cache = Cache::new(self.config.services.cache, Face::Sidecar);
        let now = Now::read();
        let answer = Answer::new(Risk::Score(7.0), Default::default());
        for key in 0..kept {
            cache.keep(key, Entry::new(Some(answer.clone()), now));
        }
        cache.settle();
        Arc::new(cache)
    }

    async fn gather(&self, sign_in: SignIn) -> Box<Evidence> {
        let deadline = Deadline::after(sign_in.received.mono, Duration::from_secs(2));
        self.sources.gather(sign_in, deadline).await.evidence
    }

    fn assessment(&self) -> Assessment {
        let sign_in = self.sign_in(0);
        let deadline = self.served.gate.deadline(sign_in.received.mono, None);
        self.runtime.block_on(self.served.gate.assess(sign_in, deadline))
    }

    fn sign_in(&self, person: u64) -> SignIn {
        match cognito::parse(raw(&event(person)), Now::read(), &self.config.trust) {
            Ok(Event::PreAuthentication(sign_in)) => Arc::unwrap_or_clone(sign_in),
            other => panic!("the bench's event is a sign-in: {other:?}"),
        }
    }

    /// Makes something of each of the next people.
    fn repeat<T>(&self, count: usize, make: impl Fn(u64) -> T) -> Vec<T> {
        let from = self.met.replace(self.met.get() + count as u64);
        // A stride that shares no factor with the number of people: it comes by everybody, and neighbours in time are none in memory.
        (from..from + count as u64).map(|n| make(n % self.people * 2_654_435_761 % self.people)).collect()
    }
}

const AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36";

/// A pre-authentication event as Cognito sends it.
pub fn event(person: u64) -> String {
    event_from(person, address(person))
}

fn event_from(person: u64, ip: Ipv4Addr) -> String {
    let user = format!("user-{person}");
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

fn body(person: u64) -> String {
    body_from(person, address(person))
}

/// The same sign-in as the sidecar is asked about it, from a given address.
pub fn body_from(person: u64, ip: Ipv4Addr) -> String {
    let user = format!("user-{person}");
    json!({
        "user": user, "ip": ip.to_string(), "userAgent": AGENT, "deviceId": format!("device-{user}"), "acceptLanguage": "en-GB,en;q=0.9", "timezone": "Europe/London",
    })
    .to_string()
}

/// Addresses of 80.0.0.0/5, one for each number.
pub fn address(n: u64) -> Ipv4Addr {
    Ipv4Addr::from_bits(0x5000_0000 | u32::try_from(n.wrapping_mul(0x9E37_79B9) & 0x07ff_ffff).expect("27 bits"))
}

fn raw(event: &str) -> RawEvent {
    RawEvent::new(RawValue::from_string(event.to_owned()).expect("the bench's event is JSON"))
}

/// Networks of 1 to 256 addresses, as a list that a variable takes.
pub fn cidrs(count: u32) -> String {
    (0..count).fold(String::new(), |mut list, n| {
        let [_, a, b, c] = n.to_be_bytes();
        let comma = if n == 0 { "" } else { "," };
        // 100.0.0.0/8 and up: none of them holds the bench's address.
        write!(list, "{comma}{}.{b}.{c}.0/24", 100 + a).expect("a string takes anything");
        list
    })
}
