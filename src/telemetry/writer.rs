//! Lines written by a thread of their own, so that a slow reader of standard output or a full disk never holds up a sign-in.
//!
//! Where a sign-in waits for its line, as in Lambda, waking that thread costs more than the sign-in itself: a pipe that has
//! room takes the line at once.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    time::Duration,
};

use tokio::sync::oneshot;

use crate::evidence::resilience::deadline::Deadline;

/// Lines that may wait for the reader; about 8 MB. The next ones are left out and counted.
const QUEUE: usize = 8192;

/// Lines that are written in one piece are at most about so many bytes.
const PIECE: usize = 64 * 1024;

/// A line that nobody waits for waits this long for others, so that a busy sidecar wakes the thread a thousand times a second at most.
const COMPANY: Duration = Duration::from_millis(1);

/// A queue of lines and the thread that writes them.
#[derive(Debug, Clone)]
pub struct LineWriter {
    queue: SyncSender<Job>,
    counts: Arc<Counts>,
    pipe: Option<Arc<Pipe>>,
}

/// Lines that are not written.
#[derive(Debug, Default)]
struct Counts {
    /// Handed over and not out yet.
    waiting: AtomicUsize,
    /// Given up.
    lost: AtomicU64,
}

/// Standard output where it is a pipe: it can be asked whether a line would go in without waiting.
#[derive(Debug)]
struct Pipe(File);

/// One line, and whom to tell when it is out.
#[derive(Debug)]
struct Job {
    line: Arc<str>,
    done: Option<oneshot::Sender<()>>,
}

// === impl LineWriter ===

impl LineWriter {
    /// Writes to standard output.
    pub fn stdout() -> Self {
        LineWriter { pipe: Pipe::stdout().map(Arc::new), ..Self::to(io::stdout()) }
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
        let (queue, jobs) = sync_channel(QUEUE);
        let counts = Arc::<Counts>::default();
        let kept = Arc::clone(&counts);
        let spawned = std::thread::Builder::new().name("riskgate-lines".to_owned()).spawn(move || write_all(&jobs, out, &kept));
        if let Err(error) = spawned {
            // Without the thread every line is counted as lost: the gate goes on deciding.
            tracing::error!(error.kind = ?error.kind(), "the thread that writes audit lines could not be started");
        }
        LineWriter { queue, counts, pipe: None }
    }

    /// Hands a line over. Never waits: when the queue is full the line is lost and counted.
    pub fn write(&self, line: Arc<str>) {
        self.send(Job { line, done: None });
    }

    /// Hands a line over and waits until it is out, at most until the deadline.
    pub async fn write_by(&self, line: Arc<str>, deadline: Deadline) {
        let is_first = self.counts.waiting.load(Ordering::Acquire) == 0;
        if is_first && self.pipe.as_ref().is_some_and(|pipe| pipe.takes(&line)) {
            return;
        }
        let (done, told) = oneshot::channel();
        self.send(Job { line, done: Some(done) });
        // Past the deadline the thread still tries; the sign-in no longer waits for it.
        drop(deadline.run(told).await);
    }

    /// Lines that were not written.
    pub fn lost(&self) -> u64 {
        self.counts.lost.load(Ordering::Relaxed)
    }

    fn send(&self, job: Job) {
        self.counts.waiting.fetch_add(1, Ordering::Relaxed);
        if self.queue.try_send(job).is_err() {
            self.counts.waiting.fetch_sub(1, Ordering::Relaxed);
            self.counts.lost.fetch_add(1, Ordering::Relaxed);
        }
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
    fn takes(&self, line: &str) -> bool {
        use rustix::{event, pipe::PIPE_BUF};
        let mut asked = [event::PollFd::new(&self.0, event::PollFlags::OUT)];
        let at_once = event::Timespec { tv_sec: 0, tv_nsec: 0 };
        line.len() <= PIPE_BUF && event::poll(&mut asked, Some(&at_once)) == Ok(1) && (&self.0).write_all(line.as_bytes()).is_ok()
    }

    #[cfg(not(unix))]
    fn takes(&self, _line: &str) -> bool {
        false
    }
}

fn write_all(jobs: &Receiver<Job>, mut out: impl Write, counts: &Counts) {
    while let Ok(first) = jobs.recv() {
        if first.done.is_none() && counts.waiting.load(Ordering::Acquire) == 1 {
            std::thread::sleep(COMPANY);
        }
        // What has come meanwhile goes out in one piece.
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        let (mut piece, mut lines, mut taken) = (Vec::new(), 0, 0);
        let mut next = Some(first);
        while let Some(Job { line, done }) = next {
            piece.extend_from_slice(line.as_bytes());
            lines += u64::from(!line.is_empty());
            waiting.extend(done);
            taken += 1;
            next = if piece.len() < PIECE { jobs.try_recv().ok() } else { None };
        }
        if let Err(error) = out.write_all(&piece).and_then(|()| out.flush())
            && counts.lost.fetch_add(lines, Ordering::Relaxed) == 0
        {
            tracing::error!(error.kind = ?error.kind(), "audit lines cannot be written");
        }
        counts.waiting.fetch_sub(taken, Ordering::Release);
        // Dropping the senders is the signal: whoever waits learns that nothing is left to wait for.
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
        writer.write_by("one\n".into(), Deadline::after(started, Duration::from_millis(50))).await;
        assert!(started.elapsed() < Duration::from_secs(1), "waited {:?}", started.elapsed());
        for _ in 0..QUEUE + 10 {
            writer.write("more\n".into());
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
            writer.write(format!("{n}\n").into());
        }
        writer.write_by("last\n".into(), Deadline::after(Instant::now(), Duration::from_secs(5))).await;
        let text = std::fs::read_to_string(&path).expect("reads");
        assert_eq!(text.lines().count(), 101);
        assert!(text.starts_with("0\n1\n") && text.ends_with("99\nlast\n"));
    }
}
