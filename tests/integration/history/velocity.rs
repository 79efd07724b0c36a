//! Velocity in busy networks, at its bounds and over both windows; the same in every store, live and in replay.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use riskgate_config::Config;
use riskgate_engine::{client_ip::ClientIp, decision::Verdict, evidence::history::Velocity};
use riskgate_event::http;
use riskgate_history::repository::outcome::ReportedOutcome;
use riskgate_pipeline::learn;
use riskgate_runtime::clock;
use serde_json::{Value, json};

use crate::{
    fixtures::{self, AFAR, CHROME, FIREFOX, HOME, Origin, at, history},
    harness,
    replay::scores_under,
};

#[tokio::test]
async fn an_address_in_a_busy_network_is_counted_for_itself() {
    for (backend, engine) in fixtures::engines().await {
        let start = at(0, "07:00:00");
        let after = |seconds: i64| start.checked_add(SignedDuration::from_secs(seconds)).unwrap();
        // More accounts than are stored for a network, each at an address that it shares with few.
        for number in 0..60_i64 {
            let ip: &'static str = format!("84.208.20.{}", 1 + number % 50).leak();
            engine.attempt(&format!("resident{number}"), Origin { ip, ..HOME }, after(number)).await;
        }
        for number in 0..20_i64 {
            let stuffing = engine.attempt(&format!("victim{number}"), Origin { ip: "84.208.20.200", ..AFAR }, after(100 + 3 * number)).await;
            let seen = history(&stuffing).velocity;
            assert_eq!((i64::from(seen.accounts_per_ip), seen.accounts_per_network), (number + 1, 32), "{}", backend.name);
            // The others go on beside it, and have nothing to do with it.
            let ip: &'static str = format!("84.208.20.{}", 60 + number).leak();
            let resident = engine.attempt(&format!("neighbour{number}"), Origin { ip, ..HOME }, after(101 + 3 * number)).await;
            assert_eq!(history(&resident).velocity.accounts_per_ip, 1, "{}", backend.name);
        }
    }
}

/// Numbers that look random and are the same in each run.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}

/// Five hours of a network that is busy, stuffed from one of its addresses, and of accounts that are guessed; quieter towards the end.
fn rows() -> Vec<(Timestamp, Value, bool)> {
    let mut numbers = Numbers(7);
    let mut time = at(0, "06:00:00");
    (0..2_400)
        .map(|number| {
            let pause = if number < 1_800 { 1 + numbers.below(9) } else { 1 + numbers.below(60) };
            time = time.checked_add(SignedDuration::from_secs(i64::try_from(pause).unwrap())).unwrap();
            let (resident, guessed) = (numbers.below(300), format!("guessed{}", number / 300));
            let choice = usize::try_from(numbers.below(4)).unwrap();
            let (user, ip, agent, passed) = match numbers.below(28) {
                0..10 => (format!("resident{resident}"), format!("84.208.20.{}", 1 + resident % 200), CHROME, numbers.below(8) > 0),
                10..13 => (format!("victim{number}"), "84.208.20.250".to_owned(), FIREFOX, numbers.below(6) == 0),
                // Sprayed over many addresses of a network, each account at a few of them.
                13..15 => (format!("sprayed{}", numbers.below(60)), format!("14.162.100.{}", numbers.below(120)), FIREFOX, numbers.below(3) == 0),
                15..26 => (guessed, format!("{}.{}", ["81.2.69", "14.162.100", "27.64.10", "193.212.1"][choice], 1 + numbers.below(250)), FIREFOX, false),
                26 => (guessed, ["84.208.77.9", "84.208.77.9", "27.64.10.10", "81.2.69.142"][choice].to_owned(), CHROME, true),
                _ => (
                    format!("elsewhere{}", numbers.below(30)),
                    format!("2001:700:{}::{}", numbers.below(4), 1 + numbers.below(3)),
                    CHROME,
                    numbers.below(4) > 0,
                ),
            };
            (time, json!({ "user": user, "ip": ip, "userAgent": agent, "time": time.to_string() }), passed)
        })
        .collect()
}

/// Scores the rows live and in replay; returns the largest counts and the number of denials.
async fn compare(variables: &[(&str, &str)]) -> (Velocity, usize) {
    let variables: BTreeMap<String, String> = variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), (*value).to_owned())).collect();
    let (config, faults) = Config::read(&variables);
    assert!(faults.is_empty(), "{faults:?}");
    let engine = harness::engine(&config);
    let (mut lines, mut live) = (String::new(), Vec::new());
    let (mut most, mut denials) = (Velocity::default(), 0);
    for (time, body, passed) in rows() {
        let mut line = body.clone();
        line["success"] = passed.into();
        lines.push_str(&format!("{line}\n"));
        let now = clock::at(time);
        let sign_in = http::parse(body.to_string().as_bytes(), ClientIp::Missing, now).unwrap();
        let event_time = sign_in.at;
        let assessment = engine.assess(sign_in, engine.deadline(now.mono, None)).await;
        if passed {
            let (score, seen) = (&assessment.decision.score, history(&assessment).velocity);
            live.push((format!("\"score\":{:?},\"log_odds\":{:?},", score.value, score.log_odds), body.to_string(), seen));
            most.account_failures = most.account_failures.max(seen.account_failures);
            most.accounts_per_ip = most.accounts_per_ip.max(seen.accounts_per_ip);
            most.accounts_per_network = most.accounts_per_network.max(seen.accounts_per_network);
            denials += usize::from(assessment.decision.verdict == Verdict::Deny);
        }
        let report = if passed { ReportedOutcome::Success } else { ReportedOutcome::Failure };
        learn::record_outcome(engine.enricher(), &assessment.id, report, event_time, now).await.unwrap_or_else(|_| panic!("the store answers"));
    }
    let replayed = scores_under(&config, &lines, false);
    assert_eq!(replayed.len(), live.len());
    let differing: Vec<_> = live.iter().zip(&replayed).filter(|((live, ..), replayed)| !replayed.starts_with(live.as_str())).collect();
    assert!(differing.is_empty(), "{} of {}: {:#?}", differing.len(), live.len(), &differing[..differing.len().min(6)]);
    (most, denials)
}

#[tokio::test]
async fn the_same_rows_have_the_same_velocity_and_score_live_and_in_replay() {
    let (most, _) = compare(&[]).await;
    assert_eq!((most.account_failures, most.accounts_per_ip, most.accounts_per_network), (24, 32, 32), "every bound is reached");
    // With denials among them, enforced or not.
    for mode in ["enforce", "monitor"] {
        let (_, denials) = compare(&[("DENY_AT", "40"), ("REVIEW_AT", "20"), ("MODE", mode)]).await;
        assert!(denials > 20, "{denials}");
    }
}
