//! Where lines go: a stream, standard error, or a file that may be moved, deleted or cut off by a full disk.

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

/// Held while log lines are written: standard output may be the same pipe.
pub(super) static STDERR_TURN: Mutex<()> = Mutex::new(());

/// How long a full non-blocking descriptor is left alone before it is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// A file that cannot be opened again is logged this often at most.
const REPORT_EVERY: Duration = Duration::from_secs(10);

/// Where lines go.
pub(super) trait Output {
    /// Makes the output ready: opens a file that was moved or deleted, or any file where `reopen` is set. Says whether its last line is cut off.
    ///
    /// # Errors
    ///
    /// There is nothing to write to.
    fn prepare(&mut self, _reopen: bool) -> io::Result<Option<bool>> {
        Ok(None)
    }

    /// Writes some of the bytes, and says how many.
    ///
    /// # Errors
    ///
    /// Those of the output.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize>;

    /// Hands on what is buffered.
    ///
    /// # Errors
    ///
    /// Those of the output.
    fn flush(&mut self) -> io::Result<()>;
}

/// Any stream.
pub(super) struct Stream<W>(pub(super) W);

/// Standard error.
pub(super) struct LogOutput;

/// A file that lines are added to.
pub(super) struct AppendFile {
    path: PathBuf,
    /// `None` for a named pipe that has not been opened yet: that waits for its reader.
    file: Option<File>,
    /// Device and inode of `file`.
    identity: (u64, u64),
    /// Whether the end of the file has not been looked at yet.
    is_unchecked: bool,
    reported: Option<Instant>,
}

/// Not all lines were written.
#[derive(Debug)]
pub(super) struct Failed {
    /// Complete lines that were.
    pub(super) written: u64,
    /// Why the others were not.
    pub(super) error: io::Error,
}

/// Writes lines. A line that was cut off by an error is ended before the next one begins.
///
/// # Errors
///
/// Not all of them could be written.
pub(super) fn write_lines(output: &mut impl Output, lines: &[u8], reopen: bool, is_torn: &mut bool) -> Result<(), Failed> {
    match output.prepare(reopen) {
        Ok(Some(is_cut)) => *is_torn = is_cut,
        Ok(None) => {}
        Err(error) => return Err(Failed { written: 0, error }),
    }
    if *is_torn && !lines.is_empty() {
        write_all(output, b"\n").map_err(|(_, error)| Failed { written: 0, error })?;
        *is_torn = false;
    }
    write_all(output, lines).and_then(|()| output.flush().map_err(|error| (lines.len(), error))).map_err(|(end, error)| {
        let written = &lines[..end];
        if let Some(last) = written.last() {
            *is_torn = *last != b'\n';
        }
        Failed { written: written.iter().filter(|byte| **byte == b'\n').count() as u64, error }
    })
}

/// Writes all bytes; an error comes with how many were written before it.
fn write_all(output: &mut impl Output, bytes: &[u8]) -> Result<(), (usize, io::Error)> {
    let mut done = 0;
    while done < bytes.len() {
        match output.write(&bytes[done..]) {
            Ok(0) => return Err((done, ErrorKind::WriteZero.into())),
            Ok(written) => done += written,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process has made the descriptor that both share non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(RETRY),
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
        let _turn = STDERR_TURN.lock().unwrap_or_else(PoisonError::into_inner);
        io::stderr().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

// === impl AppendFile ===

impl AppendFile {
    /// Opens a file to add to it; a named pipe is opened by its first line.
    ///
    /// # Errors
    ///
    /// When it cannot be opened.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut output = AppendFile { path: path.to_owned(), file: None, identity: (0, 0), is_unchecked: false, reported: None };
        // Opening a named pipe waits for its reader.
        if !fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_fifo()) {
            output.open_again()?;
        }
        Ok(output)
    }

    /// Opens the file and forgets the one before.
    fn open_again(&mut self) -> io::Result<()> {
        // Only its owner may read a new file.
        let file = OpenOptions::new().create(true).append(true).mode(0o600).open(&self.path)?;
        self.identity = identity(&file.metadata()?);
        self.file = Some(file);
        self.is_unchecked = true;
        Ok(())
    }

    /// Whether the path still leads to the open file.
    fn is_current(&self) -> bool {
        self.file.is_some() && fs::metadata(&self.path).is_ok_and(|metadata| identity(&metadata) == self.identity)
    }

    /// Whether lines that are written to the open file can still be found: it was moved, not deleted.
    fn has_name(&self) -> bool {
        self.file.as_ref().is_some_and(|file| file.metadata().is_ok_and(|metadata| metadata.nlink() > 0))
    }

    /// Whether the file's last line has no end. A file that may not be read counts as complete.
    fn is_cut_off(&self) -> bool {
        let last = || {
            let mut file = File::open(&self.path)?;
            let mut last = [0];
            if file.metadata()?.is_file() && file.seek(SeekFrom::End(0))? > 0 {
                file.seek(SeekFrom::End(-1))?;
                file.read_exact(&mut last)?;
                return Ok(last != *b"\n");
            }
            io::Result::Ok(false)
        };
        fs::metadata(&self.path).is_ok_and(|metadata| metadata.is_file()) && last().unwrap_or_default()
    }
}

impl Output for AppendFile {
    fn prepare(&mut self, reopen: bool) -> io::Result<Option<bool>> {
        if !reopen && self.is_current() {
            return Ok(mem::take(&mut self.is_unchecked).then(|| self.is_cut_off()));
        }
        match self.open_again() {
            Ok(()) => {
                self.is_unchecked = false;
                Ok(Some(self.is_cut_off()))
            }
            Err(error) if self.has_name() => {
                if self.reported.is_none_or(|last| last.elapsed() >= REPORT_EVERY) {
                    self.reported = Some(Instant::now());
                    tracing::warn!(error.kind = ?error.kind(), "the audit file cannot be opened again; lines go to the one that was moved");
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

    /// A disk with room for so many bytes.
    struct Disk {
        written: Vec<u8>,
        room: usize,
    }

    impl Write for &mut Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let most = bytes.len().min(self.room);
            if most == 0 {
                return Err(ErrorKind::StorageFull.into());
            }
            self.room -= most;
            self.written.extend_from_slice(&bytes[..most]);
            Ok(most)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_that_a_full_disk_cuts_off_does_not_swallow_the_next_one() {
        let mut disk = Disk { written: Vec::new(), room: 10 };
        let mut is_torn = false;
        let failed = write_lines(&mut Stream(&mut disk), b"one\ntwo\nthree\nfour\n", false, &mut is_torn).expect_err("the disk is full");
        assert_eq!((failed.written, failed.error.kind(), is_torn), (2, ErrorKind::StorageFull, true));
        let failed = write_lines(&mut Stream(&mut disk), b"five\n", false, &mut is_torn).expect_err("still full");
        assert_eq!((failed.written, is_torn), (0, true));
        disk.room = 100;
        write_lines(&mut Stream(&mut disk), b"six\n", false, &mut is_torn).expect("there is room");
        assert_eq!(std::str::from_utf8(&disk.written), Ok("one\ntwo\nth\nsix\n"));
    }
}
