//! `riskgate synth`: generates a synthetic log of sign-ins with the columns of the RBA data set.

use std::{
    fs::File,
    io::{self, BufWriter, Write},
    path::PathBuf,
};

use crate::commands::Failure;
use riskgate_synth::{Campaign, Preset, Surge, Synth, SynthConfig, row};

/// Generates a synthetic log of sign-ins: users, failed attempts, bots, attackers, campaigns and surges.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  riskgate synth --users 60000 --seed 11 | riskgate replay -
  riskgate synth --preset consumer --attacks 0 --out people.csv
  riskgate synth --users 60000 --attacks 0 --campaign botnet,attempts=10000,over=6h,start=180d --surge email,start=100d

Campaigns and surges are added to the sign-ins of users, which stay the same. Times are durations after the start of the log.

Settings of a campaign (botnet, spray): attempts, over or rate (attempts per hour), start, addresses, unknown (share of names without an account), success (share of attempts on accounts with the right password), agents, shape=bursts|trickle. Settings of a surge (email, monday, outage, release): start, share (of the users). Their defaults are in docs/MODEL.md.

The column Attack holds the kind of a campaign. With either option the log has two more columns: Surge, the kind of a surge, and Unknown User, True for names without an account.

The same seed gives the same bytes on every machine.")]
pub struct Args {
    /// The number of users.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..=50_000_000))]
    users: u32,
    /// The seed of the random number generator.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How users behave: as in the RBA data set, or as assumed for the customers of a shop, of an app on phones, for the staff of a company with a VPN and
    /// office hours, or for users without a majority country.
    #[arg(long, value_enum, default_value_t = PresetName::Rba)]
    preset: PresetName,
    /// The share of sign-ins that each kind of attacker imitates, 0 to 1.
    #[arg(long, default_value_t = 0.2, value_parser = parse_share)]
    attacks: f64,
    /// A campaign against the pool. May be repeated.
    #[arg(long = "campaign", value_name = "KIND,KEY=VALUE,..")]
    campaigns: Vec<Campaign>,
    /// A surge of legitimate sign-ins: after an e-mail, on a Monday, after an outage, or after the release of an app. May be repeated.
    #[arg(long = "surge", value_name = "KIND,KEY=VALUE,..")]
    surges: Vec<Surge>,
    /// The output file. The default is standard output.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// The names of the presets.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum PresetName {
    Rba,
    Consumer,
    MobileFirst,
    Enterprise,
    Global,
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
        PresetName::MobileFirst => Preset::MOBILE_FIRST,
        PresetName::Enterprise => Preset::ENTERPRISE,
        PresetName::Global => Preset::GLOBAL,
    };
    let synth_config = SynthConfig { users: args.users, seed: args.seed, preset, attacks: args.attacks, from: START };
    let synth = args.campaigns.iter().fold(Synth::new(synth_config), |synth, campaign| synth.with_campaign(*campaign));
    let synth = args.surges.iter().fold(synth, |synth, surge| synth.with_surge(*surge));
    let result = match &args.out {
        Some(path) => File::create(path).and_then(|file| write_log(synth, file)),
        None => write_log(synth, io::stdout().lock()),
    };
    match result {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result.map_err(|error| Failure::Run(format!("the log cannot be written: {error}"))),
    }
}

fn write_log(synth: Synth, out: impl Write) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(1 << 18, out);
    row::write_rows(synth, &mut out)?;
    out.flush()
}

/// Parses a share from 0 to 1.
fn parse_share(text: &str) -> Result<f64, String> {
    text.parse::<f64>().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(|| "must be a number from 0 to 1".to_owned())
}
