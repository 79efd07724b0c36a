//! Embeds the engine: learns a user's usual sign-in, then scores the same sign-in and one from another country.
//!
//! `cargo run -p riskgate-engine --example score`

use riskgate_engine::{
    browser_update::is_browser_update,
    client_ip::ClientIp,
    context::{AssertedFacts, Context, Country, Trust},
    decision::Decision,
    evaluator::Evaluator,
    evidence::{Evidence, Features, History, NetworkFacts, Outcome},
    features::FeatureKey,
    personal::{Personal, RawEvent},
    profile::{DeviceStatus, Observation, Profile, SignInLocation},
    score::Model,
    settings::{DecisionConfig, ModelConfig},
    sign_in::{SignIn, Trigger, User},
    time::{ClockReading, EventTime},
    user_agent::UserAgent,
};

/// The key of feature hashes. A real embedder derives it from a secret.
const KEY: [u8; 16] = [7; 16];

fn sign_in(ip: &str, country: Country, user_agent: &str, now: ClockReading) -> SignIn {
    SignIn {
        raw: RawEvent::default(),
        trigger: Trigger::Http,
        received: now,
        at: EventTime::from(now),
        pool: "customers".into(),
        client: "web".into(),
        tenant: None,
        user: User { name: Personal::new("ada".into()), ..User::default() },
        context: Context {
            trust: Trust::Trusted,
            ip: ClientIp::parse(ip),
            user_agent: UserAgent::parse(user_agent),
            asserted: AssertedFacts { country: Some(country), ..AssertedFacts::default() },
            ..Context::default()
        },
    }
}

fn enrich(sign_in: SignIn, profile: Profile) -> Evidence {
    let networks = NetworkFacts { country: sign_in.context.asserted.country, ..NetworkFacts::default() };
    let key = FeatureKey::new(KEY);
    let features = Features::of(&sign_in, &networks, &key);
    let is_browser_update = is_browser_update(&sign_in, &features, &profile, &key);
    let history = History { profile, ..History::default() };
    Evidence { networks, features, is_browser_update, history, history_outcome: Outcome::Fresh, ..Evidence::of(sign_in) }
}

#[expect(clippy::print_stdout, reason = "an example prints its result")]
fn print(title: &str, decision: &Decision) {
    println!("{title}: {:?} at {:.1}", decision.verdict, decision.score.value);
    for reason in &decision.score.reasons {
        println!("  {:+.2} {}", reason.weight, reason.code.as_label());
    }
}

#[expect(clippy::disallowed_methods, reason = "an embedder reads its own clock")]
fn main() {
    let evaluator = Evaluator::new(&DecisionConfig::default(), Model::bundled(ModelConfig::default()));
    let now = ClockReading { wall: "2026-11-28T12:00:00Z".parse().expect("a time"), mono: std::time::Instant::now() };
    let [norway, brazil] = ["NO", "BR"].map(|code| Country::parse(code).expect("a country code"));
    let firefox = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";

    let mut profile = Profile::default();
    let usual = enrich(sign_in("81.166.0.10", norway, firefox, now), Profile::default());
    for day in 1..=20 {
        let at = now.wall - jiff::SignedDuration::from_hours(24 * day);
        let location = SignInLocation::rounded(at, &usual.networks);
        profile.learn(&Observation { features: &usual.features, hour: None, location, device: DeviceStatus::default(), proven: false, verified: false }, 180);
    }

    print("the usual sign-in", &evaluator.evaluate(Box::new(enrich(sign_in("81.166.0.10", norway, firefox, now), profile.clone()))));
    print("from another country, automated", &evaluator.evaluate(Box::new(enrich(sign_in("177.10.0.1", brazil, "python-requests/2.32", now), profile))));
}
