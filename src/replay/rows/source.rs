//! Files of a log: decompressed, told apart, and cut into batches of records on a thread of their own.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use csv::ByteRecord;

use super::{
    Mapping, Reading, cognito,
    columns::Columns,
    json::is_of_the_platform,
    limit::{CsvRecords, read_line},
};

/// Records that travel together between the threads.
const BATCH: usize = 1024;

/// The most text that travels together, in bytes; one more record may go over it.
const BATCH_BYTES: usize = 4 << 20;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// One JSON object a line.
    JsonLines,
    /// One document of Cognito's user auth events.
    Cognito,
}

/// Records with the lines that they begin on.
#[derive(Debug, Default)]
pub struct Batch {
    /// Each record and its line.
    pub records: Vec<(u64, ByteRecord)>,
    /// How many of them are filled; the rest are spare, with room in them.
    pub len: usize,
}

/// A file that cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is empty.
    #[error("the file is empty")]
    Empty,
    /// Its header does not say enough.
    #[error("{0}")]
    Header(String),
}

/// An opened file.
pub struct Source {
    text: Box<dyn BufRead + Send>,
    name: String,
    format: Format,
    delimiter: u8,
    mappings: Vec<Mapping>,
}

/// Counts the bytes that were read, for progress.
struct Counted<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Source {
    /// Opens a file, or standard input for `-`; gzip and zstd are told by their first bytes.
    ///
    /// # Errors
    ///
    /// A file that cannot be read or is empty.
    pub fn open(path: &Path, mappings: &[Mapping], read: &Arc<AtomicU64>) -> Result<Self, SourceError> {
        let raw: Box<dyn Read + Send> = if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::from_reader(Counted(raw, Arc::clone(read)), name, mappings)
    }

    /// Opens what a reader yields.
    ///
    /// # Errors
    ///
    /// As [`Source::open`].
    pub fn from_reader(raw: impl Read + Send + 'static, name: String, mappings: &[Mapping]) -> Result<Self, SourceError> {
        let mut raw = BufReader::with_capacity(1 << 17, raw);
        let start = raw.fill_buf()?;
        let mut text: Box<dyn BufRead + Send> = if start.starts_with(&[0x1f, 0x8b]) {
            Box::new(BufReader::with_capacity(1 << 17, flate2::bufread::MultiGzDecoder::new(raw)))
        } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            let frames = ruzstd::decoding::StreamingDecoder::new(raw).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
            Box::new(BufReader::with_capacity(1 << 17, frames))
        } else {
            Box::new(raw)
        };
        let start = text.fill_buf()?;
        if start.starts_with(b"\xef\xbb\xbf") {
            text.consume(3);
        }
        let start = text.fill_buf()?;
        if start.is_empty() {
            return Err(SourceError::Empty);
        }
        let window = &start[..start.len().min(4096)];
        let first = window.trim_ascii_start().split(|byte| *byte == b'\n').next().unwrap_or_default();
        let holds = |text: &[u8], part: &[u8]| text.windows(part.len()).any(|window| window == part);
        let is_of_the_platform = std::str::from_utf8(first).is_ok_and(is_of_the_platform);
        let format = if first.starts_with(b"{") && holds(window, b"\"AuthEvents\"") {
            Format::Cognito
        } else if first.starts_with(b"{") || holds(first, b"{\"") || is_of_the_platform {
            Format::JsonLines
        } else {
            Format::Csv
        };
        // A spreadsheet of many countries writes semicolons.
        let delimiter = [b',', b';', b'\t'].into_iter().find(|delimiter| first.contains(delimiter)).unwrap_or(b',');
        Ok(Source { text, name, format, delimiter, mappings: mappings.to_vec() })
    }

    /// Reads the header where there is one, and says how records are read. Then `pour` gives the records.
    ///
    /// # Errors
    ///
    /// A header without time or user.
    pub fn begin(self) -> Result<(Reading, Records), SourceError> {
        match self.format {
            Format::Csv => {
                let mut records = CsvRecords::new(self.text, self.delimiter);
                let mut header = ByteRecord::new();
                records.next(&mut 0, &mut header)?;
                if header.is_empty() {
                    return Err(SourceError::Header("its first line is longer than 1 MiB: is it a CSV file with a header?".to_owned()));
                }
                let columns = Columns::find(&header, &self.mappings).map_err(SourceError::Header)?;
                Ok((Reading::Csv(Box::new(columns)), Records::Csv(Box::new(records))))
            }
            Format::JsonLines => Ok((Reading::Json, Records::Lines { text: self.text, line: 0 })),
            Format::Cognito => {
                let mut text = String::new();
                self.text.take(1 << 30).read_to_string(&mut text)?;
                let lines = cognito::lines(&text, &self.name)
                    .ok_or_else(|| SourceError::Header("it looks like Cognito's user auth events, but cannot be read as such".to_owned()))?;
                Ok((Reading::Json, Records::Known { lines: lines.into_iter(), line: 0 }))
            }
        }
    }
}

/// The records of a file.
pub enum Records {
    /// Of a CSV file.
    Csv(Box<CsvRecords>),
    /// Lines, each one field.
    Lines {
        /// What they come from.
        text: Box<dyn BufRead + Send>,
        /// How many were read.
        line: u64,
    },
    /// Lines that are in memory.
    Known {
        /// What is left of them.
        lines: std::vec::IntoIter<String>,
        /// How many were read.
        line: u64,
    },
}

impl Records {
    /// Fills a batch; says whether more may follow.
    ///
    /// # Errors
    ///
    /// A file that breaks off: a damaged archive, a disk.
    pub fn fill(&mut self, batch: &mut Batch) -> io::Result<bool> {
        batch.len = 0;
        let mut bytes = 0;
        while batch.len < BATCH && bytes < BATCH_BYTES {
            if batch.records.len() == batch.len {
                batch.records.push((0, ByteRecord::new()));
            }
            let slot = &mut batch.records[batch.len];
            if !self.next(&mut slot.0, &mut slot.1)? {
                return Ok(false);
            }
            bytes += slot.1.as_slice().len();
            batch.len += 1;
        }
        Ok(true)
    }

    fn next(&mut self, number: &mut u64, record: &mut ByteRecord) -> io::Result<bool> {
        match self {
            Records::Csv(records) => records.next(number, record),
            Records::Lines { text, line } => {
                let mut bytes = Vec::new();
                loop {
                    let Some(is_too_long) = read_line(text, &mut bytes)? else { return Ok(false) };
                    *line += 1;
                    *number = *line;
                    record.clear();
                    if is_too_long {
                        return Ok(true);
                    }
                    // `aws logs tail` puts the time before the object.
                    let start = bytes.iter().position(|byte| *byte == b'{').unwrap_or(0);
                    let end = bytes.trim_ascii_end().len();
                    if start < end {
                        record.push_field(&bytes[start..end]);
                        return Ok(true);
                    }
                }
            }
            Records::Known { lines, line } => {
                let Some(text) = lines.next() else { return Ok(false) };
                *line += 1;
                *number = *line;
                record.clear();
                record.push_field(text.as_bytes());
                Ok(true)
            }
        }
    }
}
