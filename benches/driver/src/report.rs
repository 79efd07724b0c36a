//! Renders `docs/BENCHMARKS.md`: tables, ratios, and each target with its measured value.

use std::{fmt::Write as _, fs, process::Command};

use serde::Deserialize;

use super::{
    Args, cold,
    http::{self, CONCURRENCY, SERVERS},
    lambda::{self, FUNCTIONS},
    overload::Overload,
    sample::Sample,
};

/// The results of `cargo bench --bench assess` and `--bench https`.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct BenchResults {
    /// Steps of one assessment.
    steps: Vec<Step>,
    /// The cost of a sign-in at several sizes of the stored state.
    growth: Vec<Scaling>,
    /// The CPU time of the first HTTPS request of a process, in milliseconds.
    first_https_ms: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Step {
    name: String,
    nanos: f64,
    allocations: f64,
    instructions: Option<u64>,
}

#[derive(Debug, Deserialize)]
struct Scaling {
    name: String,
    sizes: Vec<u64>,
    nanos: Vec<f64>,
}

/// Renders the page.
pub fn render_page(
    args: &Args,
    lambda: &[lambda::Figures; FUNCTIONS.len()],
    cold: &[cold::Start; FUNCTIONS.len()],
    http: &http::Comparison,
    overload: &Overload,
    steps: &[String],
) -> anyhow::Result<String> {
    let mut measured = BenchResults::default();
    for text in steps {
        let BenchResults { steps, growth, first_https_ms } = serde_json::from_str(text)?;
        measured.steps.extend(steps);
        measured.growth.extend(growth);
        measured.first_https_ms = first_https_ms.or(measured.first_https_ms);
    }
    let mut page = String::new();
    write_head(&mut page, args)?;
    write_targets(&mut page, lambda, cold, http, overload, &measured)?;
    write_lambda_table(&mut page, lambda, cold)?;
    write_http_table(&mut page, http)?;
    write_overload_table(&mut page, overload)?;
    write_steps_table(&mut page, &measured)?;
    Ok(page)
}

fn write_head(page: &mut String, args: &Args) -> anyhow::Result<()> {
    let cpu = fs::read_to_string("/proc/cpuinfo")?;
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": ")).map_or("unknown", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let output_of = |program: &str, arg: &str| -> String {
        Command::new(program).arg(arg).output().map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned()).unwrap_or_default()
    };
    // The load average shows whether other programs were running.
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    let rustc = output_of("rustc", "--version");
    let rustc = rustc.split(" (").next().unwrap_or_default();
    let python = output_of(&args.python.display().to_string(), "--version");
    write!(
        page,
        "# Benchmarks\n\nWritten by `just bench`, which builds riskgate and the programs in `benches/baseline`, runs them in turn and writes this page.\n\n\
         Machine: {cores} shared cores of {model}, {rustc}, {python}, Node {}; load average {load}, the benchmark included. Medians of {} rounds, the lowest and the highest round in brackets.\n\
         Every round runs each program once, in turn. A ratio is the median of the rounds' ratios. Load generator and server share the cores, so a difference\n\
         under 1.6 times in a closed loop is noise: CPU time and instructions are more reliable. `benches/baseline/README.md` describes the programs. riskgate\n\
         does all its work: one cached provider, audit line, metrics, and history where the table shows it.\n\n",
        output_of("node", "--version").trim_start_matches('v'),
        args.rounds
    )?;
    Ok(())
}

fn write_targets(
    page: &mut String,
    lambda: &[lambda::Figures; FUNCTIONS.len()],
    cold: &[cold::Start; FUNCTIONS.len()],
    http: &http::Comparison,
    overload: &Overload,
    measured: &BenchResults,
) -> anyhow::Result<()> {
    let [empty, ours, _, python, node] = lambda;
    let [empty_start, our_start, _, python_start, node_start] = cold;
    let [hyper, axum, sidecar, _, node_http, python_http] = &http.figures[1];
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    let mut rows = vec![
        at_most("Lambda, p50: at most 1.5 times the empty function's", ours.p50.ratio(&empty.p50), 1.5, "x"),
        at_most("Lambda, CPU time per sign-in: at most 1.5 times the empty function's", ours.cpu.ratio(&empty.cpu), 1.5, "x"),
        at_most("Lambda, p99: at most 2 times its own p50", ours.p99.ratio(&ours.p50), 2.0, "x"),
        at_least("Lambda, p50: at least 1.6 times faster than the Python handler", python.p50.ratio(&ours.p50), 1.6),
        at_least("Lambda, p50: at least 1.6 times faster than the Node handler", node.p50.ratio(&ours.p50), 1.6),
        at_most("Start to first poll: under 15 ms", our_start.wall.median(), 15.0, " ms"),
        at_most("First event to its response: under 30 ms", our_start.answer.median(), 30.0, " ms"),
        at_most("Start to first poll: at most 3 times the empty function's", our_start.wall.ratio(&empty_start.wall), 3.0, "x"),
        at_least("Start to first poll: at least 10 times faster than Python", python_start.wall.ratio(&our_start.wall), 10.0),
        at_least("Start to first poll: at least 10 times faster than Node", node_start.wall.ratio(&our_start.wall), 10.0),
    ];
    rows.extend(measured.first_https_ms.map(|millis| at_most("First HTTPS request of a process: under 3 ms of CPU time", millis, 3.0, " ms")));
    rows.extend([
        at_most("Resident after 10,000 sign-ins: under 24 MB", mib(ours.resident), 24.0, " MiB"),
        at_least("Resident: at least 3 times less than Python", python.resident as f64 / ours.resident as f64, 3.0),
        at_least("Resident: at least 5 times less than Node", node.resident as f64 / ours.resident as f64, 5.0),
        at_least("HTTP, 32 connections: at least 0.6 of the typed axum echo", sidecar.rate.ratio(&axum.rate), 0.6),
        at_least("HTTP, 32 connections: aiming at 0.6 of bare hyper", sidecar.rate.ratio(&hyper.rate), 0.6),
        at_least("HTTP, 32 connections: at least 3 times the Node service", sidecar.rate.ratio(&node_http.rate), 3.0),
        at_least("HTTP, 32 connections: at least 10 times the Python service", sidecar.rate.ratio(&python_http.rate), 10.0),
        at_most("HTTP, 32 connections, p99: at most 2 times the typed echo's", sidecar.p99.ratio(&axum.p99), 2.0, "x"),
    ]);
    let nanos = |name: &str| measured.steps.iter().find(|step| step.name == name).map(|step| step.nanos);
    rows.extend(nanos("whole").map(|nanos| at_most("One warm assessment: under 15 us of CPU time", nanos / 1e3, 15.0, " us")));
    rows.extend(nanos("evaluate").map(|nanos| at_most("Its signals, score and decision: under 2 us", nanos / 1e3, 2.0, " us")));
    rows.extend(nanos("cache hit").map(|nanos| at_most("A cache hit: under 300 ns", nanos, 300.0, " ns")));
    rows.extend(measured.growth.iter().map(|growth| {
        let (low, high) = growth.nanos.iter().fold((f64::INFINITY, 0.0_f64), |(low, high), nanos| (low.min(*nanos), high.max(*nanos)));
        // The target is for a complete sign-in. If only one step was measured, the other steps are added as a constant.
        let rest = if growth.name == LOOK_UP { nanos("whole http").map_or(0.0, |whole| whole - low) } else { 0.0 };
        at_most(&format!("A sign-in's cost grows flat, {}: under 1.5 times", growth.name), (rest + high) / (rest + low), 1.5, "x")
    }));
    rows.extend([
        at_most("Overload tenfold, p99 of rejections: under 5 ms", overload.tenfold.rejected_p99, 5.0, " ms"),
        at_most(
            "Overload tenfold, p99 of accepted requests: at most 2 times that at half load",
            overload.tenfold.accepted_p99 / overload.half.accepted_p99,
            2.0,
            "x",
        ),
    ]);
    page.push_str("## Targets\n\n| target | measured | |\n| --- | ---: | --- |\n");
    for Target { what, measured, met } in rows {
        writeln!(page, "| {what} | {measured} | {} |", if met { "met" } else { "**not met**" })?;
    }
    page.push('\n');
    // Written manually. Review it when the table changes.
    page.push_str(include_str!("../../unmet.md"));
    Ok(())
}

/// The state whose cost is measured for one step only.
const LOOK_UP: &str = "cached answers, lookup only";

/// A row of the table of targets.
struct Target {
    what: String,
    measured: String,
    met: bool,
}

fn at_most(what: &str, value: f64, limit: f64, unit: &str) -> Target {
    Target { what: what.to_owned(), measured: format!("{value:.2}{unit}"), met: value <= limit }
}

fn at_least(what: &str, ratio: f64, limit: f64) -> Target {
    Target { what: what.to_owned(), measured: format!("{ratio:.2}x"), met: ratio >= limit }
}

fn write_lambda_table(page: &mut String, figures: &[lambda::Figures; FUNCTIONS.len()], starts: &[cold::Start; FUNCTIONS.len()]) -> anyhow::Result<()> {
    let sign_ins = figures[0].sign_ins;
    write!(
        page,
        "## Lambda path\n\nOne sign-in after the other against a runtime API on loopback, from the event sent to the response received. {sign_ins} sign-ins each, of 8,192 people.\n\
         riskgate is measured twice: without a shared store, when it has no history, and with Redis, which it queries twice per sign-in.\n\
         CPU time is that of the function's process. Start: from exec to the first request for an event. First: from\n\
         the first event to its response. Medians of {} starts, in turn.\n\n\
         | function | sign-ins/s | p50 us | p99 us | CPU us per sign-in | resident MiB | start ms | start CPU ms | first ms | errors |\n\
         | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |\n",
        cold::ROUNDS
    )?;
    for ((function, f), start) in FUNCTIONS.into_iter().zip(figures).zip(starts) {
        writeln!(
            page,
            "| {} | {} | {:.1} | {} | {} |",
            function.name(),
            format_samples([&f.rate, &f.p50, &f.p99, &f.cpu]),
            f.resident as f64 / f64::from(1 << 20),
            format_samples([&start.wall, &start.cpu, &start.answer]),
            f.errors
        )?;
    }
    page.push('\n');
    Ok(())
}

fn write_http_table(page: &mut String, comparison: &http::Comparison) -> anyhow::Result<()> {
    page.push_str(
        "## HTTP path\n\nwrk with one thread, keep-alive, 8,192 different sign-ins in turn. Every server runs on one thread, as riskgate does on two cores.\n",
    );
    for (connections, figures) in CONCURRENCY.into_iter().zip(&comparison.figures) {
        write!(
            page,
            "\n{connections} connection{}:\n\n| server | requests/s | relative to riskgate | p50 us | p99 us | CPU us per request |\n| --- | ---: | ---: | ---: | ---: | ---: |\n",
            if connections == 1 { "" } else { "s" }
        )?;
        let ours = &figures[2].rate;
        for (server, f) in SERVERS.into_iter().zip(figures) {
            let ratio = f.rate.ratio(ours);
            writeln!(
                page,
                "| {} | {} | {ratio:.2}x | {} |",
                server.name(),
                format_sample(&f.rate),
                format_samples([&f.p50, &f.p99, &f.cpu])
            )?;
        }
    }
    page.push_str("\nResident memory at the end:");
    for (server, resident) in SERVERS.into_iter().zip(comparison.resident) {
        write!(page, " {} {:.1} MiB;", server.name().trim_matches('*'), resident as f64 / f64::from(1 << 20))?;
    }
    page.pop();
    page.push_str(".\n\n");
    Ok(())
}

fn write_overload_table(page: &mut String, overload: &Overload) -> anyhow::Result<()> {
    let Overload { capacity, half, tenfold } = overload;
    write!(
        page,
        "## Overload\n\nThe sidecar with `MAX_IN_FLIGHT=32` and a service that takes 50 ms, every sign-in from a new address. Its capacity is {capacity:.0} sign-ins per second. Requests are sent at a fixed rate.\n\n\
         | load | sent/s | accepted/s | rejected/s | accepted p99 ms | rejected p99 ms |\n| --- | ---: | ---: | ---: | ---: | ---: |\n"
    )?;
    for (name, load) in [("half", half), ("tenfold", tenfold)] {
        let rejected = if load.rejected_p99.is_nan() { "-".to_owned() } else { format!("{:.2}", load.rejected_p99) };
        writeln!(page, "| {name} | {:.0} | {:.0} | {:.0} | {:.1} | {rejected} |", load.offered, load.accepted, load.rejected, load.accepted_p99)?;
    }
    page.push('\n');
    Ok(())
}

fn write_steps_table(page: &mut String, measured: &BenchResults) -> anyhow::Result<()> {
    page.push_str(
        "## Steps of one assessment\n\n`cargo bench --bench assess`: CPU time on one thread with warm caches, sign-ins of 4,096 known people in turn. Instructions are counted by callgrind, stored in\n\
         `benches/instructions.csv` and compared by `just instructions` within 3 %.\n\n| step | ns | instructions | allocations |\n| --- | ---: | ---: | ---: |\n",
    );
    for step in &measured.steps {
        let instructions = step.instructions.map_or_else(String::new, |count| count.to_string());
        writeln!(page, "| {} | {:.0} | {instructions} | {:.1} |", step.name, step.nanos, step.allocations)?;
    }
    if !measured.growth.is_empty() {
        page.push_str("\nThe cost of a sign-in while the stored state grows:\n\n| step | size: ns |\n| --- | --- |\n");
        for growth in &measured.growth {
            let cells: Vec<String> = growth.sizes.iter().zip(&growth.nanos).map(|(size, nanos)| format!("{size}: {nanos:.0}")).collect();
            writeln!(page, "| {} | {} |", growth.name, cells.join(", "))?;
        }
    }
    Ok(())
}

/// Formats the samples of adjacent columns.
fn format_samples<const N: usize>(samples: [&Sample; N]) -> String {
    samples.map(format_sample).join(" | ")
}

/// Formats a median with the range of its rounds.
fn format_sample(sample: &Sample) -> String {
    let number = |value: f64| {
        if value >= 100.0 {
            format!("{value:.0}")
        } else if value >= 10.0 {
            format!("{value:.1}")
        } else {
            format!("{value:.2}")
        }
    };
    let (low, high) = sample.range();
    format!("{} [{}..{}]", number(sample.median()), number(low), number(high))
}
