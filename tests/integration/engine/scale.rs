//! Scores on the scale of a pool: what third parties do to an account is bounded there too.

use std::sync::LazyLock;

use jiff::SignedDuration;
use proptest::prelude::*;
use riskgate_calibration::{Calibrator, Group, PoolScale, SuccessCell, Thresholds, group::Basis};
use riskgate_config::Config;
use riskgate_engine::{
    context::Country,
    evaluator::Evaluator,
    evidence::{Evidence, history::AttackWave},
    network_facts::Location,
    profile::SignInLocation,
    score::{
        model::Model,
        scale::{CalibrationSource, ScoreScale},
    },
    settings::{DecisionConfig, PerClient},
};

use super::familiarity::{Case, case};

const DAY: i64 = 86_400;

/// What third parties do to an account.
#[derive(Debug, Clone)]
struct ThirdParties {
    failures: u32,
    is_elsewhere: bool,
    wave: Option<f64>,
}

/// The scale of a pool, for sixty days of which each cell of the shipped score was rarer by `ratio` than the one below it. For the shipped scale
/// the ratio is 0.79.
fn scale(ratio: f64) -> PoolScale {
    let mut calibrator = Calibrator::new(None);
    for day in 0..60 {
        let groups = [Basis::NoHistory, Basis::OneDay, Basis::Established, Basis::NoContext]
            .into_iter()
            .flat_map(|basis| [None, Country::parse("NO"), Country::parse("JP")].map(|country| Group { basis, country }));
        let cells = groups.flat_map(|group| (0..20_u8).map(move |cell| SuccessCell { group, cell }));
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a few thousand")]
        calibrator.take_up(day * DAY, cells.map(|cell| (cell, (2_000.0 * ratio.powi(cell.cell.into())) as u64)), []);
    }
    PoolScale::new(&calibrator, CalibrationSource::Pool, &Thresholds::new(&DecisionConfig::default()))
}

static SCALES: LazyLock<Vec<PoolScale>> = LazyLock::new(|| [0.3, 0.5, 0.6, 0.7, 0.79, 0.9, 0.97].into_iter().map(scale).collect());

/// Evaluators with the lowest score that is stopped.
static EVALUATORS: LazyLock<[(Evaluator, f64); 2]> = LazyLock::new(|| {
    [None, Some(52.0)].map(|challenge_at| {
        let mut config = Config::defaults();
        config.decision.challenge_at = PerClient::all(challenge_at);
        let model = Model::bundled(config.history.model_config());
        (Evaluator::new(&config.decision, model), config.decision.lowest_stop_threshold())
    })
});

fn evidence(case: &Case, third_parties: Option<&ThirdParties>) -> Box<Evidence> {
    let mut evidence = Case::evidence(case);
    evidence.history.velocity.account_failures = 0;
    evidence.networks.location = Some(Location { latitude: 40.0, longitude: 10.5, radius_km: 10.0 });
    if let Some(ThirdParties { failures, is_elsewhere, wave }) = third_parties {
        evidence.history.velocity.account_failures = *failures;
        let at = evidence.sign_in.at.timestamp() - SignedDuration::from_secs(60);
        let location = Some(Location { latitude: 21.0, longitude: 105.5, radius_km: 10.0 });
        evidence.history.concurrent.extend(is_elsewhere.then_some(SignInLocation { at, location, anonymous: false }));
        evidence.history.attack_wave = wave.map(|ln_ratio| AttackWave { ln_ratio, cells: "AS64500".into() });
    }
    evidence
}

prop_compose! {
    fn third_parties()(failures in 0_u32..40, is_elsewhere: bool, wave in proptest::option::of(0.0..10.0_f64)) -> ThirdParties {
        ThirdParties { failures, is_elsewhere, wave }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    /// From the lowest score that is stopped on, a threshold is reached because of third parties only if it is on the shipped scale too.
    #[test]
    fn third_parties_stop_nobody_whom_they_do_not_stop_on_the_shipped_scale(
        case in case(), third_parties in third_parties(), scale in 0_usize..7, evaluator in 0_usize..2
    ) {
        let (scale, (evaluator, stop)) = (&SCALES[scale], &EVALUATORS[evaluator]);
        let without = evaluator.evaluate_on_scale(evidence(&case, None), Some(scale)).score;
        let shipped = evaluator.evaluate(evidence(&case, Some(&third_parties))).score;
        let with = evaluator.evaluate_on_scale(evidence(&case, Some(&third_parties)), Some(scale)).score;
        prop_assert_eq!(with.shipped.to_bits(), shipped.value.to_bits());
        prop_assert!((with.without_third_parties - without.shipped).abs() < 0.11, "{} {}", with.without_third_parties, without.shipped);
        // Rounding may differ by a tenth on the shipped scale.
        let own = scale.calibrate(&without.signals, without.shipped + 0.1);
        let highest = own.max(shipped.value).max(stop - 1.0) + 0.05;
        prop_assert!(with.value <= highest, "{} above {highest}: {} without, {} shipped", with.value, without.value, shipped.value);
    }
}

/// The bound is needed: with the scale alone, failed attempts would stop someone whom they do not stop on the shipped scale.
#[test]
fn the_bound_on_third_parties_applies_on_the_scale_of_the_pool() {
    let (evaluator, stop) = &EVALUATORS[0];
    let scale = &SCALES[1];
    let attacked = ThirdParties { failures: 20, is_elsewhere: false, wave: None };
    let with = evaluator.evaluate_on_scale(evidence(&Case::plain(false), Some(&attacked)), Some(scale)).score;
    let unbounded = scale.calibrate(&with.signals, with.shipped);
    assert!(with.shipped < *stop && with.value < *stop && unbounded > *stop, "{} {} {unbounded}", with.shipped, with.value);
}
