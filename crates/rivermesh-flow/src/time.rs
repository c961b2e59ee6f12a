//! The time that items carry.

use std::{fmt, time::Duration};

/// When something happened, by the item's own account: microseconds since an epoch that all items
/// of a stream share, usually 1970-01-01 UTC.
///
/// Arithmetic saturates at both ends, so that a time from a peer cannot overflow anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(u64);

impl EventTime {
    /// The earliest time.
    pub const MIN: Self = Self(0);
    /// The latest time.
    pub const MAX: Self = Self(u64::MAX);

    /// That many microseconds after the epoch.
    pub const fn from_micros(micros: u64) -> Self {
        Self(micros)
    }

    /// That many milliseconds after the epoch.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis.saturating_mul(1000))
    }

    /// That many seconds after the epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000))
    }

    /// Microseconds since the epoch.
    pub const fn as_micros(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Later by `by`, at most [`EventTime::MAX`].
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(micros(by)))
    }

    /// Earlier by `by`, at least [`EventTime::MIN`].
    pub fn minus(self, by: Duration) -> Self {
        Self(self.0.saturating_sub(micros(by)))
    }

    /// The time from `earlier` to this; zero if `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }
}

/// Microseconds since the epoch, with their unit.
impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} µs", self.0)
    }
}

/// A duration in microseconds, as far as they fit.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// A timeout that can be added to the clock: longer than 30 years is as good as for ever.
pub(crate) fn timeout(duration: Duration) -> Duration {
    duration.min(Duration::from_secs(30 * 365 * 24 * 3600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_saturates() {
        let second = Duration::from_secs(1);
        assert_eq!(EventTime::MAX.plus(second), EventTime::MAX);
        assert_eq!(EventTime::MIN.minus(second), EventTime::MIN);
        assert_eq!(EventTime::MIN.plus(Duration::MAX), EventTime::MAX);
        assert_eq!(EventTime::from_secs(u64::MAX), EventTime::MAX);
        let (one, three) = (EventTime::from_secs(1), EventTime::from_millis(3000));
        assert_eq!(three.since(one), 2 * second);
        assert_eq!(one.since(three), Duration::ZERO);
        assert_eq!(three.minus(2 * second), one);
    }
}
