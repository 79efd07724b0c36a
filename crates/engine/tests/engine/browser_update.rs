//! A higher version of a browser that the user has used is not a new device.

use riskgate_engine::{
    browser_update::is_browser_update,
    client_ip::ClientIp,
    context::{Context, Trust},
    evaluator::Evaluator,
    evidence::{Evidence, History},
    features::{FeatureKey, FeatureLevel, Features},
    network_facts::NetworkFacts,
    personal::RawEvent,
    profile::{DeviceStatus, Observation, Profile, SignInLocation},
    score::{Model, reason::ReasonCode},
    settings::{DecisionConfig, ModelConfig},
    sign_in::{SignIn, Trigger, User},
    signals::{Familiarity, Lists, Signals},
    time::{ClockReading, EventTime},
    user_agent::UserAgent,
};

const WINDOWS: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko)";
const MAC: &str = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko)";

#[expect(clippy::disallowed_methods, reason = "no test here depends on the time")]
fn sign_in(user_agent: &str) -> SignIn {
    let received = ClockReading { wall: "2026-11-28T12:00:00Z".parse().unwrap(), mono: std::time::Instant::now() };
    SignIn {
        raw: RawEvent::default(),
        trigger: Trigger::Http,
        received,
        at: EventTime::from(received),
        pool: "customers".into(),
        client: "web".into(),
        tenant: None,
        user: User::default(),
        context: Context { trust: Trust::Trusted, ip: ClientIp::parse("81.166.0.10"), user_agent: UserAgent::parse(user_agent), ..Context::default() },
    }
}

fn key() -> FeatureKey {
    FeatureKey::new([7; 16])
}

/// The evidence of a sign-in by a user who has signed in on twenty days with another user agent.
fn evidence(used: &str, user_agent: &str) -> Box<Evidence> {
    let networks = NetworkFacts::default();
    let (sign_in, used) = (sign_in(user_agent), Features::of(&sign_in(used), &networks, &key()));
    let mut profile = Profile::default();
    for day in 1..=20 {
        let at = sign_in.received.wall - jiff::SignedDuration::from_hours(24 * day);
        let location = SignInLocation::rounded(at, &networks);
        profile.learn(&Observation { features: &used, hour: None, location, device: DeviceStatus::default(), proven: false, verified: false }, 180);
    }
    let features = Features::of(&sign_in, &networks, &key());
    let is_browser_update = is_browser_update(&sign_in, &features, &profile, &key());
    Box::new(Evidence { features, is_browser_update, history: History { profile, ..History::default() }, ..Evidence::of(sign_in) })
}

fn familiarity(used: &str, user_agent: &str) -> Familiarity {
    Signals::read(evidence(used, user_agent), &Lists::new(&DecisionConfig::default())).device.user_agent_familiarity
}

/// User agents of consecutive versions, as the browsers send them.
fn updates() -> Vec<[String; 2]> {
    let safari =
        |system: &str, version: &str| format!("Mozilla/5.0 ({system}) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{version} Mobile/15E148 Safari/604.1");
    let iphone = |system: &str, version: &str| safari(&format!("iPhone; CPU iPhone OS {system} like Mac OS X"), version);
    let firefox = |version: u32| format!("Mozilla/5.0 (X11; Linux x86_64; rv:{version}.0) Gecko/20100101 Firefox/{version}.0");
    vec![
        [format!("{WINDOWS} Chrome/139.0.0.0 Safari/537.36"), format!("{WINDOWS} Chrome/140.0.0.0 Safari/537.36")],
        [format!("{WINDOWS} Chrome/128.0.0.0 Safari/537.36"), format!("{WINDOWS} Chrome/140.0.0.0 Safari/537.36")],
        [format!("{ANDROID} Chrome/99.0.0.0 Mobile Safari/537.36"), format!("{ANDROID} Chrome/101.0.0.0 Mobile Safari/537.36")],
        [format!("{WINDOWS} Chrome/139.0.0.0 Safari/537.36 Edg/139.0.0.0"), format!("{WINDOWS} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0")],
        [format!("{WINDOWS} Chrome/133.0.0.0 Safari/537.36 OPR/118.0.0.0"), format!("{WINDOWS} Chrome/135.0.0.0 Safari/537.36 OPR/120.0.0.0")],
        [firefox(128), firefox(140)],
        [
            "Mozilla/5.0 (Android 14; Mobile; rv:130.0) Gecko/130.0 Firefox/130.0".to_owned(),
            "Mozilla/5.0 (Android 14; Mobile; rv:131.0) Gecko/131.0 Firefox/131.0".to_owned(),
        ],
        [format!("{MAC} Version/18.3.1 Safari/605.1.15"), format!("{MAC} Version/18.5 Safari/605.1.15")],
        [format!("{MAC} Version/18.6 Safari/605.1.15"), format!("{MAC} Version/26.0 Safari/605.1.15")],
        [iphone("17_5_1", "17.5"), iphone("17_6", "17.6")],
        [iphone("17_4_1", "17.4.1"), iphone("18_1", "18.1")],
        [iphone("18_6", "18.6"), iphone("18_6", "26.0")],
        [iphone("18_6", "26.0"), iphone("18_6", "26.1")],
    ]
}

#[test]
fn a_higher_version_of_a_known_browser_is_an_update() {
    for [before, after] in updates() {
        assert_eq!(familiarity(&before, &after), Familiarity::Updated, "{before} to {after}");
        assert!(familiarity(&before, &before).is_seen(), "{before}");
    }
}

#[test]
fn a_lower_version_is_a_new_user_agent() {
    for [before, after] in updates() {
        assert!(familiarity(&after, &before).is_new(), "{after} to {before}");
    }
}

#[test]
fn another_device_with_a_higher_version_is_not_an_update() {
    let chrome =
        |platform: &str, version: &str| format!("Mozilla/5.0 ({platform}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{version} Mobile Safari/537.36");
    for (before, after) in [
        // Another phone model, another system, another browser on the same engine, and a version of more than two years later.
        (chrome("Linux; Android 14; Pixel 8", "139.0.0.0"), chrome("Linux; Android 14; SM-S918B", "140.0.0.0")),
        (format!("{WINDOWS} Chrome/139.0.0.0 Safari/537.36"), format!("{MAC} Chrome/140.0.0.0 Safari/537.36")),
        (format!("{WINDOWS} Chrome/139.0.0.0 Safari/537.36"), format!("{WINDOWS} Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0")),
        (format!("{WINDOWS} Chrome/100.0.0.0 Safari/537.36"), format!("{WINDOWS} Chrome/140.0.0.0 Safari/537.36")),
        // Not to be known from the text: the earlier builds are not enumerable.
        (chrome("Linux; Android 14; Pixel 8", "139.0.7258.94"), chrome("Linux; Android 14; Pixel 8", "140.0.7339.39")),
        (format!("{WINDOWS} Chrome/139.0.0.0 Safari/537.36"), "python-requests/2.32.0".to_owned()),
    ] {
        assert_ne!(familiarity(&before, &after), Familiarity::Updated, "{before} to {after}");
    }
}

#[test]
fn an_update_neither_raises_nor_lowers_the_score() {
    let evaluator = Evaluator::new(&DecisionConfig::default(), Model::bundled(ModelConfig::default()));
    let (before, after) = (format!("{WINDOWS} Chrome/139.0.0.0 Safari/537.36"), format!("{WINDOWS} Chrome/140.0.0.0 Safari/537.36"));
    let value = |used: &str, user_agent: &str| {
        let decision = evaluator.evaluate(evidence(used, user_agent));
        (decision.score.value, decision.score.reasons.iter().any(|reason| reason.code == ReasonCode::NewUserAgent))
    };
    let (usual, updated, lower) = (value(&before, &before), value(&before, &after), value(&after, &before));
    assert!(!usual.1 && !updated.1 && lower.1, "{usual:?} {updated:?} {lower:?}");
    assert!(usual.0 <= updated.0 && updated.0 < lower.0, "{usual:?} {updated:?} {lower:?}");
}

#[test]
fn hostile_texts_are_not_updates() {
    for text in [
        "Chrome/".to_owned(),
        "Chrome/999999999999.0.0.0".to_owned(),
        "Chrome/140".to_owned(),
        "Version/18.5.1.1 Safari/605".to_owned(),
        "Version/é Safari/".to_owned(),
        "rv:.0".to_owned(),
        "Chrome/140.0".repeat(40),
    ] {
        assert!(!familiarity(WINDOWS, &text).is_seen(), "{text}");
    }
    let features = Features::default();
    assert!(features.at(FeatureLevel::UserAgent).is_none() && !is_browser_update(&sign_in(WINDOWS), &features, &Profile::default(), &key()));
}
