//! What is familiar never raises a score, whatever else is known of the sign-in.

use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use riskgate_config::Config;
use riskgate_engine::{
    client_ip::ClientIp,
    context::Trust,
    evaluator::Evaluator,
    evidence::{
        Answer, Evidence, LocalTime, ProviderResult, Risk,
        history::{History, Velocity},
    },
    features::{FeatureLevel, Features},
    network_facts::{Location, NetworkFacts, NetworkKind},
    profile::{Profile, ProfileEntry, SignInLocation},
    score::{model::Model, quantiles::Cohort},
    service::Service,
    settings::MixtureProfile,
    time::ClockReading,
    user_agent::DeviceType,
};
use riskgate_event::http;
use serde_json::json;
use smallvec::SmallVec;

const NOON: &str = "2026-11-21T12:00:00Z";
const USUAL_HOUR: u8 = 12;

/// One part of a sign-in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Missing,
    Familiar,
    New,
}

/// A person's history and a sign-in, each part of which can be left out.
#[derive(Debug, Clone)]
pub(super) struct Case {
    /// By level: how often the familiar value was seen, and whether on two days.
    seen: [(u16, bool); 9],
    /// By level: whether the familiar value was verified.
    verified: [bool; 9],
    successes: u32,
    parts: [Part; 9],
    hour: Part,
    trust: Trust,
    failures: u32,
    journey: bool,
    kind: NetworkKind,
    services: Vec<f64>,
}

fn evaluator(mixture: MixtureProfile) -> Evaluator {
    let mut config = Config::defaults();
    config.history.mixture = mixture;
    Evaluator::new(&config.decision, Model::bundled(config.history.model_config()))
}

fn hash(level: FeatureLevel, part: Part) -> Option<u32> {
    match part {
        Part::Missing => None,
        Part::Familiar => Some(100 + level as u32),
        Part::New => Some(200 + level as u32),
    }
}

impl Case {
    /// A person of 20 sign-ins, all alike, and a sign-in of which nothing is known.
    pub(super) fn plain(established: bool) -> Self {
        Case {
            seen: [(20, established); 9],
            verified: [false; 9],
            successes: 20,
            parts: [Part::Missing; 9],
            hour: Part::Missing,
            trust: Trust::Trusted,
            failures: 0,
            journey: false,
            kind: NetworkKind::default(),
            services: Vec::new(),
        }
    }

    pub(super) fn evidence(&self) -> Box<Evidence> {
        let value = |level: FeatureLevel, familiar: &'static str, new: &'static str| match self.parts[level as usize] {
            Part::Missing => None,
            Part::Familiar => Some(familiar),
            Part::New => Some(new),
        };
        let body = json!({
            "user": "ada", "ip": "8.8.8.8",
            "country": value(FeatureLevel::Country, "NO", "JP"),
            "asn": value(FeatureLevel::Asn, "2119", "4713").map(|asn| asn.parse::<u32>().unwrap()),
        });
        let now = ClockReading { wall: NOON.parse().unwrap(), mono: tokio::time::Instant::now().into_std() };
        let mut sign_in = http::parse(body.to_string().as_bytes(), ClientIp::Missing, now).expect("a sign-in");
        sign_in.context.trust = self.trust;
        let asserted = &mut sign_in.context.asserted;
        asserted.device_type = match self.parts[FeatureLevel::DeviceType as usize] {
            Part::Missing => None,
            Part::Familiar => Some(DeviceType::Desktop),
            Part::New => Some(DeviceType::Mobile),
        };
        asserted.os = value(FeatureLevel::Os, "Windows", "Linux").map(Into::into);
        asserted.browser = value(FeatureLevel::Browser, "Chrome", "Firefox").map(Into::into);
        let mut features = Features::default();
        FeatureLevel::ALL.iter().for_each(|level| features.set(*level, hash(*level, self.parts[*level as usize])));
        let entries = FeatureLevel::ALL.iter().map(|level| {
            let (count, established) = self.seen[*level as usize];
            let (hash, last_day, verified) = (hash(*level, Part::Familiar).unwrap(), 20_000 + u16::from(established), self.verified[*level as usize]);
            ProfileEntry { level: *level, hash, count, first_day: 20_000, last_day, verified }
        });
        let last: Timestamp = NOON.parse::<Timestamp>().unwrap() - SignedDuration::from_hours(2);
        let place = |latitude, longitude| self.journey.then_some(Location { latitude, longitude, radius_km: 10.0 });
        let mut hours = [0; 24];
        hours[usize::from(USUAL_HOUR)] = 20;
        let profile = Profile {
            entries: entries.collect(),
            hours,
            successes: self.successes,
            last: Some(SignInLocation { at: last, location: place(60.0, 10.5), anonymous: false }),
        };
        let networks =
            NetworkFacts { country: sign_in.context.asserted.country, asn: sign_in.context.asserted.asn, location: place(40.0, 10.5), kind: self.kind };
        let hour = match self.hour {
            Part::Missing => None,
            Part::Familiar => Some(USUAL_HOUR),
            Part::New => Some(3),
        };
        let velocity = Velocity { account_failures: self.failures, ..Velocity::default() };
        Box::new(Evidence {
            networks,
            local_time: LocalTime { hour, zone_fits: None },
            features,
            history: History { profile, velocity, ..History::default() },
            services: self.services.iter().map(|score| answered(*score)).collect(),
            ..Evidence::of(sign_in)
        })
    }
}

fn answered(score: f64) -> ProviderResult {
    ProviderResult::fresh(Service::Http, Answer::new(Risk::Score(score), SmallVec::new()))
}

/// The score and the log-odds of each mixture.
fn scores(case: &Case) -> Vec<(f64, f64)> {
    static JUDGES: std::sync::LazyLock<[Evaluator; 2]> = std::sync::LazyLock::new(|| [MixtureProfile::Balanced, MixtureProfile::Targeted].map(evaluator));
    JUDGES.iter().map(|evaluator| evaluator.evaluate(case.evidence()).score).map(|score| (score.value, score.log_odds)).collect()
}

fn check(without: &Case, with: &Case) -> Result<(), TestCaseError> {
    for (before, after) in scores(without).into_iter().zip(scores(with)) {
        prop_assert!(after.0 <= before.0 && after.1 <= before.1 + 1e-9, "{before:?} without, {after:?} with\n{without:?}\n{with:?}");
    }
    Ok(())
}

#[test]
fn a_usual_hour_alone_does_not_raise_the_score() {
    for established in [false, true] {
        let without = Case::plain(established);
        check(&without, &Case { hour: Part::Familiar, ..without.clone() }).unwrap();
    }
}

#[test]
fn each_familiar_value_alone_does_not_raise_the_score() {
    for established in [false, true] {
        for level in 0..9 {
            let without = Case::plain(established);
            let mut with = without.clone();
            with.parts[level] = Part::Familiar;
            check(&without, &with).unwrap();
        }
    }
}

#[test]
fn a_claimed_network_does_not_lower_the_score_beside_a_verified_one() {
    let mut claimed = Case::plain(true);
    claimed.parts[..8].fill(Part::Familiar);
    let log_odds = |verified: &[FeatureLevel]| {
        let mut case = claimed.clone();
        verified.iter().for_each(|level| case.verified[*level as usize] = true);
        scores(&case)[0].1
    };
    let network = [FeatureLevel::Country, FeatureLevel::Asn, FeatureLevel::Network, FeatureLevel::Ip];
    let values = [log_odds(&network), log_odds(&network[..3]), log_odds(&network[..2]), log_odds(&network[..1])];
    assert!(values[0] < values[1] && values[1] < values[2] && values[2] <= values[3], "each value that was only claimed: {values:?}");
    assert!((log_odds(&[]) - values[0]).abs() < 1e-9, "without a verified value, claims count as before");
}

fn part() -> impl Strategy<Value = Part> {
    prop_oneof![Just(Part::Missing), Just(Part::Familiar), Just(Part::New)]
}

prop_compose! {
    pub(super) fn case()(
        mut seen in proptest::array::uniform9((1_u16..60, any::<bool>())),
        verified in proptest::array::uniform9(any::<bool>()),
        more in 0_u32..60,
        parts in proptest::array::uniform9(part()),
        hour in part(),
        trusted in proptest::bool::weighted(0.8),
        failures in 0_u32..5,
        journey: bool,
        (hosting, tor) in (any::<bool>(), proptest::bool::weighted(0.2)),
        services in proptest::collection::vec(0.0..100.0_f64, 0..3),
    ) -> Case {
        // A value was seen as often as the one above it at most.
        [0..4, 4..8].into_iter().for_each(|chain| seen[chain].sort_unstable_by_key(|(count, _)| std::cmp::Reverse(*count)));
        let successes = more + seen.iter().map(|(count, _)| u32::from(*count)).max().unwrap_or_default();
        let trust = if trusted { Trust::Trusted } else { Trust::Unsigned };
        let kind = NetworkKind { hosting, tor, ..NetworkKind::default() };
        Case { seen, verified, successes, parts, hour, trust, failures, journey, kind, services }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn adding_what_is_familiar_never_raises_the_score(case in case(), added in 0_usize..10) {
        let (mut without, mut with) = (case.clone(), case);
        if added < 9 {
            (without.parts[added], with.parts[added]) = (Part::Missing, Part::Familiar);
            // How rare a new value is depends on how often the value above it was seen.
            let end = [4, 4, 4, 4, 8, 8, 8, 8, 9][added];
            for case in [&mut without, &mut with] {
                case.parts[added..end].iter_mut().filter(|part| **part == Part::New).for_each(|part| *part = Part::Missing);
            }
        } else {
            (without.hour, with.hour) = (Part::Missing, Part::Familiar);
        }
        check(&without, &with)?;
    }

    #[test]
    fn an_innocent_report_never_raises_the_score(mut case in case(), share in 0.0..1.0_f64) {
        static HARMLESS: std::sync::LazyLock<f64> =
            std::sync::LazyLock::new(|| Model::bundled(Config::defaults().history.model_config()).quantiles().score(Cohort::Known, 0.0));
        let without = case.clone();
        case.services.push(share * *HARMLESS);
        check(&without, &case)?;
    }
}
