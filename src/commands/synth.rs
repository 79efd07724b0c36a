//! `riskgate synth`: a seeded log of invented sign-ins, in the RBA data set's columns.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use super::Failure;
use crate::replay::synth::{HEADER, Preset, Recipe, Synth, write};

/// Writes a log of invented sign-ins: people, failed attempts, bots, five kinds of attackers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate synth --users 60000 --seed 11 | riskgate replay -
  riskgate synth --preset consumer --attacks 0 --out people.csv

The same seed gives the same bytes on every machine.")]
pub struct Args {
    /// How many people.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    users: u32,
    /// The seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How people behave: as in the RBA data set, or as a shop's customers (assumed).
    #[arg(long, value_enum, default_value_t = PresetName::Rba)]
    preset: PresetName,
    /// The share of sign-ins that each kind of attacker imitates.
    #[arg(long, default_value_t = 0.2, value_parser = share)]
    attacks: f64,
    /// Where to write; standard output when not given.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The presets by name.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PresetName {
    Rba,
    Consumer,
}

/// 2020-02-03, where the RBA data set begins.
const FROM: i64 = 1_580_688_000;

/// Runs the command.
///
/// # Errors
///
/// Output that cannot be written; a reader that has gone is no error.
pub fn run(args: &Args) -> Result<(), Failure> {
    let preset = match args.preset {
        PresetName::Rba => Preset::RBA,
        PresetName::Consumer => Preset::CONSUMER,
    };
    let recipe = Recipe { users: args.users, seed: args.seed, preset, attacks: args.attacks, from: FROM };
    let written = match &args.out {
        Some(path) => File::create(path).and_then(|file| pour(recipe, file)),
        None => pour(recipe, io::stdout().lock()),
    };
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(|error| Failure::Run(format!("the log cannot be written: {error}"))),
    }
}

fn pour(recipe: Recipe, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, out);
    writeln!(out, "{HEADER}")?;
    let mut synth = Synth::new(recipe);
    let mut index = 0;
    while let Some(row) = synth.next() {
        write(&synth, index, &row, &mut out)?;
        index += 1;
    }
    out.flush()
}

fn share(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "must be a number from 0 to 1".to_owned())
}
