//! A second name in the slot of a key is in that slot.

use proptest::prelude::*;
use redis_lock_core::slot::neighbour;

/// The specification's words in code.
fn slot(key: &[u8]) -> u16 {
    let tag = key.iter().position(|&byte| byte == b'{').and_then(|open| {
        let len = key[open + 1..].iter().position(|&byte| byte == b'}')?;
        (len > 0).then(|| &key[open + 1..open + 1 + len])
    });
    let mut sum = 0_u32;
    for &byte in tag.unwrap_or(key) {
        sum ^= u32::from(byte) << 8;
        for _ in 0..8 {
            sum <<= 1;
            if sum > 0xffff {
                sum ^= 0x11021;
            }
        }
    }
    sum as u16 % 16_384
}

#[test]
fn the_slots_are_those_of_a_server() {
    // As CLUSTER KEYSLOT replies.
    for (key, expected) in
        [("123456789", 12_739), ("foo", 12_182), ("{foo}bar", 12_182), ("foo{}{bar}", 8_363)]
    {
        assert_eq!(slot(key.as_bytes()), expected, "{key}");
    }
}

proptest! {
    #[test]
    fn it_is_another_name_in_the_same_slot(
        key in prop_oneof![
            proptest::collection::vec(any::<u8>(), 0..40),
            proptest::collection::vec(prop_oneof![Just(b'{'), Just(b'}'), Just(b'x'), any::<u8>()], 0..12),
        ],
    ) {
        let mark = b"0123456789abcdef";
        let name = neighbour(&key, mark);
        prop_assert_eq!(slot(&name), slot(&key));
        prop_assert!(name.windows(mark.len()).any(|part| part == mark));
    }
}
