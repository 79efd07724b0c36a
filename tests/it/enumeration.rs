//! What a stranger can learn of who has an account, and what he can do to somebody who has one.

use std::time::Duration;

use jiff::Timestamp;
use riskgate::{
    config::Config,
    decision::Verdict,
    response::{Assessment, cognito::denial},
};
use serde_json::{Value, json};

use crate::stores::{self, CHROME, FIREFOX, HOME, House, IPHONE, at, reasons};

/// How many names of each kind are tried.
const NAMES: usize = 2_000;

/// What the trusted client says of a device: people have different ones, in different towns.
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
async fn live(house: &House) {
    for week in 0..5 {
        let moment = |number: usize| at(i64::try_from(week * 5 + number % 5).unwrap(), &format!("{:02}:{:02}:00", 6 + number % 16, number % 60));
        let mut numbers: Vec<usize> = (0..NAMES).filter(|number| week <= number % 5).collect();
        // In the order of time: a gate reads its lists again when ten minutes have passed, not for each jump of a test.
        numbers.sort_by_key(|number| moment(*number));
        for number in numbers {
            let name = format!("person{number}");
            let agent = if number.is_multiple_of(3) { IPHONE } else { CHROME };
            let time = moment(number);
            let home = data(format!("84.208.{}.{}", number / 250, 1 + number % 250), agent, format!("device-{number}"));
            house.attempt_by(known(&name, home), time).await;
            house.success(&name, "web", time).await.expect("the store answers");
        }
    }
}

/// What the person who signs in sees, without the id.
fn seen(assessment: &Assessment) -> Option<String> {
    denial(assessment, &Config::defaults().decision.deny_message).map(|denial| denial.message.rsplit_once(' ').expect("a sentence and an id").0.to_owned())
}

fn share(scores: &[f64], from: f64) -> f64 {
    scores.iter().filter(|score| **score >= from).count() as f64 / scores.len() as f64
}

fn middle(times: &mut [Duration]) -> Duration {
    times.sort();
    times[times.len() / 2]
}

#[tokio::test]
async fn known_and_unknown_names_are_told_alike() {
    let kept = stores::memory();
    let house = House::over(&kept.store, &[]);
    live(&house).await;
    let (mut scores, mut times, mut words, mut denied) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()], Vec::new(), [0_usize; 2]);
    for number in 0..NAMES {
        let time = Timestamp::from_second(at(30, "12:00:00").as_second() + i64::try_from(number).unwrap() * 2).unwrap();
        let foreign = || data(format!("14.162.100.{}", 1 + number % 250), FIREFOX, "box-9".to_owned());
        for (kind, event) in [known(&format!("person{number}"), foreign()), unknown(&format!("nobody{number}"), foreign())].into_iter().enumerate() {
            let assessment = house.attempt_by(event, time).await;
            scores[kind].push(assessment.decision.score.value);
            times[kind].push(assessment.elapsed);
            denied[kind] += usize::from(assessment.decision.action == Verdict::Deny);
            words.extend(seen(&assessment));
        }
    }
    words.sort();
    words.dedup();
    assert!(words.len() <= 1, "a denial has one wording: {words:?}");
    // At the thresholds in force: within two points.
    for threshold in [50.0, 80.0] {
        let (of_known, of_unknown) = (share(&scores[0], threshold), share(&scores[1], threshold));
        assert!((of_known - of_unknown).abs() <= 0.02, "at {threshold}: known {of_known:.3}, unknown {of_unknown:.3}");
    }
    assert!(denied[0].abs_diff(denied[1]) <= NAMES / 50 && denied[0] > 0, "denied: {denied:?} of {NAMES}");
    let [of_known, of_unknown] = &mut times;
    let (of_known, of_unknown) = (middle(of_known), middle(of_unknown));
    assert!(of_known.abs_diff(of_unknown) < Duration::from_millis(5), "known {of_known:?}, unknown {of_unknown:?}");
}

#[tokio::test]
async fn a_siege_does_not_lock_the_owner_out() {
    let kept = stores::memory();
    let house = House::over(&kept.store, &[]);
    for day in 0..20 {
        house.sign_in("ada", HOME, at(day, "07:10:00")).await;
    }
    for attempt in 0..1_000_i64 {
        let time = Timestamp::from_second(at(20, "06:30:00").as_second() + attempt * 2).unwrap();
        let thief = data(format!("14.162.{}.{}", attempt % 16, 1 + attempt % 250), FIREFOX, format!("box-{attempt}"));
        house.attempt_by(known("ada", thief), time).await;
    }
    let owner = house.attempt("ada", HOME, at(20, "07:04:00")).await;
    assert_ne!(owner.decision.verdict, Verdict::Deny, "{:.1} {:?}", owner.decision.score.value, owner.decision.score.reasons);
    assert!(reasons(&owner).contains(&"account_failures") || owner.decision.score.value < 50.0, "{:?}", reasons(&owner));
}
