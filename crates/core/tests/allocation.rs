//! What a payload claims costs nothing until it is there: a few bytes from outside can't make the
//! server ask for gigabytes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use redis_lock_core::payload::{decode, encode};
use redis_lock_core::{Hold, Limit, Lock};

thread_local! {
    /// Bytes that this thread ever asked for.
    static ASKED: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call is handed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ASKED.with(|asked| asked.set(asked.get() + layout.size()));
        // SAFETY: the caller's promises are this one's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: it came from `alloc` above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn asked_for(work: impl FnOnce()) -> usize {
    let before = ASKED.with(Cell::get);
    work();
    ASKED.with(Cell::get) - before
}

fn lock_of(holders: u64) -> Lock {
    let mut lock = Lock::default();
    for n in 0..holders {
        lock.put(Hold::new(&n.to_le_bytes(), Limit::SHARED, 0, 1, n + 1));
    }
    lock
}

#[test]
fn the_counter_counts() {
    assert!(asked_for(|| drop(std::hint::black_box(vec![0u8; 1 << 20]))) >= 1 << 20);
}

#[test]
fn a_count_alone_allocates_nothing() {
    for count in [1, 1_000_000, u32::MAX] {
        let asked = asked_for(|| assert!(decode(&count.to_le_bytes(), 0).is_err()));
        assert_eq!(asked, 0, "for a count of {count}");
    }
}

#[test]
fn a_count_beyond_its_holds_allocates_for_those_that_are_there() {
    let mut payload = encode(&lock_of(50), 0);
    let honest = asked_for(|| assert!(decode(&payload, 0).is_ok()));
    payload[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    let lying = asked_for(|| assert!(decode(&payload, 0).is_err()));
    assert!(lying <= honest, "{lying} bytes against {honest}");
}

#[test]
fn a_short_owner_needs_no_allocation_in_a_lock_of_one() {
    let mut lock = Lock::default();
    let put_and_remove = || {
        lock.put(Hold::new(&[b'x'; 38], Limit::EXCLUSIVE, 0, 1, 1));
        assert!(lock.remove(&[b'x'; 38]).is_some());
    };
    assert_eq!(asked_for(put_and_remove), 0);
}
