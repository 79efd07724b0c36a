//! The binary encoding of stored profiles and attempts: fixed widths, and varints (LEB128) for numbers that are mostly small.
//!
//! Reading never panics and does not trust lengths, because other programs may also write these records.

use smol_str::SmolStr;

/// Reads values from the front of a slice. Every method returns `None` when too few bytes are left.
pub struct Reader<'a>(pub &'a [u8]);

impl Reader<'_> {
    /// Reads one byte.
    pub fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Reads a 16-bit number, big-endian.
    pub fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    /// Reads a 32-bit number, big-endian.
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// Reads a varint of at most five bytes.
    pub fn varint(&mut self) -> Option<u32> {
        let mut value = 0_u64;
        for shift in [0, 7, 14, 21, 28] {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return u32::try_from(value).ok();
            }
        }
        None
    }

    /// Reads `N` bytes.
    pub fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }
}

/// Appends a varint.
pub fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// The name of a stored field that is keyed by a hash: one letter for its kind, then the hash as eight hexadecimal digits.
pub fn hash_field_name(kind: char, hash: u32) -> SmolStr {
    let mut name = [u8::try_from(kind).unwrap_or(b'?'); 9];
    for (digit, shift) in name[1..].iter_mut().zip((0..32).step_by(4).rev()) {
        *digit = b"0123456789abcdef"[(hash >> shift & 15) as usize];
    }
    std::str::from_utf8(&name).unwrap_or_default().into()
}
