//! Decoding of input text. UTF-8 and UTF-16 are recognized by their byte-order mark or first bytes; UTF-32 is rejected with an error that names it.

use std::io::{self, BufRead, Read};

/// The maximum number of bytes of UTF-16 that are decoded at once.
const BLOCK: usize = 1 << 16;

/// A Unicode encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
    Utf32,
}

/// A reader that converts UTF-16 to UTF-8. Invalid code units become U+FFFD.
struct Utf16Reader<R> {
    bytes: R,
    is_big_endian: bool,
    /// The high surrogate at the end of the last block.
    high_surrogate: Option<u16>,
    /// The first byte of a code unit at the end of the last block.
    half_unit: Option<u8>,
    text: Vec<u8>,
    /// How many bytes of `text` are consumed.
    position: usize,
}

/// Decodes bytes to text without a byte-order mark.
///
/// # Errors
///
/// The bytes are UTF-32, or are not valid UTF-8.
pub fn decode(bytes: Vec<u8>) -> io::Result<String> {
    let text = match Encoding::detect(&bytes) {
        (Encoding::Utf8, 0) => bytes,
        _ => {
            let mut text = Vec::with_capacity(bytes.len());
            decode_reader(io::Cursor::new(bytes))?.read_to_end(&mut text)?;
            text
        }
    };
    String::from_utf8(text).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8, nor in UTF-16 with a byte-order mark"))
}

/// Wraps a reader into one that gives the same text in UTF-8 without a byte-order mark.
///
/// # Errors
///
/// The text is UTF-32, or its first bytes cannot be read.
pub fn decode_reader<R: BufRead + Send + 'static>(mut bytes: R) -> io::Result<Box<dyn BufRead + Send>> {
    let (encoding, mark_length) = Encoding::detect(bytes.fill_buf()?);
    bytes.consume(mark_length);
    match encoding {
        Encoding::Utf8 => Ok(Box::new(bytes)),
        Encoding::Utf16Le | Encoding::Utf16Be => Ok(Box::new(Utf16Reader {
            bytes,
            is_big_endian: encoding == Encoding::Utf16Be,
            high_surrogate: None,
            half_unit: None,
            text: Vec::with_capacity(2 * BLOCK),
            position: 0,
        })),
        Encoding::Utf32 => Err(io::Error::new(io::ErrorKind::InvalidData, "it is text in UTF-32, which is not read; convert it with iconv -f UTF-32 -t UTF-8")),
    }
}

impl Encoding {
    /// Detects the encoding from the first bytes, and returns the length of the byte-order mark.
    fn detect(start: &[u8]) -> (Self, usize) {
        match start {
            [0xef, 0xbb, 0xbf, ..] => (Encoding::Utf8, 3),
            [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => (Encoding::Utf32, 4),
            [0xff, 0xfe, ..] => (Encoding::Utf16Le, 2),
            [0xfe, 0xff, ..] => (Encoding::Utf16Be, 2),
            // Without a mark, two ASCII characters identify UTF-16: no UTF-8 text begins with a NUL in every other byte.
            [1..=0x7f, 0, 1..=0x7f, 0, ..] => (Encoding::Utf16Le, 0),
            [0, 1..=0x7f, 0, 1..=0x7f, ..] => (Encoding::Utf16Be, 0),
            _ => (Encoding::Utf8, 0),
        }
    }
}

impl<R: BufRead> Utf16Reader<R> {
    /// Decodes the available bytes and waits for more only if they contain no complete character. At the end of the input `text` is empty.
    fn decode_available(&mut self) -> io::Result<()> {
        self.text.clear();
        self.position = 0;
        let mut is_last = false;
        while self.text.is_empty() && !is_last {
            is_last = self.decode_block()?;
        }
        Ok(())
    }

    /// Decodes one block, and returns whether it was the last one.
    fn decode_block(&mut self) -> io::Result<bool> {
        let available = self.bytes.fill_buf()?;
        let (length, is_last) = (available.len().min(BLOCK), available.is_empty());
        let mut block: Vec<u8> = self.half_unit.take().into_iter().chain(available[..length].iter().copied()).collect();
        self.bytes.consume(length);
        if !is_last && block.len() % 2 == 1 {
            self.half_unit = block.pop();
        }
        let unit = |pair: &[u8]| match pair {
            [first, second] if self.is_big_endian => u16::from_be_bytes([*first, *second]),
            [first, second] => u16::from_le_bytes([*first, *second]),
            // Half a code unit at the end of a truncated file.
            _ => 0xfffd,
        };
        let mut units: Vec<u16> = self.high_surrogate.take().into_iter().chain(block.chunks(2).map(unit)).collect();
        if !is_last && let Some(0xd800..=0xdbff) = units.last() {
            self.high_surrogate = units.pop();
        }
        for character in char::decode_utf16(units) {
            let mut utf8 = [0; 4];
            self.text.extend_from_slice(character.unwrap_or(char::REPLACEMENT_CHARACTER).encode_utf8(&mut utf8).as_bytes());
        }
        Ok(is_last)
    }
}

impl<R: BufRead> BufRead for Utf16Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.position == self.text.len() {
            self.decode_available()?;
        }
        Ok(&self.text[self.position..])
    }

    fn consume(&mut self, amount: usize) {
        self.position = (self.position + amount).min(self.text.len());
    }
}

impl<R: BufRead> Read for Utf16Reader<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let available = self.fill_buf()?;
        let length = available.len().min(into.len());
        into[..length].copy_from_slice(&available[..length]);
        self.consume(length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
        text.encode_utf16().flat_map(bytes).collect()
    }

    #[test]
    fn utf8_and_utf16_are_decoded_with_and_without_a_mark() {
        // Longer than a block, with surrogate pairs at even and odd places.
        for original in ["a,b\u{e5}\n".to_owned(), format!("{}\u{1f600}{}", "x".repeat(BLOCK / 2 - 1), "\u{1f600}".repeat(BLOCK))] {
            assert_eq!(decode(original.clone().into_bytes()).unwrap(), original);
            for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
                assert_eq!(decode(utf16(&format!("\u{feff}{original}"), bytes)).unwrap(), original);
                assert_eq!(decode(utf16(&original, bytes)).unwrap(), original);
            }
            assert_eq!(decode(format!("\u{feff}{original}").into_bytes()).unwrap(), original);
        }
    }

    #[test]
    fn utf32_and_invalid_utf8_are_rejected() {
        let check_rejected = |bytes: &[u8], words: &str| {
            let error = decode(bytes.to_vec()).unwrap_err().to_string();
            assert!(error.contains(words), "{error}");
        };
        check_rejected(b"\xff\xfe\0\0a\0\0\0", "UTF-32");
        check_rejected(b"\0\0\xfe\xff\0\0\0a", "UTF-32");
        check_rejected(b"caf\xe9", "not text in UTF-8");
        assert_eq!(decode(b"\xff\xfea\0\x3d\xd8b\0c".to_vec()).unwrap(), "a\u{fffd}b\u{fffd}");
        assert_eq!(decode(Vec::new()).unwrap(), "");
    }
}
