//! `riskgate replay`: scores a log of sign-ins and reports the effect of each threshold.

use std::{
    fmt::Write as _,
    fs::{self, File},
    io::{BufWriter, IsTerminal, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressStyle};

use crate::commands::Failure;
use riskgate_config::{Config, encoding, env::ProcessEnv};
use riskgate_engine::{
    evaluator::Evaluator,
    score::model::{Model, Tables},
    settings::{DecisionConfig, Mode},
};
use riskgate_lab::{
    comparison::{Comparison, RowVerdict},
    html,
    pass::Pass,
    promises::PromiseCheck,
    report::{Report, Thresholds},
    rows::columns::{FIELDS, Mapping},
    run::{Run, RunError},
    selection::UserSelection,
    tables::{LearnPass, TableBuilder},
    text,
};
use riskgate_pipeline::risk_engine::open_model;
use riskgate_runtime::clock;

/// The minimum number of sign-ins for learned tables without a warning.
const MIN_LEARNED_SIGN_INS: u64 = 1_000;

/// Scores a log of sign-ins with the current configuration and reports which sign-ins each threshold would have stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate replay audit.jsonl.gz
  riskgate replay rba-dataset.csv --html report.html
  riskgate replay logins.csv --map when=time --map login=user --map addr=ip
  riskgate replay audit.jsonl --learn model/ && RISKGATE_MODEL=model riskgate serve
  riskgate replay audit.jsonl --against DENY_AT=85,REVIEW_AT=60
  riskgate synth --users 60000 --seed 11 | riskgate replay -
  RISKGATE_MODE=monitor riskgate replay logins.csv --calibrate 20000

Rows must be in order of time. A row with a label (Attack, Is Account Takeover, Is Attack IP) is scored but not learned from.

In an audit log, outcome lines are joined to their sign-ins: only right passwords are learned from, and `fraud` is a label. A sign-in without an outcome within RISKGATE_PENDING_TTL failed, unless its app client never sends outcomes: then its password counts as right.")]
pub struct Args {
    /// Audit lines (JSON), the RBA data set or any CSV, Cognito's user auth events or exported user activity, also as wrapped by CloudWatch Logs, Kinesis,
    /// Firehose, Docker, containerd, journald, Fluent Bit or Loki. Reads UTF-8, UTF-16, gzip and zstd. `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Maps a column of a CSV file to a field.
    #[arg(long = "map", value_name = "COLUMN=FIELD", value_parser = parse_mapping, help = mapping_help())]
    mappings: Vec<Mapping>,
    /// Prints the report as JSON.
    #[arg(long)]
    json: bool,
    /// Writes the report as an HTML page with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Writes a JSON line for each scored row.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Fits the model's tables to this log and writes them to DIR. The report evaluates tables learned from half of the users on the other half. The log
    /// is read five times.
    #[arg(long, value_name = "DIR")]
    learn: Option<PathBuf>,
    /// Compares with another model or other thresholds: DIR, or DENY_AT=85,REVIEW_AT=60.
    #[arg(long, value_name = "DIR|DENY_AT=..", conflicts_with = "learn")]
    against: Option<String>,
    /// Calibrates the score on the log's own traffic, each sign-in with what was known before it, and compares promised with realised false-positive rates
    /// from the given number of legitimate sign-ins on. With RISKGATE_MODE=enforce, scores from DENY_AT on are not observed. Decisions do not change.
    #[arg(long, value_name = "SIGN_INS")]
    calibrate: Option<u64>,
    /// Leaves scores as they are without attacks on a pool. By default, as in the triggers and the sidecar, sign-ins that share values with an attack on
    /// their pool score higher (reason attack_wave). Attacks are reported with and without this. Tables are never learned from such scores.
    #[arg(long)]
    without_attack_wave: bool,
    /// The number of bad rows that are accepted before the run stops.
    #[arg(long, default_value_t = 100)]
    max_bad: u64,
}

/// Runs the command.
///
/// # Errors
///
/// The configuration is faulty, a file cannot be read, or there are too many bad rows.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (config, faults) = Config::read(&ProcessEnv);
    if !faults.is_empty() {
        return Err(Failure::Usage(format!("the configuration is faulty\n{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))));
    }
    if (args.learn.is_some() || args.against.is_some()) && args.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(Failure::Usage("--learn and --against read the log more than once: use files, not standard input".to_owned()));
    }
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signal(Arc::clone(&stop));
    let run = Run { files: args.files.clone(), mappings: args.mappings.clone(), max_bad: args.max_bad, stop, bytes: Arc::default() };
    let (model, users) = match &args.learn {
        None => (current_model(&config)?, UserSelection::All),
        Some(directory) => match learn(&run, &config, directory)? {
            Some(model) => (model, UserSelection::HeldOut),
            None => return Ok(()),
        },
    };
    let mut pass = Pass::new(&config, Evaluator::new(&config.decision, model), clock::read().mono).with_users(users);
    if let Some(path) = &args.scores {
        pass = pass.with_scores_output(Box::new(BufWriter::with_capacity(1 << 17, create(path)?)));
    }
    if !args.without_attack_wave {
        pass = pass.with_attack_wave();
    }
    if args.against.is_some() {
        pass = pass.with_verdicts();
    }
    if let Some(skipped) = args.calibrate {
        let decision = &config.decision;
        let stopped_from = (decision.mode.default == Mode::Enforce).then_some(decision.deny_at.default);
        pass = pass.with_promise_check(PromiseCheck::new(skipped, stopped_from));
    }
    run_pass(&run, &mut pass, "replaying")?;
    require_sign_ins(&run, &pass)?;
    let verdicts = pass.verdicts.take().unwrap_or_default();
    let promises = pass.promise_check.as_ref().map(PromiseCheck::promises).unwrap_or_default();
    let attacks = std::mem::take(&mut pass.attacks).into_report();
    let mut report = build_report(&config, pass, &args.files, run.is_stopped());
    report.attacks = attacks;
    report.promises = promises;
    if let Some(directory) = &args.learn {
        let directory = directory.display();
        report.warnings.push(format!("the report covers half of the users; its tables are learned from the other half, those in {directory} from all users"));
    }
    match &args.against {
        Some(other) if run.is_stopped() => report.warnings.push(format!("not compared with {other}: stopped early")),
        Some(other) => report.comparison = Some(compare_with(&run, &config, (other, !args.without_attack_wave), &verdicts)?),
        None => {}
    }
    if let Some(path) = &args.html {
        let title = args.files.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(", ");
        create(path)?.write_all(html::render(&report, &title).as_bytes()).map_err(|error| Failure::Run(format!("{}: {error}", path.display())))?;
    }
    let text = if args.json { serde_json::to_string_pretty(&report).map_err(|error| Failure::Run(error.to_string()))? } else { text::render(&report) };
    // A closed pipe is not an error.
    let _ = writeln!(std::io::stdout(), "{}", text.trim_end());
    Ok(())
}

fn build_report(config: &Config, pass: Pass, files: &[PathBuf], is_stopped_early: bool) -> Report {
    let DecisionConfig { review_at, challenge_at, deny_at, .. } = &config.decision;
    let thresholds = Thresholds { review_at: review_at.default, challenge_at: challenge_at.default, deny_at: deny_at.default };
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let (users, dateless) = (pass.user_count(), pass.dateless_times());
    let base = pass.evaluator().model().base();
    for (file, line, problem) in &pass.bad_rows {
        eprintln!("riskgate: {}, line {line}: {problem}", names[*file]);
    }
    let mut report = Report::new(pass.counters, users, &names, thresholds, base);
    if dateless > 0 {
        report
            .warnings
            .push(format!("{dateless} times have no date and hour: they were placed in consecutive hours, so hours of the day and intervals mean nothing"));
    }
    if is_stopped_early {
        report.warnings.push("stopped early: the report covers only the rows read so far".to_owned());
    }
    report
}

/// The model in force.
fn current_model(config: &Config) -> Result<Model, Failure> {
    open_model(&config.history).map_err(|error| Failure::Usage(format!("RISKGATE_MODEL: {error}")))
}

/// Tables that were learned from a log, and what they were learned from.
struct LearnedTables {
    tables: Tables,
    sign_ins: u64,
    summary: String,
}

/// Fits the tables to the log and writes them. Returns the model for the report, which is learned from half of the users and
/// evaluated on the others. `None` if the log has too few users for that.
fn learn(run: &Run, config: &Config, directory: &Path) -> Result<Option<Model>, Failure> {
    let Some(learned) = learn_tables(run, config, UserSelection::All)? else {
        return Err(Failure::Run("the log has no successful sign-in to learn from".to_owned()));
    };
    fs::create_dir_all(directory).map_err(|error| Failure::Run(format!("{}: {error}", directory.display())))?;
    for (name, text) in learned.tables.files() {
        create(&directory.join(name))?.write_all(text.as_bytes()).map_err(|error| Failure::Run(format!("{name}: {error}")))?;
    }
    eprintln!("learned from {} sign-ins, written to {}: {}", learned.sign_ins, directory.display(), learned.summary);
    if learned.sign_ins < MIN_LEARNED_SIGN_INS {
        let too_few = "sign-ins are too few for tables fitted to them; use the bundled tables below";
        eprintln!("warning: {} {too_few} {MIN_LEARNED_SIGN_INS}", learned.sign_ins);
    }
    fit(&learned.tables, config)?;
    match learn_tables(run, config, UserSelection::Learned)? {
        Some(half) if half.sign_ins < learned.sign_ins => fit(&half.tables, config).map(Some),
        Some(_) | None => {
            eprintln!("not evaluated: a report needs users of whom nothing was learned, and the log has too few users");
            Ok(None)
        }
    }
}

/// Builds the model of learned tables.
fn fit(tables: &Tables, config: &Config) -> Result<Model, Failure> {
    Model::new(tables, config.history.model_config()).map_err(|error| Failure::Run(format!("the learned tables cannot be read back: {error}")))
}

/// Learns tables from the selected users, in two passes. `None` if they have no successful sign-in.
fn learn_tables(run: &Run, config: &Config, users: UserSelection) -> Result<Option<LearnedTables>, Failure> {
    let current = match &config.history.model {
        None => Tables::bundled(),
        Some(directory) => Tables::read(|name| fs::read(directory.join(name)).and_then(encoding::decode)).map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let first_builder = learn_pass(run, config, users, (current_model(config)?, LearnPass::First))?;
    if first_builder.sign_ins() == 0 {
        return Ok(None);
    }
    let first = first_builder.build_first_tables(current);
    let second_builder = learn_pass(run, config, users, (fit(&first, config)?, LearnPass::Second))?;
    let (tables, mut summary) = second_builder.build_second_tables(first);
    summary += "\nnew at a sign-in:";
    for (level, rate) in first_builder.novelty_rates() {
        let _ = write!(summary, " {level} {:.1} %", rate * 100.0);
    }
    Ok(Some(LearnedTables { tables, sign_ins: first_builder.sign_ins(), summary }))
}

/// Runs one learning pass.
fn learn_pass(run: &Run, config: &Config, users: UserSelection, (model, stage): (Model, LearnPass)) -> Result<TableBuilder, Failure> {
    let builder = TableBuilder::new(&model, stage);
    let mut pass = Pass::new(config, Evaluator::new(&config.decision, model), clock::read().mono).with_table_builder(builder).with_users(users);
    let what = match (users, stage) {
        (UserSelection::All, LearnPass::First) => "learning novelty",
        (UserSelection::All, LearnPass::Second) => "learning rarity",
        (UserSelection::Learned | UserSelection::HeldOut, _) => "learning from half",
    };
    run_pass(run, &mut pass, what)?;
    if run.is_stopped() {
        return Err(stopped_while_learning());
    }
    if users == UserSelection::All {
        require_sign_ins(run, &pass)?;
    }
    Ok(pass.table_builder.take().expect("the pass has a table builder"))
}

/// The failure of a stopped run. Tables of an incomplete log are not written, because they would not show that they are incomplete.
fn stopped_while_learning() -> Failure {
    Failure::Run("stopped while learning: no tables were written".to_owned())
}

/// Replays with another model or other thresholds, and counts the differing verdicts.
fn compare_with(run: &Run, config: &Config, (other, weighs_attacks): (&str, bool), verdicts: &[RowVerdict]) -> Result<Comparison, Failure> {
    let mut config = config.clone();
    if other.contains('=') {
        for setting in other.split(',') {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            let value: f64 = value
                .parse()
                .ok()
                .filter(|value| (0.0..=100.0).contains(value))
                .ok_or_else(|| Failure::Usage(format!("--against: {setting} is not a threshold from 0 to 100")))?;
            match name.trim_start_matches("RISKGATE_") {
                "DENY_AT" => config.decision.deny_at.default = value,
                "REVIEW_AT" => config.decision.review_at.default = value,
                "CHALLENGE_AT" => config.decision.challenge_at.default = Some(value),
                _ => return Err(Failure::Usage(format!("--against: {name} is not REVIEW_AT, CHALLENGE_AT or DENY_AT"))),
            }
        }
    } else {
        config.history.model = Some(PathBuf::from(other));
    }
    let model = open_model(&config.history).map_err(|error| Failure::Usage(format!("--against {other}: {error}")))?;
    let mut pass = Pass::new(&config, Evaluator::new(&config.decision, model), clock::read().mono).with_verdicts();
    if weighs_attacks {
        pass = pass.with_attack_wave();
    }
    run_pass(run, &mut pass, "replaying the alternative")?;
    require_sign_ins(run, &pass)?;
    let other_verdicts = pass.verdicts.take().unwrap_or_default();
    Ok(Comparison::new(other.to_owned(), verdicts, &other_verdicts))
}

/// Runs one pass, with a progress bar if standard error is a terminal.
fn run_pass(run: &Run, pass: &mut Pass, what: &'static str) -> Result<(), Failure> {
    run.bytes.store(0, Ordering::Relaxed);
    let length: Option<u64> = run.files.iter().map(|file| fs::metadata(file).ok().filter(fs::Metadata::is_file).map(|meta| meta.len())).sum();
    let bar = if !std::io::stderr().is_terminal() {
        ProgressBar::hidden()
    } else if let Some(length) = length {
        ProgressBar::new(length).with_style(ProgressStyle::with_template("{prefix} {wide_bar} {percent}% {msg}, {eta} left").expect("the template is fixed"))
    } else {
        ProgressBar::new_spinner().with_style(ProgressStyle::with_template("{prefix} {spinner} {msg}").expect("the template is fixed"))
    };
    bar.set_prefix(what);
    let started = clock::read().mono;
    let outcome = run.replay(pass, |rows, bytes| {
        if !bar.is_hidden() {
            bar.set_position(bytes);
            #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
            bar.set_message(format!(
                "{rows} rows, {:.0} a second",
                rows as f64 / clock::read().mono.saturating_duration_since(started).as_secs_f64().max(0.001)
            ));
        }
    });
    bar.finish_and_clear();
    outcome.map_err(|error| match error {
        RunError::TooManyBad(..) => {
            let problems: Vec<String> =
                pass.bad_rows.iter().map(|(file, line, problem)| format!("{}, line {line}: {problem}", run.files[*file].display())).collect();
            Failure::Run(format!("{error}\n{}", problems.join("\n")))
        }
        RunError::File { .. } | RunError::Scores(_) => Failure::Run(error.to_string()),
    })
}

/// Fails if no sign-in was read. A report of zeros would look like a result.
fn require_sign_ins(run: &Run, pass: &Pass) -> Result<(), Failure> {
    let counters = &pass.counters;
    if counters.used_sign_ins() > 0 {
        return Ok(());
    }
    let log = &counters.log;
    let other_lines = log.outcomes + log.without_user + log.other_lines;
    let mut message = format!("no sign-in could be read: {} rows, {} of them bad, and {other_lines} other lines", counters.rows, counters.bad);
    if let Some((file, line, problem)) = pass.bad_rows.first() {
        let _ = write!(message, "; the first bad row is {}, line {line}: {problem}", run.files[*file].display());
    }
    Err(Failure::Run(message))
}

/// Stops the run on Ctrl-C, with a report of the rows read so far. A second Ctrl-C exits immediately.
fn stop_on_signal(stop: Arc<AtomicBool>) {
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else { return };
        runtime.block_on(async {
            while tokio::signal::ctrl_c().await.is_ok() {
                if stop.swap(true, Ordering::Relaxed) {
                    std::process::exit(1);
                }
            }
        });
    });
}

fn create(path: &Path) -> Result<File, Failure> {
    File::create(path).map_err(|error| Failure::Run(format!("{}: {error}", path.display())))
}

/// The help of `--map`, with all fields.
fn mapping_help() -> String {
    format!("Maps a column of a CSV file to a field. FIELD is one of {}", FIELDS.join(", "))
}

fn parse_mapping(text: &str) -> Result<Mapping, String> {
    match text.rsplit_once('=') {
        Some((column, field)) if FIELDS.contains(&field) => Ok((column.to_owned(), field.to_owned())),
        Some(_) | None => Err(format!("must be COLUMN=FIELD, where FIELD is one of {}", FIELDS.join(", "))),
    }
}
