//! Field names and varints.

use proptest::prelude::*;
use riskgate_engine::encoding::{Reader, hash_field_name, put_varint};

proptest! {
    #[test]
    fn a_field_name_has_the_hash_in_hexadecimal(hash: u32) {
        prop_assert_eq!(hash_field_name('c', hash), format!("c{hash:08x}"));
    }

    #[test]
    fn a_varint_is_read_as_it_was_written(value: u32) {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, value);
        let mut reader = Reader(&bytes);
        prop_assert_eq!(reader.varint(), Some(value));
        prop_assert!(reader.0.is_empty());
    }
}
