//! Log files: decompression, detection of the format, and batches of records.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use csv::ByteRecord;

use crate::rows::RecordReader;
use crate::rows::columns::{Columns, Mapping};
use crate::rows::documents::{JsonDocuments, is_container_line};
use crate::rows::json::is_lambda_line;
use crate::rows::limit::CsvRecords;
use crate::rows::wrapped::EventExtractor;
use riskgate_config::encoding;

/// The most records in a batch.
const BATCH_RECORDS: usize = 1024;

/// The most text in a batch, in bytes. The last record may exceed it.
const BATCH_BYTES: usize = 4 << 20;

/// How many compressed files inside a compressed file are opened.
const MAX_NESTED_ARCHIVES: u8 = 2;

/// The format of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values with a header.
    Csv,
    /// JSON objects, with or without lines of text between them.
    Json,
}

/// A batch of records. Its memory is reused.
#[derive(Debug, Default)]
pub struct Batch {
    /// The records, each with the number of its first line.
    pub records: Vec<(u64, ByteRecord)>,
    /// How many of them are filled. The others are allocated for reuse.
    pub len: usize,
}

/// Why a file cannot be replayed.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// It cannot be read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is empty.
    #[error("the file is empty")]
    Empty,
    /// Its header has no usable columns.
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

/// The events of an audit log as text, without the wrappers of log services.
pub struct Events {
    records: Records,
    record: ByteRecord,
}

/// Counts the bytes read, for the progress bar.
struct ByteCounter<R>(R, Arc<AtomicU64>);

impl<R: Read> Read for ByteCounter<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.0.read(into)?;
        self.1.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Source {
    /// Opens a file, or standard input for `-`. Detects gzip and zstd by their first bytes.
    ///
    /// # Errors
    ///
    /// If the file cannot be read or is empty.
    pub fn open(path: &Path, mappings: &[Mapping], read: &Arc<AtomicU64>) -> Result<Self, SourceError> {
        let raw: Box<dyn Read + Send> = if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
        let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Self::from_reader(ByteCounter(raw, Arc::clone(read)), name, mappings)
    }

    /// Opens the text of a reader.
    ///
    /// # Errors
    ///
    /// As [`Source::open`].
    pub fn from_reader(raw: impl Read + Send + 'static, name: String, mappings: &[Mapping]) -> Result<Self, SourceError> {
        let raw = BufReader::with_capacity(1 << 17, raw);
        let mut text = encoding::decode_reader(decompress(Box::new(raw), 0)?)?;
        let start = text.fill_buf()?;
        if start.is_empty() {
            return Err(SourceError::Empty);
        }
        let window = start[..start.len().min(4096)].trim_ascii_start();
        let mut lines = window.split(|byte| *byte == b'\n');
        let first = lines.next().unwrap_or_default();
        let delimiter = [b',', b';', b'\t'].into_iter().find(|delimiter| first.contains(delimiter));
        let format =
            if is_json(first) || (delimiter.is_none() && !Columns::is_message_column(first) && lines.any(is_json)) { Format::Json } else { Format::Csv };
        // In many locales, spreadsheets write semicolons instead of commas.
        let delimiter = delimiter.unwrap_or(b',');
        let is_messages = format == Format::Csv && first.split(|byte| *byte == delimiter).any(Columns::is_message_column);
        Ok(Source { text, name, format, delimiter, is_messages, mappings: mappings.to_vec() })
    }

    /// Reads the header of a CSV file. Returns the reader of its records, and the records.
    ///
    /// # Errors
    ///
    /// If the header has no column with the time or the user.
    pub fn into_records(self) -> Result<(RecordReader, Records), SourceError> {
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
                match (Columns::from_header(&header, &self.mappings), Columns::message_column(&header)) {
                    (Ok(columns), _) => Ok((RecordReader::Csv(Box::new(columns)), Records::Csv(Box::new(records)))),
                    (Err(_), Some(column)) if self.mappings.is_empty() => {
                        let events = Box::new(EventExtractor::new(self.name));
                        Ok((RecordReader::Json, Records::Messages { records: Box::new(records), column, events }))
                    }
                    (Err(why), _) => Err(SourceError::Header(why)),
                }
            }
            Format::Json => {
                let (documents, events) = (Box::new(JsonDocuments::new(self.text)), Box::new(EventExtractor::new(self.name)));
                Ok((RecordReader::Json, Records::Documents { documents, events, is_finished: false }))
            }
        }
    }
}

impl Source {
    /// Returns the events of an audit log, for a reader that shows each event when it arrives.
    ///
    /// # Errors
    ///
    /// If the header cannot be read.
    pub fn events(self) -> io::Result<Events> {
        let events = Box::new(EventExtractor::new(self.name));
        let records = if self.is_messages {
            let mut records = Box::new(CsvRecords::new(self.text, self.delimiter));
            let mut header = ByteRecord::new();
            records.next(&mut 0, &mut header)?;
            Records::Messages { records, column: Columns::message_column(&header).unwrap_or_default(), events }
        } else {
            Records::Documents { documents: Box::new(JsonDocuments::new(self.text)), events, is_finished: false }
        };
        Ok(Events { records, record: ByteRecord::new() })
    }
}

impl Events {
    /// Returns the next event on one line, or the next line that contains no event. Returns `None` at the end.
    ///
    /// The text is empty if the event is too long.
    ///
    /// # Errors
    ///
    /// If the file cannot be read to its end.
    pub fn next_event(&mut self) -> io::Result<Option<String>> {
        if !self.records.next(&mut 0, &mut self.record)? {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(self.record.get(0).unwrap_or_default());
        let is_one_line = !text.contains(['\n', '\r']);
        let joined = if is_one_line { None } else { serde_json::from_str::<serde_json::Value>(&text).ok() };
        Ok(Some(joined.map_or_else(|| text.into_owned(), |value| value.to_string())))
    }

    /// Whether events are returned only after all of them are read, because the newest may come first.
    pub fn waits_for_the_end(&self) -> bool {
        matches!(self.records, Records::Messages { .. })
    }
}

/// Whether a line contains JSON, or is a line that Lambda or a container runtime writes around it.
fn is_json(line: &[u8]) -> bool {
    let contains = |part: &[u8]| line.windows(part.len()).any(|window| window == part);
    let list = line.strip_prefix(b"[").map(<[u8]>::trim_ascii);
    line.starts_with(b"{")
        || list.is_some_and(|rest| rest.is_empty() || matches!(rest[0], b'{' | b'[' | b']' | b'"'))
        || contains(b"{\"")
        || contains(b"\"{\\\"")
        || line.trim_ascii_end().ends_with(b" {")
        || std::str::from_utf8(line).is_ok_and(|line| is_lambda_line(line) || is_container_line(line))
}

/// Decompresses gzip and zstd, also inside one another: Firehose compresses data that CloudWatch Logs has already compressed.
fn decompress(mut raw: Box<dyn BufRead + Send>, depth: u8) -> io::Result<Box<dyn BufRead + Send>> {
    let start = raw.fill_buf()?;
    let inner: Box<dyn BufRead + Send> = if start.starts_with(&[0x1f, 0x8b]) {
        Box::new(BufReader::with_capacity(1 << 17, flate2::bufread::MultiGzDecoder::new(raw)))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let frames = ruzstd::decoding::StreamingDecoder::new(raw).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.to_string()))?;
        Box::new(BufReader::with_capacity(1 << 17, frames))
    } else {
        return Ok(raw);
    };
    if depth == MAX_NESTED_ARCHIVES { Ok(inner) } else { decompress(inner, depth + 1) }
}

/// The records of a file.
pub enum Records {
    /// The records of a CSV file.
    Csv(Box<CsvRecords>),
    /// JSON objects. Each record has one field.
    Documents {
        /// The objects of the text.
        documents: Box<JsonDocuments>,
        /// The events extracted from them.
        events: Box<EventExtractor>,
        /// Whether all objects are read.
        is_finished: bool,
    },
    /// Log lines in a column of a CSV file.
    Messages {
        /// The records of the file.
        records: Box<CsvRecords>,
        /// The index of the column.
        column: usize,
        /// The events extracted from the lines.
        events: Box<EventExtractor>,
    },
}

impl Records {
    /// Fills a batch. Returns `false` if there are no further records.
    ///
    /// # Errors
    ///
    /// If the file cannot be read to its end, for example because the archive is damaged.
    pub fn fill_batch(&mut self, batch: &mut Batch) -> io::Result<bool> {
        batch.len = 0;
        let mut bytes = 0;
        while batch.len < BATCH_RECORDS && bytes < BATCH_BYTES {
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
            Records::Documents { documents, events, is_finished } => {
                let mut bytes = Vec::new();
                while !pop_event(events, number, record) {
                    if *is_finished {
                        return Ok(false);
                    }
                    let Some(document) = documents.next(&mut bytes)? else {
                        *is_finished = true;
                        events.finish();
                        continue;
                    };
                    *number = document.line;
                    record.clear();
                    if document.is_too_long {
                        return Ok(true);
                    }
                    match std::str::from_utf8(&bytes) {
                        Ok(text) if !EventExtractor::is_event(text) => events.push_text(text, document.line),
                        Ok(_) | Err(_) => {
                            record.push_field(&bytes);
                            return Ok(true);
                        }
                    }
                }
                Ok(true)
            }
            Records::Messages { records, column, events } => {
                while !pop_event(events, number, record) {
                    if !records.next(number, record)? {
                        events.finish();
                        return Ok(pop_event(events, number, record));
                    }
                    if record.is_empty() {
                        return Ok(true);
                    }
                    events.push_message(&String::from_utf8_lossy(record.get(*column).unwrap_or_default()), *number);
                }
                Ok(true)
            }
        }
    }
}

/// Moves the next event into a record. Returns `false` if there is none.
fn pop_event(events: &mut EventExtractor, number: &mut u64, record: &mut ByteRecord) -> bool {
    let Some((line, event)) = events.pop() else { return false };
    *number = line;
    record.clear();
    record.push_field(event.as_bytes());
    true
}
