//! Runs a pass over files: one thread reads and cuts, this one judges.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use super::{
    pass::Pass,
    rows::{Batch, Mapping, Reading, Source, SourceError},
};

/// Batches that may wait between the threads.
const WAITING: usize = 8;

/// How long to wait for rows before looking whether to stop.
const GLANCE: Duration = Duration::from_millis(100);

/// What is to be read, and when to stop.
#[derive(Debug, Clone)]
pub struct Run {
    /// Files in order; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// Columns that were named.
    pub mappings: Vec<Mapping>,
    /// Bad rows that are borne.
    pub max_bad: u64,
    /// Set to end early with what is known.
    pub stop: Arc<AtomicBool>,
    /// Bytes read so far.
    pub bytes: Arc<AtomicU64>,
}

/// Why a run ends before its files do.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file cannot be replayed.
    #[error("{file}: {source}")]
    File {
        /// Its name.
        file: String,
        /// Why.
        source: SourceError,
    },
    /// Scores cannot be written.
    #[error("scores cannot be written: {0}")]
    Scores(io::Error),
    /// Too much of it is bad.
    #[error("{0} bad rows; --max-bad allows {1}")]
    TooManyBad(u64, u64),
}

enum Message {
    /// The file begins, and is read like this.
    File(usize, Reading),
    Batch(Batch),
    Broken(usize, SourceError),
}

impl Run {
    /// Runs the pass; `progress` is told after each batch.
    ///
    /// # Errors
    ///
    /// A file that cannot be replayed, scores that cannot be written, too many bad rows.
    pub fn through(&self, pass: &mut Pass, mut progress: impl FnMut(u64, u64)) -> Result<(), RunError> {
        let (sender, receiver) = mpsc::sync_channel::<Message>(WAITING);
        let (back, spare) = mpsc::channel::<Batch>();
        let run = self.clone();
        let reader = thread::spawn(move || run.read(&sender, &spare));
        let outcome = self.judge(pass, &receiver, &back, &mut progress);
        // The reader ends when nobody listens; one that was stopped may wait for a pipe for ever, and is left to it.
        drop(receiver);
        drop(back);
        if !self.is_stopped() && reader.join().is_err() {
            return Err(RunError::Scores(io::Error::other("the reading thread failed")));
        }
        outcome?;
        pass.finish().map_err(RunError::Scores)
    }

    fn judge(
        &self,
        pass: &mut Pass,
        receiver: &mpsc::Receiver<Message>,
        back: &mpsc::Sender<Batch>,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<(), RunError> {
        let mut present = None;
        while !self.is_stopped() {
            let message = match receiver.recv_timeout(GLANCE) {
                Ok(message) => message,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            };
            match message {
                Message::File(file, reading) => present = Some((file, reading)),
                Message::Broken(file, source) => return Err(RunError::File { file: self.files[file].display().to_string(), source }),
                Message::Batch(batch) => {
                    let (file, reading) = present.as_ref().expect("a file begins before its batches");
                    for (line, record) in &batch.records[..batch.len] {
                        pass.record(reading, record, (*file, *line)).map_err(RunError::Scores)?;
                    }
                    // The reader may have ended already.
                    let _ = back.send(batch);
                    if pass.census.bad > self.max_bad {
                        return Err(RunError::TooManyBad(pass.census.bad, self.max_bad));
                    }
                    progress(pass.census.rows, self.bytes.load(Ordering::Relaxed));
                }
            }
        }
        Ok(())
    }

    /// Whether it was asked to end early.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads every file; a closed channel ends it.
    fn read(&self, sender: &mpsc::SyncSender<Message>, spare: &mpsc::Receiver<Batch>) {
        for (number, path) in self.files.iter().enumerate() {
            if let Err(error) = self.read_one(number, path, sender, spare) {
                // Nobody left to tell is as good as told.
                let _ = sender.send(Message::Broken(number, error));
                return;
            }
        }
    }

    fn read_one(&self, number: usize, path: &std::path::Path, sender: &mpsc::SyncSender<Message>, spare: &mpsc::Receiver<Batch>) -> Result<(), SourceError> {
        let (reading, mut records) = Source::open(path, &self.mappings, &self.bytes)?.begin()?;
        if sender.send(Message::File(number, reading)).is_err() {
            return Ok(());
        }
        loop {
            let mut batch = spare.try_recv().unwrap_or_default();
            let filled = records.fill(&mut batch);
            if batch.len > 0 && sender.send(Message::Batch(batch)).is_err() {
                return Ok(());
            }
            match filled {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
