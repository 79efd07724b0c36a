//! Thirty ordinary days of one person, and then: the same story over each store.

use riskgate_engine::decision::Verdict;

use crate::fixtures::{self, AFAR, HOME, Origin, at, reasons};

/// Another network of the same town.
const WORK: Origin = Origin { ip: "193.212.1.10", ..HOME };
/// A phone on the home network.
const NEW_PHONE: Origin = Origin { agent: fixtures::IPHONE, device: "phone-1", ..HOME };
/// The laptop behind an airline's satellite provider.
const PLANE: Origin = Origin { ip: "64.86.10.1", ..HOME };
/// The laptop in Britain.
const TRIP: Origin = Origin { ip: "82.47.10.20", ..HOME };

#[tokio::test]
async fn thirty_days_then_an_attacker_a_new_phone_a_flight_and_a_journey() {
    for (backend, engine) in fixtures::engines().await {
        for day in 0..30 {
            let morning = engine.sign_in("ada", HOME, at(day, "07:10:00")).await;
            assert_eq!(morning.decision.verdict, Verdict::Allow, "{}: day {day}: {:?}", backend.name, reasons(&morning));
            if day % 2 == 0 {
                engine.sign_in("ada", WORK, at(day, "12:40:00")).await;
            }
        }
        let ordinary = engine.attempt("ada", HOME, at(30, "07:05:00")).await;
        let show = |assessment: &riskgate_event::response::Assessment| {
            format!("{}: {:.1} {:?}", backend.name, assessment.decision.score.value, assessment.decision.score.reasons)
        };
        assert!(ordinary.decision.score.value < 30.0, "{}", show(&ordinary));
        assert!(reasons(&ordinary).contains(&"known_ip"), "{}", show(&ordinary));
        engine.success("ada", "web", at(30, "07:05:01")).await.unwrap();

        let attacker = engine.attempt("ada", AFAR, at(30, "08:00:00")).await;
        assert_ne!(attacker.decision.verdict, Verdict::Allow, "{}", show(&attacker));
        let codes = reasons(&attacker);
        assert!(codes[0] == "impossible_travel" || codes[0] == "new_country", "{}", show(&attacker));
        assert!(codes.contains(&"new_os") && codes.contains(&"new_device"), "{}", show(&attacker));

        let phone = engine.attempt("ada", NEW_PHONE, at(31, "07:20:00")).await;
        assert_ne!(phone.decision.verdict, Verdict::Deny, "{}", show(&phone));
        assert!(reasons(&phone).contains(&"new_device_type"), "{}", show(&phone));
        assert!(attacker.decision.score.value > phone.decision.score.value, "{} {}", show(&attacker), show(&phone));
        engine.success("ada", "web", at(31, "07:20:01")).await.unwrap();

        let plane = engine.attempt("ada", PLANE, at(32, "11:00:00")).await;
        assert_ne!(plane.decision.action, Verdict::Deny, "{}", show(&plane));
        engine.success("ada", "web", at(32, "11:00:01")).await.unwrap();

        let trip = engine.attempt("ada", TRIP, at(33, "09:00:00")).await;
        assert_ne!(trip.decision.action, Verdict::Deny, "{}", show(&trip));
        assert!(!reasons(&trip).contains(&"impossible_travel"), "{}", show(&trip));
    }
}
