//! Arguments of commands and effects: any bytes, as many as there are; what is accepted is within
//! its ranges.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redis_lock_core::effect::{parse_gone, HoldEffect};
use redis_lock_core::request::{parse_numkeys, parse_token, Acquire, Extend, Terms};
use redis_lock_core::{MAX_META, MAX_OWNER, TOKEN_END};

// Three bytes for the terms, then arguments between bytes of 0xfe; an argument of the one byte
// 0xfd stands for 513 bytes, which the fuzzer would not come by easily.
fuzz_target!(|data: &[u8]| {
    let [script, now, max_ttl, args @ ..] = data else { return };
    let terms = Terms {
        max_ttl_ms: [1, 1_000, 86_400_000, i64::MAX][usize::from(max_ttl % 4)],
        now: [0, -1, 1_000_000_000_000, i64::MAX][usize::from(now % 4)],
    };
    let args: Vec<&[u8]> = args
        .split(|&byte| byte == 0xfe)
        .map(|arg| if arg == [0xfd] { &[b'x'; MAX_OWNER + 1][..] } else { arg })
        .collect();
    let args = || args.iter().copied();
    let in_script = script % 2 == 1;
    let one = Acquire::parse(args(), true, terms, || in_script);
    let many = Acquire::parse(args(), false, terms, || in_script);
    for request in [one, many].into_iter().flatten() {
        check_acquire(&request, terms, in_script);
    }
    if let Ok(request) = Extend::parse(args(), terms) {
        check_owner_and_ttl(request.owner, request.ttl_ms, terms);
        assert!(request.fence.is_none_or(|fence| fence > 0));
    }
    if let Ok(effect) = HoldEffect::parse(args()) {
        check_effect(&effect);
    }
    if let Ok(gone) = parse_gone(args()) {
        assert!(gone.len() * 2 == args().count() && !gone.is_empty());
    }
    args().for_each(|text| check_numbers(text, args().count()));
});

fn check_numbers(text: &[u8], available: usize) {
    if let Ok(token) = parse_token(text) {
        assert_eq!(token.to_string().as_bytes(), text);
    }
    if let Ok(count) = parse_numkeys(text, available) {
        assert!((1..=available).contains(&count));
    }
}

fn check_owner_and_ttl(owner: &[u8], ttl_ms: i64, terms: Terms) {
    assert!((1..=MAX_OWNER).contains(&owner.len()));
    assert!((1..=terms.max_ttl_ms).contains(&ttl_ms));
}

fn check_acquire(request: &Acquire, terms: Terms, in_script: bool) {
    check_owner_and_ttl(request.owner, request.ttl_ms, terms);
    assert!(request.limit.to_wire() <= 10_000);
    assert!(!(in_script && request.session));
    assert!(request.fence.is_none_or(|fence| fence > 0));
    assert!(request.meta.is_none_or(|meta| meta.len() <= MAX_META));
    let end = |ms: i64| ms.checked_mul(1000).and_then(|micros| micros.checked_add(terms.now));
    assert!(request.block_ms.is_none_or(|ms| ms >= 0 && end(ms).is_some()));
}

fn check_effect(effect: &HoldEffect) {
    assert!((1..=MAX_OWNER).contains(&effect.owner.len()) && effect.meta.len() <= MAX_META);
    assert!(effect.ttl_ms >= 0 && effect.held_ms >= 0);
    assert!((1..TOKEN_END).contains(&effect.token) && effect.limit.to_wire() <= 10_000);
    assert!(effect.gone.iter().all(|(_, owner)| (1..=MAX_OWNER).contains(&owner.len())));
}
