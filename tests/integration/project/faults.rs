//! The catalogue of faults: each is caused over real TCP in both modes, and `docs/FAULTS.md` lists the results.
//!
//! `RISKGATE_WRITE_FAULTS=1 cargo test --test integration faults::` writes the page; every other run holds it against what it sees.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use riskgate_runtime::mode::RuntimeMode;

use self::{
    cases::CASES,
    chaos::{Outcome, chaos},
    entry_points::{EntryPoint, GRACE, InvocationResult, event},
    rows::{Bring, Row, rows},
    stories::{Scenario, ScenarioResult, stories},
};
use crate::threats;

mod cases;
mod challenges;
mod chaos;
mod entry_points;
mod rows;
mod step_up;
mod stories;

/// What every row runs under: times that a busy machine does not exceed by itself, so that only a fault lapses, and a fallback that
/// cannot be mistaken for a score.
const SETTINGS: [(&str, &str); 5] =
    [("BUDGET", "2900ms"), ("PROVIDER_TIMEOUT", "2400ms"), ("CONNECT_TIMEOUT", "1500ms"), ("STORE_TIMEOUT", "1500ms"), ("FALLBACK", "deny")];

const BUDGET: Duration = Duration::from_millis(2900);

/// Later than any timeout of these.
const TOO_LATE: Duration = Duration::from_millis(3500);

/// The triggers that follow a sign-in: each waits for the store alone.
const LATER: [&str; 2] = [
    r#"{"version":"1","triggerSource":"PostAuthentication_Authentication","userPoolId":"eu-west-1_test","userName":"ada","callerContext":{"clientId":"web"},"request":{"userAttributes":{"sub":"9c5b"},"newDeviceUsed":false},"response":{}}"#,
    r#"{"version":"1","triggerSource":"TokenGeneration_Authentication","userPoolId":"eu-west-1_test","userName":"ada","callerContext":{"clientId":"web"},"request":{"userAttributes":{"sub":"9c5b"},"groupConfiguration":{}},"response":{"claimsOverrideDetails":null}}"#,
];

/// `STORE_TIMEOUT` and the 50 ms that may be added.
const LATER_BUDGET: Duration = Duration::from_millis(1550);

/// Concurrent rows. With more, the times would be those of a busy machine.
const AT_ONCE: usize = 6;

/// The result of a row in one mode.
struct Seen {
    evidence: String,
    verdict: &'static str,
    results: Vec<InvocationResult>,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_fault_is_answered_in_time_in_both_modes() {
    let (rows, stories) = (rows(), stories());
    let mut wrong = Vec::new();
    let seen: Vec<(Seen, Seen)> = stream::iter(&rows)
        .map(|row| async { tokio::join!(answered(row, RuntimeMode::Lambda), answered(row, RuntimeMode::Sidecar)) })
        .buffered(AT_ONCE)
        .collect()
        .await;
    for (row, (lambda, sidecar)) in rows.iter().zip(&seen) {
        for (runtime_mode, seen) in [("Lambda", lambda), ("sidecar", sidecar)] {
            if seen.evidence != row.evidence || seen.verdict != row.verdict {
                wrong.push(format!("{} {runtime_mode}: {} {}; expected {} {}", row.id, seen.evidence, seen.verdict, row.evidence, row.verdict));
            }
        }
    }
    let played: Vec<(ScenarioResult, ScenarioResult)> = stream::iter(&stories)
        .map(|story| async { tokio::join!((story.play)(RuntimeMode::Lambda), (story.play)(RuntimeMode::Sidecar)) })
        .buffered(AT_ONCE / 2)
        .collect()
        .await;
    for (story, (lambda, sidecar)) in stories.iter().zip(&played) {
        for ((runtime_mode, expected), played) in ["Lambda", "sidecar"].into_iter().zip(story.expected).zip([lambda, sidecar]) {
            if played.seen != expected {
                wrong.push(format!("{} {runtime_mode}: {}; expected {expected}", story.id, played.seen));
            }
        }
    }
    let chaos = chaos().await;
    wrong.extend(chaos.wrong.iter().map(|wrong| format!("chaos with RISKGATE_CHAOS_SEED={}: {wrong}", chaos.seed)));
    let results: Vec<&InvocationResult> = seen
        .iter()
        .flat_map(|(lambda, sidecar)| lambda.results.iter().chain(&sidecar.results))
        .chain(played.iter().flat_map(|(lambda, sidecar)| lambda.results.iter().chain(&sidecar.results)))
        .chain(&chaos.results)
        .collect();
    wrong.extend(results.iter().filter(|result| result.late() > GRACE).map(|result| format!("late: {result:?}")));
    println!("{}", lateness(&results));
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    hold(&page(&rows, &seen, &stories, &played, &chaos));
}

/// Every case is shown by something that exists.
#[test]
fn every_case_is_shown() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = BTreeMap::new();
    for folder in ["crates", "src", "tests/integration", "tests/programs"] {
        threats::gather(&root.join(folder), &mut files);
    }
    let recipes = fs::read_to_string(root.join("justfile")).expect("the recipes");
    let known: BTreeSet<String> =
        rows().iter().map(|row| row.id).chain(stories().iter().map(|story| story.id)).chain(["K1", "K2", "K3"]).map(str::to_owned).collect();
    for case in CASES {
        assert!(!(case.shown.is_empty() && case.tests.is_empty()), "{} is shown by nothing", case.id);
        for row in case.rows() {
            assert!(known.contains(&row), "{}: there is no row {row}", case.id);
        }
        let mut words = case.tests.split_whitespace();
        while let Some(word) = words.next() {
            let exists = match word.split_once("::") {
                Some((file, name)) => files.get(file).is_some_and(|text| threats::has_test(text, name)),
                None => words.next().is_some_and(|synth_config| recipes.lines().any(|line| line.starts_with(synth_config))),
            };
            assert!(exists, "{}: {word} does not exist", case.id);
        }
    }
}

/// Causes a row's fault in one mode. The two later triggers are answered under it too.
async fn answered(row: &Row, runtime_mode: RuntimeMode) -> Seen {
    let placed = row.place().await;
    let own: Vec<(&str, &str)> = placed.variables.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let entry_point = EntryPoint::open(runtime_mode, &[&SETTINGS[..], &own].concat()).await;
    let (result, line) = match (&row.bring, runtime_mode) {
        // The sidecar's own route takes no events: the Invoke API does.
        (Bring::Event(event), _) => (entry_point.send(event).await, None),
        (_, RuntimeMode::Lambda) => (entry_point.send(event("ada", serde_json::json!({"ip":"8.8.8.8"})).as_bytes()).await, None),
        (_, RuntimeMode::Sidecar | RuntimeMode::Command) => {
            let (result, assessment) = entry_point.assess(r#"{"user":"ada","client":"web","ip":"8.8.8.8"}"#).await;
            (result, Some(assessment))
        }
    };
    let line = match line {
        Some(line) => line,
        None if row.evidence.is_empty() => serde_json::Value::Null,
        None => entry_point.audited().await,
    };
    let mut seen = Seen { evidence: line["evidence"][row.source()].as_str().unwrap_or_default().to_owned(), verdict: result.verdict, results: vec![result] };
    for event in LATER {
        let result = entry_point.send(event.as_bytes()).await;
        // A token has claims if the store knows the sign-in. These two triggers deny no user.
        let expected: &[&str] = if row.source() == "history" { &["allow"] } else { &["allow", "changed"] };
        assert!(expected.contains(&result.verdict), "{} {runtime_mode:?}: a later trigger: {}", row.id, result.verdict);
        seen.results.push(InvocationResult { budget: LATER_BUDGET, ..result });
    }
    seen
}

/// A histogram of how long before or after their budget answers came.
fn lateness(result: &[&InvocationResult]) -> String {
    let mut text = format!("{} answers, by what was left of their budget:\n", result.len());
    let left = |result: &InvocationResult| result.budget.as_secs_f64() * 1e3 - result.took.as_secs_f64() * 1e3;
    let steps = [1000.0, 800.0, 600.0, 400.0, 200.0, 100.0, 50.0, 0.0, -50.0];
    let mut above = f64::INFINITY;
    for step in steps {
        let name = if step < 0.0 { "late by up to 50 ms".to_owned() } else { format!("over {step} ms") };
        let _ = writeln!(text, "{name:>20} {}", result.iter().filter(|result| (step..above).contains(&left(result))).count());
        above = step;
    }
    let _ = write!(text, "{:>20} {}", "later", result.iter().filter(|result| left(result) < above).count());
    text
}

/// The page that the run writes.
fn page(rows: &[Row], seen: &[(Seen, Seen)], stories: &[Scenario], played: &[(ScenarioResult, ScenarioResult)], chaos: &Outcome) -> String {
    let mut page = String::from(
        "# Faults, and what riskgate answers\n\nWritten by `RISKGATE_WRITE_FAULTS=1 cargo test --test integration faults::`, which causes each fault over real TCP in Lambda and in the sidecar.\n\
         Every other run fails if its results differ from this page. All rows run with `FALLBACK=deny`: the answer `deny` shows that the fallback decided.\n\
         Every answer came within its budget, including those of the two triggers that follow a sign-in, which are called in every row, of the three of a challenge, and of the authorizer.\n\
         Input that is not an event gets the same answer as a denial.\n\n## One sign-in\n\n\
         | id | where | fault | the evidence of the service, or the store | answer in Lambda | answer of the sidecar |\n| --- | --- | --- | --- | --- | --- |\n",
    );
    let cell = |text: &str| text.replace('|', "\\|");
    for (row, (lambda, sidecar)) in rows.iter().zip(seen) {
        let _ = writeln!(page, "| {} | {} | {} | {} | {} | {} |", row.id, row.place, cell(row.fault), lambda.evidence, lambda.verdict, sidecar.verdict);
    }
    page.push_str("\n## Sequences\n\nEach answer is the evidence of the service and the decision.\n\n| id | what happens | in Lambda | in the sidecar |\n| --- | --- | --- | --- |\n");
    for (story, (lambda, sidecar)) in stories.iter().zip(played) {
        let _ = writeln!(page, "| {} | {} | {} | {} |", story.id, cell(story.what), lambda.seen, sidecar.seen);
    }
    let _ = write!(
        page,
        "\n## Random faults\n\nEvery run draws a runtime mode, a fallback, a cache state and a fault of the service's answer (latency, reset, a byte at a time, half an answer, no answer, 5xx), {} times,\n\
         and compares each decision with the expected one. It prints its seed. `RISKGATE_CHAOS=600` makes more draws, `RISKGATE_CHAOS_SEED` repeats them.\n\n\
         | id | the cache contains | expected |\n| --- | --- | --- |\n\
         | K1 | nothing | an answer in time is used; else the fallback, by its name |\n| K2 | an expired answer | fetched again; if that fails, the old answer is used |\n\
         | K3 | a fresh answer | no service is called |\n",
        if std::env::var_os("RISKGATE_CHAOS").is_some() { 36 } else { chaos.draws }
    );
    page.push_str("\n## Cases\n\nThese cases are shown by the rows above, tests (`tests/integration`, `tests/programs`, `crates` and `src`; each exists) and recipes of the `justfile`.\n\n| case | what happens | expected | shown by |\n| --- | --- | --- | --- |\n");
    for case in CASES {
        let tests = case.tests.replace("just ", "just_");
        let tests = tests.split_whitespace().map(|test| format!("`{}`", test.replace("just_", "just ")));
        let shown: Vec<String> = case.shown.split_whitespace().map(str::to_owned).chain(tests).collect();
        let _ = writeln!(page, "| {} | {} | {} | {} |", case.id, cell(case.what), cell(case.right), shown.join(" "));
    }
    page
}

/// Holds the page against the committed one, or writes it.
fn hold(page: &str) {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "docs", "FAULTS.md"].iter().collect();
    if std::env::var_os("RISKGATE_WRITE_FAULTS").is_some() {
        fs::write(&path, page).expect("written");
    }
    let committed = fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == page, "docs/FAULTS.md is not what was seen; write it with RISKGATE_WRITE_FAULTS=1");
}
