//! A separate thread writes lines. A slow reader of standard output or a full disk does not delay a sign-in.
//!
//! Lambda waits for its line before it requests the next event. Waking the thread would cost more than the sign-in itself,
//! so a line that fits into the pipe is written directly.

use std::{
    fs::File,
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::oneshot, time::Instant};

use crate::output::{AppendFile, LogOutput, Output, STDERR_LOCK, Stream, write_lines};
use riskgate_runtime::deadline::Deadline;

/// The maximum number of queued lines. Further lines are dropped and counted.
const MAX_QUEUED_LINES: usize = 8192;

/// The maximum number of queued bytes.
const MAX_QUEUED_BYTES: usize = 8 << 20;

/// How long a line without a waiter waits for further lines. It limits wake-ups of the thread to 1000 a second.
const BATCH_DELAY: Duration = Duration::from_millis(1);

/// The minimum time between two log lines about lost lines.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// A queue of lines and the thread that writes them.
#[derive(Debug)]
pub struct LineWriter {
    queue: Arc<Queue>,
    pipe: Option<Pipe>,
}

/// The kind of lines that a writer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Audit lines and metrics.
    Audit,
    /// Log lines. Their loss is logged only after the reader accepts lines again.
    Log,
}

/// Lines for the thread. They share one buffer, which avoids an allocation per line and freeing memory on another thread.
#[derive(Debug)]
struct Queue {
    content: Content,
    pending: Mutex<Pending>,
    /// Wakes the thread.
    wakeup: Condvar,
    /// The number of lines that were dropped or could not be written.
    lost: AtomicU64,
    /// Whether the most recent lines could not be written.
    is_failing: AtomicBool,
    /// Whether the file must be reopened.
    reopen: AtomicBool,
    /// When lost lines were last logged.
    last_report: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    lines: usize,
    /// Notified by dropping the senders when all pending lines are written.
    waiters: Vec<oneshot::Sender<()>>,
    thread: Thread,
}

/// The state of the writing thread.
#[derive(Debug, Default, PartialEq, Eq)]
enum Thread {
    /// The thread waits for lines.
    #[default]
    Idle,
    /// The thread writes a batch.
    Writing,
    /// The thread writes the pending lines and ends, because the `LineWriter` is dropped.
    Ending,
}

/// Standard output as a pipe, which can be polled for free space.
#[derive(Debug)]
struct Pipe(File);

impl LineWriter {
    /// Writes to standard output.
    pub fn stdout() -> Self {
        let mut writer = Self::to(io::stdout());
        writer.pipe = Pipe::stdout();
        writer
    }

    /// Writes log lines to standard error.
    pub fn logs() -> Self {
        Self::start(Content::Log, LogOutput)
    }

    /// Appends to a file and creates it if it is missing. On Unix only the owner may read a new file.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn append(path: &Path) -> io::Result<Self> {
        Ok(Self::start(Content::Audit, AppendFile::open(path)?))
    }

    /// Writes to any stream.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self::start(Content::Audit, Stream(out))
    }

    fn start(content: Content, output: impl Output + Send + 'static) -> Self {
        let queue = Arc::new(Queue {
            content,
            pending: Mutex::default(),
            wakeup: Condvar::new(),
            lost: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            last_report: Mutex::default(),
        });
        let shared = Arc::clone(&queue);
        let spawned = std::thread::Builder::new().name("riskgate-lines".to_owned()).spawn(move || shared.write_all(output));
        if let Err(error) = spawned
            && content == Content::Audit
        {
            // Without the thread, lines stay in the queue until it is full and are then counted as lost. Sign-ins continue.
            tracing::error!(error.kind = ?error.kind(), "the audit writer thread could not be started");
        }
        LineWriter { queue, pipe: None }
    }

    /// Queues a line without blocking. When the queue is full, the line is dropped and counted.
    pub fn write(&self, line: &[u8]) {
        self.queue.add(line, None);
    }

    /// Queues a line and waits until it is written, at most until the deadline.
    pub async fn write_by(&self, line: &[u8], deadline: Deadline) {
        if self.pipe.as_ref().is_some_and(|pipe| self.queue.is_empty() && pipe.try_write(line)) {
            return;
        }
        let (done, is_done) = oneshot::channel();
        self.queue.add(line, Some(done));
        // After the deadline the thread still tries to write the line, but the caller does not wait.
        drop(deadline.run(is_done).await);
    }

    /// Waits until every line is written, at most until the deadline.
    pub async fn flush(&self, deadline: Deadline) {
        if !self.queue.is_empty() {
            self.write_by(b"", deadline).await;
        }
    }

    /// Blocks until every line is written, for at most `wait`. Used at the end of the process.
    pub fn drain(&self, wait: Duration) {
        let started = Instant::now();
        while !self.queue.is_empty() && started.elapsed() < wait {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Reopens the file before the next line, as after a log rotation.
    pub fn reopen(&self) {
        self.queue.reopen.store(true, Ordering::Relaxed);
        let (wake, _) = oneshot::channel();
        self.queue.add(b"", Some(wake));
    }

    /// Whether no line is pending.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// The number of lines that were dropped or could not be written.
    pub fn lost(&self) -> u64 {
        self.queue.lost.load(Ordering::Relaxed)
    }

    /// Whether the most recent lines could not be written.
    pub fn is_failing(&self) -> bool {
        self.queue.is_failing.load(Ordering::Relaxed)
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.queue.lock().thread = Thread::Ending;
        self.queue.wakeup.notify_one();
    }
}

impl Pending {
    fn is_empty(&self) -> bool {
        self.lines == 0 && self.waiters.is_empty()
    }
}

impl Queue {
    fn add(&self, line: &[u8], done: Option<oneshot::Sender<()>>) {
        let mut pending = self.lock();
        if !line.is_empty() && (pending.lines >= MAX_QUEUED_LINES || pending.bytes.len() + line.len() > MAX_QUEUED_BYTES) {
            drop(pending);
            self.record_loss(1, "the reader is too slow");
            return;
        }
        pending.bytes.extend_from_slice(line);
        pending.lines += usize::from(!line.is_empty());
        pending.waiters.extend(done);
        // A thread that is writing checks the queue again afterwards. An idle thread is woken only for the first line and for waiters.
        let is_first = pending.lines == 1 || !pending.waiters.is_empty();
        if is_first && pending.thread == Thread::Idle {
            drop(pending);
            self.wakeup.notify_one();
        }
    }

    fn is_empty(&self) -> bool {
        let pending = self.lock();
        pending.is_empty() && pending.thread == Thread::Idle
    }

    /// Writes lines until the `LineWriter` is dropped. Pending lines are written as one batch.
    fn write_all(&self, mut output: impl Output) {
        let (mut batch, mut is_torn) = (Vec::new(), false);
        while let Some((lines, waiters)) = self.next_batch(&mut batch) {
            match write_lines(&mut output, &batch, self.reopen.swap(false, Ordering::Relaxed), &mut is_torn) {
                Ok(()) if lines > 0 => self.record_recovery(),
                Ok(()) => {}
                Err(error) => self.record_loss((lines as u64).saturating_sub(error.written).max(u64::from(lines > 0)), &error.error.kind().to_string()),
            }
            let mut pending = self.lock();
            if pending.thread == Thread::Writing {
                pending.thread = Thread::Idle;
            }
            drop((pending, waiters));
        }
    }

    /// Counts lost lines and logs the loss at a limited rate.
    fn record_loss(&self, lines: u64, cause: &str) {
        let lost = self.lost.fetch_add(lines, Ordering::Relaxed) + lines;
        self.is_failing.store(true, Ordering::Relaxed);
        if self.content == Content::Audit && self.is_report_due() {
            tracing::error!(lost, cause, "audit lines are lost");
        }
    }

    /// Records that lines are written again, and logs how many were lost.
    fn record_recovery(&self) {
        // The report is itself a log line and needs space in the queue.
        if self.content == Content::Log && self.lock().lines >= MAX_QUEUED_LINES / 2 {
            return;
        }
        if self.is_failing.swap(false, Ordering::Relaxed) && (self.content == Content::Audit || self.is_report_due()) {
            let lost = self.lost.load(Ordering::Relaxed);
            match self.content {
                Content::Audit => tracing::warn!(lost, "audit lines are written again"),
                Content::Log => tracing::warn!(lost, "log lines were lost: the reader of standard error was too slow"),
            }
        }
    }

    fn is_report_due(&self) -> bool {
        let mut last_report = self.last_report.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = last_report.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL);
        if is_due {
            *last_report = Some(Instant::now());
        }
        is_due
    }

    /// Waits for lines and moves them all into `batch`. The old buffer of `batch` is reused for the next lines.
    fn next_batch(&self, batch: &mut Vec<u8>) -> Option<(usize, Vec<oneshot::Sender<()>>)> {
        let mut pending = self.lock();
        while pending.is_empty() {
            if pending.thread == Thread::Ending {
                return None;
            }
            pending = self.wakeup.wait(pending).unwrap_or_else(PoisonError::into_inner);
        }
        if pending.lines == 1 && pending.waiters.is_empty() && pending.thread == Thread::Idle {
            let is_alone = |pending: &mut Pending| pending.waiters.is_empty() && pending.thread == Thread::Idle;
            (pending, _) = self.wakeup.wait_timeout_while(pending, BATCH_DELAY, is_alone).unwrap_or_else(PoisonError::into_inner);
        }
        if pending.thread == Thread::Idle {
            pending.thread = Thread::Writing;
        }
        batch.clear();
        std::mem::swap(batch, &mut pending.bytes);
        Some((std::mem::take(&mut pending.lines), std::mem::take(&mut pending.waiters)))
    }

    fn lock(&self) -> MutexGuard<'_, Pending> {
        // No panic can interrupt a change under the lock.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pipe {
    #[cfg(unix)]
    fn stdout() -> Option<Self> {
        use std::os::{fd::AsFd, unix::fs::FileTypeExt};
        let file = File::from(io::stdout().as_fd().try_clone_to_owned().ok()?);
        file.metadata().is_ok_and(|metadata| metadata.file_type().is_fifo()).then_some(Pipe(file))
    }

    #[cfg(not(unix))]
    fn stdout() -> Option<Self> {
        None
    }

    /// Writes a line if that does not block, and returns whether it did. A writable pipe accepts `PIPE_BUF` bytes atomically (pipe(7)).
    #[cfg(unix)]
    fn try_write(&self, line: &[u8]) -> bool {
        use rustix::{event, pipe::PIPE_BUF};
        let mut descriptors = [event::PollFd::new(&self.0, event::PollFlags::OUT)];
        let no_wait = event::Timespec { tv_sec: 0, tv_nsec: 0 };
        // Standard error may be the same pipe. The lock prevents another write between the poll and this write.
        let Ok(_lock) = STDERR_LOCK.try_lock() else { return false };
        line.len() <= PIPE_BUF && event::poll(&mut descriptors, Some(&no_wait)) == Ok(1) && (&self.0).write_all(line).is_ok()
    }

    #[cfg(not(unix))]
    fn try_write(&self, _line: &[u8]) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// An output that blocks until it is released.
    struct BlockedOutput(std::sync::mpsc::Receiver<()>);

    impl Write for BlockedOutput {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn waiting_ends_at_the_deadline_and_dropped_lines_are_counted() {
        let (release, blocked) = std::sync::mpsc::channel();
        let writer = LineWriter::to(BlockedOutput(blocked));
        let started = Instant::now();
        writer.write_by(b"one\n", Deadline::after(started, Duration::from_millis(50))).await;
        assert!(started.elapsed() < Duration::from_secs(20), "waited {:?}", started.elapsed());
        for _ in 0..MAX_QUEUED_LINES + 10 {
            writer.write(b"more\n");
        }
        assert!((9..=11).contains(&writer.lost()), "{} lost", writer.lost());
        drop(release);
    }

    #[tokio::test]
    async fn lines_are_written_completely_and_in_order() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("audit.jsonl");
        let writer = LineWriter::append(&path).expect("opens");
        for n in 0..100 {
            writer.write(format!("{n}\n").as_bytes());
        }
        writer.write_by(b"last\n", Deadline::after(Instant::now(), Duration::from_secs(5))).await;
        let text = std::fs::read_to_string(&path).expect("reads");
        assert_eq!(text.lines().count(), 101);
        assert!(text.starts_with("0\n1\n") && text.ends_with("99\nlast\n"));
    }
}
