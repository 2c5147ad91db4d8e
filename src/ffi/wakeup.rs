//! One wake-up of the server's event loop, on a clock that nobody can set.
//!
//! The server's own timers run on the wall clock: set back an hour, they come an hour late. A
//! timerfd on CLOCK_MONOTONIC does not know the wall clock. All that it does is to end the loop's
//! sleep; the work is done just before the next one (`events.rs`), where a module may write.

use std::cell::Cell;
use std::os::fd::RawFd;
use std::os::raw::{c_int, c_void};

use redis_lock_core::time::Micros;
use redis_module::raw;

use super::api::status;

/// The timer, and what it is set to.
pub struct WakeUp {
    fd: RawFd,
    armed: Cell<Option<Micros>>,
}

impl WakeUp {
    /// A timer that is not set yet; `None` where the system has none left.
    pub fn new() -> Option<Self> {
        // SAFETY: takes no pointers.
        let fd =
            unsafe { libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC) };
        (fd >= 0).then(|| WakeUp { fd, armed: Cell::new(None) })
    }

    /// Lets the event loop wait for it, for as long as the server lives.
    pub fn join_event_loop(&'static self) -> bool {
        let this: *const WakeUp = self;
        // SAFETY: `self` lives for ever, and is handed back to `ring` alone.
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

    /// Takes it out again, where the module is not loaded after all.
    pub fn leave_event_loop(&self) {
        // SAFETY: takes no pointers; nothing is armed or rings from here on.
        unsafe {
            status!(RedisModule_EventLoopDel, self.fd, raw::REDISMODULE_EVENTLOOP_READABLE as c_int)
                .expected();
            libc::close(self.fd);
        }
    }

    /// Makes sure that the loop wakes at `deadline` or before. One that is set for an earlier
    /// moment stays: then the loop wakes for nothing once, which is cheaper than setting the
    /// timer at every change.
    #[inline]
    pub fn arm(&self, deadline: Micros, now: Micros) {
        if self.armed.get().is_none_or(|armed| deadline < armed) {
            self.set(deadline, now);
        }
    }

    /// Makes sure that the loop wakes at once.
    pub fn ring_now(&self) {
        // In the past of whatever it is set to.
        self.arm(Micros::MIN, Micros::MIN);
    }

    #[cold]
    fn set(&self, deadline: Micros, now: Micros) {
        // Relative, so that it needs no zero in common with the kernel's clock. 0 would unset it.
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

/// Called by the event loop when the timer has run out: quiet it, and nothing else. This callback
/// is no place to open keys or replicate from.
unsafe extern "C" fn ring(fd: c_int, this: *mut c_void, _mask: c_int) {
    let mut count = 0u64;
    // SAFETY: reads eight bytes into eight; the descriptor does not block.
    unsafe { libc::read(fd, (&raw mut count).cast(), size_of::<u64>()) };
    // SAFETY: `this` is what `join_event_loop` passed.
    let this = unsafe { &*this.cast::<WakeUp>() };
    this.armed.set(None);
}
