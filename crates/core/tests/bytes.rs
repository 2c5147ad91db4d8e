//! Byte strings as keys of a map, where only what they hold counts, not where they hold it.

use std::collections::{HashMap, HashSet};

use proptest::prelude::*;
use redis_lock_core::Bytes;

/// Short ones are kept inline and long ones are not; the border is within.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0..2u8, 0..5)
        .prop_flat_map(|start| (0..60usize).prop_map(move |zeros| [&start[..], &vec![0; zeros]].concat()))
}

proptest! {
    #[test]
    fn are_equal_where_their_bytes_are(one in bytes(), other in bytes()) {
        prop_assert_eq!(Bytes::from(&one[..]) == Bytes::from(&other[..]), one == other);
        prop_assert_eq!(Bytes::from(&one[..]), Bytes::from(&one[..]).clone());
    }

    #[test]
    fn become_others_in_place(one in bytes(), other in bytes()) {
        let mut bytes = Bytes::from(&one[..]);
        bytes.set(&other);
        prop_assert_eq!(bytes.as_slice(), &other[..]);
        prop_assert_eq!(bytes.heap_size(), Bytes::from(&other[..]).heap_size());
        prop_assert_eq!(bytes, Bytes::from(&other[..]));
    }

    #[test]
    fn a_map_finds_them_by_a_slice(all in prop::collection::vec(bytes(), 1..40), missing in bytes()) {
        let expected: HashSet<&[u8]> = all.iter().map(Vec::as_slice).collect();
        let map: HashMap<Bytes, usize> = all.iter().enumerate().map(|(n, one)| (one[..].into(), n)).collect();
        prop_assert_eq!(map.len(), expected.len());
        prop_assert!(all.iter().all(|one| map.get(&one[..]).is_some_and(|&n| all[n] == *one)));
        prop_assert_eq!(map.contains_key(&missing[..]), expected.contains(&missing[..]));
    }
}

#[test]
fn none_are_empty() {
    assert_eq!(Bytes::EMPTY, Bytes::from(&b""[..]));
}

#[test]
fn show_what_is_not_text_escaped() {
    assert_eq!(format!("{:?}", Bytes::from(&b"a\"\0\xff"[..])), r#""a\"\x00\xff""#);
}
