//! CSV records of limited length. A longer record is skipped to the end of its line and counted as one bad row.

use std::{
    io::{self, BufRead, Read},
    mem,
};

use csv::{ByteRecord, Reader, ReaderBuilder};

/// The longest line or record that is read, in bytes. A longer one is not a sign-in.
pub(super) const MAX_RECORD_BYTES: u64 = 1 << 20;

/// The records of a CSV file. A record that is too long has no fields.
pub struct CsvRecords {
    reader: Reader<LimitedText>,
    delimiter: u8,
    /// Lines before the first one of `reader`.
    lines_before: u64,
}

/// A text that ends when a record reaches the maximum length.
struct LimitedText {
    text: Box<dyn BufRead + Send>,
    /// Bytes that the record may still have.
    remaining: u64,
    /// Whether the record was truncated at the maximum length.
    is_truncated: bool,
}

impl CsvRecords {
    /// Creates a reader for a text.
    pub fn new(text: Box<dyn BufRead + Send>, delimiter: u8) -> Self {
        CsvRecords { reader: reader(text, delimiter), delimiter, lines_before: 0 }
    }

    /// Reads the next record and the number of its first line. Returns `false` at the end.
    ///
    /// # Errors
    ///
    /// If the text cannot be read to its end.
    pub fn next(&mut self, number: &mut u64, record: &mut ByteRecord) -> io::Result<bool> {
        let text = self.reader.get_mut();
        (text.remaining, text.is_truncated) = (MAX_RECORD_BYTES, false);
        let is_read = self.reader.read_byte_record(record).map_err(io::Error::from)?;
        *number = self.lines_before + record.position().map_or(0, csv::Position::line);
        if !self.reader.get_ref().is_truncated {
            return Ok(is_read);
        }
        // The CSV reader takes the truncation for the end of the file, so a new one reads the rest.
        let mut text = mem::replace(&mut self.reader.get_mut().text, Box::new(io::empty()));
        record.clear();
        self.lines_before += self.reader.position().line() - 1;
        let ends_line = skip_line(&mut text)?;
        self.lines_before += u64::from(ends_line);
        self.reader = reader(text, self.delimiter);
        Ok(true)
    }
}

impl Read for LimitedText {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.remaining == 0 {
            self.is_truncated = !self.text.fill_buf()?.is_empty();
            return Ok(0);
        }
        let limit = usize::try_from(self.remaining).unwrap_or(usize::MAX).min(into.len());
        let read = self.text.read(&mut into[..limit])?;
        self.remaining -= read as u64;
        Ok(read)
    }
}

fn reader(text: Box<dyn BufRead + Send>, delimiter: u8) -> Reader<LimitedText> {
    let text = LimitedText { text, remaining: MAX_RECORD_BYTES, is_truncated: false };
    ReaderBuilder::new().delimiter(delimiter).flexible(true).has_headers(false).buffer_capacity(1 << 17).from_reader(text)
}

/// Appends the rest of a line to `bytes`. A line that is too long is truncated at one byte over the limit.
///
/// # Errors
///
/// If the text cannot be read to its end.
pub(super) fn read_line(text: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<()> {
    let limit = (MAX_RECORD_BYTES + 1).saturating_sub(bytes.len() as u64);
    text.by_ref().take(limit).read_until(b'\n', bytes)?;
    if bytes.len() as u64 > MAX_RECORD_BYTES && !bytes.ends_with(b"\n") {
        skip_line(text)?;
    }
    Ok(())
}

/// Skips the rest of a line. Returns `false` if the text ends before the line does.
pub(super) fn skip_line(text: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let buffered = text.fill_buf()?;
        if buffered.is_empty() {
            return Ok(false);
        }
        let end = buffered.iter().position(|byte| *byte == b'\n');
        let skipped = end.map_or(buffered.len(), |end| end + 1);
        text.consume(skipped);
        if end.is_some() {
            return Ok(true);
        }
    }
}
