//! Outputs of lines: a stream, standard error, or a file that can be moved, deleted or truncated by a full disk.

use std::{
    fs::{self, File, Metadata, OpenOptions},
    io::{self, ErrorKind, Read, Seek, SeekFrom, Write},
    mem,
    os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// Locked while log lines are written, because standard output may be the same pipe.
pub(super) static STDERR_LOCK: Mutex<()> = Mutex::new(());

/// The pause before a full non-blocking descriptor is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(5);

/// The minimum time between two log lines about a file that cannot be reopened.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);

/// An output of lines.
pub(super) trait Output {
    /// Prepares the output. A file is opened again if it was moved or deleted, or if `reopen` is set.
    ///
    /// Returns whether its last line is incomplete, or `None` when that is not known or has not changed.
    ///
    /// # Errors
    ///
    /// The output cannot be opened.
    fn prepare(&mut self, _reopen: bool) -> io::Result<Option<bool>> {
        Ok(None)
    }

    /// Writes some of the bytes and returns how many.
    ///
    /// # Errors
    ///
    /// The output fails.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Flushes buffered bytes.
    ///
    /// # Errors
    ///
    /// The output fails.
    fn flush(&mut self) -> io::Result<()>;
}

/// Any stream.
pub(super) struct Stream<W>(pub(super) W);

/// Standard error.
pub(super) struct LogOutput;

/// A file that lines are appended to.
pub(super) struct AppendFile {
    path: PathBuf,
    /// `None` for a named pipe that is not open yet, because opening it waits for its reader.
    file: Option<File>,
    /// Device and inode of `file`.
    identity: (u64, u64),
    /// Whether the last line of the file has not been checked yet.
    is_unchecked: bool,
    last_report: Option<Instant>,
}

/// Not all lines were written.
#[derive(Debug)]
pub(super) struct WriteError {
    /// The number of complete lines that were written.
    pub(super) written: u64,
    /// Why the others were not written.
    pub(super) error: io::Error,
}

/// Writes lines. If an error left an incomplete line behind, a line break is written before the next one.
///
/// # Errors
///
/// Not all lines could be written.
pub(super) fn write_lines(output: &mut impl Output, lines: &[u8], reopen: bool, is_torn: &mut bool) -> Result<(), WriteError> {
    match output.prepare(reopen) {
        Ok(Some(is_incomplete)) => *is_torn = is_incomplete,
        Ok(None) => {}
        Err(error) => return Err(WriteError { written: 0, error }),
    }
    if *is_torn && !lines.is_empty() {
        write_all(output, b"\n").map_err(|(_, error)| WriteError { written: 0, error })?;
        *is_torn = false;
    }
    write_all(output, lines).and_then(|()| output.flush().map_err(|error| (lines.len(), error))).map_err(|(end, error)| {
        let written = &lines[..end];
        if let Some(last) = written.last() {
            *is_torn = *last != b'\n';
        }
        WriteError { written: written.iter().filter(|byte| **byte == b'\n').count() as u64, error }
    })
}

/// Writes all bytes. An error comes with the number of bytes that were written before it.
fn write_all(output: &mut impl Output, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while done < bytes.len() {
        match output.write(&bytes[done..]) {
            Ok(0) => return Err((done, ErrorKind::WriteZero.into())),
            Ok(written) => done += written,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process can make a shared descriptor non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY_DELAY),
            Err(error) => return Err((done, error)),
        }
    }
    Ok(())
}

impl<W: Write> Output for Stream<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Output for LogOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _lock = STDERR_LOCK.lock().unwrap_or_else(PoisonError::into_inner);
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl AppendFile {
    /// Opens a file for appending. A named pipe is opened when its first line is written.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut output = AppendFile { path: path.to_owned(), file: None, identity: (0, 0), is_unchecked: false, last_report: None };
        // Opening a named pipe waits for its reader.
        if !fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            output.reopen()?;
        }
        Ok(output)
    }

    /// Opens the file at the path and closes the previous one.
    fn reopen(&mut self) -> io::Result<()> {
        // Only the owner may read a new file.
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        self.identity = identity(&file.metadata()?);
        self.file = Some(file);
        self.is_unchecked = true;
        Ok(())
    }

    /// Whether the path still refers to the open file.
    fn is_current(&self) -> bool {
        self.file.is_some() && fs::metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == self.identity)
    }

    /// Whether the open file still has a name, which means that it was moved and not deleted.
    fn has_name(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|metadata| metadata.nlink() > 0))
    }

    /// Whether the file ends without a line break. A file without read permission counts as complete.
    fn ends_mid_line(&self) -> bool {
        let is_incomplete = || {
            let mut file = File::open(&self.path)?;
            let mut last = [0];
            if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                return Ok(last != *b"\n");
            }
            io::Result::Ok(false)
        };
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.is_file()) && is_incomplete().unwrap_or_default()
    }
}

impl Output for AppendFile {
    fn prepare(&mut self, reopen: bool) -> io::Result<Option<bool>> {
        if !reopen && self.is_current() {
            return Ok(mem::take(&mut self.is_unchecked).then(|| self.ends_mid_line()));
        }
        match self.reopen() {
            Ok(()) => {
                self.is_unchecked = false;
                Ok(Some(self.ends_mid_line()))
            }
            Err(error) if self.has_name() => {
                if self.last_report.is_none_or(|last| last.elapsed() >= REPORT_INTERVAL) {
                    self.last_report = Some(Instant::now());
                    tracing::warn!(error.kind = ?error.kind(), "audit file cannot be reopened; lines go to the moved file");
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or_else(|| Err(ErrorKind::NotFound.into()), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk with a limited number of free bytes.
    struct Disk {
        written: Vec<u8>,
        free: usize,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = bytes.len().min(self.free);
            if most == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.free -= most;
            self.written.extend_from_slice(&bytes[..most]);
            Ok(most)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_cut_off_by_a_full_disk_leaves_the_next_one_intact() {
        let mut disk = Disk { written: Vec::new(), free: 10 };
        let mut is_torn = false;
        let failed = write_lines(&mut Stream(&mut disk), b"one\ntwo\nthree\nfour\n", false, &mut is_torn).expect_err("the disk is full");
        assert_eq!((failed.written, failed.error.kind(), is_torn), (2, ErrorKind::StorageFull, true));
        let failed = write_lines(&mut Stream(&mut disk), b"five\n", false, &mut is_torn).expect_err("still full");
        assert_eq!((failed.written, is_torn), (0, true));
        disk.free = 100;
        write_lines(&mut Stream(&mut disk), b"six\n", false, &mut is_torn).expect("space is free");
        assert_eq!(std::str::from_utf8(&disk.written), Ok("one\ntwo\nth\nsix\n"));
    }
}
