//! `riskgate replay`: a log of sign-ins in, what each threshold would have done out.

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

use super::Failure;
use crate::{
    assess::{Judge, open_model},
    config::{Config, encoding, env::ProcessEnv},
    event::Now,
    replay::{
        comparison::{Comparison, Judged},
        html,
        learn::{Lessons, Pass as LearnPass},
        pass::Pass,
        report::{Report, Thresholds},
        rows::{FIELDS, Mapping},
        run::{Run, RunError},
        text,
    },
    score::{Model, Tables},
};

/// Sign-ins under which learned tables carry a warning.
const FEW_LESSONS: u64 = 1_000;

/// Judges a log of sign-ins as the gate would have, with the present configuration, and says whom each threshold would have stopped.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate replay audit.jsonl.gz
  riskgate replay rba-dataset.csv --html report.html
  riskgate replay logins.csv --map when=time --map login=user --map addr=ip
  riskgate replay audit.jsonl --learn model/ && RISKGATE_MODEL=model riskgate serve
  riskgate replay audit.jsonl --against DENY_AT=85,REVIEW_AT=60
  riskgate synth --users 60000 --seed 11 | riskgate replay -

Rows have to be in order of time. A row with a label (Attack, Is Account Takeover, Is Attack IP) is scored and leaves no trace.
Of an audit log the lines that say how a sign-in ended are joined to it: only a right password is learned, `fraud` is a label, and what nothing
follows within RISKGATE_PENDING_TTL failed. Sign-ins of an app client that never says how they end count as right passwords.")]
pub struct Args {
    /// Audit lines (JSON), the RBA data set or any CSV, Cognito's user auth events or exported user activity, also inside what CloudWatch Logs, Kinesis,
    /// Firehose, Docker, containerd, journald, Fluent Bit or Loki put around them; UTF-8 and UTF-16, gzip and zstd; `-` is standard input.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Names a column of a CSV file: COLUMN=FIELD.
    #[arg(long = "map", value_name = "COLUMN=FIELD", value_parser = mapping)]
    mappings: Vec<Mapping>,
    /// The report as JSON.
    #[arg(long)]
    json: bool,
    /// The report as one page with charts.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// A JSON line for each scored row.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Fits the model's tables on this log and writes them; the log is read three times.
    #[arg(long, value_name = "DIR")]
    learn: Option<PathBuf>,
    /// Another model's directory, or other thresholds, to compare with: DIR, or DENY_AT=85,REVIEW_AT=60.
    #[arg(long, value_name = "DIR|DENY_AT=..", conflicts_with = "learn")]
    against: Option<String>,
    /// Bad rows that are borne before the run stops.
    #[arg(long, default_value_t = 100)]
    max_bad: u64,
}

/// Runs the command.
///
/// # Errors
///
/// Files that cannot be read, too many bad rows, a faulty configuration.
pub fn run(args: &Args) -> Result<(), Failure> {
    let (config, faults) = Config::read(&ProcessEnv);
    if !faults.is_empty() {
        return Err(Failure::Usage(format!("the configuration is faulty\n{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))));
    }
    if (args.learn.is_some() || args.against.is_some()) && args.files.iter().any(|file| file.as_os_str() == "-") {
        return Err(Failure::Usage("--learn and --against read the log more than once: give files, not standard input".to_owned()));
    }
    let stop = Arc::new(AtomicBool::new(false));
    stop_on_signal(Arc::clone(&stop));
    let run = Run { files: args.files.clone(), mappings: args.mappings.clone(), max_bad: args.max_bad, stop, bytes: Arc::default() };
    let model = open_model(&config.history).map_err(|error| Failure::Usage(format!("RISKGATE_MODEL: {error}")))?;
    let model = match &args.learn {
        None => model,
        Some(directory) => learn(&run, &config, model, directory)?,
    };
    let mut pass = Pass::new(&config, Judge::new(&config, model), Now::read().mono);
    if let Some(path) = &args.scores {
        pass = pass.writing(Box::new(BufWriter::with_capacity(1 << 17, create(path)?)));
    }
    if args.against.is_some() {
        pass = pass.keeping_verdicts();
    }
    go(&run, &mut pass, "replaying")?;
    let verdicts = pass.verdicts.take().unwrap_or_default();
    let mut report = report(&config, pass, &args.files, run.is_stopped());
    match &args.against {
        Some(other) if run.is_stopped() => report.warnings.push(format!("not compared with {other}: stopped early")),
        Some(other) => report.comparison = Some(against(&run, &config, other, &verdicts)?),
        None => {}
    }
    if let Some(path) = &args.html {
        let title = args.files.iter().filter_map(|file| file.file_name()).map(|name| name.to_string_lossy()).collect::<Vec<_>>().join(", ");
        create(path)?.write_all(html::page(&report, &title).as_bytes()).map_err(|error| Failure::Run(format!("{}: {error}", path.display())))?;
    }
    let said = if args.json { serde_json::to_string_pretty(&report).map_err(|error| Failure::Run(error.to_string()))? } else { text::text(&report) };
    // A closed pipe is the reader's choice.
    let _ = writeln!(std::io::stdout(), "{}", said.trim_end());
    Ok(())
}

fn report(config: &Config, pass: Pass, files: &[PathBuf], is_cut: bool) -> Report {
    let thresholds = Thresholds { review_at: config.decision.review_at.default, deny_at: config.decision.deny_at.default };
    let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    let (people, dateless) = (pass.people(), pass.dateless());
    let base = pass.judge().model().base();
    for (file, line, why) in &pass.bad {
        eprintln!("riskgate: {}, line {line}: {why}", names[*file]);
    }
    let mut report = Report::of(pass.census, people, &names, thresholds, base);
    if dateless > 0 {
        report.warnings.push(format!("{dateless} times had lost date and hour: they were put in a row, hour after hour, so hours and pauses say nothing"));
    }
    if is_cut {
        report.warnings.push("stopped early: this is what was known by then".to_owned());
    }
    report
}

/// Fits the tables, writes them, and gives the model that they make.
fn learn(run: &Run, config: &Config, model: Model, directory: &Path) -> Result<Model, Failure> {
    let present = match &config.history.model {
        None => Tables::bundled(),
        Some(directory) => Tables::read(|name| fs::read(directory.join(name)).and_then(encoding::text)).map_err(|error| Failure::Usage(error.to_string()))?,
    };
    let lessons = Lessons::new(&model, LearnPass::First);
    let mut pass = Pass::new(config, Judge::new(config, model), Now::read().mono).learning(lessons);
    go(run, &mut pass, "learning what is new")?;
    if run.is_stopped() {
        return Err(stopped());
    }
    let lessons = pass.lessons.take().expect("the pass was given lessons");
    if lessons.sign_ins() == 0 {
        return Err(Failure::Run("the log has no successful sign-in to learn from".to_owned()));
    }
    let fit = |tables: &Tables| Model::new(tables, &config.history).map_err(|error| Failure::Run(format!("the learned tables cannot be read back: {error}")));
    let first = lessons.first_tables(present);
    let model = fit(&first)?;
    let second = Lessons::new(&model, LearnPass::Second);
    let mut pass = Pass::new(config, Judge::new(config, model), Now::read().mono).learning(second);
    go(run, &mut pass, "learning how rare")?;
    if run.is_stopped() {
        return Err(stopped());
    }
    let (tables, said) = pass.lessons.take().expect("the pass was given lessons").second_tables(first);
    fs::create_dir_all(directory).map_err(|error| Failure::Run(format!("{}: {error}", directory.display())))?;
    for (name, text) in tables.files() {
        create(&directory.join(name))?.write_all(text.as_bytes()).map_err(|error| Failure::Run(format!("{name}: {error}")))?;
    }
    let mut summary = format!("learned from {} sign-ins, written to {}: {said}\nnew at a sign-in:", lessons.sign_ins(), directory.display());
    for (level, rate) in lessons.novelty_rates() {
        let _ = write!(summary, " {level} {:.1} %", rate * 100.0);
    }
    if lessons.sign_ins() < FEW_LESSONS {
        let _ = write!(
            summary,
            "\nwarning: {} sign-ins are too few for tables of one's own; the bundled ones are the better guess below {FEW_LESSONS}",
            lessons.sign_ins()
        );
    }
    eprintln!("{summary}");
    fit(&tables)
}

/// Tables of half a log would not say so.
fn stopped() -> Failure {
    Failure::Run("stopped while learning: no tables were written".to_owned())
}

/// Replays under another model or other thresholds, and counts where the two disagree.
fn against(run: &Run, config: &Config, other: &str, verdicts: &[Judged]) -> Result<Comparison, Failure> {
    let mut config = config.clone();
    if other.contains('=') {
        for setting in other.split(',') {
            let (name, value) = setting.split_once('=').unwrap_or((setting, ""));
            let value: f64 = value
                .parse()
                .ok()
                .filter(|value| (0.0..=100.0).contains(value))
                .ok_or_else(|| Failure::Usage(format!("--against: {setting} is no threshold")))?;
            match name.trim_start_matches("RISKGATE_") {
                "DENY_AT" => config.decision.deny_at.default = value,
                "REVIEW_AT" => config.decision.review_at.default = value,
                _ => return Err(Failure::Usage(format!("--against: {name} is neither DENY_AT nor REVIEW_AT"))),
            }
        }
    } else {
        config.history.model = Some(PathBuf::from(other));
    }
    let model = open_model(&config.history).map_err(|error| Failure::Usage(format!("--against {other}: {error}")))?;
    let mut pass = Pass::new(&config, Judge::new(&config, model), Now::read().mono).keeping_verdicts();
    go(run, &mut pass, "replaying the other")?;
    let others = pass.verdicts.take().unwrap_or_default();
    Ok(Comparison::of(other.to_owned(), verdicts, &others))
}

/// One pass, with a progress bar when somebody watches.
fn go(run: &Run, pass: &mut Pass, what: &'static str) -> Result<(), Failure> {
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
    let started = Now::read().mono;
    let outcome = run.through(pass, |rows, bytes| {
        if !bar.is_hidden() {
            bar.set_position(bytes);
            #[expect(clippy::cast_precision_loss, reason = "counts under 2^53")]
            bar.set_message(format!("{rows} rows, {:.0} a second", rows as f64 / started.elapsed().as_secs_f64().max(0.001)));
        }
    });
    bar.finish_and_clear();
    outcome.map_err(|error| match error {
        RunError::TooManyBad(..) => {
            let shown: Vec<String> = pass.bad.iter().map(|(file, line, why)| format!("{}, line {line}: {why}", run.files[*file].display())).collect();
            Failure::Run(format!("{error}\n{}", shown.join("\n")))
        }
        RunError::File { .. } | RunError::Scores(_) => Failure::Run(error.to_string()),
    })?;
    if pass.census.used() == 0 { Err(nothing_read(run, pass)) } else { Ok(()) }
}

/// A run without a sign-in has no result: a report of zeros would read like one.
fn nothing_read(run: &Run, pass: &Pass) -> Failure {
    let census = &pass.census;
    let log = &census.log;
    let others = log.outcomes + log.nobody + log.foreign;
    let mut said = format!("no sign-in could be read: {} rows, {} of them bad, and {others} other lines", census.rows, census.bad);
    if let Some((file, line, why)) = pass.bad.first() {
        let _ = write!(said, "; the first bad row is {}, line {line}: {why}", run.files[*file].display());
    }
    Failure::Run(said)
}

/// Ends the run early on Ctrl-C, with what is known; a second one ends it for good.
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

fn mapping(text: &str) -> Result<Mapping, String> {
    match text.rsplit_once('=') {
        Some((column, field)) if FIELDS.contains(&field) => Ok((column.to_owned(), field.to_owned())),
        Some(_) | None => Err(format!("must be COLUMN=FIELD, the field one of {}", FIELDS.join(", "))),
    }
}
