//! A payload from anywhere: refused, or a lock that can be written and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_lock_core::payload::{decode, encode};
use redis_lock_core::{Limit, Lock, MAX_META, MAX_OWNER, TOKEN_END};

const NOW: i64 = 1_000_000;

fuzz_target!(|data: &[u8]| {
    let Ok(lock) = decode(data, NOW) else { return };
    assert!(!lock.is_empty());
    for hold in lock.holds() {
        assert!((1..=MAX_OWNER).contains(&hold.owner().len()) && hold.meta().len() <= MAX_META);
        assert!((1..TOKEN_END).contains(&hold.token) && hold.limit().to_wire() <= 10_000);
        assert!(hold.deadline >= NOW && hold.since <= NOW);
        assert!(lock.get(hold.owner()).is_some_and(|found| found.token == hold.token));
    }
    let encoded = encode(&lock, NOW);
    assert_eq!(encoded.len(), data.len());
    let again = decode(&encoded, NOW).expect("what was read can be written and read again");
    assert!(fields(&again).eq(fields(&lock)));
});

/// All of a lock but its moments: those beyond the clock's end are cut off.
fn fields(lock: &Lock) -> impl Iterator<Item = (&[u8], Limit, u64, &[u8])> {
    lock.holds().map(|hold| (hold.owner(), hold.limit(), hold.token, hold.meta()))
}
