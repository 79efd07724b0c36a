//! Lines written by a thread of their own, so that a slow reader of standard output or a full disk never holds up a sign-in.
//!
//! Where a process waits for its line, as in Lambda before it asks for the next event, waking that thread costs more than the sign-in itself: a pipe that has
//! room takes the line at once.

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

use super::output::{AppendFile, LogOutput, Output, STDERR_TURN, Stream, write_lines};
use crate::evidence::resilience::deadline::Deadline;

/// Lines that may wait for the reader. The next ones are left out and counted.
const QUEUE: usize = 8192;

/// Bytes that may wait for the reader.
const QUEUE_BYTES: usize = 8 << 20;

/// A line that nobody waits for waits this long for others, so that a busy sidecar wakes the thread a thousand times a second at most.
const COMPANY: Duration = Duration::from_millis(1);

/// Lost lines are logged this often at most.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Lines on their way, and the thread that writes them.
#[derive(Debug)]
pub struct LineWriter {
    queue: Arc<Queue>,
    pipe: Option<Pipe>,
}

/// What kind of lines a writer has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Content {
    /// Audit lines and metrics.
    Audit,
    /// Log lines. Their loss is logged only when the reader takes lines again.
    Log,
}

/// What the thread is to write. Lines are laid behind one another, so that none needs memory of its own, and none is freed by another thread.
#[derive(Debug)]
struct Queue {
    content: Content,
    waiting: Mutex<Waiting>,
    /// Something has come.
    news: Condvar,
    /// Lines that were given up.
    lost: AtomicU64,
    /// Whether the last lines could not be written.
    is_failing: AtomicBool,
    /// Whether the file is to be opened again.
    reopen: AtomicBool,
    /// When lost lines were logged last.
    reported: Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: usize,
    /// Who waits until all of it is out; dropping the senders tells them.
    told: Vec<oneshot::Sender<()>>,
    thread: Thread,
}

/// What the writing thread is doing.
#[derive(Debug, Default, PartialEq, Eq)]
enum Thread {
    /// It waits for lines.
    #[default]
    Idle,
    /// It writes what was there a moment ago.
    Writing,
    /// It ends when it has written what is there: nobody will send more.
    Ending,
}

/// Standard output where it is a pipe: it can be asked whether a line would go in without waiting.
#[derive(Debug)]
struct Pipe(File);

// === impl LineWriter ===

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

    /// Adds to a file, which is made if it is missing. On Unix only its owner may read a new one.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn append(path: &Path) -> io::Result<Self> {
        Ok(Self::start(Content::Audit, AppendFile::open(path)?))
    }

    /// Writes to anything.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        Self::start(Content::Audit, Stream(out))
    }

    fn start(content: Content, output: impl Output + Send + 'static) -> Self {
        let queue = Arc::new(Queue {
            content,
            waiting: Mutex::default(),
            news: Condvar::new(),
            lost: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
            reopen: AtomicBool::new(false),
            reported: Mutex::default(),
        });
        let shared = Arc::clone(&queue);
        let spawned = std::thread::Builder::new().name("riskgate-lines".to_owned()).spawn(move || shared.write_all(output));
        if let Err(error) = spawned
            && content == Content::Audit
        {
            // Without the thread lines wait until the queue is full, and are then counted as lost: the gate goes on deciding.
            tracing::error!(error.kind = ?error.kind(), "the thread that writes audit lines could not be started");
        }
        LineWriter { queue, pipe: None }
    }

    /// Hands a line over. Never waits: when the queue is full the line is lost and counted.
    pub fn write(&self, line: &[u8]) {
        self.queue.add(line, None);
    }

    /// Hands a line over and waits until it is out, at most until the deadline.
    pub async fn write_by(&self, line: &[u8], deadline: Deadline) {
        if self.pipe.as_ref().is_some_and(|pipe| self.queue.is_empty() && pipe.takes(line)) {
            return;
        }
        let (done, told) = oneshot::channel();
        self.queue.add(line, Some(done));
        // Past the deadline the thread still tries; the sign-in no longer waits for it.
        drop(deadline.run(told).await);
    }

    /// Waits until every line is out, at most until the deadline.
    pub async fn flush(&self, deadline: Deadline) {
        if !self.queue.is_empty() {
            self.write_by(b"", deadline).await;
        }
    }

    /// Blocks until every line is out, for no longer than `wait`: for the end of the process.
    pub fn drain(&self, wait: Duration) {
        let started = Instant::now();
        while !self.queue.is_empty() && started.elapsed() < wait {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Opens the file again before the next line, as after a log rotation.
    pub fn reopen(&self) {
        self.queue.reopen.store(true, Ordering::Relaxed);
        let (wake, _) = oneshot::channel();
        self.queue.add(b"", Some(wake));
    }

    /// Whether no line waits.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Lines that were not written.
    pub fn lost(&self) -> u64 {
        self.queue.lost.load(Ordering::Relaxed)
    }

    /// Whether the last lines could not be written.
    pub fn is_failing(&self) -> bool {
        self.queue.is_failing.load(Ordering::Relaxed)
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        self.queue.lock().thread = Thread::Ending;
        self.queue.news.notify_one();
    }
}

// === impl Waiting ===

impl Waiting {
    fn is_empty(&self) -> bool {
        self.lines == 0 && self.told.is_empty()
    }
}

// === impl Queue ===

impl Queue {
    fn add(&self, line: &[u8], done: Option<oneshot::Sender<()>>) {
        let mut waiting = self.lock();
        if !line.is_empty() && (waiting.lines >= QUEUE || waiting.bytes.len() + line.len() > QUEUE_BYTES) {
            drop(waiting);
            self.lose(1, "the reader is too slow");
            return;
        }
        waiting.bytes.extend_from_slice(line);
        waiting.lines += usize::from(!line.is_empty());
        waiting.told.extend(done);
        // A thread that is writing looks again by itself; one that was woken for the first of many comes for all of them.
        let is_first = waiting.lines == 1 || !waiting.told.is_empty();
        if is_first && waiting.thread == Thread::Idle {
            drop(waiting);
            self.news.notify_one();
        }
    }

    fn is_empty(&self) -> bool {
        let waiting = self.lock();
        waiting.is_empty() && waiting.thread == Thread::Idle
    }

    /// Writes until nobody sends any more. What has come meanwhile goes out in one piece.
    fn write_all(&self, mut output: impl Output) {
        let (mut piece, mut is_torn) = (Vec::new(), false);
        while let Some((lines, told)) = self.next(&mut piece) {
            match write_lines(&mut output, &piece, self.reopen.swap(false, Ordering::Relaxed), &mut is_torn) {
                Ok(()) if lines > 0 => self.recover(),
                Ok(()) => {}
                Err(failed) => self.lose((lines as u64).saturating_sub(failed.written).max(u64::from(lines > 0)), &failed.error.kind().to_string()),
            }
            let mut waiting = self.lock();
            if waiting.thread == Thread::Writing {
                waiting.thread = Thread::Idle;
            }
            drop((waiting, told));
        }
    }

    /// Counts lost lines, and logs that now and then.
    fn lose(&self, lines: u64, cause: &str) {
        let lost = self.lost.fetch_add(lines, Ordering::Relaxed) + lines;
        self.is_failing.store(true, Ordering::Relaxed);
        if self.content == Content::Audit && self.is_report_due() {
            tracing::error!(lost, cause, "audit lines are lost");
        }
    }

    /// Notes that lines are written again.
    fn recover(&self) {
        // The report is a log line as well, and needs room.
        if self.content == Content::Log && self.lock().lines >= QUEUE / 2 {
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
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = reported.is_none_or(|last| last.elapsed() >= REPORT_EVERY);
        if is_due {
            *reported = Some(Instant::now());
        }
        is_due
    }

    /// Waits for lines and takes them all; `piece` is given to those that come next.
    fn next(&self, piece: &mut Vec<u8>) -> Option<(usize, Vec<oneshot::Sender<()>>)> {
        let mut waiting = self.lock();
        while waiting.is_empty() {
            if waiting.thread == Thread::Ending {
                return None;
            }
            waiting = self.news.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.lines == 1 && waiting.told.is_empty() && waiting.thread == Thread::Idle {
            let is_alone = |waiting: &mut Waiting| waiting.told.is_empty() && waiting.thread == Thread::Idle;
            (waiting, _) = self.news.wait_timeout_while(waiting, COMPANY, is_alone).unwrap_or_else(PoisonError::into_inner);
        }
        if waiting.thread == Thread::Idle {
            waiting.thread = Thread::Writing;
        }
        piece.clear();
        std::mem::swap(piece, &mut waiting.bytes);
        Some((std::mem::take(&mut waiting.lines), std::mem::take(&mut waiting.told)))
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Nothing in here panics half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Pipe ===

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

    /// Writes a line if that can be done without waiting. A pipe that is ready takes `PIPE_BUF` bytes whole (pipe(7)).
    #[cfg(unix)]
    fn takes(&self, line: &[u8]) -> bool {
        use rustix::{event, pipe::PIPE_BUF};
        let mut asked = [event::PollFd::new(&self.0, event::PollFlags::OUT)];
        let at_once = event::Timespec { tv_sec: 0, tv_nsec: 0 };
        // Standard error may be the same pipe: between the question and the line nothing else may go in.
        let Ok(_turn) = STDERR_TURN.try_lock() else { return false };
        line.len() <= PIPE_BUF && event::poll(&mut asked, Some(&at_once)) == Ok(1) && (&self.0).write_all(line).is_ok()
    }

    #[cfg(not(unix))]
    fn takes(&self, _line: &[u8]) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    /// A reader that takes nothing until it is let go.
    struct Stuck(std::sync::mpsc::Receiver<()>);

    impl Write for Stuck {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn a_stuck_reader_is_left_at_the_deadline_and_what_does_not_fit_is_counted() {
        let (release, stuck) = std::sync::mpsc::channel();
        let writer = LineWriter::to(Stuck(stuck));
        let started = Instant::now();
        writer.write_by(b"one\n", Deadline::after(started, Duration::from_millis(50))).await;
        assert!(started.elapsed() < Duration::from_secs(20), "waited {:?}", started.elapsed());
        for _ in 0..QUEUE + 10 {
            writer.write(b"more\n");
        }
        assert!((9..=11).contains(&writer.lost()), "{} lost", writer.lost());
        drop(release);
    }

    #[tokio::test]
    async fn lines_come_out_whole_and_in_order() {
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
