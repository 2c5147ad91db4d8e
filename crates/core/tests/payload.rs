//! The encoding of a lock: written and read back, and never more than it says; whatever is damaged
//! is refused, or is another lock that is as good as any.

use proptest::prelude::*;
use proptest::sample::Index;
use redis_lock_core::payload::{decode, encode};
use redis_lock_core::{Hold, Limit, Lock, MAX_META, MAX_OWNER, TOKEN_END};

/// A hold as the documentation of the encoding lays it out; lengths may lie.
#[derive(Clone, Debug)]
struct Raw {
    owner_len: u16,
    meta_len: u16,
    limit: u16,
    token: u64,
    ttl_ms: u64,
    held_ms: u64,
    owner: Vec<u8>,
    meta: Vec<u8>,
}

impl Raw {
    fn of(owner: &[u8]) -> Raw {
        let owner_len = owner.len() as u16;
        Raw {
            owner_len,
            meta_len: 0,
            limit: 1,
            token: 7,
            ttl_ms: 9,
            held_ms: 3,
            owner: owner.to_vec(),
            meta: vec![],
        }
    }

    fn with_meta(mut self, len: usize) -> Raw {
        (self.meta_len, self.meta) = (len as u16, vec![b'm'; len]);
        self
    }
}

fn payload(count: u32, holds: &[Raw]) -> Vec<u8> {
    let mut out = count.to_le_bytes().to_vec();
    for hold in holds {
        for short in [hold.owner_len, hold.meta_len, hold.limit] {
            out.extend(short.to_le_bytes());
        }
        for long in [hold.token, hold.ttl_ms, hold.held_ms] {
            out.extend(long.to_le_bytes());
        }
        out.extend([&hold.owner[..], &hold.meta].concat());
    }
    out
}

/// Why it is refused, if it is.
fn refusal(holds: &[Raw]) -> Option<String> {
    decode(&payload(holds.len() as u32, holds), 0).err().map(|damaged| damaged.to_string())
}

type Fields = (Vec<u8>, Limit, u64, Vec<u8>, Option<i64>, Option<i64>);

/// All of a lock; moments beyond a hundred thousand years, where the clock ends, are one.
fn fields(lock: &Lock) -> Vec<Fields> {
    let moment = |moment: i64| Some(moment).filter(|moment| moment.unsigned_abs() < 1 << 62);
    let fields = |h: &Hold| {
        (h.owner().to_vec(), h.limit(), h.token, h.meta().to_vec(), moment(h.deadline), moment(h.since))
    };
    lock.holds().map(fields).collect()
}

fn hold(now: i64) -> impl Strategy<Value = Hold> {
    let owner = prop_oneof![3 => prop::collection::vec(any::<u8>(), 1..60), 1 => Just(vec![0; MAX_OWNER])];
    let meta = prop_oneof![3 => prop::collection::vec(any::<u8>(), 0..9), 1 => Just(vec![0xff; MAX_META])];
    let token = prop_oneof![1..TOKEN_END, Just(1), Just(TOKEN_END - 1)];
    // Seconds, or centuries.
    let moment = || prop_oneof![-90_000..90_000i64, -100_000_000_000_000_000..100_000_000_000_000_000i64];
    (owner, 0..=10_000i64, token, moment(), moment(), meta).prop_map(
        move |(owner, limit, token, deadline, since, meta)| {
            let limit = Limit::from_wire(limit).expect("a limit that is allowed");
            let mut hold = Hold::new(&owner, limit, now + since, 0, token).with_meta(&meta);
            hold.deadline = now + deadline;
            hold
        },
    )
}

fn now() -> impl Strategy<Value = i64> {
    prop_oneof![3 => 0..1_000_000_000_000i64, 1 => -5_000..5_000i64]
}

/// A lock with its moment.
fn lock() -> impl Strategy<Value = (Lock, i64)> {
    now().prop_flat_map(|now| (prop::collection::vec(hold(now), 1..8), Just(now))).prop_map(|(holds, now)| {
        let mut lock = Lock::default();
        holds.into_iter().for_each(|hold| lock.put(hold));
        (lock, now)
    })
}

/// Decodes; whatever is accepted must be a lock that can be written and read again.
fn accepted(payload: &[u8], now: i64) -> Option<Lock> {
    let lock = decode(payload, now).ok()?;
    assert!(!lock.is_empty());
    for hold in lock.holds() {
        assert!((1..=MAX_OWNER).contains(&hold.owner().len()) && hold.meta().len() <= MAX_META);
        assert!((1..TOKEN_END).contains(&hold.token) && hold.limit().to_wire() <= 10_000);
        assert!(hold.deadline >= now && hold.since <= now);
    }
    let again = decode(&encode(&lock, now), now).expect("what was read can be written and read again");
    assert_eq!(fields(&again), fields(&lock));
    Some(lock)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn arrives_as_it_left((lock, left) in lock(), arrived in now()) {
        let payload = encode(&lock, left);
        let there = decode(&payload, arrived).expect("valid");
        prop_assert_eq!(there.len(), lock.len());
        for (old, new) in lock.holds().zip(there.holds()) {
            prop_assert_eq!((old.owner(), old.limit(), old.token, old.meta()), (new.owner(), new.limit(), new.token, new.meta()));
            let (had, has) = ((old.deadline - left).max(0), new.deadline - arrived);
            prop_assert!(had <= has && has < had + 1_000, "{} µs left, {} µs there", had, has);
            let (had, has) = ((left - old.since).max(0), arrived - new.since);
            prop_assert!(has <= had && had < has + 1_000, "{} µs held, {} µs there", had, has);
        }
        prop_assert_eq!(encode(&there, arrived), payload);
    }

    #[test]
    fn cut_short_or_prolonged_it_is_refused((lock, now) in lock(), more in prop::collection::vec(any::<u8>(), 1..50)) {
        let payload = encode(&lock, now);
        for len in 0..payload.len() {
            prop_assert!(decode(&payload[..len], now).is_err(), "{} of {} bytes", len, payload.len());
        }
        prop_assert!(decode(&[payload, more].concat(), now).is_err());
    }

    #[test]
    fn damaged_it_is_refused_or_another_sound_lock(
        (lock, now) in lock(), damages in prop::collection::vec((any::<Index>(), 1..=255u8), 1..4)
    ) {
        let mut payload = encode(&lock, now);
        for (place, damage) in damages {
            let place = place.index(payload.len());
            payload[place] ^= damage;
        }
        if let Some(other) = accepted(&payload, now) {
            // Every bit counts: only times beyond the clock's end are lost.
            let beyond = fields(&other).iter().any(|(.., deadline, since)| deadline.is_none() || since.is_none());
            prop_assert!(beyond || encode(&other, now) == payload);
        }
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..300), now in now()) {
        accepted(&bytes, now);
    }

    #[test]
    fn wrong_fields_do_no_harm(holds in prop::collection::vec(raw(), 0..5), more in 0..2u32, now in now()) {
        let count = holds.len() as u32;
        let lock = accepted(&payload(count + more, &holds), now);
        prop_assert!(lock.is_none_or(|lock| more == 0 && count > 0 && lock.len() == holds.len()));
    }
}

/// Each field mostly right.
fn raw() -> impl Strategy<Value = Raw> {
    let length = || prop::option::weighted(0.05, any::<u16>());
    let limit = prop_oneof![9 => 0..=10_000u16, 1 => any::<u16>()];
    let token = prop_oneof![9 => 1..TOKEN_END, 1 => any::<u64>()];
    let time = || prop_oneof![9 => 0..100_000u64, 1 => any::<u64>()];
    let text = || prop::collection::vec(any::<u8>(), 0..9);
    (text(), text(), length(), length(), limit, token, (time(), time())).prop_map(
        |(owner, meta, owner_len, meta_len, limit, token, (ttl_ms, held_ms))| Raw {
            owner_len: owner_len.unwrap_or(owner.len() as u16),
            meta_len: meta_len.unwrap_or(meta.len() as u16),
            limit,
            token,
            ttl_ms,
            held_ms,
            owner,
            meta,
        },
    )
}

/// Written down byte by byte: a change of the encoding needs a new version.
#[test]
fn the_encoding_as_documented() {
    let mut lock = Lock::default();
    lock.put(Hold::new(b"ab", Limit::new(3).unwrap(), 1_000_000, 2_000, 0x0102_0304).with_meta(b"why"));
    lock.put(Hold::new(b"c", Limit::SHARED, 1_500_000, 2_000, 5));
    let expected = [
        &[2, 0, 0, 0][..],
        &[2, 0, 3, 0, 3, 0],
        &[4, 3, 2, 1, 0, 0, 0, 0],
        &[0xe8, 3, 0, 0, 0, 0, 0, 0], // 1000 ms left
        &[0xe8, 3, 0, 0, 0, 0, 0, 0], // held for 1000 ms
        b"abwhy",
        &[1, 0, 0, 0, 0, 0],
        &[5, 0, 0, 0, 0, 0, 0, 0],
        &[0xdc, 5, 0, 0, 0, 0, 0, 0], // 1500 ms left
        &[0xf4, 1, 0, 0, 0, 0, 0, 0], // held for 500 ms
        b"c",
    ]
    .concat();
    assert_eq!(encode(&lock, 2_000_000), expected);
    assert_eq!(fields(&decode(&expected, 2_000_000).unwrap()), fields(&lock));
}

#[test]
fn a_hold_past_its_deadline_travels_with_nothing_left() {
    let mut lock = Lock::default();
    lock.put(Hold::new(b"o", Limit::EXCLUSIVE, 0, 1, 7));
    let there = decode(&encode(&lock, 5_000), 100).expect("valid");
    let hold = there.get(b"o").expect("it is not dropped on the way");
    assert_eq!((hold.deadline, hold.since, hold.is_live(100)), (100, 100 - 5_000, false));
}

#[test]
fn the_bounds_of_every_field() {
    let hold = || Raw::of(b"o");
    let range = "damaged lock payload: a number out of range";
    let length = "damaged lock payload: a length out of range";
    let limit = "damaged lock payload: a limit out of range";
    let table: Vec<(Raw, Option<&str>)> = vec![
        (hold(), None),
        (Raw::of(b""), Some(length)),
        (Raw::of(&[0; 512]), None),
        (Raw::of(&[0; 513]), Some(length)),
        (hold().with_meta(512), None),
        (hold().with_meta(513), Some(length)),
        (Raw { limit: 0, ..hold() }, None),
        (Raw { limit: 10_000, ..hold() }, None),
        (Raw { limit: 10_001, ..hold() }, Some(limit)),
        (Raw { limit: u16::MAX, ..hold() }, Some(limit)),
        (Raw { token: 0, ..hold() }, Some(range)),
        (Raw { token: 1, ..hold() }, None),
        (Raw { token: TOKEN_END - 1, ..hold() }, None),
        (Raw { token: TOKEN_END, ..hold() }, Some(range)),
        (Raw { token: u64::MAX, ..hold() }, Some(range)),
        (Raw { ttl_ms: 0, ..hold() }, None),
        (Raw { ttl_ms: i64::MAX as u64, ..hold() }, None),
        (Raw { ttl_ms: 1 << 63, ..hold() }, Some(range)),
        (Raw { ttl_ms: u64::MAX, ..hold() }, Some(range)),
        (Raw { held_ms: 0, ..hold() }, None),
        (Raw { held_ms: i64::MAX as u64, ..hold() }, None),
        (Raw { held_ms: 1 << 63, ..hold() }, Some(range)),
    ];
    for (raw, expected) in table {
        let shown = format!("{raw:?}");
        assert_eq!(refusal(std::slice::from_ref(&raw)).as_deref(), expected, "{shown}");
        // As the second of two it is looked at as closely.
        assert_eq!(refusal(&[Raw::of(b"another"), raw]).as_deref(), expected, "{shown}");
    }
}

#[test]
fn times_beyond_the_clock_are_its_ends() {
    let raw = Raw { ttl_ms: i64::MAX as u64, held_ms: i64::MAX as u64, ..Raw::of(b"o") };
    for now in [i64::MIN, -1, 0, 1, i64::MAX] {
        let lock = decode(&payload(1, std::slice::from_ref(&raw)), now).expect("valid");
        let hold = lock.get(b"o").expect("it is there");
        assert!(hold.deadline >= now && hold.since <= now);
        let again = decode(&encode(&lock, now), now).expect("valid");
        assert_eq!(fields(&again).len(), 1);
    }
}

#[test]
fn an_owner_has_one_hold() {
    let long = [b'x'; 100];
    for owner in [&b"o"[..], &long] {
        let twice = [Raw::of(owner), Raw::of(b"between"), Raw { token: 8, ..Raw::of(owner) }];
        assert_eq!(refusal(&twice).as_deref(), Some("damaged lock payload: an owner twice"));
        assert_eq!(refusal(&twice[..2]), None);
    }
}

#[test]
fn a_lock_has_as_many_holds_as_it_says() {
    let holds = [Raw::of(b"a"), Raw::of(b"b")];
    assert!(decode(&payload(0, &[]), 0).is_err(), "a lock without holds does not exist");
    assert!(decode(&payload(0, &holds), 0).is_err());
    assert!(decode(&payload(1, &holds), 0).is_err());
    assert!(decode(&payload(2, &holds), 0).is_ok());
    assert!(decode(&payload(3, &holds), 0).is_err());
    assert!(decode(&payload(u32::MAX, &holds), 0).is_err());
}

#[test]
fn lengths_that_lie_are_refused() {
    for (owner_len, meta_len) in [(2, 0), (512, 0), (1, 1), (1, 512), (0, 1), (u16::MAX, 0), (1, u16::MAX)] {
        assert!(
            refusal(&[Raw { owner_len, meta_len, ..Raw::of(b"o") }]).is_some(),
            "{owner_len} and {meta_len}"
        );
    }
}

#[test]
fn ten_thousand_holders_keep_their_order() {
    let mut lock = Lock::default();
    for n in 0..10_000u64 {
        lock.put(Hold::new(&n.reverse_bits().to_le_bytes(), Limit::SHARED, n as i64 * 1_000, 60_000, n + 1));
    }
    let there = decode(&encode(&lock, 10_000_000), 10_000_000).expect("valid");
    assert_eq!(fields(&there), fields(&lock));
}
