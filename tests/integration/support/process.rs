//! Processes that a test starts: they receive signals, and end with the test.

use std::{
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// A process.
pub struct Process(Child);

/// The sidecar as a process.
pub struct SidecarProcess {
    pub process: Process,
    /// `http://127.0.0.1:port`.
    pub origin: String,
}

impl SidecarProcess {
    /// Starts the sidecar with these variables, and waits until it listens.
    pub async fn start(variables: &[(&str, &str)], stderr: Stdio) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new(env!("CARGO_BIN_EXE_riskgate"));
        command
            .args(["serve", "--listen", &format!("127.0.0.1:{port}")])
            .env_clear()
            .envs(variables.iter().map(|(name, value)| (format!("RISKGATE_{name}"), *value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(stderr);
        let sidecar = SidecarProcess { process: Process::start(&mut command), origin: format!("http://127.0.0.1:{port}") };
        for _ in 0..800 {
            if tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                return sidecar;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("the sidecar does not listen");
    }
}

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Process(command.spawn().expect("the binary starts"))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal, by its name for `kill`.
    pub fn signal(&self, name: &str) {
        assert!(Command::new("kill").arg(name).arg(self.id().to_string()).status().expect("kill").success());
    }

    /// Waits for it to end.
    pub async fn ended(&mut self) -> ExitStatus {
        for _ in 0..1_000 {
            if let Some(status) = self.0.try_wait().expect("a child") {
                return status;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the process did not end in 10 s");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
