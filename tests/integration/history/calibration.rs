//! Calibration of scores on a pool's own traffic, live: counts in the store, the scale in force, and what happens without it.

use std::time::Duration;

use jiff::Timestamp;
use riskgate_calibration::{Calibrator, Group, SuccessCell, Thresholds, counts::CELLS, group::Basis};
use riskgate_engine::{
    context::Country,
    evidence::{FailureReason, store_parts::StorePart},
    score::scale::CalibrationSource,
};
use riskgate_event::response::Assessment;
use riskgate_history::repository::outcome::ReportedOutcome;
use riskgate_runtime::clock;
use riskgate_store::{Change, Changed, Store, Ttl};

use super::outcome_reports;
use crate::fixtures::{self, AFAR, Backend, HOME, KEY, TestEngine, at};

const TTL: Duration = Duration::from_secs(3_600);

const DAY: i64 = 86_400;

const AUTO: &[(&str, &str)] = &[("CALIBRATION", "auto")];

fn later(time: Timestamp, seconds: i64) -> Timestamp {
    Timestamp::from_second(time.as_second() + seconds).unwrap()
}

async fn update(engine: &TestEngine, time: Timestamp) {
    engine.enricher().update_pools(clock::at(time)).await;
}

/// The key of a pool's record in every engine of these tests. Sign-ins over HTTP name no pool.
fn key_of(pool: &str) -> String {
    use riskgate_config::pseudonym::{PseudonymKey, Pseudonyms};
    let (kid, key) = KEY.split_once(':').unwrap();
    let pseudonyms = Pseudonyms::new(&[PseudonymKey { kid: kid.to_owned(), key: key.to_owned().into() }]);
    format!("p{:08x}", pseudonyms.short_hash("pool", &[pool.as_bytes()]))
}

fn key() -> String {
    key_of("pool")
}

async fn put_scale(store: &dyn Store, bytes: Vec<u8>, now: Timestamp) {
    let version = store.get_record(&key(), now).await.unwrap().version;
    let change = Change { set: vec![("k".into(), bytes)], remove: Vec::new(), ttl: Ttl::Set(TTL) };
    assert_eq!(store.update_if_version(&key(), version, change, now).await, Ok(Changed::Done));
}

async fn read_scale(backend: &Backend, now: Timestamp) -> Option<Calibrator> {
    read_scale_of(backend, &key(), now).await
}

async fn read_scale_of(backend: &Backend, key: &str, now: Timestamp) -> Option<Calibrator> {
    Calibrator::from_bytes(backend.store.get_record(key, now).await.expect(backend.name).fields.get("k")?)
}

/// Sixty days of a pool up to `end`, for which each cell of the shipped score is rarer by `ratio` than the one below it. For the shipped scale
/// the ratio is 0.79; for a smaller one the pool's own scale is higher.
fn scores_that_fall_by(ratio: f64, end: Timestamp) -> Calibrator {
    let mut calibrator = Calibrator::new(None);
    for day in (0..60).rev() {
        let groups = [Basis::NoHistory, Basis::OneDay, Basis::Established, Basis::NoContext]
            .into_iter()
            .flat_map(|basis| [None, Country::parse("NO"), Country::parse("VN")].map(|country| Group { basis, country }));
        let cells = groups.flat_map(|group| (0..20_u8).map(move |cell| SuccessCell { group, cell }));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
        let counted = cells.map(|cell| (cell, (2_000.0 * ratio.powi(cell.cell.into())) as u64));
        calibrator.take_up(end.as_second() - day * DAY - 7_200, counted, []);
    }
    calibrator
}

/// A pool whose own scale is much higher than the shipped one.
fn low_scores(end: Timestamp) -> Calibrator {
    scores_that_fall_by(0.65, end)
}

fn causes(assessment: &Assessment) -> Vec<(StorePart, FailureReason)> {
    assessment.decision.score.signals.evidence.history.unread.iter().collect()
}

fn source(assessment: &Assessment) -> CalibrationSource {
    assessment.decision.score.calibration.source
}

#[test]
fn a_stored_scale_is_the_one_that_was_written_and_damage_is_found() {
    let calibrator = low_scores(at(40, "12:00:00"));
    let bytes = calibrator.to_bytes();
    let read = Calibrator::from_bytes(&bytes).expect("a calibrator");
    assert_eq!(read.to_bytes(), bytes);
    assert!(bytes.len() < 6_144, "{}", bytes.len());
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        assert!(Calibrator::from_bytes(&damaged).is_none(), "byte {at}");
        assert!(Calibrator::from_bytes(&bytes[..at]).is_none(), "cut at {at}");
    }
    assert!(Calibrator::from_bytes(&[]).is_none());
}

#[test]
fn the_stored_form_of_the_first_version_is_read() {
    let mut calibrator = Calibrator::new(None);
    calibrator.take_up(60, [(SuccessCell { group: Group { basis: Basis::OneDay, country: None }, cell: 3 }, 5)], []);
    let bytes = calibrator.to_bytes();
    // After the curves: the first day, one group of realised counts (11 bytes) and no days.
    let mut first = bytes[..bytes.len() - 4 - 8 - 11 - 1].to_vec();
    first[0] = 1;
    let checksum = first.iter().fold(0x811c_9dc5_u32, |sum, byte| (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193));
    first.extend_from_slice(&checksum.to_be_bytes());
    assert_eq!(Calibrator::from_bytes(&first).map(|read| read.sign_ins()), Some(5));
}

#[tokio::test]
async fn promised_and_realised_rates_are_in_the_metrics_and_in_the_pool_s_status() {
    let time = at(40, "12:00:00");
    for (mode, is_observed) in [("monitor", true), ("enforce", false)] {
        for backend in fixtures::atomic().await {
            put_scale(&*backend.store, scores_that_fall_by(0.85, time).to_bytes(), time).await;
            let engine = backend.engine(&[("MODE", mode), ("DENY_AT", "47.5"), ("REVIEW_AT", "25")]);
            engine.attempt("ada", HOME, time).await;
            update(&engine, later(time, 20)).await;
            let rates = engine.health().calibration.rates();
            let of = |threshold| *rates.rates.iter().find(|rate| rate.group == "all" && rate.threshold == threshold).expect(backend.name);
            assert_eq!(of("deny").realised.is_some(), is_observed, "{} {mode}", backend.name);
            let review = of("review");
            // The counts fall more slowly than the shipped scale, so more reach the threshold than it promises.
            assert!(review.realised.is_some_and(|[share, low, high]| low < share && share < high && low > review.promised), "{mode}: {review:?}");
            assert!(engine.health().calibration.excess() > 1.0 && rates.from_shipped.abs() > 1.0, "{rates:?}");
            let statuses = engine.enricher().pools().statuses();
            let scale = statuses[0].scale.as_ref().expect("a scale");
            assert!(scale.promises().iter().any(|promises| promises.group == "country NO"));
        }
    }
}

#[test]
fn the_stored_form_of_a_pool_with_every_country_is_small() {
    let mut calibrator = Calibrator::new(None);
    let letters = || (b'A'..=b'Z').map(char::from);
    let countries: Vec<Country> = letters().flat_map(|a| letters().filter_map(move |b| Country::parse(&format!("{a}{b}")))).collect();
    for day in 0..3 {
        let cells = countries.iter().flat_map(|country| {
            let group = Group { basis: Basis::Established, country: Some(*country) };
            (0..CELLS).map(move |cell| (SuccessCell { group, cell: u8::try_from(cell).unwrap() }, 1))
        });
        calibrator.take_up(day * DAY, cells, []);
    }
    let bytes = calibrator.to_bytes();
    assert!(countries.len() > 200 && bytes.len() < 65_536, "{}", bytes.len());
    assert!(Calibrator::from_bytes(&bytes).is_some());
}

#[test]
fn a_minute_is_counted_once() {
    let cell = SuccessCell { group: Group { basis: Basis::OneDay, country: Country::parse("NO") }, cell: 3 };
    let mut calibrator = Calibrator::new(None);
    for at in [60, 120, 120, 60] {
        calibrator.take_up(at, [(cell, 2)], []);
    }
    assert_eq!(calibrator.sign_ins(), 4);
}

#[test]
fn names_of_counters_are_read_back() {
    for basis in [Basis::NoHistory, Basis::OneDay, Basis::Established, Basis::NoContext] {
        for country in [None, Country::parse("SE")] {
            let cell = SuccessCell { group: Group { basis, country }, cell: 39 };
            assert_eq!(SuccessCell::from_counter(&cell.to_counter()), Some(cell));
            assert_eq!(SuccessCell::from_bytes(cell.to_bytes()), Some(cell));
        }
    }
    for name in ["k", "k3SE", "k3SE40", "k9SE01", "k3??01", "a", "k3é01", "k3SE-1"] {
        assert_eq!(SuccessCell::from_counter(name), None, "{name}");
    }
}

#[tokio::test]
async fn each_user_s_first_success_of_a_day_is_counted_in_every_store() {
    for backend in fixtures::atomic().await {
        let (one, two) = (backend.engine(AUTO), backend.engine(AUTO));
        for day in 0..2 {
            let time = at(day, "07:00:00");
            one.sign_in("ada", HOME, time).await;
            two.sign_in("bob", HOME, later(time, 5)).await;
            // The second of the day is not counted.
            two.sign_in("ada", HOME, later(time, 10)).await;
            for engine in [&one, &two] {
                update(engine, later(time, 20)).await;
            }
            for engine in [&one, &two, &one] {
                update(engine, later(time, 90)).await;
            }
        }
        let now = later(at(1, "07:00:00"), 90);
        assert_eq!(read_scale(&backend, now).await.map(|scale| scale.sign_ins()), Some(4), "{}", backend.name);
        let restarted = backend.engine(AUTO);
        let assessment = restarted.attempt("ada", HOME, later(now, 5)).await;
        let scale = assessment.decision.score.calibration;
        assert_eq!((scale.sign_ins, scale.source), (4, CalibrationSource::Pool), "{}", backend.name);
    }
}

#[tokio::test]
async fn a_success_that_is_labelled_fraud_is_taken_back_once() {
    for backend in fixtures::atomic().await {
        let engine = backend.engine(&[]);
        let time = at(0, "07:00:00");
        let report = async |id: &str, outcome, seconds| outcome_reports::report(&engine, id, outcome, later(time, seconds)).await.expect(backend.name);
        let (ada, bob) = (outcome_reports::assess(&engine, "ada", time).await, outcome_reports::assess(&engine, "bob", time).await);
        for assessment in [&ada, &bob] {
            assert!(report(&assessment.id, ReportedOutcome::Success, 1).await.is_some());
        }
        // A second success of the day is not counted, so its label takes nothing back.
        let again = outcome_reports::assess(&engine, "bob", later(time, 10)).await;
        assert!(report(&again.id, ReportedOutcome::Success, 11).await.is_some());
        update(&engine, later(time, 20)).await;
        update(&engine, later(time, 90)).await;
        let scale = read_scale_of(&backend, &key_of(""), later(time, 90)).await;
        assert_eq!(scale.map(|scale| scale.sign_ins()), Some(2), "{}", backend.name);
        assert!(report(&again.id, ReportedOutcome::Fraud, 100).await.is_some());
        assert!(report(&ada.id, ReportedOutcome::Fraud, 100).await.is_some());
        assert_eq!(report(&ada.id, ReportedOutcome::Fraud, 101).await, None, "{}: a label is taken once", backend.name);
        assert!(report(&bob.id, ReportedOutcome::NotFraud, 100).await.is_some());
        assert_eq!(report(&bob.id, ReportedOutcome::ChallengePassed, 102).await, None);
        update(&engine, later(time, 110)).await;
        update(&engine, later(time, 190)).await;
        let scale = read_scale_of(&backend, &key_of(""), later(time, 190)).await.expect("a scale");
        assert_eq!(scale.sign_ins(), 1, "{}", backend.name);
        let thresholds = Thresholds::new(&riskgate_engine::settings::DecisionConfig::default());
        assert!((scale.promises(&thresholds)[0].sign_ins - 1.0).abs() < 0.01, "{}", backend.name);
    }
}

#[test]
fn no_more_is_taken_back_than_was_counted() {
    let cell = SuccessCell { group: Group { basis: Basis::OneDay, country: Country::parse("NO") }, cell: 3 };
    let other = SuccessCell { cell: 4, ..cell };
    let mut calibrator = Calibrator::new(None);
    calibrator.take_up(60, [(cell, 5), (other, 5)], [(cell, 1_000)]);
    let thresholds = Thresholds::new(&riskgate_engine::settings::DecisionConfig::default());
    assert!((calibrator.promises(&thresholds)[0].sign_ins - 5.0).abs() < 1e-9);
    calibrator.take_up(120, [], [(SuccessCell { group: Group { basis: Basis::NoContext, country: None }, cell: 1 }, 3)]);
    assert!((calibrator.promises(&thresholds)[0].sign_ins - 5.0).abs() < 1e-9);
}

#[tokio::test]
async fn failures_and_denied_sign_ins_are_not_counted() {
    let backend = fixtures::memory();
    let engine = backend.engine(&[("DENY_AT", "0"), ("REVIEW_AT", "0")]);
    let time = at(0, "07:00:00");
    engine.attempt("ada", HOME, time).await;
    update(&engine, later(time, 1)).await;
    update(&engine, later(time, 90)).await;
    assert_eq!(read_scale(&backend, later(time, 90)).await.map(|scale| scale.sign_ins()), Some(0));
    let shipped = fixtures::memory();
    let engine = shipped.engine(&[("CALIBRATION", "shipped")]);
    engine.sign_in("ada", HOME, time).await;
    update(&engine, later(time, 1)).await;
    update(&engine, later(time, 90)).await;
    assert!(read_scale(&shipped, later(time, 90)).await.is_none(), "nothing is counted");
}

#[tokio::test]
async fn the_pool_s_scale_is_in_force_only_with_auto() {
    let time = at(40, "12:00:00");
    for (mode, expected) in [("auto", CalibrationSource::Pool), ("propose", CalibrationSource::Shipped), ("shipped", CalibrationSource::Shipped)] {
        let backend = fixtures::memory();
        put_scale(&*backend.store, low_scores(time).to_bytes(), time).await;
        let engine = backend.engine(&[("CALIBRATION", mode)]);
        let assessment = engine.attempt("ada", AFAR, time).await;
        let score = &assessment.decision.score;
        assert_eq!((source(&assessment), causes(&assessment)), (expected, vec![]), "{mode}");
        match mode {
            "auto" => assert!(score.value > score.shipped && score.on_pool_scale == Some(score.value), "{} {}", score.value, score.shipped),
            "propose" => assert!(score.on_pool_scale > Some(score.value) && score.value.to_bits() == score.shipped.to_bits()),
            _ => assert_eq!(score.on_pool_scale, None),
        }
    }
}

#[tokio::test]
async fn a_damaged_scale_is_reported_and_replaced() {
    for backend in fixtures::atomic().await {
        let (engine, proposing) = (backend.engine(AUTO), backend.engine(&[]));
        let time = at(40, "12:00:00");
        let mut bytes = low_scores(time).to_bytes();
        bytes[9] ^= 1;
        put_scale(&*backend.store, bytes, time).await;
        let assessment = engine.attempt("ada", HOME, time).await;
        let unread = vec![(StorePart::Calibration, FailureReason::BadAnswer)];
        assert_eq!((source(&assessment), causes(&assessment)), (CalibrationSource::Shipped, unread), "{}", backend.name);
        assert!(assessment.decision.is_degraded());
        let shown = proposing.attempt("bob", HOME, time).await;
        assert_eq!((source(&shown), causes(&shown)), (CalibrationSource::Shipped, vec![]), "the scale is only shown, so no decision lacks it");
        for engine in [&engine, &proposing] {
            update(engine, later(time, 10)).await;
            assert!(engine.health().store.is_failing(StorePart::Calibration), "{}", backend.name);
        }
        update(&engine, later(time, 90)).await;
        assert!(read_scale(&backend, later(time, 90)).await.is_some(), "it is replaced when a minute is taken up");
        update(&engine, later(time, 101)).await;
        assert!(!engine.health().store.is_failing(StorePart::Calibration));
        assert_eq!(causes(&engine.attempt("ada", HOME, later(time, 102)).await), []);
    }
}

/// The owner's score after five days, with or without half an hour of wrong passwords from elsewhere.
async fn owner(mode: &str, is_attacked: bool) -> Assessment {
    let time = at(40, "12:00:00");
    let backend = fixtures::memory();
    // The history is learned on the shipped scale, where her first sign-in is not challenged.
    let before = backend.engine(&[("CHALLENGE_AT", "60"), ("CALIBRATION", "shipped")]);
    for day in (1..6).rev() {
        before.sign_in("ada", HOME, later(time, -day * DAY)).await;
    }
    put_scale(&*backend.store, low_scores(time).to_bytes(), time).await;
    let engine = backend.engine(&[("CHALLENGE_AT", "60"), ("CALIBRATION", mode)]);
    for number in 0..if is_attacked { 20 } else { 0 } {
        engine.attempt("ada", AFAR, later(time, number * 5)).await;
    }
    engine.attempt("ada", HOME, later(time, 120)).await
}

#[tokio::test]
async fn failed_attempts_stop_nobody_on_a_raised_scale() {
    let [shipped, shipped_attacked] = [owner("shipped", false).await, owner("shipped", true).await];
    let [pool, pool_attacked] = [owner("auto", false).await, owner("auto", true).await];
    assert_eq!((source(&pool), source(&pool_attacked)), (CalibrationSource::Pool, CalibrationSource::Pool));
    let scores = [&shipped, &shipped_attacked, &pool, &pool_attacked].map(|assessment| assessment.decision.score.value);
    println!("shipped, attacked, on the raised scale, attacked there: {scores:?}");
    assert!(scores[1] > scores[0] && scores[3] > scores[2] && scores[3] < 60.0, "{scores:?}");
}
