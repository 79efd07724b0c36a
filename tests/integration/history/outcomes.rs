//! Replay of an audit log whose later lines say how its sign-ins ended.

use std::{
    path::PathBuf,
    sync::{Arc, atomic::AtomicBool},
};

use jiff::Timestamp;
use riskgate_config::Config;
use riskgate_engine::{evaluator::Evaluator, score::model::Model};
use riskgate_lab::{counters::LogCounts, pass::Pass, run::Run};
use riskgate_runtime::clock;
use serde_json::{Value, json};

/// An id with the shape of riskgate's.
fn id(number: u64) -> String {
    format!("01JD9W1Z5Y2N8Q4T7V{number:08}")
}

fn time(second: i64) -> String {
    format!("{:.3}", Timestamp::from_second(1_767_225_600 + second).unwrap())
}

/// A decision as riskgate writes it: from home, allowed, complete.
fn decision(number: u64, second: i64, user: &str) -> Value {
    json!({"schema": 1, "time": time(second), "id": id(number), "decision": "allow", "action": "allow", "mode": "enforce", "score": 3.2, "level": "low", "degraded": null,
        "trigger": "pre_authentication", "pool": "p", "client": "web", "user": user, "net": "home", "country": "NO", "asn": 2119, "device": "phone"})
}

fn with(mut line: Value, members: Value) -> Value {
    line.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    line
}

/// What `POST /v1/outcome` leaves.
fn reported(number: u64, second: i64, outcome: &str) -> Value {
    json!({"schema": 1, "time": time(second), "trigger": "outcome", "id": id(number), "outcome": outcome, "learned": null, "pool": null, "client": null, "user": null})
}

/// What a post-authentication leaves.
fn succeeded(number: Option<u64>, second: i64, user: &str, learned: &str) -> Value {
    json!({"schema": 1, "time": time(second), "trigger": "post_authentication", "id": number.map(id), "outcome": "success", "learned": learned, "pool": "p", "client": "web", "user": user})
}

fn text(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

struct Found {
    pass: Pass,
    scores: Vec<Value>,
}

impl Found {
    /// Legitimate sign-ins, failed ones, labelled ones.
    fn ends(&self) -> [u64; 3] {
        let all = self.pass.counters.combined();
        [all.legit.total(), self.pass.counters.failures, all.pooled().0.total()]
    }
}

fn replay(log: &str) -> Found {
    let folder = tempfile::tempdir().unwrap();
    let (path, out): (PathBuf, PathBuf) = (folder.path().join("log"), folder.path().join("scores"));
    std::fs::write(&path, log).unwrap();
    let config = Config::defaults();
    let model = Model::bundled(config.history.model_config());
    let mut pass =
        Pass::new(&config, Evaluator::new(&config.decision, model), clock::read().mono).with_scores_output(Box::new(std::fs::File::create(&out).unwrap()));
    let run = Run { files: vec![path], mappings: Vec::new(), max_bad: 0, stop: Arc::new(AtomicBool::new(false)), bytes: Arc::default() };
    run.replay(&mut pass, |_, _| {}).unwrap();
    let scores = std::fs::read_to_string(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    Found { pass, scores }
}

#[track_caller]
fn check(lines: &[Value], ends: [u64; 3], log: LogCounts) {
    let found = replay(&text(lines));
    assert_eq!((found.ends(), found.pass.counters.log), (ends, log));
}

#[test]
fn outcomes_are_success_failure_and_fraud() {
    let lines = [
        decision(1, 0, "ada"),
        reported(1, 1, "success"),
        decision(2, 60, "ada"),
        reported(2, 61, "failure"),
        decision(3, 120, "ada"),
        reported(3, 121, "fraud"),
        with(decision(4, 180, "ada"), json!({"decision": "deny", "action": "deny"})),
        reported(4, 181, "not_fraud"),
    ];
    check(&lines, [2, 1, 1], LogCounts { outcomes: 4, ..LogCounts::default() });
    assert_eq!(replay(&text(&lines)).pass.counters.rows, 4, "an outcome is no row");
    // Sign-ins overtake each other while they are decided; a log out of order is another thing.
    let backward = |seconds: [i64; 3]| replay(&text(&[1, 2, 3].map(|n| decision(n, seconds[n as usize - 1], "ada")))).pass.counters.out_of_order;
    assert_eq!((backward([10, 8, 11]), backward([100, 8, 11])), (0, 1));
}

#[test]
fn attempts_without_an_outcome_failed_if_the_client_reports_successes() {
    let log = [decision(1, 0, "ada"), succeeded(Some(1), 1, "ada", "learned"), decision(2, 60, "ada"), decision(3, 5_000, "bob")];
    check(&log, [1, 2, 0], LogCounts { outcomes: 1, ..LogCounts::default() });
    // The next client's sign-ins say nothing: they pass, as before.
    let silent = with(decision(4, 5_100, "cleo"), json!({"client": "old"}));
    check(&[&log[..], &[silent]].concat(), [2, 2, 0], LogCounts { outcomes: 1, presumed: 1, ..LogCounts::default() });
    // A denied sign-in is not a success in either.
    let kept_out = |client: &str| with(decision(5, 5_200, "dan"), json!({"decision": "deny", "action": "deny", "client": client}));
    for client in ["web", "old"] {
        check(&[&log[..], &[kept_out(client)]].concat(), [1, 3, 0], LogCounts { outcomes: 1, denied_live: 1, ..LogCounts::default() });
    }
}

#[test]
fn a_silent_client_is_found_out_after_a_quarter_of_an_hour() {
    let lines: Vec<Value> = (0..100_u64).map(|n| decision(n, i64::try_from(n).unwrap() * 60, "ada")).collect();
    let found = replay(&text(&lines));
    assert_eq!((found.ends(), found.pass.counters.log.presumed), ([100, 0, 0], 100));
    // From then on each is learned at once; and one that breaks the silence is answered.
    let late = [decision(200, 6_600, "ada"), decision(201, 6_660, "ada"), succeeded(Some(201), 6_661, "ada", "learned"), decision(202, 6_720, "ada")];
    check(&[&lines[..], &late[..]].concat(), [102, 1, 0], LogCounts { outcomes: 1, unmatched: 1, presumed: 102, ..LogCounts::default() });
}

#[test]
fn a_success_that_names_only_the_person_completes_what_waits() {
    // As a function without a store writes it.
    let lines = [
        decision(1, 0, "ada"),
        succeeded(None, 1, "ada", "no_attempt"),
        decision(2, 60, "ada"),
        decision(3, 80, "ada"),
        succeeded(None, 81, "ada", "no_attempt"),
    ];
    check(&lines, [2, 1, 0], LogCounts { outcomes: 2, ..LogCounts::default() });
    // A concurrent sign-in: as live, it is not known which password was right.
    let attacker = with(decision(4, 3_000, "ada"), json!({"country": "BR", "net": "away", "device": "other"}));
    let unclear = [attacker.clone(), decision(5, 3_010, "ada"), succeeded(None, 3_011, "ada", "ambiguous")];
    check(&[&lines[..], &unclear[..]].concat(), [2, 1, 0], LogCounts { outcomes: 3, ambiguous: 2, ..LogCounts::default() });
    // A repetition of Cognito's completes nothing where ids are known.
    let again = [decision(6, 0, "ada"), decision(7, 1, "ada"), succeeded(Some(6), 2, "ada", "learned"), succeeded(None, 3, "ada", "no_attempt")];
    check(&again, [1, 1, 0], LogCounts { outcomes: 2, unmatched: 1, ..LogCounts::default() });
}

#[test]
fn only_successes_that_were_learned_live_are_learned() {
    let days = |last: Vec<Value>| {
        let mut lines = Vec::new();
        for day in 0..5 {
            let number = u64::try_from(day).unwrap();
            lines.extend([decision(number, day * 86_400, "ada"), succeeded(Some(number), day * 86_400 + 1, "ada", "learned")]);
        }
        lines.extend(last);
        lines
    };
    let away = |number: u64, second: i64| with(decision(number, second, "ada"), json!({"net": "hotel", "device": "tablet"}));
    let (then, later) = (5 * 86_400, 6 * 86_400);
    let last_of = |between: Vec<Value>| {
        let lines = days([between, vec![away(99, later), succeeded(Some(99), later + 1, "ada", "learned")]].concat());
        replay(&text(&lines)).scores.last().unwrap()["log_odds"].as_f64().unwrap()
    };
    let strange = last_of(Vec::new());
    let met = last_of(vec![away(50, then), succeeded(Some(50), then + 1, "ada", "learned")]);
    assert!(met < strange - 0.5, "{met} {strange}");
    for (what, between) in [
        ("a wrong password", vec![away(50, then), reported(50, then + 1, "failure")]),
        ("no word", vec![away(50, then)]),
        ("fraud", vec![away(50, then), reported(50, then + 1, "fraud")]),
    ] {
        assert!((last_of(between) - strange).abs() < 1e-9, "{what}");
    }
    // A success all the same, so the day is remembered as one less without a sign-in; its place is not.
    for (what, between) in [
        ("degraded", vec![with(away(50, then), json!({"degraded": {"causes": {}, "fallback": null}})), succeeded(Some(50), then + 1, "ada", "refused")]),
        (
            "degraded, by a caller's report",
            vec![with(away(50, then), json!({"degraded": {"causes": {}, "fallback": null}})), reported(50, then + 1, "success")],
        ),
        ("a copied context", vec![away(50, then), succeeded(Some(50), then + 1, "ada", "refused")]),
    ] {
        assert!((last_of(between) - strange).abs() < 1e-9, "{what}");
    }
}

#[test]
fn a_complete_function_log_is_read() {
    let tail = format!(
        "2026-01-01T00:00:00 INIT_START Runtime Version: provided:al2023.v100\tRuntime Version ARN: arn:aws:lambda:eu-west-1::runtime:0\n\
         2026-01-01T00:00:00 {{\"timestamp\":\"2026-01-01T00:00:00Z\",\"level\":\"INFO\",\"message\":\"ready to decide\"}}\n\
         2026-01-01T00:00:00 START RequestId: 8f Version: $LATEST\n\
         2026-01-01T00:00:00 {}\n\
         2026-01-01T00:00:01 END RequestId: 8f\n\
         2026-01-01T00:00:01 REPORT RequestId: 8f\tDuration: 3.10 ms\tBilled Duration: 4 ms\n\
         {{\"time\":\"2026-01-01T00:00:01Z\",\"type\":\"platform.start\",\"record\":{{}}}}\n\
         2026-01-01T00:00:02 {}\n\
         2026-01-01T00:00:03 {}\n\
         2026-01-01T00:00:04 {{\"_aws\":{{}},\"riskgate_outcomes_total\":1}}\n",
        decision(1, 0, "ada"),
        with(decision(2, 1, "x"), json!({"user": null})),
        succeeded(Some(1), 1, "ada", "learned"),
    );
    let found = replay(&tail);
    assert_eq!(found.ends(), [1, 0, 0]);
    assert_eq!(found.pass.counters.log, LogCounts { outcomes: 1, without_user: 1, other_lines: 7, ..LogCounts::default() });
    // Two exports that overlap have a sign-in twice.
    let twice = [decision(1, 0, "ada"), decision(1, 0, "ada"), succeeded(Some(1), 1, "ada", "learned")];
    check(&twice, [1, 0, 0], LogCounts { outcomes: 1, other_lines: 1, ..LogCounts::default() });
}

#[test]
fn outcomes_in_the_row_and_in_later_lines_are_learned_alike() {
    let synth_config = riskgate_synth::SynthConfig { users: 400, seed: 3, preset: riskgate_synth::Preset::RBA, attacks: 0.0, from: 1_580_688_000 };
    let log = crate::synth::log(synth_config);
    let (mut rows, mut lines) = (String::new(), String::new());
    for (number, record) in csv::Reader::from_reader(log.as_bytes()).records().map(Result::unwrap).enumerate() {
        let time = format!("{}Z", record[1].replace(' ', "T"));
        let (passed, id) = (&record[13] == "True", id(u64::try_from(number).unwrap()));
        let row = json!({"time": time, "user": record[2], "pool": "", "client": "", "country": record[5], "asn": record[8].parse::<u32>().unwrap(), "ip": record[4], "userAgent": record[9]});
        rows.push_str(&format!("{}\n", with(row.clone(), json!({"success": passed}))));
        lines.push_str(&format!("{}\n", with(row, json!({"id": id, "decision": "allow", "action": "allow", "degraded": null}))));
        let outcome = json!({"time": time, "trigger": "outcome", "id": id, "outcome": if passed { "success" } else { "failure" }, "learned": null});
        lines.push_str(&format!("{outcome}\n"));
    }
    let (rows, lines) = (replay(&rows), replay(&lines));
    assert!(rows.ends()[0] > 1_000 && rows.ends()[1] > 1_000, "{:?}", rows.ends());
    assert_eq!(rows.ends(), lines.ends());
    assert_eq!(rows.scores, lines.scores);
}
