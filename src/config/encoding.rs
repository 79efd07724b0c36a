//! Encodings of text that is read, told by the byte-order mark in front: UTF-8 and UTF-16 are read, UTF-32 is refused by its name.

use std::io::{self, BufRead, Read};

/// Bytes that are decoded together.
const BLOCK: usize = 1 << 16;

/// An encoding of Unicode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    Utf32,
}

/// UTF-8 made of UTF-16; what is no character becomes U+FFFD.
struct Utf16<R> {
    bytes: R,
    is_big: bool,
    /// A half of a surrogate pair that waits for the other one.
    high: Option<u16>,
    /// A half of a unit that waits for the other one.
    half: Option<u8>,
    text: Vec<u8>,
    read: usize,
}

/// The text of some bytes, as UTF-8 and without a mark.
///
/// # Errors
///
/// UTF-32, and bytes that are not the text that their mark says.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    let text = match Encoding::of(&bytes) {
        (Encoding::Utf8, 0) => bytes,
        _ => {
            let mut text = Vec::with_capacity(bytes.len());
            utf8(io::Cursor::new(bytes))?.read_to_end(&mut text)?;
            text
        }
    };
    String::from_utf8(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8, nor in UTF-16 with a byte-order mark"))
}

/// A reader of the same text in UTF-8 and without a mark.
///
/// # Errors
///
/// UTF-32, and a reader that fails.
pub fn utf8<R: BufRead + Send + 'static>(mut bytes: R) -> io::Result<Box<dyn BufRead + Send>> {
    let (encoding, mark) = Encoding::of(bytes.fill_buf()?);
    bytes.consume(mark);
    match encoding {
        Encoding::Utf8 => Ok(Box::new(bytes)),
        Encoding::Utf16Le | Encoding::Utf16Be => {
            Ok(Box::new(Utf16 { bytes, is_big: encoding == Encoding::Utf16Be, high: None, half: None, text: Vec::with_capacity(2 * BLOCK), read: 0 }))
        }
        Encoding::Utf32 => Err(io::Error::new(io::ErrorKind::InvalidData, "it is text in UTF-32, which is not read; convert it with iconv -f UTF-32 -t UTF-8")),
    }
}

// === impl Encoding ===

impl Encoding {
    /// The encoding that the first bytes tell, and the length of their mark.
    fn of(start: &[u8]) -> (Self, usize) {
        match start {
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => (Encoding::Utf32, 4),
            [0xff, 0xfe, ..] => (Encoding::Utf16Le, 2),
            [0xfe, 0xff, ..] => (Encoding::Utf16Be, 2),
            // Without a mark, two ASCII characters tell it: no text in UTF-8 begins with a NUL in every other byte.
            [1..=0x7f, 0, 1..=0x7f, 0, ..] => (Encoding::Utf16Le, 0),
            [0, 1..=0x7f, 0, 1..=0x7f, ..] => (Encoding::Utf16Be, 0),
            _ => (Encoding::Utf8, 0),
        }
    }
}

// === impl Utf16 ===

impl<R: BufRead> Utf16<R> {
    /// Decodes what is there, without waiting for more; `text` is empty at the end.
    fn decode(&mut self) -> io::Result<()> {
        self.text.clear();
        self.read = 0;
        let mut is_last = false;
        while self.text.is_empty() && !is_last {
            is_last = self.decode_block()?;
        }
        Ok(())
    }

    /// Decodes a block; whether it was the last one.
    fn decode_block(&mut self) -> io::Result<bool> {
        let held = self.bytes.fill_buf()?;
        let (length, is_last) = (held.len().min(BLOCK), held.is_empty());
        let mut block: Vec<u8> = self.half.take().into_iter().chain(held[..length].iter().copied()).collect();
        self.bytes.consume(length);
        if !is_last && block.len() % 2 == 1 {
            self.half = block.pop();
        }
        let unit = |pair: &[u8]| match pair {
            [first, second] if self.is_big => u16::from_be_bytes([*first, *second]),
            [first, second] => u16::from_le_bytes([*first, *second]),
            // Half a unit at the end of a cut file.
            _ => 0xfffd,
        };
        let mut units: Vec<u16> = self.high.take().into_iter().chain(block.chunks(2).map(unit)).collect();
        if !is_last && let Some(0xd800..=0xdbff) = units.last() {
            self.high = units.pop();
        }
        for read in char::decode_utf16(units) {
            let mut utf8 = [0; 4];
            self.text.extend_from_slice(read.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut utf8).as_bytes());
        }
        Ok(is_last)
    }
}

impl<R: BufRead> BufRead for Utf16<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.read == self.text.len() {
            self.decode()?;
        }
        Ok(&self.text[self.read..])
    }

    fn consume(&mut self, amount: usize) {
        self.read = (self.read + amount).min(self.text.len());
    }
}

impl<R: BufRead> Read for Utf16<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let held = self.fill_buf()?;
        let length = held.len().min(into.len());
        into[..length].copy_from_slice(&held[..length]);
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(written: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        written.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn text_is_read_by_its_mark() {
        // Longer than a block, with surrogate pairs at even and odd places.
        for written in ["a,b\u{e5}\n".to_owned(), format!("{}\u{1f600}{}", "x".repeat(BLOCK / 2 - 1), "\u{1f600}".repeat(BLOCK))] {
            assert_eq!(text(written.clone().into_bytes()).unwrap(), written);
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(text(utf16(&format!("\u{feff}{written}"), bytes)).unwrap(), written);
                assert_eq!(text(utf16(&written, bytes)).unwrap(), written);
            }
            assert_eq!(text(format!("\u{feff}{written}").into_bytes()).unwrap(), written);
        }
    }

    #[test]
    fn what_is_no_text_is_refused_by_its_name() {
        let refused = |bytes: &[u8], words: &str| {
            let said = text(bytes.to_vec()).unwrap_err().to_string();
            assert!(said.contains(words), "{said}");
        };
        refused(b"\xff\xfe\0\0a\0\0\0", "UTF-32");
        refused(b"\0\0\xfe\xff\0\0\0a", "UTF-32");
        refused(b"caf\xe9", "not text in UTF-8");
        assert_eq!(text(b"\xff\xfea\0\x3d\xd8b\0c".to_vec()).unwrap(), "a\u{fffd}b\u{fffd}");
        assert_eq!(text(Vec::new()).unwrap(), "");
    }
}
