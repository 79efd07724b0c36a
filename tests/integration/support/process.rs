//! A process that a test starts: it can be signalled and waited for, and ends with the test.

use std::{
    process::{Child, Command, ExitStatus},
    time::Duration,
};

/// A process.
pub struct Process(Child);

impl Process {
    /// Starts it.
    pub fn start(command: &mut Command) -> Self {
        Process(command.spawn().expect("the binary starts"))
    }

    /// Its id.
    pub fn id(&self) -> u32 {
        self.0.id()
    }

    /// Sends it a signal, by the name that `kill` takes.
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
