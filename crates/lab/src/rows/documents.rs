//! Splits a text into JSON objects. Objects may be one per line, span lines, be in a list, or follow each other without a break.

use std::io::{self, BufRead};

use crate::rows::limit::{MAX_RECORD_BYTES, skip_line};

/// The longest object with a list of events, in bytes.
const MAX_LIST_BYTES: usize = 256 << 20;

/// Members that contain lists of events.
const LIST_MEMBERS: [&str; 10] =
    ["\"AuthEvents\"", "\"logEvents\"", "\"events\"", "\"results\"", "\"Records\"", "\"records\"", "\"hits\"", "\"result\"", "\"ResultSet\"", "\"Messages\""];

/// The mark of a container runtime for a line that continues in the next one.
const PARTIAL_MARK: &[u8] = b" P ";

/// The objects of a text, and the lines between them without an object.
pub struct JsonDocuments {
    text: Box<dyn BufRead + Send>,
    /// The number of complete lines.
    lines: u64,
    /// The text before the present object in its line.
    line_prefix: Vec<u8>,
    /// Whether an object of the present line was returned.
    has_object_on_line: bool,
}

/// An object, or a line without one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document {
    /// The line that it begins on.
    pub(super) line: u64,
    /// Whether it was skipped because it is too long.
    pub(super) is_too_long: bool,
}

/// The position of the scanner in an object.
#[derive(Debug, Default)]
struct ScanState {
    /// The brackets that are open.
    open_brackets: Vec<u8>,
    is_in_string: bool,
    is_escaped: bool,
    /// The last byte that is not white space.
    last: u8,
}

/// The effect of a byte.
#[derive(Debug, PartialEq, Eq)]
enum ScanStep {
    /// The object continues.
    Continue,
    /// The byte ends the object.
    End,
    /// The object is truncated: the byte belongs to the next line or object.
    Truncated,
}

impl JsonDocuments {
    /// Creates a splitter for a text.
    pub(super) fn new(text: Box<dyn BufRead + Send>) -> Self {
        JsonDocuments { text, lines: 0, line_prefix: Vec::new(), has_object_on_line: false }
    }

    /// Reads the next document into `bytes`. Returns `None` at the end.
    ///
    /// # Errors
    ///
    /// If the text cannot be read to its end.
    pub(super) fn next(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<Document>> {
        loop {
            bytes.clear();
            let line = self.lines + 1;
            let Some(end) = self.read_to_object(bytes)? else { return Ok(None) };
            match end {
                b'{' if starts_with_string(bytes) => {
                    crate::rows::limit::read_line(&mut self.text, bytes)?;
                    self.lines += 1;
                    return Ok(Some(wrap_strings(bytes, line)));
                }
                b'\n' | 0 if starts_with_string(bytes) => return Ok(Some(wrap_strings(bytes, line))),
                b'{' => return self.read_object(bytes).map(Some),
                b'\n' if bytes.len() as u64 > MAX_RECORD_BYTES => return Ok(Some(Document { line, is_too_long: true })),
                _ if is_separator(bytes) => {}
                _ => {
                    let text = bytes.trim_ascii().to_vec();
                    bytes.clone_from(&text);
                    return Ok(Some(Document { line, is_too_long: false }));
                }
            }
        }
    }

    /// Reads to the next object or the end of the line. Returns `{`, a line break, or 0 for text that ends without one. `None` at the end of the text.
    fn read_to_object(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<u8>> {
        loop {
            let buffered = self.text.fill_buf()?;
            if buffered.is_empty() {
                return Ok((!bytes.is_empty()).then_some(0));
            }
            let end = buffered.iter().position(|byte| matches!(byte, b'{' | b'\n'));
            let length = end.unwrap_or(buffered.len());
            // One byte over the limit marks the line as too long.
            let room = usize::try_from(MAX_RECORD_BYTES).unwrap_or(usize::MAX).saturating_add(1).saturating_sub(bytes.len());
            bytes.extend_from_slice(&buffered[..length.min(room)]);
            let found = end.map(|end| buffered[end]);
            self.text.consume(length + usize::from(found == Some(b'\n')));
            if let Some(found) = found {
                if found == b'\n' {
                    self.lines += 1;
                    self.has_object_on_line = false;
                } else if !self.has_object_on_line {
                    self.line_prefix.clone_from(bytes);
                }
                return Ok(Some(found));
            }
        }
    }

    /// Reads an object. A truncated object is returned as far as it goes.
    fn read_object(&mut self, bytes: &mut Vec<u8>) -> io::Result<Document> {
        bytes.clear();
        let (line, mut state, mut is_line_start, mut longest) =
            (self.lines + 1, ScanState::default(), false, usize::try_from(MAX_RECORD_BYTES).unwrap_or(usize::MAX));
        self.has_object_on_line = true;
        loop {
            let buffered = self.text.fill_buf()?;
            if buffered.is_empty() {
                return Ok(Document { line, is_too_long: false });
            }
            let (mut used, mut step, is_partial_line) = (0, ScanStep::Continue, self.line_prefix.ends_with(PARTIAL_MARK));
            for byte in buffered {
                step = if is_partial_line && *byte == b'\n' { ScanStep::Truncated } else { state.step(*byte, is_line_start) };
                is_line_start = *byte == b'\n';
                if step == ScanStep::Truncated {
                    break;
                }
                used += 1;
                self.lines += u64::from(is_line_start);
                if step == ScanStep::End {
                    break;
                }
            }
            bytes.extend_from_slice(&buffered[..used]);
            let is_line_end = buffered.get(used) == Some(&b'\n');
            self.text.consume(used);
            match step {
                ScanStep::End => return Ok(Document { line, is_too_long: false }),
                ScanStep::Truncated if is_line_end && self.continue_partial_line()? => {}
                ScanStep::Truncated => return Ok(Document { line, is_too_long: false }),
                ScanStep::Continue => {}
            }
            if bytes.len() > longest {
                let head = String::from_utf8_lossy(&bytes[..4096.min(bytes.len())]);
                if longest < MAX_LIST_BYTES && LIST_MEMBERS.iter().any(|list| head.contains(list)) {
                    longest = MAX_LIST_BYTES;
                    continue;
                }
                bytes.clear();
                self.lines += u64::from(skip_line(&mut self.text)?);
                self.has_object_on_line = false;
                return Ok(Document { line, is_too_long: true });
            }
        }
    }

    /// If the line continues in the next one, skips to the next part and returns `true`.
    ///
    /// Container runtimes write `TIME stdout P TEXT`, and `F` instead of `P` for the last part.
    fn continue_partial_line(&mut self) -> io::Result<bool> {
        if !self.line_prefix.ends_with(PARTIAL_MARK) {
            return Ok(false);
        }
        // Skips the line break and the text before the next part.
        self.text.consume(1);
        self.lines += 1;
        self.line_prefix.clear();
        for _ in 0..3 {
            io::Read::take(&mut self.text, 64).read_until(b' ', &mut self.line_prefix)?;
        }
        Ok(true)
    }
}

impl ScanState {
    /// Scans one byte.
    fn step(&mut self, byte: u8, is_line_start: bool) -> ScanStep {
        if self.is_in_string {
            match byte {
                // In a JSON string, a line break must be escaped.
                b'\n' => return ScanStep::Truncated,
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_in_string = false,
                _ => {}
            }
            return ScanStep::Continue;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return ScanStep::Continue,
            b'{' | b'[' => {
                let is_member = match self.open_brackets.last() {
                    None => true,
                    Some(b'[') => matches!(self.last, b'[' | b','),
                    Some(_) => self.last == b':',
                };
                if is_line_start && !is_member {
                    return ScanStep::Truncated;
                }
                self.open_brackets.push(byte);
            }
            b'}' | b']' => {
                self.open_brackets.pop();
                if self.open_brackets.is_empty() {
                    return ScanStep::End;
                }
            }
            b'"' => self.is_in_string = true,
            _ => {}
        }
        self.last = byte;
        ScanStep::Continue
    }
}

/// Whether the text between objects consists of separators only: white space, list punctuation, RFC 7464's separator. An empty list is a row without an object.
fn is_separator(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.trim_ascii() != b"[]" && text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'[' | b']' | b',' | 0x1e))
}

/// Whether a line begins with a JSON string. `--query 'events[].message'` prints a list of strings.
fn starts_with_string(text: &[u8]) -> bool {
    text.iter().find(|byte| !is_separator(&[**byte])) == Some(&b'"')
}

/// Wraps the strings of a line in one object.
fn wrap_strings(bytes: &mut Vec<u8>, line: u64) -> Document {
    let is_too_long = bytes.len() as u64 > MAX_RECORD_BYTES;
    let is_separator_byte = |byte: &u8| is_separator(&[*byte]);
    let start = bytes.iter().position(|byte| !is_separator_byte(byte)).unwrap_or(0);
    let end = bytes.iter().rposition(|byte| !is_separator_byte(byte)).map_or(0, |last| last + 1);
    *bytes = [b"{\"message\":[", &bytes[start..end], b"]}"].concat();
    Document { line, is_too_long }
}

/// Whether a container runtime wrote the line: `TIME stdout F TEXT`.
pub(super) fn is_container_line(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next().is_some_and(|time| time.starts_with(|first: char| first.is_ascii_digit()))
        && matches!(words.next(), Some("stdout" | "stderr"))
        && matches!(words.next(), Some("F" | "P"))
}
