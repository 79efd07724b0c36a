//! `riskgate synth` and `riskgate replay` as they are used: the binary, its options, and the live sidecar beside it.

use std::{
    io::{Read as _, Write as _},
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::Duration,
};

use serde_json::{Value, json};

use crate::{
    process::Process,
    runtime_api::{Answer, Environment},
};

fn riskgate(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
    command.args(arguments).env_clear().stdin(Stdio::null());
    command
}

#[track_caller]
fn output_of(arguments: &[&str]) -> String {
    let output = riskgate(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[track_caller]
fn refuses(arguments: &[&str], code: i32, words: &str) {
    let output = riskgate(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{text}");
    assert!(text.contains(words), "{text}");
}

#[test]
fn a_run_that_reads_no_sign_in_fails_and_recommends_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.display().to_string()
    };
    let header = "time,user,ip,success\n";
    let html = folder.path().join("report.html").display().to_string();
    let model = folder.path().join("model").display().to_string();
    for (name, text) in [
        ("excel.csv", format!("{header}1/2/2026 8:00,ada,81.2.69.142,TRUE\n1/3/2026 8:00,ada,81.2.69.142,TRUE\n")),
        ("header.csv", header.to_owned()),
        ("platform.log", "START RequestId: 1 Version: 2\nEND RequestId: 1\n".to_owned()),
        ("other.jsonl", "{\"level\":\"INFO\",\"message\":\"started\"}\n".to_owned()),
    ] {
        let log = path(name, &text);
        for more in [&[][..], &["--json"], &["--html", &html], &["--learn", &model], &["--against", "DENY_AT=85"]] {
            let arguments = [&["replay", &log], more].concat();
            let output = riskgate(&arguments).output().unwrap();
            let text = String::from_utf8_lossy(&output.stderr);
            assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{arguments:?}: {text}");
            assert!(text.contains("no sign-in could be read"), "{arguments:?}: {text}");
        }
    }
    assert!(!Path::new(&html).exists() && !Path::new(&model).exists());
    // A log of failures is read, but it has no sign-ins for a threshold.
    let failed = path("failed.csv", &format!("{header}2026-01-02T08:00:00Z,ada,81.2.69.142,false\n"));
    let few = path("few.csv", &format!("{header}{}", "2026-01-02T08:00:00Z,ada,81.2.69.142,true\n".repeat(199)));
    for log in [&failed, &few] {
        let text = output_of(&["replay", log]);
        assert!(!text.contains("set DENY_AT") && text.contains("no threshold is recommended"), "{text}");
    }
    assert!(output_of(&["replay", &few, "--html", &html]).contains("no threshold") && !std::fs::read_to_string(&html).unwrap().contains("set <code>"));
    let output = riskgate(&["replay", &few, "--learn", &model]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("199 sign-ins are too few for tables") && errors.contains("not evaluated") && output.stdout.is_empty(), "{output:?}");
    let some = path("some.csv", &format!("{header}{}", "2026-01-02T08:00:00Z,ada,81.2.69.142,true\n".repeat(200)));
    let text = output_of(&["replay", &some, &path("excel.csv", &format!("{header}soon,ada,81.2.69.142,true\n"))]);
    assert!(text.contains("to stop 1.00 %") && !text.contains("to stop 0.10 %"), "{text}");
    assert!(text.contains("excel.csv: the file has no readable sign-in"), "{text}");
}

fn synth(folder: &Path, users: &str, attacks: &str) -> String {
    let path = folder.join("log.csv").display().to_string();
    output_of(&["synth", "--users", users, "--seed", "21", "--attacks", attacks, "--out", &path]);
    path
}

#[test]
fn other_thresholds_and_another_model_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let log = synth(folder.path(), "300", "0.3");
    let report: Value = serde_json::from_str(&output_of(&["replay", &log, "--json", "--against", "DENY_AT=50,REVIEW_AT=20"])).unwrap();
    let moves = &report["comparison"]["legitimate"];
    let sum = |from: &str| ["allow", "review", "deny"].iter().map(|to| moves[from][to].as_u64().unwrap()).sum::<u64>();
    for verdict in ["allow", "review", "deny"] {
        assert_eq!(sum(verdict), report["verdicts"][verdict].as_u64().unwrap(), "{report}");
    }
    assert!(moves["allow"]["review"].as_u64() > Some(0), "lower thresholds flag more: {moves}");
    assert!(moves["review"]["allow"].as_u64().unwrap() <= 3, "and what was denied is not learned, which moves a few the other way: {moves}");
    assert!(report["comparison"]["labelled"]["deny"]["deny"].as_u64() > Some(0), "{report}");

    let model = folder.path().join("model").display().to_string();
    // The report covers users of whom nothing was learned; the written tables are learned from all.
    let held_out: Value = serde_json::from_str(&output_of(&["replay", &log, "--learn", &model, "--json"])).unwrap();
    let (evaluated, all) = (held_out["rows"]["legitimate"].as_u64().unwrap(), report["rows"]["legitimate"].as_u64().unwrap());
    assert!(evaluated > all / 4 && evaluated < all * 3 / 4, "{evaluated} of {all}");
    assert!(held_out["warnings"].to_string().contains("the report covers half of the users"), "{}", held_out["warnings"]);
    let text = output_of(&["replay", &log, "--against", &model]);
    assert!(text.contains(&format!("against {model}")) && text.contains("legitimate") && text.contains("labelled"), "{text}");
    refuses(&["replay", &log, "--against", "DENY_AT=101"], 2, "DENY_AT=101 is not a threshold");
    refuses(&["replay", &log, "--against", "BUDGET=1"], 2, "not REVIEW_AT, CHALLENGE_AT or DENY_AT");
    refuses(&["replay", "-", "--against", "DENY_AT=50"], 2, "use files");
}

#[test]
fn bad_rows_are_named_and_accepted_up_to_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.csv");
    std::fs::write(&path, "time,user,ip,success\n2026-01-01 08:00:00,ada,8.8.8.8,True\nnever,ada,8.8.8.8,True\n2026-01-02 08:00:00,ada,8.8.8.8,True\n")
        .unwrap();
    let path = path.display().to_string();
    let output = riskgate(&["replay", &path, "--max-bad", "1"]).output().unwrap();
    assert!(output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("log.csv, line 3: "), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stdout).starts_with("3 rows: 2 legitimate sign-ins of 1 users, 0 failed attempts, 0 labelled, 1 bad"),
        "{output:?}"
    );
    refuses(&["replay", &path, "--max-bad", "0"], 1, "1 bad rows; --max-bad allows 0");
}

/// Feeds a log without ending it, interrupts, and gives what was text.
fn interrupted(log: &str, arguments: &[&str]) -> Output {
    let mut child = riskgate(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut rows = child.stdin.take().unwrap();
    rows.write_all(log.as_bytes()).unwrap();
    rows.flush().unwrap();
    // The signal's handler is in place before the first row is read.
    std::thread::sleep(Duration::from_millis(500));
    assert!(Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap().success());
    let output = finished(child);
    drop(rows);
    output
}

fn finished(mut child: Child) -> Output {
    for _ in 0..1_600 {
        if child.try_wait().unwrap().is_some() {
            return child.wait_with_output().unwrap();
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    child.kill().unwrap();
    panic!("it goes on: {:?}", child.wait_with_output());
}

#[test]
fn an_interrupt_prints_what_is_known_even_while_a_pipe_is_silent() {
    let folder = tempfile::tempdir().unwrap();
    let log = std::fs::read_to_string(synth(folder.path(), "300", "0.2")).unwrap();
    let output = interrupted(&log, &["replay", "-"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert!(text.contains("stopped early") && text.contains("legitimate sign-ins of"), "{text}");
    assert!(!text.starts_with("0 rows"), "{text}");
}

#[test]
fn a_terminal_shows_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let log = synth(folder.path(), "3000", "0.2");
    // `script` gives the command a terminal.
    let line = format!("{} replay {log}", env!("CARGO_BIN_EXE_riskgate"));
    let output = Command::new("script").args(["-qec", &line, "/dev/null"]).env("TERM", "xterm").stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("replaying") && text.contains("rows,") && text.contains("a second") && text.contains(" left"), "{text}");
}

/// A sidecar in a separate process, which ends with this value.
struct Sidecar {
    _process: Process,
    port: u16,
}

impl Sidecar {
    fn start(variables: &[(&str, &str)]) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut serve = riskgate(&["serve", "--listen", &format!("127.0.0.1:{port}")]);
        let serve = serve.envs(variables.iter().copied()).stdout(Stdio::null()).stderr(Stdio::null());
        let sidecar = Sidecar { _process: Process::start(serve), port };
        for _ in 0..400 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return sidecar;
            }
            std::thread::sleep(Duration::from_millis(25));
        }
        panic!("the sidecar does not listen");
    }
}

async fn post(client: &reqwest::Client, url: &str, body: &Value) -> String {
    let answer = client.post(url).header("content-type", "application/json").body(body.to_string()).send().await.unwrap();
    answer.error_for_status().unwrap().text().await.unwrap()
}

#[tokio::test]
async fn the_live_sidecar_and_replay_agree_on_ten_thousand_sign_ins() {
    let folder = tempfile::tempdir().unwrap();
    let path = synth(folder.path(), "4500", "0.0");
    let sidecar = Sidecar::start(&[]);
    let base = format!("http://127.0.0.1:{}/v1", sidecar.port);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut reader = csv::Reader::from_path(path).unwrap();
    let (mut lines, mut live) = (String::new(), Vec::new());
    for record in reader.records().map(Result::unwrap).take(10_000) {
        let time = format!("{}Z", record[1].replace(' ', "T"));
        let mut body =
            json!({"user": record[2], "ip": record[4], "userAgent": record[9], "country": record[5], "asn": record[8].parse::<u32>().unwrap(), "time": time});
        let assessment = post(&client, &format!("{base}/assess"), &body).await;
        let assessment: Value = serde_json::from_str(&assessment).unwrap();
        let passed = &record[13] == "True";
        if passed {
            live.push((assessment["score"].clone(), assessment["log_odds"].clone(), assessment["decision"].clone()));
        }
        let outcome = json!({"id": assessment["id"], "outcome": if passed { "success" } else { "failure" }, "time": time});
        post(&client, &format!("{base}/outcome"), &outcome).await;
        body["success"] = passed.into();
        lines.push_str(&format!("{body}\n"));
    }
    assert_eq!(lines.lines().count(), 10_000);
    let (log, scores) = (folder.path().join("log.jsonl"), folder.path().join("scores.jsonl"));
    std::fs::write(&log, lines).unwrap();
    output_of(&["replay", log.to_str().unwrap(), "--scores", scores.to_str().unwrap()]);
    let mut replayed = String::new();
    std::fs::File::open(scores).unwrap().read_to_string(&mut replayed).unwrap();
    let replayed: Vec<Value> = replayed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replayed.len(), live.len());
    let differ = |(_, (live, replayed)): &(usize, (&(Value, Value, Value), &Value))| {
        // The answer's are rounded to four places.
        let log_odds = live.1.as_f64().unwrap() - replayed["log_odds"].as_f64().unwrap();
        live.0 != replayed["score"] || live.2 != replayed["decision"] || log_odds.abs() > 1e-4
    };
    let differing: Vec<_> = live.iter().zip(&replayed).enumerate().filter(differ).take(5).collect();
    assert!(differing.is_empty(), "{differing:?}");
}

/// The output of `replay --json` for a log.
#[track_caller]
fn report(log: &str) -> Value {
    serde_json::from_str(&output_of(&["replay", log, "--json", "--max-bad", "0"])).unwrap()
}

/// The codes of the reasons of the sign-in on a line; none when it is not among the most surprising.
fn codes(report: &Value, line: usize) -> Vec<String> {
    let explained = report["surprising"].as_array().unwrap().iter().find(|found| found["place"] == format!("line {line}"));
    let reasons = explained.map(|found| found["reasons"].as_array().unwrap().clone()).unwrap_or_default();
    reasons.iter().map(|reason| reason.as_str().unwrap().split(' ').next().unwrap().to_owned()).collect()
}

/// Waits for an audit log to have so many lines.
async fn lines_of(log: &Path, count: usize) -> String {
    for _ in 0..400 {
        let text = std::fs::read_to_string(log).unwrap_or_default();
        if text.lines().count() >= count {
            return text;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{count} lines were to be written");
}

#[tokio::test]
async fn an_audit_log_of_the_sidecar_distinguishes_right_and_wrong_passwords() {
    const HOME: [&str; 3] = ["84.208.20.110", "Mozilla/5.0 (iPhone; CPU iPhone OS 17_0 like Mac OS X) AppleWebKit/605.1.15", "phone"];
    const AWAY: [&str; 3] = ["177.54.144.1", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "laptop"];
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("audit.jsonl");
    let sidecar = Sidecar::start(&[("RISKGATE_AUDIT", log.to_str().unwrap()), ("RISKGATE_MODE", "monitor")]);
    let base = format!("http://127.0.0.1:{}/v1", sidecar.port);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let sign_in = async |user: &str, [ip, agent, device]: [&str; 3], time: String, outcome: Option<&str>| {
        let body = json!({"user": user, "client": "web", "ip": ip, "userAgent": agent, "deviceId": device, "time": time});
        let assessment: Value = serde_json::from_str(&post(&client, &format!("{base}/assess"), &body).await).unwrap();
        if let Some(outcome) = outcome {
            post(&client, &format!("{base}/outcome"), &json!({"id": assessment["id"], "outcome": outcome, "time": time})).await;
        }
        assessment
    };
    for day in 1..=6 {
        for user in ["ada", "bob", "cleo"] {
            sign_in(user, HOME, format!("2026-05-{day:02}T08:00:00Z"), Some("success")).await;
        }
        // An attacker, day by day; once without an outcome.
        let outcome = if day == 3 { None } else { Some("failure") };
        sign_in("ada", AWAY, format!("2026-05-{day:02}T12:00:00Z"), outcome).await;
    }
    let last = sign_in("ada", AWAY, "2026-05-07T12:00:00Z".to_owned(), Some("success")).await;
    let fraud = sign_in("bob", AWAY, "2026-05-07T13:00:00Z".to_owned(), Some("fraud")).await;
    let live: Vec<&str> = last["reasons"].as_array().unwrap().iter().map(|reason| reason["code"].as_str().unwrap()).collect();
    assert!(live.contains(&"new_country"), "{last} {fraud}");
    let text = lines_of(&log, 51).await;
    drop(sidecar);
    let replayed = report(log.to_str().unwrap());
    let rows = json!({"read": 26, "bad": 0, "failed": 6, "labelled": 1, "legitimate": 19, "people": 3});
    assert_eq!((&replayed["rows"], &replayed["log"]["outcomes"]), (&rows, &json!(25)), "{replayed}");
    let line = |id: &Value| text.lines().position(|line| line.contains(id.as_str().unwrap())).unwrap() + 1;
    // The attacker's country is as new to replay as it was live; without the outcomes it would have been learned from the attacker.
    assert!(codes(&replayed, line(&last["id"])).contains(&"new_country".to_owned()), "{replayed}");
    let decisions = folder.path().join("decisions.jsonl");
    std::fs::write(&decisions, text.lines().filter(|line| line.contains("\"decision\"")).map(|line| format!("{line}\n")).collect::<String>()).unwrap();
    let replayed = report(decisions.to_str().unwrap());
    assert_eq!((&replayed["rows"]["legitimate"], &replayed["log"]["presumed"]), (&json!(26), &json!(26)), "{replayed}");
    let warnings = replayed["warnings"].as_array().unwrap().iter().map(|warning| warning.as_str().unwrap()).collect::<Vec<_>>();
    assert!(warnings.iter().any(|warning| warning.starts_with("26 sign-ins count as successes")), "{warnings:?}");
    assert!(!codes(&replayed, 25).contains(&"new_country".to_owned()), "{replayed}");
}

#[tokio::test]
async fn an_audit_log_of_the_function_distinguishes_right_and_wrong_passwords() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let event = |trigger: &str, user: &str| {
        json!({"triggerSource": format!("{trigger}_Authentication"), "userPoolId": "eu-west-1_t", "userName": user, "callerContext": {"clientId": "web"},
            "request": {"userAttributes": {"sub": user}, "validationData": {"ip": "84.208.20.110"}}, "response": {}})
        .to_string()
    };
    let check = |text: String, failed: u64, legitimate: u64| {
        std::fs::write(&log, text).unwrap();
        let replayed = report(log.to_str().unwrap());
        let rows = &replayed["rows"];
        assert_eq!((&rows["failed"], &rows["legitimate"], &rows["bad"]), (&failed.into(), &legitimate.into(), &0.into()), "{replayed}");
        assert_eq!(replayed["log"]["strays"], 0, "{replayed}");
    };
    let people = ["ada", "bob", "cleo", "dan"];
    // Without a store ids are not known, and the user name identifies the sign-in.
    let output = folder.path().join("output");
    let lambda = Environment::start_with_output(&[("MODE", "monitor")], std::fs::File::create(&output).unwrap().into(), Stdio::null()).await;
    for user in people {
        // Mistyped once, then right; dan never is.
        for trigger in ["PreAuthentication", "PreAuthentication", "PostAuthentication"] {
            if user != "dan" || trigger == "PreAuthentication" {
                assert!(matches!(lambda.invoke(event(trigger, user)).await, Answer::Event(_)));
            }
        }
    }
    lambda.settled().await;
    check(std::fs::read_to_string(&output).unwrap(), 5, 3);
    // With one the same code names the sign-in: here behind the sidecar's Invoke API, where the store is memory.
    let audit = folder.path().join("audit.jsonl");
    let sidecar = Sidecar::start(&[("RISKGATE_AUDIT", audit.to_str().unwrap()), ("RISKGATE_MODE", "monitor")]);
    let invoke = format!("http://127.0.0.1:{}/2015-03-31/functions/riskgate/invocations", sidecar.port);
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    for user in people {
        for trigger in ["PreAuthentication", "PreAuthentication", "PostAuthentication"] {
            if user != "dan" || trigger == "PreAuthentication" {
                let answer = client.post(&invoke).body(event(trigger, user)).send().await.unwrap();
                assert_eq!((answer.status(), answer.headers().get("x-amz-function-error")), (http::StatusCode::OK, None));
            }
        }
    }
    let text = lines_of(&audit, 11).await;
    assert_eq!(text.matches("\"learned\":\"learned\"").count(), 3, "{text}");
    assert!(!text.contains("\"id\":null"), "{text}");
    check(text, 5, 3);
}

#[test]
fn unreadable_values_are_quoted_with_the_accepted_forms() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log.csv");
    let bad = |row: &str| {
        std::fs::write(&log, format!("time,user,ip,success\n{row}\n")).unwrap();
        let output = riskgate(&["replay", &log.display().to_string()]).output().unwrap();
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    for (row, words) in [
        ("soon,ada,8.8.8.8,true", "its time \"soon\" cannot be read; write 2026-01-02T08:00:00Z"),
        ("1/2/2026 8:00,ada,8.8.8.8,true", "its time \"1/2/2026 8:00\" has the day and the month in an unknown order"),
        ("2026-01-02T08:00:00Z,ada,8.8.8.8,perhaps", "is \"perhaps\"; write true, false"),
        ("2026-01-02T08:00:00Z,ada", "it has 2 fields, and the header 4"),
    ] {
        let error = bad(row);
        assert!(error.contains(words) && error.contains("line 2"), "{error}");
    }
    let long = bad(&format!("{},ada,8.8.8.8,true", "x".repeat(500)));
    assert!(long.contains(&format!("\"{}\"..", "x".repeat(40))), "{long}");
}

#[test]
fn the_page_reads_values_out_and_loads_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let log = synth(folder.path(), "300", "0.3");
    let html = folder.path().join("report.html").display().to_string();
    output_of(&["replay", &log, "--html", &html]);
    let page = std::fs::read_to_string(&html).unwrap();
    use base64::Engine as _;
    let hash = base64::engine::general_purpose::STANDARD.encode(ring::digest::digest(&ring::digest::SHA256, riskgate_lab::html::SCRIPT.as_bytes()));
    assert_eq!(hash, riskgate_lab::html::SCRIPT_HASH, "the hash of html/mod.rs must be that of html/report.js");
    assert!(page.contains(&format!("script-src 'sha256-{hash}'")) && page.matches("<script").count() == 1);
    assert!(!["http://", "https://", "src=", "@import", "url("].iter().any(|load| page.contains(load)), "the page loads something");
    assert!(page.contains("type=\"range\"") && page.matches("class=\"readout\"").count() == 4);
    let report: Value = serde_json::from_str(&output_of(&["replay", &log, "--json"])).unwrap();
    let first = &report["surprising"][0];
    assert!(first["user"].as_str().unwrap().len() > 8 && first["time"].as_str().unwrap().ends_with('Z') && first["country"].is_string(), "{first}");
    let users: Vec<String> = std::fs::read_to_string(&log).unwrap().lines().skip(1).map(|row| row.split(',').nth(2).unwrap().to_owned()).collect();
    assert!(users.iter().all(|user| !page.contains(user.as_str())), "a raw log's users appear as pseudonyms only");
}
