//! Lines written by a thread of their own, so that a slow reader of standard output or a full disk never holds up a sign-in.
//!
//! Where a process waits for its line, as in Lambda before it asks for the next event, waking that thread costs more than the sign-in itself: a pipe that has
//! room takes the line at once.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::evidence::resilience::deadline::Deadline;

/// Lines that may wait for the reader; about 8 MB. The next ones are left out and counted.
const QUEUE: usize = 8192;

/// A line that nobody waits for waits this long for others, so that a busy sidecar wakes the thread a thousand times a second at most.
const COMPANY: Duration = Duration::from_millis(1);

/// Lines on their way, and the thread that writes them.
#[derive(Debug)]
pub struct LineWriter {
    queue: Arc<Queue>,
    pipe: Option<Pipe>,
}

/// What the thread is to write. Lines are laid behind one another, so that none needs memory of its own, and none is freed by another thread.
#[derive(Debug, Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    /// Something has come.
    news: Condvar,
    /// Lines that were given up.
    lost: AtomicU64,
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

    /// Adds to a file, which is made if it is missing. On Unix only its owner may read a new one.
    ///
    /// # Errors
    ///
    /// When the file cannot be opened.
    pub fn append(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path).map(Self::to)
    }

    /// Writes to anything.
    pub fn to(out: impl Write + Send + 'static) -> Self {
        let queue = Arc::<Queue>::default();
        let shared = Arc::clone(&queue);
        let spawned = std::thread::Builder::new().name("riskgate-lines".to_owned()).spawn(move || shared.write_all(out));
        if let Err(error) = spawned {
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

    /// Lines that were not written.
    pub fn lost(&self) -> u64 {
        self.queue.lost.load(Ordering::Relaxed)
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
        if waiting.lines >= QUEUE {
            drop(waiting);
            self.lost.fetch_add(1, Ordering::Relaxed);
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
    fn write_all(&self, mut out: impl Write) {
        let mut piece = Vec::new();
        while let Some((lines, told)) = self.next(&mut piece) {
            if let Err(error) = out.write_all(&piece).and_then(|()| out.flush())
                && self.lost.fetch_add(lines as u64, Ordering::Relaxed) == 0
            {
                tracing::error!(error.kind = ?error.kind(), "audit lines cannot be written");
            }
            let mut waiting = self.lock();
            if waiting.thread == Thread::Writing {
                waiting.thread = Thread::Idle;
            }
            drop((waiting, told));
        }
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
        assert!(started.elapsed() < Duration::from_secs(1), "waited {:?}", started.elapsed());
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
