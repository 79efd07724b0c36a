//! A measured program: starts it, reads its usage from /proc, and stops it.

use std::{
    fs, io,
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// A running program. It is stopped on drop.
pub struct Program(Child);

impl Program {
    /// Starts a program. Its environment has only these variables. Its standard output is a pipe that is read, as in Lambda.
    pub fn start(program: &Path, args: &[&str], variables: &[(&str, String)]) -> anyhow::Result<Self> {
        let mut command = Command::new(program);
        command.args(args).env_clear().envs(variables.iter().map(|(name, value)| (*name, value))).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().with_context(|| program.display().to_string())?;
        if let Some(mut lines) = child.stdout.take() {
            thread::spawn(move || io::copy(&mut lines, &mut io::sink()));
        }
        Ok(Program(child))
    }

    /// Returns the CPU time of its threads in nanoseconds.
    pub fn cpu_ns(&self) -> anyhow::Result<u64> {
        let mut total = 0;
        for task in fs::read_dir(format!("/proc/{}/task", self.0.id()))? {
            // The fields are: time on a CPU and time waiting for one, both in nanoseconds, and the number of time slices.
            let stat = fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
            total += stat.split(' ').next().and_then(|ns| ns.parse::<u64>().ok()).unwrap_or_default();
        }
        Ok(total)
    }

    /// Returns the resident memory in bytes.
    pub fn resident(&self) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the program has ended")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1024)
    }

    /// Waits until the program listens on an address.
    pub fn wait_until_listening(&mut self, address: SocketAddr) -> anyhow::Result<()> {
        let started = Instant::now();
        while started.elapsed() < Duration::from_secs(20) {
            if TcpStream::connect(address).is_ok() {
                return Ok(());
            }
            if let Some(status) = self.0.try_wait()? {
                bail!("the program ended before it was listening: {status}");
            }
            thread::sleep(Duration::from_millis(5));
        }
        bail!("the program is not listening");
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns an unused address.
pub fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
