//! Compares the model with published baselines: `cargo bench --bench replay` (60,000 people, seeds 11, 12, 13, about two minutes).
//!
//! It prints a row per model and a column per attacker. A cell is AUC / TPR at 1, 5, 10 % false positives / re-authentication rate at
//! TPR .95 and .99, as means over the seeds.
//!
//! `cargo bench --bench replay -- USERS SEED..` runs other sizes. `cargo bench --bench replay -- --tables data` generates the bundled
//! tables of novelty and quantiles.
#![allow(missing_docs, clippy::print_stdout, reason = "a benchmark prints")]

mod baseline;

mod shipped;

use std::collections::BTreeMap;

use baseline::comparison::compare_models;
use riskgate_lab::roc::Separation;
use riskgate_synth::{Preset, SynthConfig};

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--tables") {
        return shipped::write(std::path::Path::new(arguments.get(at + 1).expect("--tables DIR")));
    }
    let mut numbers = std::env::args().skip(1).filter_map(|argument| argument.parse::<u64>().ok());
    let users = u32::try_from(numbers.next().unwrap_or(60_000)).expect("a number of people");
    let seeds: Vec<u64> = numbers.collect();
    let seeds = if seeds.is_empty() { vec![11, 12, 13] } else { seeds };
    for (name, preset) in [("rba", Preset::RBA), ("consumer", Preset::CONSUMER)] {
        let tables: Vec<_> = seeds.iter().map(|seed| compare_models(SynthConfig { users, seed: *seed, preset, attacks: 0.2, from: 1_580_688_000 })).collect();
        println!("\npreset {name}, {users} people, seeds {seeds:?}\n");
        let labels: Vec<&String> = tables[0][0].1.keys().collect();
        println!("| model | {} |", labels.iter().map(|label| label.as_str()).collect::<Vec<_>>().join(" | "));
        println!("|---|{}", "---|".repeat(labels.len()));
        for (row, (model, _)) in tables[0].iter().enumerate() {
            let cells: Vec<String> = labels.iter().map(|label| format_means(tables.iter().map(|table| &table[row].1), label)).collect();
            println!("| {model} | {} |", cells.join(" | "));
        }
    }
}

/// Formats the means over the seeds as one cell.
fn format_means<'a>(seeds: impl Iterator<Item = &'a BTreeMap<String, Separation>>, label: &str) -> String {
    let separations: Vec<&Separation> = seeds.map(|seed| &seed[label]).collect();
    let mean = |of: &dyn Fn(&Separation) -> f64| separations.iter().map(|separation| of(separation)).sum::<f64>() / separations.len() as f64;
    format!(
        "{:.3}/{:.2}/{:.2}/{:.2}/{:.2}/{:.2}",
        mean(&|s| s.auc),
        mean(&|s| s.tpr[0]),
        mean(&|s| s.tpr[1]),
        mean(&|s| s.tpr[2]),
        mean(&|s| s.reauth[0]),
        mean(&|s| s.reauth[1])
    )
}
