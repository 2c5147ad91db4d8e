//! The one rule, and what follows from it for a lock. (Commands, time and others who wait: the simulator's crowd.)

use proptest::prelude::*;
use proptest::sample::select;
use redis_lock_core::decision::{
    decide_acquire, decide_extend, key_status, AcquireDecision, Grant, Granted, KeyStatus,
};
use redis_lock_core::{Error, Hold, Limit, Lock};

fn limit(wire: Option<u64>) -> Limit {
    Limit::from_wire(wire.map_or(0, |n| n as i64)).expect("a limit that is allowed")
}

fn any_limit() -> impl Strategy<Value = Option<u64>> {
    select(vec![None, None, Some(1), Some(2), Some(3), Some(5), Some(10_000)])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Without time, effects from elsewhere and other keys: the purest form of the rule.
    #[test]
    fn never_more_holders_than_any_of_them_tolerates(
        requests in prop::collection::vec((any_limit(), any::<bool>(), any::<prop::sample::Index>()), 1..60)
    ) {
        let mut lock = Lock::default();
        for (number, (wire, leave, who)) in requests.into_iter().enumerate() {
            let owners: Vec<Vec<u8>> = lock.holds().map(|hold| hold.owner().to_vec()).collect();
            if leave && !owners.is_empty() {
                prop_assert!(lock.remove(who.get::<Vec<u8>>(&owners)).is_some());
            }
            let limit = limit(wire);
            let would_fit = lock.holds().map(Hold::limit).chain([limit]).all(|l| l.tolerates(lock.len() + 1));
            prop_assert_eq!(lock.admits(limit, 0), would_fit);
            if would_fit {
                lock.put(Hold::new(&number.to_le_bytes(), limit, 0, 1, number as u64 + 1));
            }
            prop_assert!(lock.holds().all(|hold| hold.limit().tolerates(lock.len())));
        }
    }

    /// A hold past its deadline counts no more, though nobody took it out.
    #[test]
    fn admits_as_if_what_has_expired_were_gone(
        holds in prop::collection::vec((any_limit(), 1i64..20), 0..40),
        asked in any_limit(),
        now in 0i64..20_000,
    ) {
        let (mut all, mut live) = (Lock::default(), Lock::default());
        for (number, (wire, ttl)) in holds.into_iter().enumerate() {
            let hold = Hold::new(&number.to_le_bytes(), limit(wire), 0, ttl, number as u64 + 1);
            if hold.is_live(now) {
                live.put(hold.clone());
            }
            all.put(hold);
        }
        prop_assert_eq!(all.admits(limit(asked), now), live.admits(limit(asked), now));
        prop_assert_eq!(live.admits(limit(asked), now), live.admits(limit(asked), 0));
    }
}

#[test]
fn what_several_statuses_come_to() {
    use KeyStatus::{Free, Held, OtherLimit, Own};
    let table: [(&[KeyStatus], Result<AcquireDecision, Error>); 12] = [
        (&[Free], Ok(AcquireDecision::New)),
        (&[Free, Free], Ok(AcquireDecision::New)),
        (&[Own(5)], Ok(AcquireDecision::Again(5))),
        (&[Own(5), Own(5)], Ok(AcquireDecision::Again(5))),
        (&[Own(5), Own(6)], Ok(AcquireDecision::New)),
        (&[Own(6), Own(5), Own(6)], Ok(AcquireDecision::New)),
        (&[Own(5), Free], Ok(AcquireDecision::New)),
        (&[Free, Own(5), Own(5)], Ok(AcquireDecision::New)),
        (&[Held, Own(5)], Ok(AcquireDecision::Refused)),
        (&[Free, Own(5), Held], Ok(AcquireDecision::Refused)),
        (&[Held, OtherLimit], Err(Error::OtherLimit)),
        (&[OtherLimit, Own(5), Free], Err(Error::OtherLimit)),
    ];
    for (statuses, expected) in table {
        assert_eq!(decide_acquire(statuses.iter().copied()), expected, "{statuses:?}");
    }
}

/// LIMIT n, or none where it is shared.
type Wire = Option<u64>;

const SHARED: Wire = None;

/// A lock with holders 0, 1, 2, … of these limits.
fn lock_of(limits: &[Wire]) -> Lock {
    let mut lock = Lock::default();
    for (owner, wire) in limits.iter().enumerate() {
        lock.put(Hold::new(&owner.to_le_bytes(), limit(*wire), 0, 10, owner as u64 + 1));
    }
    lock
}

#[test]
fn the_rule_in_a_table() {
    let table: [(&[Wire], Wire, bool); 18] = [
        (&[], Some(1), true),
        (&[], Some(2), true),
        (&[], SHARED, true),
        (&[Some(1)], Some(1), false),
        (&[Some(1)], SHARED, false),
        (&[Some(1)], Some(10_000), false),
        (&[SHARED], Some(1), false),
        (&[SHARED], SHARED, true),
        (&[SHARED], Some(2), true),
        (&[SHARED, SHARED], Some(2), false),
        (&[SHARED, SHARED], Some(3), true),
        (&[Some(2)], SHARED, true),
        (&[Some(2), SHARED], SHARED, false),
        (&[SHARED, Some(3), SHARED], SHARED, false),
        (&[Some(2), Some(2)], Some(5), false),
        (&[Some(3), Some(5)], Some(3), true),
        (&[Some(5), Some(3), SHARED], Some(5), false),
        (&[Some(5), Some(5), SHARED], Some(3), false),
    ];
    for (holders, request, granted) in table {
        assert_eq!(lock_of(holders).admits(limit(request), 0), granted, "{request:?} beside {holders:?}");
        let expected = if granted { KeyStatus::Free } else { KeyStatus::Held };
        assert_eq!(key_status(&lock_of(holders), false, b"new", limit(request), 0), expected);
    }
    assert_eq!(key_status(&Lock::default(), false, b"new", Limit::EXCLUSIVE, 0), KeyStatus::Free);
}

#[test]
fn a_semaphore_has_exactly_as_many_holders_as_its_limit() {
    for n in [1, 2, 3, 10, 9_999, 10_000u64] {
        let mut lock = Lock::default();
        for holder in 0..n {
            assert!(lock.admits(limit(Some(n)), 0), "{holder} of {n}");
            lock.put(Hold::new(&holder.to_le_bytes(), limit(Some(n)), 0, 1, 1));
        }
        assert!(!lock.admits(limit(Some(n)), 0), "more than {n}");
        assert_eq!(lock.len() as u64, n);
        assert!(!lock.admits(Limit::SHARED, 0));
        lock.remove(&0u64.to_le_bytes());
        assert!(lock.admits(Limit::SHARED, 0) && lock.admits(limit(Some(n)), 0));
        assert!(n == 1 || !lock.admits(Limit::EXCLUSIVE, 0));
    }
}

#[test]
fn a_limit_goes_with_the_last_hold_that_had_it() {
    let mut lock = lock_of(&[SHARED, Some(3), Some(3)]);
    assert!(!lock.admits(Limit::SHARED, 0));
    lock.remove(&1usize.to_le_bytes());
    assert!(lock.admits(Limit::SHARED, 0), "two holders, and the limit of 3 is still there");
    lock.put(Hold::new(b"another", Limit::SHARED, 0, 10, 9));
    assert!(!lock.admits(Limit::SHARED, 0));
    lock.remove(&2usize.to_le_bytes());
    assert!(lock.admits(Limit::SHARED, 0));
}

#[test]
fn putting_a_hold_again_keeps_its_age_and_takes_its_new_limit() {
    let mut lock = lock_of(&[SHARED, SHARED, SHARED]);
    lock.put(Hold::new(&1usize.to_le_bytes(), limit(Some(3)), 5, 20, 50));
    let tokens: Vec<u64> = lock.holds().map(|hold| hold.token).collect();
    assert_eq!(tokens, [1, 50, 3]);
    assert!(!lock.admits(Limit::SHARED, 0));
    assert!(lock.has_live_token(50, 0) && !lock.has_live_token(2, 0));
    assert_eq!((lock.earliest(), lock.latest()), (Some(10_000), Some(20_005)));
}

#[test]
fn the_same_owner_again_gets_the_same_token_and_the_later_deadline() {
    let mut lock = Lock::default();
    let grant = |now, ttl_ms, meta| Grant {
        owner: b"o",
        limit: Limit::EXCLUSIVE,
        now,
        ttl_ms,
        token: 7,
        meta,
        session: None,
    };
    assert_eq!(lock.grant(&grant(0, 10, Some(&b"why"[..]))), Granted::New);
    let Granted::Again(renewal) = lock.grant(&grant(5_000, 1, None)) else { panic!("one hold an owner") };
    assert!(!renewal.any(), "an earlier deadline, the same token and no META change nothing");
    let Granted::Again(renewal) = lock.grant(&grant(5_000, 10, Some(b""))) else {
        panic!("one hold an owner")
    };
    assert!(renewal.deadline && renewal.meta && !renewal.token);
    let hold = lock.get(b"o").expect("it holds");
    assert_eq!((lock.len(), hold.deadline, hold.since, hold.token, hold.meta()), (1, 15_000, 0, 7, &b""[..]));
}

#[test]
fn a_first_grant_makes_the_hold_that_its_terms_say() {
    for meta in [None, Some(&b""[..]), Some(b"why")] {
        let grant =
            Grant { owner: b"o", limit: Limit::SHARED, now: 5, ttl_ms: 10, token: 7, meta, session: None };
        let mut granted = Lock::default();
        assert_eq!(granted.grant(&grant), Granted::New);
        let mut put = Lock::default();
        put.put(Hold::new(b"o", Limit::SHARED, 5, 10, 7).with_meta(meta.unwrap_or_default()));
        assert_eq!(format!("{put:?}"), format!("{granted:?}"));
        let hold = granted.get(b"o").expect("it holds");
        assert_eq!((hold.deadline, hold.since, hold.token), (10_005, 5, 7));
        assert_eq!(hold.meta(), meta.unwrap_or_default());
        assert_eq!(hold.clone().into_owner().as_slice(), b"o");
    }
}

#[test]
fn an_extension_is_for_all_or_for_none() {
    assert_eq!(decide_extend([Some(5), None, Some(9)], None), None);
    assert_eq!(decide_extend([None], Some(7)), None);
    assert_eq!(decide_extend([Some(5), Some(9)], None), Some(None), "tokens stay as they are");
    assert_eq!(decide_extend([Some(5), Some(9)], Some(7)), Some(Some(9)));
    assert_eq!(decide_extend([Some(5), Some(9)], Some(11)), Some(Some(11)));
}

#[test]
fn expired_holds_go_the_earliest_first_and_only_when_they_are_due() {
    let mut lock = Lock::default();
    for (owner, ttl_ms) in [(b"c", 3), (b"a", 1), (b"b", 2)] {
        lock.put(Hold::new(owner, Limit::SHARED, 0, ttl_ms, 1));
    }
    assert!(lock.take_expired(999).is_none());
    let mut taken = |now| lock.take_expired(now).map(|hold| hold.owner().to_vec());
    assert_eq!(taken(2_000), Some(b"a".to_vec()));
    assert_eq!(taken(2_000), Some(b"b".to_vec()), "gone at its deadline, not after it");
    assert_eq!(taken(2_000), None);
    assert_eq!(taken(i64::MAX), Some(b"c".to_vec()));
    assert!(lock.is_empty() && lock.earliest().is_none() && lock.latest().is_none());
    assert_eq!(lock.heap_size(), 0);
}
