//! A wake-up of the server's event loop, on a clock that nobody can set.
//!
//! The server's own timers run on the wall clock: if it is set back an hour, they fire an hour late. A
//! timerfd on CLOCK_MONOTONIC does not depend on the wall clock. It only ends the loop's sleep. The work is
//! done just before the next sleep (`events.rs`), where a module may write.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::os::raw::{c_int, c_void};

use redis_lock_core::time::Micros;
use redis_module::raw;

use super::api::status;

/// The timer, and the time that it is set to.
pub struct WakeUp {
    fd: RawFd,
    armed: Cell<Option<Micros>>,
}

impl WakeUp {
    /// Returns a timer that is not set, or `None` if the system has none left.
    pub fn new() -> Option<Self> {
        // SAFETY: takes no pointers.
        let fd =
            unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        (fd >= 0).then(|| WakeUp { fd, armed: Cell::new(None) })
    }

    /// Adds the timer to the event loop, for as long as the server lives.
    pub fn join_event_loop(&'static self) -> bool {
        let this: *const WakeUp = self;
        // SAFETY: `self` lives forever, and is passed to `ring` alone.
        let added = unsafe {
            status!(
                RedisModule_EventLoopAdd,
                self.fd,
                raw::REDISMODULE_EVENTLOOP_READABLE as c_int,
                Some(ring),
                this.cast_mut().cast::<c_void>(),
            )
        };
        added.done()
    }

    /// Removes the timer, if the module is not loaded after all.
    pub fn leave_event_loop(&self) {
        // SAFETY: takes no pointers; nothing is armed or fires from now on.
        unsafe {
            status!(RedisModule_EventLoopDel, self.fd, raw::REDISMODULE_EVENTLOOP_READABLE as c_int)
                .expected();
            libc::close(self.fd);
        }
    }

    /// Ensures that the loop wakes at `deadline` or before. A timer set for an earlier moment stays. The loop
    /// then wakes for nothing once, which is cheaper than setting the timer at every change.
    #[inline]
    pub fn arm(&self, deadline: Micros, now: Micros) {
        if self.armed.get().is_none_or(|armed| deadline < armed) {
            self.set(deadline, now);
        }
    }

    /// Ensures that the loop wakes at once.
    pub fn ring_now(&self) {
        // Earlier than anything that it is set to.
        self.arm(Micros::MIN, Micros::MIN);
    }

    #[cold]
    fn set(&self, deadline: Micros, now: Micros) {
        // Relative, so that it does not depend on the kernel clock's origin. 0 would disarm the timer.
        let nanos = deadline.saturating_sub(now).max(0).saturating_mul(1000).max(1);
        let delay = libc::timespec { tv_sec: nanos / 1_000_000_000, tv_nsec: nanos % 1_000_000_000 };
        let never = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        let timer = libc::itimerspec { it_interval: never, it_value: delay };
        // SAFETY: the descriptor is ours, the struct lives through the call.
        let result = unsafe { libc::timerfd_settime(self.fd, 0, &timer, std::ptr::null_mut()) };
        if result == 0 {
            self.armed.set(Some(deadline));
        }
    }
}

/// Called by the event loop when the timer fires. Only resets it, as this callback must not open keys or
/// replicate.
unsafe extern "C" fn ring(fd: c_int, this: *mut c_void, _mask: c_int) {
    let mut count = 0u64;
    // SAFETY: reads eight bytes into eight; the descriptor does not block.
    unsafe { libc::read(fd, (&raw mut count).cast(), size_of::<u64>()) };
    // SAFETY: `this` is what `join_event_loop` passed.
    let this = unsafe { &*this.cast::<WakeUp>() };
    this.armed.set(None);
}
