//! JSON objects one after another in a text: a line each, over several lines, in a list, or with no break between them.

use std::io::{self, BufRead};

use super::limit::{LONGEST, skip_line};

/// The longest object that holds a list of events, in bytes.
const LONGEST_PAGE: usize = 256 << 20;

/// Members that hold lists of events.
const LISTS: [&str; 10] =
    ["\"AuthEvents\"", "\"logEvents\"", "\"events\"", "\"results\"", "\"Records\"", "\"records\"", "\"hits\"", "\"result\"", "\"ResultSet\"", "\"Messages\""];

/// How a container runtime marks a part that another one follows.
const PART: &[u8] = b" P ";

/// The objects of a text, and the lines between them that hold no object.
pub struct Documents {
    text: Box<dyn BufRead + Send>,
    /// Lines that ended.
    lines: u64,
    /// What stands before the present object in its line.
    before: Vec<u8>,
    /// Whether an object of the present line was given out.
    is_after: bool,
}

/// An object, or a line without one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Document {
    /// The line that it begins on.
    pub(super) line: u64,
    /// Whether it was too long, and skipped.
    pub(super) is_too_long: bool,
}

/// Where in an object the reader is.
#[derive(Debug, Default)]
struct Place {
    open: Vec<u8>,
    is_text: bool,
    is_escaped: bool,
    /// The last byte that is no blank.
    last: u8,
}

/// What a byte does.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    Inside,
    Ends,
    /// The object is cut: this byte belongs to the next line or object.
    Cut,
}

impl Documents {
    /// The objects of a text.
    pub(super) fn new(text: Box<dyn BufRead + Send>) -> Self {
        Documents { text, lines: 0, before: Vec::new(), is_after: false }
    }

    /// Reads the next one into `bytes`; `None` at the end.
    ///
    /// # Errors
    ///
    /// A text that breaks off.
    pub(super) fn next(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<Document>> {
        loop {
            bytes.clear();
            let line = self.lines + 1;
            let Some(end) = self.before_object(bytes)? else { return Ok(None) };
            match end {
                b'{' if is_text(bytes) => {
                    super::limit::read_line(&mut self.text, bytes)?;
                    self.lines += 1;
                    return Ok(Some(texts(bytes, line)));
                }
                b'\n' | 0 if is_text(bytes) => return Ok(Some(texts(bytes, line))),
                b'{' => return self.object(bytes).map(Some),
                b'\n' if bytes.len() as u64 > LONGEST => return Ok(Some(Document { line, is_too_long: true })),
                _ if is_blank(bytes) => {}
                _ => {
                    let text = bytes.trim_ascii().to_vec();
                    bytes.clone_from(&text);
                    return Ok(Some(Document { line, is_too_long: false }));
                }
            }
        }
    }

    /// Reads up to an object or the end of the line, and says which of them comes; `None` at the end of the text.
    fn before_object(&mut self, bytes: &mut Vec<u8>) -> io::Result<Option<u8>> {
        loop {
            let held = self.text.fill_buf()?;
            if held.is_empty() {
                return Ok((!bytes.is_empty()).then_some(0));
            }
            let end = held.iter().position(|byte| matches!(byte, b'{' | b'\n'));
            let length = end.unwrap_or(held.len());
            // One byte over the limit is enough to tell.
            let room = usize::try_from(LONGEST).unwrap_or(usize::MAX).saturating_add(1).saturating_sub(bytes.len());
            bytes.extend_from_slice(&held[..length.min(room)]);
            let found = end.map(|end| held[end]);
            self.text.consume(length + usize::from(found == Some(b'\n')));
            if let Some(found) = found {
                if found == b'\n' {
                    self.lines += 1;
                    self.is_after = false;
                } else if !self.is_after {
                    self.before.clone_from(bytes);
                }
                return Ok(Some(found));
            }
        }
    }

    /// Reads an object; one that is cut is handed out as far as it goes.
    fn object(&mut self, bytes: &mut Vec<u8>) -> io::Result<Document> {
        bytes.clear();
        let (line, mut place, mut is_line_start, mut longest) = (self.lines + 1, Place::default(), false, usize::try_from(LONGEST).unwrap_or(usize::MAX));
        self.is_after = true;
        loop {
            let held = self.text.fill_buf()?;
            if held.is_empty() {
                return Ok(Document { line, is_too_long: false });
            }
            let (mut used, mut step, is_in_parts) = (0, Step::Inside, self.before.ends_with(PART));
            for byte in held {
                step = if is_in_parts && *byte == b'\n' { Step::Cut } else { place.step(*byte, is_line_start) };
                is_line_start = *byte == b'\n';
                if step == Step::Cut {
                    break;
                }
                used += 1;
                self.lines += u64::from(is_line_start);
                if step == Step::Ends {
                    break;
                }
            }
            bytes.extend_from_slice(&held[..used]);
            let is_line_end = held.get(used) == Some(&b'\n');
            self.text.consume(used);
            match step {
                Step::Ends => return Ok(Document { line, is_too_long: false }),
                Step::Cut if is_line_end && self.continues()? => {}
                Step::Cut => return Ok(Document { line, is_too_long: false }),
                Step::Inside => {}
            }
            if bytes.len() > longest {
                let head = String::from_utf8_lossy(&bytes[..4096.min(bytes.len())]);
                if longest < LONGEST_PAGE && LISTS.iter().any(|list| head.contains(list)) {
                    longest = LONGEST_PAGE;
                    continue;
                }
                bytes.clear();
                self.lines += u64::from(skip_line(&mut self.text)?);
                self.is_after = false;
                return Ok(Document { line, is_too_long: true });
            }
        }
    }

    /// Whether the next line goes on with this one, as container runtimes mark it: `TIME stdout P TEXT`, and `F` for the last part.
    fn continues(&mut self) -> io::Result<bool> {
        if !self.before.ends_with(PART) {
            return Ok(false);
        }
        // The line break, and what stands before the next part.
        self.text.consume(1);
        self.lines += 1;
        self.before.clear();
        for _ in 0..3 {
            io::Read::take(&mut self.text, 64).read_until(b' ', &mut self.before)?;
        }
        Ok(true)
    }
}

impl Place {
    fn step(&mut self, byte: u8, is_line_start: bool) -> Step {
        if self.is_text {
            match byte {
                // A line break in a text is written as an escape.
                b'\n' => return Step::Cut,
                _ if self.is_escaped => self.is_escaped = false,
                b'\\' => self.is_escaped = true,
                b'"' => self.is_text = false,
                _ => {}
            }
            return Step::Inside;
        }
        match byte {
            b' ' | b'\t' | b'\r' | b'\n' => return Step::Inside,
            b'{' | b'[' => {
                let is_member = match self.open.last() {
                    None => true,
                    Some(b'[') => matches!(self.last, b'[' | b','),
                    Some(_) => self.last == b':',
                };
                if is_line_start && !is_member {
                    return Step::Cut;
                }
                self.open.push(byte);
            }
            b'}' | b']' => {
                self.open.pop();
                if self.open.is_empty() {
                    return Step::Ends;
                }
            }
            b'"' => self.is_text = true,
            _ => {}
        }
        self.last = byte;
        Step::Inside
    }
}

/// Whether text between objects is nothing but what joins them: the marks of a list, and RFC 7464's separator. An empty list is a row without an object.
fn is_blank(text: &[u8]) -> bool {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    text.trim_ascii() != b"[]" && text.iter().all(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n' | b'[' | b']' | b',' | 0x1e))
}

/// Whether a line begins with a text in quotation marks: a list of texts, as `--query 'events[].message'` prints it.
fn is_text(before: &[u8]) -> bool {
    before.iter().find(|byte| !is_blank(&[**byte])) == Some(&b'"')
}

/// The texts of a line as one object.
fn texts(bytes: &mut Vec<u8>, line: u64) -> Document {
    let is_too_long = bytes.len() as u64 > LONGEST;
    let joins = |byte: &u8| is_blank(&[*byte]);
    let start = bytes.iter().position(|byte| !joins(byte)).unwrap_or(0);
    let end = bytes.iter().rposition(|byte| !joins(byte)).map_or(0, |last| last + 1);
    *bytes = [b"{\"message\":[", &bytes[start..end], b"]}"].concat();
    Document { line, is_too_long }
}

/// Whether a line is one that a container runtime wrote: `TIME stdout F TEXT`.
pub(super) fn is_of_a_container(line: &str) -> bool {
    let mut words = line.split(' ');
    words.next().is_some_and(|time| time.starts_with(|first: char| first.is_ascii_digit()))
        && matches!(words.next(), Some("stdout" | "stderr"))
        && matches!(words.next(), Some("F" | "P"))
}
