//! Runs a pass over files: one thread reads and splits them into records, the calling thread evaluates.

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

use crate::{
    pass::Pass,
    rows::{
        RecordReader,
        columns::Mapping,
        source::{Batch, Source, SourceError},
    },
};

/// The most batches queued between the threads.
const MAX_QUEUED_BATCHES: usize = 8;

/// How often the stop flag is checked while no batch arrives.
const STOP_POLL_INTERVAL: Duration = Duration::from_millis(100);

/// The files to read, how to read them, and when to stop.
#[derive(Debug, Clone)]
pub struct Run {
    /// Files in order; `-` is standard input.
    pub files: Vec<PathBuf>,
    /// The column mappings of `--map`.
    pub mappings: Vec<Mapping>,
    /// The most bad rows that are tolerated.
    pub max_bad: u64,
    /// Set to `true` to end the run early.
    pub stop: Arc<AtomicBool>,
    /// Bytes read so far.
    pub bytes: Arc<AtomicU64>,
}

/// Why a run fails.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file cannot be replayed.
    #[error("{file}: {source}")]
    File {
        /// The name of the file.
        file: String,
        /// Why it cannot be replayed.
        source: SourceError,
    },
    /// Scores cannot be written.
    #[error("scores cannot be written: {0}")]
    Scores(io::Error),
    /// There are more bad rows than `--max-bad` allows.
    #[error("{0} bad rows; --max-bad allows {1}")]
    TooManyBad(u64, u64),
}

/// What the reading thread sends.
enum Message {
    /// A new file, and how its records are read.
    File(usize, RecordReader),
    /// Records of the present file.
    Batch(Batch),
    /// The file cannot be read.
    Failed(usize, SourceError),
}

impl Run {
    /// Runs the pass. Calls `progress` with the rows and bytes read after each batch.
    ///
    /// # Errors
    ///
    /// If a file cannot be replayed, scores cannot be written, or there are too many bad rows.
    pub fn replay(&self, pass: &mut Pass, mut progress: impl FnMut(u64, u64)) -> Result<(), RunError> {
        let (sender, receiver) = mpsc::sync_channel::<Message>(MAX_QUEUED_BATCHES);
        let (recycle, spare) = mpsc::channel::<Batch>();
        let run = self.clone();
        let reader = thread::spawn(move || run.read_files(&sender, &spare));
        let outcome = self.process_messages(pass, &receiver, &recycle, &mut progress);
        // The reader ends when the channel is closed. A stopped reader may block on a pipe forever, so it is not joined.
        drop(receiver);
        drop(recycle);
        if !self.is_stopped() && reader.join().is_err() {
            return Err(RunError::Scores(io::Error::other("the reading thread panicked")));
        }
        outcome?;
        pass.finish().map_err(RunError::Scores)
    }

    fn process_messages(
        &self,
        pass: &mut Pass,
        receiver: &mpsc::Receiver<Message>,
        recycle: &mpsc::Sender<Batch>,
        progress: &mut impl FnMut(u64, u64),
    ) -> Result<(), RunError> {
        let mut current = None;
        while !self.is_stopped() {
            let message = match receiver.recv_timeout(STOP_POLL_INTERVAL) {
                Ok(message) => message,
                Err(mpsc::RecvTimeoutError::Timeout) => continue,
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            };
            match message {
                Message::File(file, reader) => current = Some((file, reader)),
                Message::Failed(file, source) => return Err(RunError::File { file: self.files[file].display().to_string(), source }),
                Message::Batch(batch) => {
                    let (file, reader) = current.as_ref().expect("a file begins before its batches");
                    for (line, record) in &batch.records[..batch.len] {
                        pass.process_record(reader, record, (*file, *line)).map_err(RunError::Scores)?;
                    }
                    // The reader may have ended already.
                    let _ = recycle.send(batch);
                    if pass.counters.bad > self.max_bad {
                        return Err(RunError::TooManyBad(pass.counters.bad, self.max_bad));
                    }
                    progress(pass.counters.rows, self.bytes.load(Ordering::Relaxed));
                }
            }
        }
        Ok(())
    }

    /// Whether the run was stopped early.
    pub fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads every file until the channel is closed.
    fn read_files(&self, sender: &mpsc::SyncSender<Message>, spare: &mpsc::Receiver<Batch>) {
        for (number, path) in self.files.iter().enumerate() {
            if let Err(error) = self.read_file(number, path, sender, spare) {
                // A closed channel means that the run has ended already.
                let _ = sender.send(Message::Failed(number, error));
                return;
            }
        }
    }

    fn read_file(&self, number: usize, path: &std::path::Path, sender: &mpsc::SyncSender<Message>, spare: &mpsc::Receiver<Batch>) -> Result<(), SourceError> {
        let (reader, mut records) = Source::open(path, &self.mappings, &self.bytes)?.into_records()?;
        if sender.send(Message::File(number, reader)).is_err() {
            return Ok(());
        }
        loop {
            let mut batch = spare.try_recv().unwrap_or_default();
            let filled = records.fill_batch(&mut batch);
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
