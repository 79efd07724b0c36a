//! What an attacker can learn about which accounts exist, and what it can do to their owners.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use riskgate_config::Config;
use riskgate_engine::decision::Verdict;
use riskgate_event::response::{Assessment, cognito::denial};
use serde_json::{Value, json};

use crate::fixtures::{self, CHROME, FIREFOX, HOME, IPHONE, TestEngine, at, reasons};

/// How many names of each kind are tried.
const NAMES: usize = 2_000;

/// The claims of the trusted client about a device. Users have different ones, in different towns.
fn data(ip: String, agent: &str, device: String) -> Value {
    json!({ "ip": ip, "userAgent": agent, "deviceId": device, "timezone": "Europe/Oslo" })
}

fn known(name: &str, data: Value) -> Value {
    json!({
        "triggerSource": "PreAuthentication_Authentication", "userPoolId": "pool", "userName": name, "callerContext": { "clientId": "web" },
        "request": { "userAttributes": { "sub": format!("sub-{name}"), "email": format!("{name}@example.com") }, "validationData": data }, "response": {},
    })
}

fn unknown(name: &str, data: Value) -> Value {
    json!({
        "triggerSource": "PreAuthentication_Authentication", "userPoolId": "pool", "userName": name, "callerContext": { "clientId": "web" },
        "request": { "userAttributes": {}, "validationData": data, "userNotFound": true }, "response": {},
    })
}

/// Five weeks of a pool: everybody signs in once at home, most of them again, a fifth of them every week.
async fn live(engine: &TestEngine) {
    for week in 0..5 {
        let moment = |number: usize| at(i64::try_from(week * 5 + number % 5).unwrap(), &format!("{:02}:{:02}:00", 6 + number % 16, number % 60));
        let mut numbers: Vec<usize> = (0..NAMES).filter(|number| week <= number % 5).collect();
        // In the order of time: the engine reads its lists again when ten minutes have passed, not for each jump of a test.
        numbers.sort_by_key(|number| moment(*number));
        for number in numbers {
            let name = format!("person{number}");
            let agent = if number.is_multiple_of(3) { IPHONE } else { CHROME };
            let time = moment(number);
            let home = data(format!("84.208.{}.{}", number / 250, 1 + number % 250), agent, format!("device-{number}"));
            engine.attempt_by(known(&name, home), time).await;
            engine.success(&name, "web", time).await.expect("the store answers");
        }
    }
}

/// What the person who signs in sees, without the id.
fn seen(assessment: &Assessment) -> Option<String> {
    denial(assessment, &Config::defaults().decision.deny_message).map(|denial| denial.message.rsplit_once(' ').expect("a sentence and an id").0.to_owned())
}

/// Sign-ins of two thousand users and of as many unknown names, all from one network and device.
struct Compared {
    scores: [Vec<f64>; 2],
    times: [Vec<Duration>; 2],
    denied: [usize; 2],
    words: BTreeSet<String>,
}

impl Compared {
    async fn from(engine: &TestEngine, network: &str, agent: &str, day: i64) -> Self {
        let mut found = Compared { scores: Default::default(), times: Default::default(), denied: [0; 2], words: BTreeSet::new() };
        for number in 0..NAMES {
            let time = Timestamp::from_second(at(day, "12:00:00").as_second() + i64::try_from(number).unwrap() * 2).unwrap();
            let stranger = || data(format!("{network}.{}", 1 + number % 250), agent, "box-9".to_owned());
            for (kind, event) in [known(&format!("person{number}"), stranger()), unknown(&format!("nobody{number}"), stranger())].into_iter().enumerate() {
                let assessment = engine.attempt_by(event, time).await;
                found.scores[kind].push(assessment.decision.score.value);
                found.times[kind].push(assessment.elapsed);
                found.denied[kind] += usize::from(assessment.decision.action == Verdict::Deny);
                found.words.extend(seen(&assessment));
            }
        }
        found
    }

    /// Whether rates at the thresholds in force, and denials, are within so many names of each other.
    #[track_caller]
    fn check_rates(&self, within: usize) {
        for threshold in [50.0, 80.0] {
            let [of_known, of_unknown] = [0, 1].map(|kind| self.scores[kind].iter().filter(|score| **score >= threshold).count());
            assert!(of_known.abs_diff(of_unknown) <= within, "at {threshold}: known {of_known}, unknown {of_unknown} of {NAMES}");
        }
        assert!(self.denied[0].abs_diff(self.denied[1]) <= within, "denied: {:?} of {NAMES}", self.denied);
    }
}

#[tokio::test(start_paused = true)]
async fn known_and_unknown_names_get_the_same_answers() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[]);
    live(&engine).await;
    // From afar, where everybody's score is high: within two points.
    let afar = Compared::from(&engine, "14.162.100", FIREFOX, 30).await;
    afar.check_rates(NAMES / 50);
    assert!(afar.words.len() == 1, "a denial has one wording: {:?}", afar.words);
    // Time is paused: it passes only where something waits.
    assert_eq!(afar.times[0], afar.times[1], "neither waits where the other does not");
    // From next door with an everyday browser a third of them is denied, so there the decoys are a sample.
    let near = Compared::from(&engine, "2.104.3", CHROME, 31).await;
    assert!((NAMES / 5..NAMES / 2).contains(&near.denied[0]), "{:?}", near.denied);
    near.check_rates(NAMES / 20);
}

#[tokio::test]
async fn an_attack_does_not_lock_the_owner_out() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[]);
    for day in 0..20 {
        engine.sign_in("ada", HOME, at(day, "07:10:00")).await;
    }
    for attempt in 0..1_000_i64 {
        let time = Timestamp::from_second(at(20, "06:30:00").as_second() + attempt * 2).unwrap();
        let attacker = data(format!("14.162.{}.{}", attempt % 16, 1 + attempt % 250), FIREFOX, format!("box-{attempt}"));
        engine.attempt_by(known("ada", attacker), time).await;
    }
    let owner = engine.attempt("ada", HOME, at(20, "07:04:00")).await;
    assert_ne!(owner.decision.verdict, Verdict::Deny, "{:.1} {:?}", owner.decision.score.value, owner.decision.score.reasons);
    assert!(reasons(&owner).contains(&"account_failures") || owner.decision.score.value < 50.0, "{:?}", reasons(&owner));
}
