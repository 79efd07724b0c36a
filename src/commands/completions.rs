//! `riskgate completions`: prints the completion script of a shell.

use std::io::Write as _;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::commands::{Cli, Failure};

/// Prints the completion script of a shell.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  source <(riskgate completions bash)
  riskgate completions zsh > ~/.zfunc/_riskgate
  riskgate completions fish > ~/.config/fish/completions/riskgate.fish")]
pub struct Args {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Runs the command.
///
/// # Errors
///
/// Never. A closed pipe is not an error.
pub fn run(args: &Args) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "riskgate", &mut script);
    let _ = std::io::stdout().write_all(&script);
    Ok(())
}
