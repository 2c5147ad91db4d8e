//! True time, and the inexact clocks of machines.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// 1 September 2026.
const WALL_AT_START: i64 = 1_788_220_800_000_000;
const MILLION: i128 = 1_000_000;

/// True time: microseconds since the history began.
#[derive(Clone, Copy, Debug)]
pub struct Time(Instant);

impl Time {
    pub fn start() -> Time {
        Time(Instant::now())
    }

    pub fn now(self) -> i64 {
        self.nanos() / 1_000
    }

    fn nanos(self) -> i64 {
        i64::try_from(self.0.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    pub async fn sleep_until(self, micros: i64) {
        tokio::time::sleep_until(self.0 + Duration::from_micros(micros.max(0).unsigned_abs())).await;
    }
}

/// The clocks of one machine: a monotonic one, and a wall clock that can be set.
#[derive(Debug)]
pub struct Clock {
    time: Time,
    offset_micros: i64,
    /// How much too fast both clocks run, in parts per million.
    ppm: i64,
    wall_offset_micros: AtomicI64,
    /// What the monotonic clock has not counted; below zero after a jump.
    missed_micros: AtomicI64,
}

impl Clock {
    pub fn new(time: Time, offset_micros: i64, ppm: i64, wall_offset_micros: i64) -> Clock {
        Clock {
            time,
            offset_micros,
            ppm,
            wall_offset_micros: AtomicI64::new(wall_offset_micros),
            missed_micros: AtomicI64::new(0),
        }
    }

    pub fn monotonic_nanos(&self) -> u64 {
        let missed = self.missed_micros.load(Ordering::Relaxed);
        let nanos = self.elapsed_nanos() + i128::from(self.offset_micros - missed) * 1_000;
        u64::try_from(nanos).unwrap_or_default()
    }

    pub fn monotonic_micros(&self) -> i64 {
        i64::try_from(self.monotonic_nanos() / 1_000).unwrap_or(i64::MAX)
    }

    pub fn wall_micros(&self) -> u64 {
        let offset = self.wall_offset_micros.load(Ordering::Relaxed);
        let micros = i128::from(WALL_AT_START + offset) + self.elapsed_nanos() / 1_000;
        u64::try_from(micros).unwrap_or_default()
    }

    fn elapsed_nanos(&self) -> i128 {
        let true_nanos = i128::from(self.time.nanos());
        true_nanos + true_nanos * i128::from(self.ppm) / MILLION
    }

    /// Sets the wall clock forward by this time.
    pub fn step_wall(&self, micros: i64) {
        self.wall_offset_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Returns how far the wall clock is ahead, its rate aside.
    pub fn wall_offset(&self) -> i64 {
        self.wall_offset_micros.load(Ordering::Relaxed)
    }

    /// Makes the monotonic clock stand still for this time, or jump if it is below zero.
    pub fn miss(&self, micros: i64) {
        self.missed_micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// Returns the length of a span of this clock in true time, rounded down.
    pub fn true_micros(&self, span: Duration) -> i64 {
        let nanos = i128::try_from(span.as_nanos()).unwrap_or(i128::MAX / MILLION);
        i64::try_from(nanos * MILLION / (MILLION + i128::from(self.ppm)) / 1_000).unwrap_or(i64::MAX)
    }

    /// Returns the true time at which the monotonic clock shows this time, rounded up.
    pub fn true_time_of(&self, monotonic_micros: i64) -> i64 {
        let missed = self.missed_micros.load(Ordering::Relaxed);
        let elapsed = i128::from(monotonic_micros) - i128::from(self.offset_micros - missed);
        let micros = elapsed * MILLION / (MILLION + i128::from(self.ppm)) + 2;
        i64::try_from(micros).unwrap_or(i64::MAX)
    }
}
