//! A value that a server took away from its key by a way that told nobody, and has not freed so far, when its deadline
//! comes: a slot that was migrated is emptied so.

use redis_lock_core::Limit;
use redis_lock_core::request::Acquire;
use redis_lock_engine::{Conditions, Engine, Slot};
use redis_lock_sim::memory::{Handle, Purpose, with_open};

const CLIENT: u64 = 7;

#[test]
fn it_counts_as_removed_once_and_its_session_is_over() {
    let (mut engine, vanished, key) =
        (Engine::<_, u64>::new(0, false), Handle::new(0, b"k"), Handle::new(0, b"k"));
    let at = |now| Conditions { now, cooldown_ms: 0, propagate: true, may_acquire: &|_| true };
    let (limit, session) = (Limit::EXCLUSIVE, true);
    let request = Acquire { owner: b"o", ttl_ms: 1, limit, block_ms: None, session, fence: None, meta: None };
    let granted = with_open(&mut engine, &[vanished], Purpose::Decide, |engine, open| {
        engine.acquire(open, &request, CLIENT, &at(0))
    });
    assert!(granted.0.is_ok_and(|token| token.is_some()));
    let visit = engine.next_visit(1_000).expect("its deadline has come");
    let (visited, _) = with_open(&mut engine, &[key], Purpose::Decide, |engine, open| {
        engine.visit(&mut open[0].0, &visit, true, &at(1_000))
    });
    engine.end_visit(visit, visited, 1_000);
    let totals = engine.totals();
    assert_eq!((engine.held(), totals.removed, totals.expired), (0, 1, 0));
    assert!(vanished.with_lock(|lock| lock.is_empty()), "or it is counted again when it is freed");
    engine.on_client_closed(CLIENT, false);
    assert!(engine.next_visit(2_000).is_none(), "nothing is left of it");
}
