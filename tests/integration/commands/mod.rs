//! The commands as a user runs them: help, configuration, assessment, health.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

mod assess;
mod config;
mod healthcheck;
mod help;

/// What a command printed, and its exit code.
#[derive(Debug)]
pub struct Finished {
    pub stdout: String,
    pub stderr: String,
    pub code: i32,
}

/// Runs the binary with arguments, variables (without prefix) and standard input.
#[track_caller]
pub fn riskgate(args: &[&str], variables: &[(&str, &str)], input: &str) -> Finished {
    let mut child = Command::new(env!("CARGO_BIN_EXE_riskgate"))
        .args(args)
        .env_clear()
        .envs(variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), *value)))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    // A command that does not read its input has closed the pipe.
    let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
    let output = child.wait_with_output().expect("it ends");
    Finished {
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        code: output.status.code().expect("it exits"),
    }
}
