//! Replay: all formats, labelled and bad rows, learned tables, and the verdicts of the live sidecar.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, atomic::AtomicBool},
};

use riskgate_config::Config;
use riskgate_engine::{
    client_ip::ClientIp,
    decision::Verdict,
    evaluator::Evaluator,
    score::model::{Model, Tables},
};
use riskgate_event::http;
use riskgate_history::repository::outcome::ReportedOutcome;
use riskgate_lab::{
    pass::Pass,
    report::{Report, Thresholds},
    rows::columns::Mapping,
    run::{Run, RunError},
    tables::{LearnPass, TableBuilder},
    text,
    threshold_pair::ThresholdPair,
};
use riskgate_pipeline::{enricher::Enricher, learn, risk_engine::RiskEngine};
use riskgate_runtime::clock;
use riskgate_runtime::mode::RuntimeMode;
use riskgate_store::memory::Memory;
use riskgate_synth::{Preset, SynthConfig};

use crate::{fixtures, synth::log};

#[path = "../../../benches/baseline/mod.rs"]
mod baseline;

fn synth_config(users: u32, seed: u64, attacks: f64) -> SynthConfig {
    SynthConfig { users, seed, preset: Preset::RBA, attacks, from: 1_580_688_000 }
}

pub fn run(files: &[PathBuf], mappings: &[Mapping], max_bad: u64) -> Run {
    Run { files: files.to_vec(), mappings: mappings.to_vec(), max_bad, stop: Arc::new(AtomicBool::new(false)), bytes: Arc::default() }
}

fn pass() -> Pass {
    pass_under(&Config::defaults())
}

fn pass_under(config: &Config) -> Pass {
    Pass::new(config, Evaluator::new(&config.decision, Model::bundled(config.history.model_config())), clock::read().mono)
}

fn file(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// Rows, bad rows and legitimate sign-ins of a file, or the error in one line.
pub fn replayed(bytes: &[u8], mappings: &[Mapping]) -> Result<(u64, u64, u64), String> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "log", bytes);
    let mut pass = pass();
    run(&[path], mappings, 100).replay(&mut pass, |_, _| {}).map_err(|error| error.to_string())?;
    let counters = &pass.counters;
    Ok((counters.rows, counters.bad, counters.known.legit.total() + counters.new.legit.total()))
}

const PLAIN: &str = "time,user,ip,success\n2026-01-01 08:00:00,ada,8.8.8.8,True\n2026-01-01 09:00:00,ada,8.8.4.4,False\n2026-01-02 08:00:00,bob,9.9.9.9,True\n";

#[track_caller]
fn check(bytes: &[u8], expected: (u64, u64, u64)) {
    assert_eq!(replayed(bytes, &[]), Ok(expected));
}

#[test]
fn every_wrapping_of_a_file_is_read() {
    check(PLAIN.as_bytes(), (3, 0, 2));
    check(format!("\u{feff}{PLAIN}").as_bytes(), (3, 0, 2));
    check(PLAIN.replace('\n', "\r\n").as_bytes(), (3, 0, 2));
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(PLAIN.as_bytes()).unwrap();
    check(&gzip.finish().unwrap(), (3, 0, 2));
    check(&ruzstd::encoding::compress_to_vec(PLAIN.as_bytes(), ruzstd::encoding::CompressionLevel::Fastest), (3, 0, 2));
}

#[test]
fn damage_is_reported_in_one_line() {
    check(&PLAIN.as_bytes()[..PLAIN.len() - 12], (3, 1, 1));
    check(PLAIN.replace("bob", "b\0b").as_bytes(), (3, 1, 1));
    check(PLAIN.replace("2026-01-02 08:00:00", "soon").as_bytes(), (3, 1, 1));
    check(PLAIN.replace("bob", "").as_bytes(), (3, 1, 1));
    check(&[PLAIN.as_bytes(), b"2026-01-03 08:00:00,\xff\xfe,1.1.1.1,True\n"].concat(), (4, 1, 2));
    check(PLAIN.lines().next().unwrap().as_bytes(), (0, 0, 0));
    let check_error = |bytes: &[u8], words: &str| {
        let text = replayed(bytes, &[]).unwrap_err();
        assert!(text.contains(words) && !text.contains('\n'), "{text}");
    };
    check_error(b"", "the file is empty");
    check_error(b"when,login\n1,2\n", "no column holds the time");
    check_error(b"- EventId: a\n  CreationDate: x\n", "neither JSON nor CSV");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(PLAIN.repeat(50).as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    check_error(&gzip[..gzip.len() / 2], "log:");
}

#[test]
fn a_line_that_is_too_long_is_one_bad_row_and_is_not_held_in_memory() {
    let long = |start: &str, end: &str| [start.as_bytes(), &vec![b'x'; 5 << 20], end.as_bytes()].concat();
    let tail = "\n2026-01-03 08:00:00,cy,1.1.1.1,True\n";
    check(&[PLAIN.as_bytes(), &long("2026-01-03 08:00:00,", tail)].concat(), (5, 1, 3));
    check(&[PLAIN.as_bytes(), &long("2026-01-03 08:00:00,\"", tail)].concat(), (5, 1, 3));
    check(&[PLAIN.as_bytes(), &long("", "")].concat(), (4, 1, 2));
    // A quotation mark that is not closed takes in the lines after it, up to the limit.
    let open = [PLAIN, "2026-01-03 08:00:00,\"cy,1.1.1.1,True\n", &"2026-01-03 08:00:00,dee,1.1.1.1,True\n".repeat(40_000)].concat();
    let (rows, bad, legitimate) = replayed(open.as_bytes(), &[]).unwrap();
    assert!(rows - bad == 3 + legitimate - 2 && bad == 1 && legitimate > 5_000, "{rows} rows, {bad} bad, {legitimate} legitimate");
    let row = |user: &str| format!("{{\"time\":\"2026-01-01T08:00:00Z\",\"user\":\"{user}\",\"success\":true}}\n");
    check(&[row("ada").as_bytes(), &long("{\"user\":\"", "\"}\n"), row("bob").as_bytes()].concat(), (3, 1, 2));
    let folder = tempfile::tempdir().unwrap();
    let mut pass = pass();
    let lines = [row("ada").as_bytes(), &long("{", "}\n"), b"[]\n"].concat();
    run(&[file(folder.path(), "log", &lines)], &[], 10).replay(&mut pass, |_, _| {}).unwrap();
    assert_eq!(
        pass.bad_rows.iter().map(|(_, line, why)| format!("{line}: {why}")).next().unwrap(),
        "2: it is longer than 1 MiB; is a quotation mark not closed?"
    );
    let text = replayed(&long("", "\n"), &[]).unwrap_err();
    assert!(text.contains("longer than 1 MiB"), "{text}");
}

#[test]
fn too_many_bad_rows_stop_the_run() {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "log.csv", format!("{PLAIN}{}", "soon,x,y,True\n".repeat(20)).as_bytes());
    let mut pass = pass();
    let ended = run(&[path], &[], 10).replay(&mut pass, |_, _| {});
    assert!(matches!(ended, Err(RunError::TooManyBad(20, 10))), "{ended:?}");
    assert_eq!(pass.bad_rows[0].1, 5, "the first bad row is on line 5");
}

#[test]
fn columns_can_be_named() {
    let text = "when;x,who,addr\n2026-01-01 08:00:00,ada,8.8.8.8\n";
    let map = |column: &str, field: &str| (column.to_owned(), field.to_owned());
    assert_eq!(replayed(text.as_bytes(), &[map("when;x", "time"), map("who", "user"), map("addr", "ip")]), Ok((1, 0, 1)));
    let text = replayed(text.as_bytes(), &[map("when", "time")]).unwrap_err();
    assert!(text.ends_with("the file has no column when, only when;x, who, addr"), "{text}");
    // Whatever a program writes for yes and no; a word for neither is named, not taken for a no.
    let words = |separator: &str, good: &str| {
        format!("when,who,ok\n2026-01-01 08:00:00,ada,{good}\n2026-01-01 08:00:00,bob,No\n2026-01-01 08:00:00,bob,perhaps\n").replace(',', separator)
    };
    for (separator, good) in [(",", "yes"), (";", "SUCCESS"), ("\t", "1")] {
        let mapped = replayed(words(separator, good).as_bytes(), &[map("when", "time"), map("who", "user"), map("ok", "success")]);
        assert_eq!(mapped, Ok((3, 1, 1)), "{separator:?}");
    }
}

/// The RBA data set as a spreadsheet leaves it: no dates, rounded ids, quoted commas, capitals.
#[test]
fn a_damaged_export_is_read() {
    let mut text = "index,Login Timestamp,User ID,Round-Trip Time [ms],IP Address,Country,Region,City,ASN,User Agent String,Browser Name and Version,OS Name and Version,Device Type,Login Successful,Is Attack IP,Is Account Takeover\n".to_owned();
    for row in 0..2_000 {
        let (minute, second) = ((row / 10) % 60, row % 60);
        let bad = if row % 500 == 499 { "not a time".to_owned() } else { format!("{minute:02}:{second:02}.8") };
        text.push_str(&format!("{row},{bad},-4.32E+18,,10.0.65.171,NO,-,-,29695,\"Mozilla/5.0 (iPhone; like Mac OS X, KHTML)\",Firefox 20.0.0.1618,iOS 13.4,mobile,{},FALSE,FALSE\n", if row % 3 == 0 { "TRUE" } else { "FALSE" }));
    }
    let folder = tempfile::tempdir().unwrap();
    let mut pass = pass();
    run(&[file(folder.path(), "rba.csv", text.as_bytes())], &[], 100).replay(&mut pass, |_, _| {}).unwrap();
    assert_eq!((pass.counters.rows, pass.counters.bad, pass.counters.failures), (2_000, 4, 1_330));
    assert_eq!(pass.bad_rows.iter().map(|(_, line, _)| *line).collect::<Vec<_>>(), [501, 1_001, 1_501, 2_001]);
    assert_eq!((pass.user_count(), pass.counters.rounded_users, pass.dateless_times()), (1, 1_996, 1_996));
    assert_eq!(pass.counters.out_of_order, 0);
}

#[test]
fn audit_lines_and_cognito_events_are_read() {
    let audit = "{\"time\":\"2026-01-01T08:00:00.000Z\",\"user\":\"0a1b\",\"net\":\"deadbeef\",\"country\":\"NO\",\"asn\":2119,\"decision\":\"allow\",\"device\":null}\n\
                 2026-01-01T08:00:01 {\"time\":\"2026-01-02T08:00:00.000Z\",\"user\":\"0a1b\",\"country\":\"NO\",\"asn\":2119,\"outcome\":\"fraud\"}\n[]\n";
    assert_eq!(replayed(audit.as_bytes(), &[]), Ok((3, 1, 1)));
    let cognito = r#"{"AuthEvents":[
        {"EventId":"c","EventType":"PasswordChange","CreationDate":1767340900.5,"EventResponse":"Pass"},
        {"EventId":"b","EventType":"SignIn","CreationDate":1767340800.5,"EventResponse":"Fail","EventContextData":{"IpAddress":"8.8.8.8"}},
        {"EventId":"a","EventType":"SignIn","CreationDate":"2026-01-01T08:00:00+01:00","EventResponse":"Pass","EventContextData":{"IpAddress":"8.8.8.8","DeviceName":"Chrome 126, Windows 10","Timezone":"Europe/Oslo"}}]}"#;
    assert_eq!(replayed(cognito.as_bytes(), &[]), Ok((2, 0, 1)));
}

/// The lines of `--scores` of a log.
pub fn scores(text: &str, skip_labelled: bool) -> Vec<String> {
    scores_under(&Config::defaults(), text, skip_labelled)
}

/// The lines of `--scores` of a log under a configuration.
pub fn scores_under(config: &Config, text: &str, skip_labelled: bool) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "log.csv", text.as_bytes());
    let out = folder.path().join("scores");
    let mut pass = pass_under(config).with_scores_output(Box::new(std::fs::File::create(&out).unwrap()));
    run(&[path], &[], 0).replay(&mut pass, |_, _| {}).unwrap();
    let lines = std::fs::read_to_string(out).unwrap();
    let lines = lines.lines().filter(|line| !skip_labelled || line.ends_with("\"label\":\"\"}"));
    lines.map(|line| line.split_once(',').unwrap().1.to_owned()).collect()
}

#[test]
fn labelled_rows_leave_no_trace() {
    let with = log(synth_config(300, 9, 0.5));
    let without: String = with.lines().filter(|line| line.ends_with(',') || line.ends_with("Attack")).map(|line| format!("{line}\n")).collect();
    assert!(without.len() < with.len() * 3 / 4, "there are labelled rows");
    assert_eq!(scores(&with, true), scores(&without, false));
}

#[test]
fn learned_tables_make_a_model() {
    let config = Config::defaults();
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "log.csv", log(synth_config(800, 4, 0.2)).as_bytes());
    let model = Model::bundled(config.history.model_config());
    let lessons = TableBuilder::new(&model, LearnPass::First);
    let mut first = Pass::new(&config, Evaluator::new(&config.decision, model), clock::read().mono).with_table_builder(lessons);
    run(std::slice::from_ref(&path), &[], 0).replay(&mut first, |_, _| {}).unwrap();
    let tables = first.table_builder.take().unwrap().build_first_tables(Tables::bundled());
    let model = Model::new(&tables, config.history.model_config()).unwrap();
    let lessons = TableBuilder::new(&model, LearnPass::Second);
    let mut second = Pass::new(&config, Evaluator::new(&config.decision, model), clock::read().mono).with_table_builder(lessons);
    run(std::slice::from_ref(&path), &[], 0).replay(&mut second, |_, _| {}).unwrap();
    let (tables, text) = second.table_builder.take().unwrap().build_second_tables(tables);
    assert!(text.contains("calibration from"), "{text}");
    // Without a context only failed attempts and a long pause count: at least ln(4/3).
    let rows = tables.quantiles.lines().filter_map(|line| line.strip_prefix("no_context,")?.split_once(','));
    let small: Vec<f64> = rows.map(|(s, _)| s.parse().unwrap()).filter(|s| (0.01..0.28).contains(s)).collect();
    assert!(small.is_empty(), "{small:?}");
    for (name, text) in tables.files() {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let read = Tables::read(|name| std::fs::read_to_string(folder.path().join(name))).unwrap();
    let mut third = Pass::new(&config, Evaluator::new(&config.decision, Model::new(&read, config.history.model_config()).unwrap()), clock::read().mono);
    run(&[path], &[], 0).replay(&mut third, |_, _| {}).unwrap();
    // A score is a rarity: about one legitimate sign-in in a hundred reaches 50.
    let share = third.counters.combined().scores.share_from(50.0);
    assert!((0.004..0.02).contains(&share), "{share}");
}

#[test]
fn the_model_beats_the_baselines() {
    let table = baseline::comparison::compare_models(synth_config(2_500, 11, 0.3));
    let (name, ours) = table.last().unwrap();
    assert_eq!(name, "riskgate");
    for (peer, theirs) in &table[..table.len() - 1] {
        assert!(ours["pooled"].auc > theirs["pooled"].auc, "{peer}: AUC {} against {}", theirs["pooled"].auc, ours["pooled"].auc);
        assert!(
            ours["pooled"].reauth[0] < theirs["pooled"].reauth[0],
            "{peer}: re-authentication {} against {}",
            theirs["pooled"].reauth[0],
            ours["pooled"].reauth[0]
        );
    }
    // Sanity: flat Freeman separates on invented data as it was published to do on real data.
    let freeman = &table.iter().find(|(name, _)| name == "flat Freeman").unwrap().1;
    for (label, published) in [("naive", 0.933), ("vpn", 0.906), ("targeted", 0.665)] {
        assert!((freeman[label].auc - published).abs() < 0.05, "{label}: {} is far from {published}", freeman[label].auc);
    }
}

/// Sign-ins that are sent both ways: 3,000, or the number in the environment.
fn sign_ins() -> usize {
    std::env::var("BOTH_WAYS").ok().and_then(|number| number.parse().ok()).unwrap_or(3_000)
}

#[tokio::test]
async fn live_decisions_are_the_same() {
    let config = Config::defaults();
    let log = log(synth_config(1_500, 21, 0.0));
    let mut reader = csv::Reader::from_reader(log.as_bytes());
    let (mut lines, mut live) = (String::new(), Vec::new());
    let (sources, _) = Enricher::open(&config, RuntimeMode::Sidecar);
    let sources = sources.with_store(&config, Arc::new(Memory::default()));
    let engine = RiskEngine::new(&config, sources, Evaluator::new(&config.decision, Model::bundled(config.history.model_config())));
    for record in reader.records().map(Result::unwrap).take(sign_ins()) {
        let time = format!("{}Z", record[1].replace(' ', "T"));
        let body = serde_json::json!({"user": record[2], "ip": record[4], "userAgent": record[9], "country": record[5], "asn": record[8].parse::<u32>().unwrap(), "time": time});
        let passed = &record[13] == "True";
        let mut line = body.clone();
        line["success"] = passed.into();
        lines.push_str(&format!("{line}\n"));
        let now = clock::read();
        let sign_in = http::parse(body.to_string().as_bytes(), ClientIp::Missing, now).unwrap();
        let (at, received) = (sign_in.at, sign_in.received);
        let assessment = engine.assess(sign_in, engine.deadline(now.mono, None)).await;
        if passed {
            live.push(format!("\"score\":{:?},", assessment.decision.score.value));
        }
        let report = if passed { ReportedOutcome::Success } else { ReportedOutcome::Failure };
        learn::record_outcome(engine.enricher(), &assessment.id, report, at, received).await.unwrap();
    }
    let replayed = scores(&lines, false);
    assert_eq!(replayed.len(), live.len());
    let differing: Vec<_> = live.iter().zip(&replayed).enumerate().filter(|(_, (live, replayed))| !replayed.starts_with(live.as_str())).take(5).collect();
    assert!(differing.is_empty(), "{differing:?}");
}

/// The sign-ins of a log as callers of the sidecar send them, each with whether it succeeded and its label.
fn requests(log: &str) -> Vec<(serde_json::Value, bool, String)> {
    let request = |record: csv::StringRecord| {
        let time = format!("{}Z", record[1].replace(' ', "T"));
        let asn = record[8].parse::<u32>().unwrap();
        let body = serde_json::json!({"user": record[2], "ip": record[4], "userAgent": record[9], "country": record[5], "asn": asn, "time": time});
        (body, &record[13] == "True", record[16].to_owned())
    };
    csv::Reader::from_reader(log.as_bytes()).into_records().map(Result::unwrap).map(request).collect()
}

/// The recommended pair of thresholds, from a replay at the default thresholds.
fn recommended_pair(requests: &[(serde_json::Value, bool, String)]) -> ThresholdPair {
    let line = |(body, success, label): &(serde_json::Value, bool, String)| {
        let mut line = body.clone();
        line["success"] = (*success).into();
        line["label"] = label.as_str().into();
        format!("{line}\n")
    };
    let (folder, lines) = (tempfile::tempdir().unwrap(), requests.iter().map(line).collect::<String>());
    let mut pass = pass();
    run(&[file(folder.path(), "log.jsonl", lines.as_bytes())], &[], 0).replay(&mut pass, |_, _| {}).unwrap();
    let (users, base) = (pass.user_count(), pass.evaluator().model().base());
    let report = Report::new(pass.counters, users, &[], Thresholds { review_at: 50.0, challenge_at: None, deny_at: 80.0 }, base);
    let text = text::render(&report);
    let line = text.lines().find(|line| line.starts_with("to challenge before denying set CHALLENGE_AT=")).expect("a recommendation");
    assert!(line.contains(" DENY_AT=") && line.contains(" of legitimate sign-ins challenged, ") && line.ends_with(" of the attacks met"), "{line}");
    report.threshold_pairs.into_iter().find(|pair| pair.recommended).expect("a recommended pair")
}

/// The share of legitimate sign-ins that the live path challenges under these thresholds. Challenged users pass. Labelled rows are left out, since
/// they leave no trace in a replay either.
async fn live_challenged_share(requests: &[(serde_json::Value, bool, String)], pair: &ThresholdPair) -> f64 {
    let variables = [("REVIEW_AT", pair.challenge_at.min(50.0)), ("CHALLENGE_AT", pair.challenge_at), ("DENY_AT", pair.deny_at)];
    let variables = variables.map(|(name, value)| (name, value.to_string()));
    let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let engine = fixtures::memory().engine(&variables);
    let (mut legitimate, mut challenged) = (0_u32, 0_u32);
    for (body, success, _) in requests.iter().filter(|(_, _, label)| label.is_empty()) {
        // The clock of the sign-in's time: a history that is older than HISTORY_TTL is gone, as in the replay.
        let time: jiff::Timestamp = body["time"].as_str().unwrap().parse().unwrap();
        let sign_in = http::parse(body.to_string().as_bytes(), ClientIp::Missing, clock::at(time)).unwrap();
        let (at, received) = (sign_in.at, sign_in.received);
        let assessment = engine.assess(sign_in).await;
        let action = assessment.decision.action;
        legitimate += u32::from(*success);
        challenged += u32::from(*success && action == Verdict::Challenge);
        let report = match action {
            Verdict::Deny => continue,
            _ if !success => ReportedOutcome::Failure,
            Verdict::Challenge => ReportedOutcome::ChallengePassed,
            Verdict::Allow | Verdict::Review => ReportedOutcome::Success,
        };
        learn::record_outcome(engine.enricher(), &assessment.id, report, at, received).await.unwrap();
    }
    f64::from(challenged) / f64::from(legitimate)
}

#[tokio::test]
async fn the_live_engine_challenges_the_share_that_replay_recommends() {
    for seed in 11..=13 {
        let requests = requests(&log(synth_config(400, seed, 0.02)));
        let pair = recommended_pair(&requests);
        assert!((0.005..=0.01).contains(&pair.challenged) && pair.denied <= 0.001, "seed {seed}: {pair:?}");
        let live = live_challenged_share(&requests, &pair).await;
        println!("seed {seed}: {pair}; live {:.3} %", live * 100.0);
        assert!((1.0 / 1.2..=1.2).contains(&(live / pair.challenged)), "seed {seed}: {live} live, {pair:?}");
    }
}
