//! Attacks on the pool of a synthetic log: detected, weighed, and told from surges.

use riskgate_config::Config;
use riskgate_engine::{evaluator::Evaluator, score::model::Model};
use riskgate_lab::{attacks::AttackReport, pass::Pass};
use riskgate_runtime::clock;
use riskgate_synth::{Preset, Synth, SynthConfig, row::write_rows};

use crate::lab::replay::run;

/// Replays a log of 1,500 people with these campaigns and surges. Returns the report of attacks, and the sum of the scores of campaigns.
fn replay(campaigns: &[&str], surges: &[&str], with_wave: bool) -> (AttackReport, f64) {
    let synth = Synth::new(SynthConfig { users: 1_500, seed: 21, preset: Preset::RBA, attacks: 0.0, from: 1_580_688_000 });
    let synth = campaigns.iter().fold(synth, |synth, text| synth.with_campaign(text.parse().unwrap()));
    let synth = surges.iter().fold(synth, |synth, text| synth.with_surge(text.parse().unwrap()));
    let folder = tempfile::tempdir().unwrap();
    let (log, scores) = (folder.path().join("log.csv"), folder.path().join("scores"));
    write_rows(synth, &mut std::io::BufWriter::new(std::fs::File::create(&log).unwrap())).unwrap();
    let config = Config::defaults();
    let evaluator = Evaluator::new(&config.decision, Model::bundled(config.history.model_config()));
    let mut pass = Pass::new(&config, evaluator, clock::read().mono).with_scores_output(Box::new(std::fs::File::create(&scores).unwrap()));
    if with_wave {
        pass = pass.with_attack_wave();
    }
    run(&[log], &[], 0).replay(&mut pass, |_, _| {}).unwrap();
    let report = std::mem::take(&mut pass.attacks).into_report();
    let lines = std::fs::read_to_string(scores).unwrap();
    let of_campaigns = lines.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()).filter(|line| line["label"] == "botnet");
    (report, of_campaigns.map(|line| line["score"].as_f64().unwrap()).sum())
}

#[test]
fn a_campaign_is_detected_and_only_its_sign_ins_score_higher_with_it() {
    let campaign = ["botnet,attempts=300,over=1h,start=150d"];
    let (report, without) = replay(&campaign, &[], false);
    assert_eq!(report.campaigns.len(), 1);
    assert_eq!(report.campaigns[0].attempts, 300);
    assert!(report.campaigns[0].detected_after.is_some_and(|after| after < 600), "{:?}", report.campaigns);
    let period = report.periods.iter().find(|period| !period.is_false_alarm).expect("an attack");
    assert!(period.attempts >= 250 && period.accounts >= 150 && period.networks >= 50 && !period.cells.is_empty(), "{period:?}");
    let (same, with) = replay(&campaign, &[], true);
    assert_eq!(serde_json::to_value(&same.campaigns).unwrap(), serde_json::to_value(&report.campaigns).unwrap());
    assert!(with > without * 1.05, "{without} without, {with} with");
}

#[test]
fn surges_of_the_users_are_no_attack() {
    let (report, _) = replay(&[], &["email,start=100d,share=0.1", "monday,start=120d,share=0.1", "outage,start=140d,share=0.05", "release,start=160d"], false);
    assert_eq!(report.surges.len(), 4, "{:?}", report.surges);
    let in_surges = |period: &&riskgate_lab::attacks::AttackPeriod| {
        let day = (period.since.as_second() - 1_580_688_000) / 86_400;
        (100..104).contains(&day) || (120..128).contains(&day) || day == 140 || (160..168).contains(&day)
    };
    assert_eq!(report.periods.iter().filter(in_surges).count(), 0, "{:?}", report.periods);
}
