//! `riskgate synth`: generates a synthetic log of sign-ins with the columns of the RBA data set.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use crate::commands::Failure;
use riskgate_lab::synth::{
    Preset, Synth, SynthConfig,
    row::{HEADER, write},
};

/// Generates a synthetic log of sign-ins: users, failed attempts, bots and five kinds of attackers.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate synth --users 60000 --seed 11 | riskgate replay -
  riskgate synth --preset consumer --attacks 0 --out people.csv

The same seed gives the same bytes on every machine.")]
pub struct Args {
    /// The number of users.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    users: u32,
    /// The seed of the random number generator.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How users behave: as in the RBA data set, or as assumed for the customers of a shop.
    #[arg(long, value_enum, default_value_t = PresetName::Rba)]
    preset: PresetName,
    /// The share of sign-ins that each kind of attacker imitates, 0 to 1.
    #[arg(long, default_value_t = 0.2, value_parser = parse_share)]
    attacks: f64,
    /// The output file. The default is standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The names of the presets.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PresetName {
    Rba,
    Consumer,
}

/// The start of the RBA data set, 2020-02-03, in seconds since 1970.
const START: i64 = 1_580_688_000;

/// Runs the command.
///
/// # Errors
///
/// The output cannot be written. A closed pipe is not an error.
pub fn run(args: &Args) -> Result<(), Failure> {
    let preset = match args.preset {
        PresetName::Rba => Preset::RBA,
        PresetName::Consumer => Preset::CONSUMER,
    };
    let synth_config = SynthConfig { users: args.users, seed: args.seed, preset, attacks: args.attacks, from: START };
    let result = match &args.out {
        Some(path) => File::create(path).and_then(|file| write_log(synth_config, file)),
        None => write_log(synth_config, io::stdout().lock()),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::Run(format!("the log cannot be written: {error}"))),
    }
}

fn write_log(synth_config: SynthConfig, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, out);
    writeln!(out, "{HEADER}")?;
    let mut synth = Synth::new(synth_config);
    let mut index = 0;
    while let Some(row) = synth.next() {
        write(&synth, index, &row, &mut out)?;
        index += 1;
    }
    out.flush()
}

/// Parses a share from 0 to 1.
fn parse_share(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "must be a number from 0 to 1".to_owned())
}
