//! CSV records of bounded length: a longer one is skipped to the end of its line and counted as one bad row.

use std::{
    io::{self, BufRead, Read},
    mem,
};

use csv::{ByteRecord, Reader, ReaderBuilder};

/// The longest line or record that is read, in bytes: a longer one is no sign-in.
pub(super) const LONGEST: u64 = 1 << 20;

/// The records of a CSV file. A record that is too long has no field.
pub struct CsvRecords {
    reader: Reader<Budgeted>,
    delimiter: u8,
    /// Lines before the first one of `reader`.
    lines_before: u64,
}

/// Text that ends when a record has used up its length.
struct Budgeted {
    text: Box<dyn BufRead + Send>,
    left: u64,
    is_cut: bool,
}

// === impl CsvRecords ===

impl CsvRecords {
    /// The records of a text.
    pub fn new(text: Box<dyn BufRead + Send>, delimiter: u8) -> Self {
        CsvRecords { reader: reader(text, delimiter), delimiter, lines_before: 0 }
    }

    /// Reads the next record and the line that it begins on; `false` at the end.
    ///
    /// # Errors
    ///
    /// A text that breaks off.
    pub fn next(&mut self, number: &mut u64, record: &mut ByteRecord) -> io::Result<bool> {
        let text = self.reader.get_mut();
        (text.left, text.is_cut) = (LONGEST, false);
        let is_read = self.reader.read_byte_record(record).map_err(io::Error::from)?;
        *number = self.lines_before + record.position().map_or(0, csv::Position::line);
        if !self.reader.get_ref().is_cut {
            return Ok(is_read);
        }
        // The reader has used up its buffer and takes the cut for the end of the file: the rest needs a new one.
        let mut text = mem::replace(&mut self.reader.get_mut().text, Box::new(io::empty()));
        record.clear();
        self.lines_before += self.reader.position().line() - 1;
        let ends_line = skip_line(&mut text)?;
        self.lines_before += u64::from(ends_line);
        self.reader = reader(text, self.delimiter);
        Ok(true)
    }
}

impl Read for Budgeted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            self.is_cut = !self.text.fill_buf()?.is_empty();
            return Ok(0);
        }
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(into.len());
        let read = self.text.read(&mut into[..most])?;
        self.left -= read as u64;
        Ok(read)
    }
}

fn reader(text: Box<dyn BufRead + Send>, delimiter: u8) -> Reader<Budgeted> {
    let text = Budgeted { text, left: LONGEST, is_cut: false };
    ReaderBuilder::new().delimiter(delimiter).flexible(true).has_headers(false).buffer_capacity(1 << 17).from_reader(text)
}

/// Adds the rest of a line to `bytes`, of which a byte over the limit tells that it is too long.
///
/// # Errors
///
/// A text that breaks off.
pub(super) fn read_line(text: &mut impl BufRead, bytes: &mut Vec<u8>) -> io::Result<()> {
    let room = (LONGEST + 1).saturating_sub(bytes.len() as u64);
    text.by_ref().take(room).read_until(b'\n', bytes)?;
    if bytes.len() as u64 > LONGEST && !bytes.ends_with(b"\n") {
        skip_line(text)?;
    }
    Ok(())
}

/// Skips the rest of a line; says whether it ends before the text does.
pub(super) fn skip_line(text: &mut impl BufRead) -> io::Result<bool> {
    loop {
        let held = text.fill_buf()?;
        if held.is_empty() {
            return Ok(false);
        }
        let end = held.iter().position(|byte| *byte == b'\n');
        let skipped = end.map_or(held.len(), |end| end + 1);
        text.consume(skipped);
        if end.is_some() {
            return Ok(true);
        }
    }
}
