//! Calibration on a pool's own traffic: the curve, its bounds, groups, and what a replay reports.

use proptest::prelude::*;
use riskgate_calibration::{
    Calibrator, Counts, Curve, Group, Rate, SuccessCell, Thresholds,
    calibrator::{FIRST_DAYS, MAX_ABOVE_PARENT, MAX_FIRST_RISE_PER_DAY, MAX_MOVE_PER_DAY},
    counts::{CELLS, cell},
    group::Basis,
    promise::{Threshold, promised_share},
};
use riskgate_config::Config;
use riskgate_engine::{
    context::Country,
    evaluator::Evaluator,
    score::{model::Model, scale::CalibrationSource},
};
use riskgate_lab::{
    pass::Pass,
    promises::{PromiseCheck, write_table},
    rows::{RecordReader, columns::Columns},
};
use riskgate_runtime::clock;
use riskgate_synth::{Preset, SynthConfig};

const DAY: i64 = 86_400;

fn group(country: &str) -> Group {
    Group { basis: Basis::Established, country: Country::parse(country) }
}

/// Shipped scores of a population whose share at or above a score is `factor` times the promised one, evenly over its quantiles.
fn scores(factor: f64, count: u32) -> impl Iterator<Item = f64> {
    (0..count).map(move |n| (-25.0 * ((f64::from(n) + 0.5) / f64::from(count) / factor).min(1.0).log10()).clamp(0.0, 100.0))
}

/// Lets a population sign in for some days, each day with all quantiles.
fn sign_in_for(calibrator: &mut Calibrator, group: Group, days: std::ops::Range<i64>, each_day: &[f64]) {
    for day in days {
        calibrator.advance(day * DAY);
        each_day.iter().for_each(|score| calibrator.add_success(group, *score, None));
    }
}

/// The share of a population at or above a calibrated score.
fn realised(calibrator: &Calibrator, group: Group, population: &[f64], score: f64) -> f64 {
    let above = population.iter().filter(|shipped| calibrator.score(group, **shipped) >= score).count();
    f64::from(u32::try_from(above).unwrap()) / f64::from(u32::try_from(population.len()).unwrap())
}

#[test]
fn without_counts_every_score_stays_as_it_is() {
    let curve = Curve::blend(&Curve::shipped(), &[0.0; CELLS], CELLS);
    for tenth in 0..=1000 {
        let score = f64::from(tenth) / 10.0;
        assert!((curve.score(score) - score).abs() < 1e-9, "{score} becomes {}", curve.score(score));
        assert!((Calibrator::new(None).score(group("NO"), score) - score).abs() < 1e-9);
    }
}

#[test]
fn a_curve_rises_whatever_was_counted() {
    let mut counts = [0.0; CELLS];
    let mut seed = 7_u64;
    for _ in 0..200 {
        for count in &mut counts {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            *count = if seed >> 62 == 0 { 0.0 } else { f64::from(u32::try_from(seed >> 44).unwrap() % 3_000) };
        }
        let observed = usize::try_from(seed >> 58).unwrap().min(CELLS);
        let curve = Curve::blend(&Curve::shipped(), &counts, observed);
        let scores: Vec<f64> = (0..=1000).map(|tenth| curve.score(f64::from(tenth) / 10.0)).collect();
        assert!(scores.is_sorted(), "{counts:?}");
        assert!((0.0..=100.0).contains(&scores[0]) && (0.0..=100.0).contains(&scores[1000]));
    }
}

#[test]
fn a_scale_that_is_too_strict_or_too_lax_is_corrected() {
    for factor in [0.1, 3.0] {
        let mut calibrator = Calibrator::new(None);
        let each_day: Vec<f64> = scores(factor, 1_000).collect();
        sign_in_for(&mut calibrator, group("NO"), 0..60, &each_day);
        let population: Vec<f64> = scores(factor, 200_000).collect();
        for (score, promised) in [(50.0, 0.01), (75.0, 0.001)] {
            let share = realised(&calibrator, group("NO"), &population, score);
            assert!((promised / 2.0..promised * 2.0).contains(&share), "{factor}: {share} at {score}");
        }
    }
}

#[test]
fn a_promise_holds_on_average_from_few_sign_ins() {
    // The expected rate of a conformal p-value is at most the promised one, from the first sign-in on.
    for count in [50_u32, 200, 1_000] {
        let mut counts = [0.0; CELLS];
        scores(1.0, count).for_each(|score| counts[riskgate_calibration::counts::cell(score)] += 1.0);
        let curve = Curve::blend(&Curve::shipped(), &counts, CELLS);
        for shipped in [20.0, 30.0, 40.0, 50.0] {
            assert!(curve.score(shipped) <= shipped + 0.5, "{count}: {shipped} becomes {}", curve.score(shipped));
        }
    }
}

#[test]
fn small_groups_follow_their_parent() {
    let mut calibrator = Calibrator::new(None);
    let each_day: Vec<f64> = scores(0.2, 1_000).collect();
    for day in 0..40 {
        calibrator.advance(day * DAY);
        each_day.iter().for_each(|score| calibrator.add_success(group("NO"), *score, None));
        calibrator.add_success(group("SE"), 0.0, None);
    }
    let (large, small, none) = (calibrator.score(group("NO"), 40.0), calibrator.score(group("SE"), 40.0), calibrator.score(group("FI"), 40.0));
    assert!(large > 50.0 && (small - large).abs() < 10.0 && (none - large).abs() < 3.0, "{large} {small} {none}");
}

#[test]
fn stopped_sign_ins_leave_the_shipped_slope_above_the_stop() {
    let mut calibrator = Calibrator::new(Some(60.0));
    for day in 0..60 {
        calibrator.advance(day * DAY);
        for score in scores(1.0, 2_000) {
            if calibrator.is_observed(group("NO"), score) {
                calibrator.add_success(group("NO"), score, None);
            }
        }
    }
    // The counts end at the stop, but the scale does not: 70 and 80 are as far apart as they were shipped.
    let [at50, at70, at80] = [50.0, 70.0, 80.0].map(|score| calibrator.score(group("NO"), score));
    assert!((at80 - at70 - 10.0).abs() < 1e-6, "{at70} {at80}");
    assert!((at50 - 50.0).abs() < 2.0 && (at80 - 80.0).abs() < 4.0, "{at50} {at80}");
    assert!(!calibrator.is_observed(group("NO"), 75.0) && calibrator.is_observed(group("NO"), 40.0));
}

#[test]
fn scores_move_within_a_bound_per_day() {
    let mut calibrator = Calibrator::new(None);
    let each_day = vec![95.0; 10_000];
    sign_in_for(&mut calibrator, group("NO"), 0..11, &each_day);
    assert!(calibrator.score(group("NO"), 95.0) >= 95.0 - 10.0 * MAX_MOVE_PER_DAY - 1e-9);
    let mut calibrator = Calibrator::new(None);
    let each_day = vec![0.0; 10_000];
    sign_in_for(&mut calibrator, group("NO"), 0..5, &each_day);
    let raised = calibrator.score(group("NO"), 20.0);
    assert!(raised > 20.0 && raised <= 20.0 + 4.0 * MAX_FIRST_RISE_PER_DAY + 1e-9, "{raised}");
    // Later, scores rise as slowly as they fall.
    let mut calibrator = Calibrator::new(None);
    sign_in_for(&mut calibrator, group("NO"), 0..80, &scores(1.0, 1_000).collect::<Vec<_>>());
    let before = calibrator.score(group("NO"), 50.0);
    sign_in_for(&mut calibrator, group("NO"), 80..91, &each_day);
    let after = calibrator.score(group("NO"), 50.0);
    assert!(after > before && after <= before + 11.0 * MAX_MOVE_PER_DAY + 1e-9, "{before} {after}");
}

#[test]
fn accounts_in_a_small_country_raise_its_scores_at_most_ten_points_above_the_others() {
    let each_day: Vec<f64> = scores(1.0, 1_000).collect();
    let mut calibrator = Calibrator::new(None);
    for day in 0..FIRST_DAYS {
        sign_in_for(&mut calibrator, group("NO"), day..day + 1, &each_day);
        // A thousand accounts fill the country with usual sign-ins, so its people seem unusual.
        (0..1_000).for_each(|_| calibrator.add_success(group("IS"), 0.0, None));
        calibrator.add_success(group("IS"), 40.0, None);
    }
    for shipped in [20.0, 40.0, 50.0, 65.0, 80.0] {
        let (country, others) = (calibrator.score(group("IS"), shipped), calibrator.score(group("FI"), shipped));
        assert!(country > others && country <= others + MAX_ABOVE_PARENT + 1e-9, "{shipped}: {country} {others}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn whoever_fills_the_counts_for_a_month_moves_no_rate_by_more_than_a_half(
        factor in 0.05..3.0_f64,
        country in prop::sample::select(vec!["NO", "SE", "IS", "VN"]),
        basis in prop::sample::select(vec![Basis::NoHistory, Basis::OneDay, Basis::Established, Basis::NoContext]),
        filled in 0.0..100.0_f64,
        stopped_from in prop::option::of(60.0..90.0_f64),
        source in prop::sample::select(vec![CalibrationSource::Pool, CalibrationSource::Shipped]),
    ) {
        let mut calibrator = Calibrator::default().with_stop(stopped_from, source);
        let populations = [("NO", 150), ("SE", 40), ("IS", 2)].map(|(country, count)| (group(country), scores(factor, count).collect::<Vec<f64>>()));
        let a_day = |calibrator: &mut Calibrator, day: i64| {
            calibrator.advance(day * DAY);
            for (group, scores) in &populations {
                for score in scores {
                    if calibrator.is_observed(*group, *score) {
                        calibrator.add_success(*group, *score, None);
                    }
                }
            }
        };
        for day in 0..90 {
            a_day(&mut calibrator, day);
        }
        let before = calibrator.clone();
        let attacked = Group { basis, country: Country::parse(country) };
        for day in 90..120 {
            a_day(&mut calibrator, day);
            (0..1_000).filter(|_| calibrator.is_observed(attacked, filled)).collect::<Vec<i32>>().iter().for_each(|_| calibrator.add_success(attacked, filled, None));
        }
        let groups = [group("NO"), group("SE"), group("IS"), attacked, Group { country: None, ..attacked }, group("FI")];
        for group in groups {
            for tenth in 0..=1_000 {
                let shipped = f64::from(tenth) / 10.0;
                let moved = calibrator.score(group, shipped) - before.score(group, shipped);
                // A factor of the share is 25 points per power of ten.
                prop_assert!(10_f64.powf(moved.abs() / 25.0) < 1.5, "{group:?} {shipped}: {moved} points");
            }
        }
    }
}

#[test]
fn colluding_accounts_move_little_in_a_month() {
    // 50,000 users with 1,700 sign-ins a day; 1,000 accounts have successes with unusual values every day.
    let each_day: Vec<f64> = scores(1.0, 1_700).collect();
    let mut calm = Calibrator::new(None);
    sign_in_for(&mut calm, group("NO"), 0..90, &each_day);
    let mut poisoned = calm.clone();
    sign_in_for(&mut calm, group("NO"), 90..120, &each_day);
    for day in 90..120 {
        poisoned.advance(day * DAY);
        each_day.iter().for_each(|score| poisoned.add_success(group("NO"), *score, None));
        (0..1_000).for_each(|_| poisoned.add_success(group("NO"), 85.0, Some(1)));
        // Further sign-ins on the same day do not count.
        (0..50_000).for_each(|_| poisoned.add_success(group("NO"), 85.0, Some(0)));
    }
    for shipped in [50.0, 65.0, 80.0, 90.0] {
        let (before, after) = (calm.score(group("NO"), shipped), poisoned.score(group("NO"), shipped));
        assert!((before - after).abs() <= 10.0 && 10_f64.powf((before - after).abs() / 25.0) < 1.5, "{shipped}: {before} becomes {after}");
    }
}

#[test]
fn a_proposed_scale_knows_that_sign_ins_are_stopped_on_the_shipped_one() {
    // Twice as many of these sign-ins are above each score as shipped, so a score of 65 would be lower on the pool's scale.
    let mut calibrator = Calibrator::default().with_stop(Some(65.0), CalibrationSource::Shipped);
    for day in 0..90 {
        calibrator.advance(day * DAY);
        for score in scores(2.0, 4_000).filter(|score| *score < 65.0) {
            calibrator.add_success(group("NO"), score, None);
        }
    }
    let [at50, at60, at70, at80] = [50.0, 60.0, 70.0, 80.0].map(|score| calibrator.score(group("NO"), score));
    let lower = 25.0 * 2_f64.log10();
    assert!((at50 - (50.0 - lower)).abs() < 2.0 && (at60 - (60.0 - lower)).abs() < 4.0, "{at50} {at60}");
    assert!((at80 - at70 - 10.0).abs() < 1e-6, "{at70} {at80}");
    assert!(!calibrator.is_observed(group("NO"), 66.0) && calibrator.is_observed(group("NO"), 64.0));
}

const THRESHOLDS: Thresholds = Thresholds { review: 50.0, challenge: None, deny: 80.0, stopped_from: None };

/// Days of a population whose share at or above a score is `factor` times the promised one, as they are taken up live.
fn take_up_for(calibrator: &mut Calibrator, days: std::ops::Range<i64>, factor: f64) {
    let each_day: Vec<f64> = scores(factor, 4_000).collect();
    for day in days {
        let cells = each_day.iter().map(|score| (SuccessCell { group: group("NO"), cell: u8::try_from(cell(*score)).unwrap() }, 1));
        calibrator.take_up(day * DAY + 3_600, cells, []);
    }
}

fn realised_at(calibrator: &Calibrator, group: &str, threshold: Threshold, thresholds: &Thresholds) -> Option<Rate> {
    let groups = calibrator.promises(thresholds);
    let promises = &groups.iter().find(|promises| promises.group == group).unwrap_or_else(|| panic!("no {group} in {groups:?}")).promises;
    promises.iter().find(|promise| promise.threshold == threshold).unwrap().realised
}

#[test]
fn promises_are_compared_with_the_scores_on_the_scale_in_force() {
    for (source, expected) in [(CalibrationSource::Shipped, 0.002), (CalibrationSource::Pool, 0.01)] {
        let mut calibrator = Calibrator::default().with_stop(None, source);
        take_up_for(&mut calibrator, 0..120, 0.2);
        for name in ["all", "established", "country NO"] {
            let rate = realised_at(&calibrator, name, Threshold::Review, &THRESHOLDS).expect("a rate");
            assert!((expected / 1.5..expected * 1.5).contains(&rate.share), "{source:?} {name}: {rate:?}");
            assert!(rate.low < rate.share && rate.share < rate.high);
        }
        assert!(calibrator.promises(&THRESHOLDS).iter().all(|promises| promises.group != "no_history"), "a group without sign-ins is not listed");
    }
}

#[test]
fn what_is_stopped_is_not_observed_and_the_rest_is_compared_with_the_rest() {
    let thresholds = Thresholds { stopped_from: Some(80.0), ..THRESHOLDS };
    let mut calibrator = Calibrator::default().with_stop(Some(80.0), CalibrationSource::Shipped);
    take_up_for(&mut calibrator, 0..60, 1.0);
    assert_eq!(realised_at(&calibrator, "all", Threshold::Deny, &thresholds), None);
    let rate = realised_at(&calibrator, "all", Threshold::Review, &thresholds).expect("a rate");
    let promised = promised_share(50.0, Some(80.0));
    assert!((promised - (0.01 - 0.000_631) / (1.0 - 0.000_631)).abs() < 1e-5 && rate.overlaps(promised, 1.05), "{rate:?}");
    // The same counts in monitor mode.
    assert!(realised_at(&calibrator, "all", Threshold::Deny, &THRESHOLDS).is_some());
}

#[test]
fn a_threshold_within_a_cell_is_between_its_edges() {
    let mut calibrator = Calibrator::default().with_stop(None, CalibrationSource::Shipped);
    take_up_for(&mut calibrator, 0..10, 1.0);
    let [at50, within, above] = [50.0, 51.0, 52.5].map(|review| {
        let thresholds = Thresholds { review, ..THRESHOLDS };
        realised_at(&calibrator, "all", Threshold::Review, &thresholds).unwrap().share
    });
    assert!(at50 > within && within > above, "{at50} {within} {above}");
}

#[test]
fn drift_is_measured_from_the_shipped_scale_and_from_a_week_before() {
    let mut calibrator = Calibrator::default().with_stop(None, CalibrationSource::Shipped);
    take_up_for(&mut calibrator, 0..5, 0.1);
    assert_eq!(calibrator.drift(&THRESHOLDS).from_week_before, None);
    take_up_for(&mut calibrator, 5..60, 0.1);
    let steady = calibrator.drift(&THRESHOLDS);
    assert!((15.0..30.0).contains(&steady.from_shipped), "{steady:?}");
    assert!(steady.from_week_before.is_some_and(|points| points.abs() < 1.0), "{steady:?}");
    take_up_for(&mut calibrator, 60..67, 3.0);
    let moved = calibrator.drift(&THRESHOLDS);
    assert!(moved.from_week_before.is_some_and(|points| points < -2.0), "{moved:?}");
    let read = Calibrator::from_bytes(&calibrator.to_bytes()).expect("a calibrator");
    let stored = read.drift(&THRESHOLDS);
    assert!((stored.from_shipped - moved.from_shipped).abs() < 0.02, "{stored:?} {moved:?}");
}

#[test]
fn counts_are_additive() {
    let (mut one, mut other, mut both) = (Counts::default(), Counts::default(), Counts::default());
    for (n, score) in scores(1.0, 100).enumerate() {
        both.add(group("NO"), score);
        if n % 3 == 0 { one.add(group("NO"), score) } else { other.add(group("NO"), score) }
    }
    one.merge(&other);
    assert_eq!(one, both);
}

/// Replays a synthetic log with a check of the promises.
fn check(skipped: u64, stopped_from: Option<f64>) -> PromiseCheck {
    let log = super::synth::log(SynthConfig { users: 1_500, seed: 31, preset: Preset::RBA, attacks: 0.1, from: 1_580_688_000 });
    let config = Config::defaults();
    let evaluator = Evaluator::new(&config.decision, Model::bundled(config.history.model_config()));
    let mut pass = Pass::new(&config, evaluator, clock::read().mono).with_promise_check(PromiseCheck::new(skipped, stopped_from));
    let mut reader = csv::Reader::from_reader(log.as_bytes());
    let columns = RecordReader::Csv(Box::new(Columns::from_header(reader.byte_headers().unwrap(), &[]).unwrap()));
    for record in reader.byte_records() {
        pass.process_record(&columns, &record.unwrap(), (0, 0)).unwrap();
    }
    pass.promise_check.take().unwrap()
}

#[test]
fn a_replay_compares_promises_with_rates() {
    let promises = check(1_000, None).promises();
    let all: Vec<_> = promises.iter().filter(|promise| promise.group == "all").collect();
    assert_eq!(all.iter().map(|promise| promise.score).collect::<Vec<_>>(), [50.0, 75.0, 80.0]);
    assert!(all[0].sign_ins > 4_000 && (all[0].promised - 0.01).abs() < 1e-9);
    assert!(all[0].calibrated.is_some_and(|rate| rate.keeps(0.01)), "{all:?}");
    let json = serde_json::to_value(&promises).unwrap();
    assert_eq!(json[0]["calibrated"].as_array().unwrap().len(), 3);
    let mut table = String::new();
    write_table(&promises, &mut table).unwrap();
    assert!(table.contains("| 50 | all |") && !table.contains("not observed"), "{table}");
}

#[test]
fn stopped_scores_are_not_observed() {
    let mut table = String::new();
    write_table(&check(1_000, Some(80.0)).promises(), &mut table).unwrap();
    let of = |score: &str| table.lines().find(|line| line.starts_with(&format!("| {score} | all"))).unwrap().to_owned();
    assert!(of("80").ends_with("| not observed |") && !of("75").contains("not observed"), "{table}");
}
