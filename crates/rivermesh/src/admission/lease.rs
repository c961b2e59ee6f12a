//! A deadline by two clocks.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

/// Until when somebody is entitled: it is over when the wall clock or the monotonic clock says so.
///
/// The wall clock is what the deadline means, and goes on while the machine sleeps; but it can be
/// set back, and then the monotonic clock still ends what was promised for a minute after a minute.
///
/// Without a deadline, looking at it reads no clock.
#[derive(Debug)]
pub(crate) struct Lease {
    base: Instant,
    /// Microseconds since 1970; `NEVER` where there is no deadline.
    wall_us: AtomicU64,
    /// Microseconds since `base`.
    mono_us: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Lease {
    /// Without a deadline.
    pub(crate) fn endless() -> Self {
        Self {
            base: Instant::now(),
            wall_us: AtomicU64::new(NEVER),
            mono_us: AtomicU64::new(NEVER),
        }
    }

    /// Sets the deadline, in seconds since 1970; `None` takes it away.
    pub(crate) fn set(&self, until_s: Option<u64>) {
        self.set_at(until_s, wall_us(), micros(self.base.elapsed()));
    }

    fn set_at(&self, until_s: Option<u64>, wall_now: u64, mono_now: u64) {
        let wall = until_s.map_or(NEVER, |s| s.saturating_mul(1_000_000).min(NEVER - 1));
        let mono = match until_s {
            Some(_) => mono_now.saturating_add(wall.saturating_sub(wall_now)),
            None => NEVER,
        };
        self.mono_us.store(mono, Ordering::Relaxed);
        self.wall_us.store(wall, Ordering::Release);
    }

    /// Whether the deadline has passed.
    pub(crate) fn is_over(&self) -> bool {
        self.left() == Some(Duration::ZERO)
    }

    /// How long until the deadline, by the clock that says less; `None` without one.
    pub(crate) fn left(&self) -> Option<Duration> {
        if self.wall_us.load(Ordering::Acquire) == NEVER {
            return None;
        }
        self.left_at(wall_us(), micros(self.base.elapsed()))
    }

    fn left_at(&self, wall_now: u64, mono_now: u64) -> Option<Duration> {
        let wall = self.wall_us.load(Ordering::Acquire);
        if wall == NEVER {
            return None;
        }
        let mono = self.mono_us.load(Ordering::Relaxed);
        let left = wall
            .saturating_sub(wall_now)
            .min(mono.saturating_sub(mono_now));
        Some(Duration::from_micros(left))
    }
}

fn wall_us() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, micros)
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;
    const NOW_S: u64 = 1_800_000_000;

    fn lease(lasts_s: u64) -> Lease {
        let lease = Lease::endless();
        lease.set_at(Some(NOW_S + lasts_s), NOW_S * S, 7 * S);
        lease
    }

    fn left(lease: &Lease, wall_s: i64, mono_s: u64) -> u64 {
        let wall = (NOW_S * S).saturating_add_signed(wall_s * S as i64);
        lease.left_at(wall, (7 + mono_s) * S).unwrap().as_secs()
    }

    #[test]
    fn whichever_clock_says_it_is_over_wins() {
        let lease = lease(60);
        assert_eq!(left(&lease, 0, 0), 60);
        assert_eq!(left(&lease, 10, 10), 50);
        // The machine slept: its monotonic clock stood still.
        assert_eq!(left(&lease, 60, 1), 0);
        // The wall clock was set back by an hour.
        assert_eq!(left(&lease, -3600, 59), 1);
        assert_eq!(left(&lease, -3600, 60), 0);
        assert_eq!(left(&lease, 3600, 0), 0);
    }

    #[test]
    fn limits_of_integers_are_no_end_and_no_overflow() {
        assert_eq!(Lease::endless().left(), None);
        assert!(!Lease::endless().is_over());
        let lease = Lease::endless();
        lease.set_at(Some(u64::MAX), u64::MAX, u64::MAX - 1);
        assert!(lease.left_at(0, 0).is_some());
        lease.set_at(Some(0), 0, 0);
        assert!(lease.is_over());
        lease.set(None);
        assert!(!lease.is_over());
        lease.set_at(Some(5), 9 * S, 0);
        assert_eq!(lease.left_at(9 * S, 0), Some(Duration::ZERO));
    }
}
