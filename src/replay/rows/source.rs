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
    Mapping, Reading,
    columns::Columns,
    documents::{Documents, is_of_a_container},
    json::is_of_the_platform,
    limit::CsvRecords,
    wrapped::Wrapped,
};
use crate::config::encoding;

/// Records that travel together between the threads.
const BATCH: usize = 1024;

/// The most text that travels together, in bytes; one more record may go over it.
const BATCH_BYTES: usize = 4 << 20;

/// Archives inside an archive that are opened.
const NESTED: u8 = 2;

/// What kind of file it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// JSON objects, and lines of text between them.
    Json,
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
    /// Whether it is a CSV file with a column of log lines.
    is_messages: bool,
    mappings: Vec<Mapping>,
}

/// The events of an audit log as text, in whatever they are wrapped.
pub struct Events {
    records: Records,
    record: ByteRecord,
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
        let raw = BufReader::with_capacity(1 << 17, raw);
        let mut text = encoding::utf8(decompressed(Box::new(raw), 0)?)?;
        let start = text.fill_buf()?;
        if start.is_empty() {
            return Err(SourceError::Empty);
        }
        let window = start[..start.len().min(4096)].trim_ascii_start();
        let mut lines = window.split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let delimiter = [b',', b';', b'\t'].into_iter().find(|delimiter| first.contains(delimiter));
        let format = if is_json(first) || (delimiter.is_none() && !Columns::is_message(first) && lines.any(is_json)) { Format::Json } else { Format::Csv };
        // A spreadsheet of many countries writes semicolons.
        let delimiter = delimiter.unwrap_or(b',');
        let is_messages = format == Format::Csv && first.split(|byte| *byte == delimiter).any(Columns::is_message);
        Ok(Source { text, name, format, delimiter, is_messages, mappings: mappings.to_vec() })
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
                if !records.next(&mut 0, &mut header)? {
                    return Err(SourceError::Empty);
                }
                if header.is_empty() {
                    return Err(SourceError::Header("its first line is longer than 1 MiB: is it a CSV file with a header?".to_owned()));
                }
                match (Columns::find(&header, &self.mappings), Columns::message(&header)) {
                    (Ok(columns), _) => Ok((Reading::Csv(Box::new(columns)), Records::Csv(Box::new(records)))),
                    (Err(_), Some(column)) if self.mappings.is_empty() => {
                        let events = Box::new(Wrapped::new(self.name));
                        Ok((Reading::Json, Records::Messages { records: Box::new(records), column, events }))
                    }
                    (Err(why), _) => Err(SourceError::Header(why)),
                }
            }
            Format::Json => {
                let (documents, events) = (Box::new(Documents::new(self.text)), Box::new(Wrapped::new(self.name)));
                Ok((Reading::Json, Records::Documents { documents, events, is_ended: false }))
            }
        }
    }
}

impl Source {
    /// The events of an audit log, for a reader that shows them as they come.
    ///
    /// # Errors
    ///
    /// A text that breaks off.
    pub fn events(self) -> io::Result<Events> {
        let events = Box::new(Wrapped::new(self.name));
        let records = if self.is_messages {
            let mut records = Box::new(CsvRecords::new(self.text, self.delimiter));
            let mut header = ByteRecord::new();
            records.next(&mut 0, &mut header)?;
            Records::Messages { records, column: Columns::message(&header).unwrap_or_default(), events }
        } else {
            Records::Documents { documents: Box::new(Documents::new(self.text)), events, is_ended: false }
        };
        Ok(Events { records, record: ByteRecord::new() })
    }
}

impl Events {
    /// The next event, or line without one, on one line; empty where it is too long or no text. `None` at the end.
    ///
    /// # Errors
    ///
    /// A text that breaks off.
    pub fn next_event(&mut self) -> io::Result<Option<String>> {
        if !self.records.next(&mut 0, &mut self.record)? {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(self.record.get(0).unwrap_or_default());
        let is_one_line = !text.contains(['\n', '\r']);
        let joined = if is_one_line { None } else { serde_json::from_str::<serde_json::Value>(&text).ok() };
        Ok(Some(joined.map_or_else(|| text.into_owned(), |value| value.to_string())))
    }

    /// Whether events are given out only when all were read, since they may come newest first.
    pub fn waits_for_the_end(&self) -> bool {
        matches!(self.records, Records::Messages { .. })
    }
}

/// Whether a line holds JSON, after a time perhaps, or is one of those that stand around it in a log.
fn is_json(line: &[u8]) -> bool {
    let holds = |part: &[u8]| line.windows(part.len()).any(|window| window == part);
    let list = line.strip_prefix(b"[").map(<[u8]>::trim_ascii);
    line.starts_with(b"{")
        || list.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'{' | b'[' | b']' | b'"'))
        || holds(b"{\"")
        || holds(b"\"{\\\"")
        || line.trim_ascii_end().ends_with(b" {")
        || std::str::from_utf8(line).is_ok_and(|line| is_of_the_platform(line) || is_of_a_container(line))
}

/// The text inside gzip and zstd, one inside the other too: Firehose compresses what CloudWatch Logs has compressed already.
fn decompressed(mut raw: Box<dyn BufRead + Send>, depth: u8) -> io::Result<Box<dyn BufRead + Send>> {
    let start = raw.fill_buf()?;
    let inner: Box<dyn BufRead + Send> = if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::with_capacity(1 << 17, flate2::bufread::MultiGzDecoder::new(raw)))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let frames = ruzstd::decoding::StreamingDecoder::new(raw).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        Box::new(BufReader::with_capacity(1 << 17, frames))
    } else {
        return Ok(raw);
    };
    if depth == NESTED { Ok(inner) } else { decompressed(inner, depth + 1) }
}

/// The records of a file.
pub enum Records {
    /// Of a CSV file.
    Csv(Box<CsvRecords>),
    /// Objects of a text, each one field.
    Documents {
        /// The objects.
        documents: Box<Documents>,
        /// What was found in them.
        events: Box<Wrapped>,
        /// Whether all objects were read.
        is_ended: bool,
    },
    /// Lines of a log in a column of a CSV file.
    Messages {
        /// The records.
        records: Box<CsvRecords>,
        /// The column.
        column: usize,
        /// What was found in them.
        events: Box<Wrapped>,
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
            Records::Documents { documents, events, is_ended } => {
                let mut bytes = Vec::new();
                while !put(events, number, record) {
                    if *is_ended {
                        return Ok(false);
                    }
                    let Some(document) = documents.next(&mut bytes)? else {
                        *is_ended = true;
                        events.finish();
                        continue;
                    };
                    *number = document.line;
                    record.clear();
                    if document.is_too_long {
                        return Ok(true);
                    }
                    match std::str::from_utf8(&bytes) {
                        Ok(text) if !Wrapped::is_event(text) => events.take(text, document.line),
                        Ok(_) | Err(_) => {
                            record.push_field(&bytes);
                            return Ok(true);
                        }
                    }
                }
                Ok(true)
            }
            Records::Messages { records, column, events } => {
                while !put(events, number, record) {
                    if !records.next(number, record)? {
                        events.finish();
                        return Ok(put(events, number, record));
                    }
                    if record.is_empty() {
                        return Ok(true);
                    }
                    events.take_message(&String::from_utf8_lossy(record.get(*column).unwrap_or_default()), *number);
                }
                Ok(true)
            }
        }
    }
}

/// Puts the next event into a record; `false` when there is none.
fn put(events: &mut Wrapped, number: &mut u64, record: &mut ByteRecord) -> bool {
    let Some((line, event)) = events.pop() else { return false };
    *number = line;
    record.clear();
    record.push_field(event.as_bytes());
    true
}
