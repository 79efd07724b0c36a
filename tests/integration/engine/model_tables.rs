//! Each reason that rests on the store, from sign-ins that were learned to the verdict that names it.

use jiff::Timestamp;

use crate::fixtures::{self, AFAR, FIREFOX, HOME, IPHONE, Origin, at, reasons};

/// Twenty mornings at home, then one sign-in: the reasons that it must have among others.
struct Case {
    origin: Origin,
    time: Timestamp,
    expected: &'static [&'static str],
}

#[tokio::test]
async fn each_learned_reason_fires_through_the_store() {
    let morning = at(20, "07:05:00");
    // On a strange device too: with a familiar one a new network weighs little, as it should on a journey.
    let strange = |ip| Origin { ip, agent: FIREFOX, device: "box-9" };
    let cases = [
        Case { origin: HOME, time: morning, expected: &["known_network", "known_ip", "known_device"] },
        Case { origin: strange(AFAR.ip), time: at(22, "07:05:00"), expected: &["new_country"] },
        Case { origin: strange("193.212.1.10"), time: morning, expected: &["new_asn"] },
        Case { origin: strange("84.208.77.1"), time: morning, expected: &["new_network"] },
        Case { origin: strange("84.208.20.200"), time: morning, expected: &["new_ip"] },
        Case { origin: Origin { agent: IPHONE, device: "phone-1", ..HOME }, time: morning, expected: &["new_device_type", "new_device"] },
        Case { origin: strange(HOME.ip), time: morning, expected: &["new_os"] },
        Case { origin: strange(HOME.ip), time: at(20, "23:30:00"), expected: &["unusual_hour"] },
        Case { origin: strange(AFAR.ip), time: at(140, "07:05:00"), expected: &["dormant_account"] },
    ];
    for backend in fixtures::all().await {
        let mut wrong = Vec::new();
        for (number, case) in cases.iter().enumerate() {
            let engine = backend.engine(&[]);
            let user = format!("user{number}");
            for day in 0..20 {
                engine.sign_in(&user, HOME, at(day, "07:00:00")).await;
            }
            let last = engine.attempt(&user, case.origin, case.time).await;
            let codes = reasons(&last);
            let missing: Vec<_> = case.expected.iter().filter(|code| !codes.contains(*code)).collect();
            if !missing.is_empty() {
                wrong.push(format!("{missing:?} not among {:?}", last.decision.score.reasons));
            }
        }
        assert!(wrong.is_empty(), "{}: {wrong:#?}", backend.name);
    }
}

#[tokio::test]
async fn many_accounts_and_impossible_journeys_are_reasons() {
    for backend in fixtures::all().await {
        // Both homes have to be learned: nothing is, from a sign-in that would have been denied.
        let engine = backend.engine(&[("DENY_AT", "100")]);
        for number in 0..25 {
            engine.attempt(&format!("victim{number}"), AFAR, at(0, "07:00:00")).await;
        }
        let spray = engine.attempt("victim99", AFAR, at(0, "07:01:00")).await;
        assert!(reasons(&spray).contains(&"ip_velocity"), "{}: {:?}", backend.name, spray.decision.score.reasons);
        // Vietnam is not a new country for her, but forty minutes after Norway it is too far.
        let abroad = Origin { ip: "27.64.10.10", ..AFAR };
        for day in 0..3 {
            engine.sign_in("ada", abroad, at(day, "09:00:00")).await;
        }
        for day in 5..12 {
            engine.sign_in("ada", HOME, at(day, "12:00:00")).await;
        }
        let elsewhere = engine.attempt("ada", AFAR, at(11, "12:40:00")).await;
        assert!(reasons(&elsewhere).contains(&"impossible_travel"), "{}: {:?}", backend.name, elsewhere.decision.score.reasons);
    }
}
