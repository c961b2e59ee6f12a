//! The clock that all processes of a run share.

use std::{num::NonZeroU64, time::Duration};

use rustix::time::{ClockId, Timespec, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`: since the machine was started, the same in all processes
/// (clock_gettime(2)). Never 0.
#[inline]
#[must_use]
pub fn now_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    (now.tv_sec as u64)
        .wrapping_mul(1_000_000_000)
        .wrapping_add(now.tv_nsec as u64)
}

/// A duration in whole nanoseconds; the longest that fits where it does not.
#[must_use]
pub fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// Lets this thread's sleeps end when they are due. Linux adds up to 50 µs else, to save wake-ups,
/// and that would be counted as latency.
pub(crate) fn sharpen_sleep() {
    // Where it cannot be set, latencies are up to 50 µs higher, for every adapter alike.
    let _ = rustix::thread::set_current_timer_slack(NonZeroU64::new(1));
}

/// Puts the thread to sleep until a time of [`now_ns`].
pub(crate) fn sleep_until(ns: u64) {
    let request = Timespec {
        tv_sec: (ns / 1_000_000_000) as _,
        tv_nsec: (ns % 1_000_000_000) as _,
    };
    // A signal ends the sleep early; the caller then looks at the clock again.
    let _ = rustix::thread::clock_nanosleep_absolute(ClockId::Monotonic, &request);
}
