//! The compact bytes in which profiles and attempts are kept: fixed widths, and varints (LEB128) where numbers are mostly small.
//!
//! Reading never panics and never trusts a length: other programs may write these records too.

use smol_str::SmolStr;

/// Reads bytes from the front; `None` once they run out.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl Reader<'_> {
    pub(super) fn u8(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_be_bytes)
    }

    pub(super) fn i16(&mut self) -> Option<i16> {
        self.array().map(i16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    /// At most five bytes.
    pub(super) fn varint(&mut self) -> Option<u32> {
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

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*first)
    }
}

/// Appends a varint.
pub(super) fn put_varint(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).expect("seven bits"));
}

/// The name of a field that belongs to a mark: a letter for its kind, then the mark's eight digits.
pub(super) fn marked(kind: char, mark: u32) -> SmolStr {
    let digits = (0..8).rev().map(|place| char::from(b"0123456789abcdef"[(mark >> (4 * place) & 15) as usize]));
    std::iter::once(kind).chain(digits).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_mark_is_written_in_hexadecimal(mark: u32) {
            prop_assert_eq!(marked('c', mark), format!("c{mark:08x}"));
        }

        #[test]
        fn varints_come_back(value: u32) {
            let mut bytes = Vec::new();
            put_varint(&mut bytes, value);
            let mut reader = Reader(&bytes);
            prop_assert_eq!(reader.varint(), Some(value));
            prop_assert!(reader.0.is_empty());
        }
    }
}
