//! One-way latencies: from when an item was *due* to be sent to when its consumer had it.
//!
//! Taking the time it was due, and not the time it was sent, is the correction for coordinated
//! omission: when the producer is held up, the items that it could not send in time count with all
//! the time that their readers waited.

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Shortest and longest latency that are told apart, in nanoseconds: 1 µs and 60 s.
const BOUNDS: (u64, u64) = (1_000, 60_000_000_000);
/// Significant decimal digits.
const DIGITS: u8 = 3;

/// A histogram as it travels: pairs of nanoseconds and count.
pub type Counts = Vec<(u64, u64)>;

/// A histogram of latencies.
#[derive(Clone, Debug)]
pub struct Latency(Histogram<u32>);

impl Default for Latency {
    fn default() -> Self {
        match Histogram::new_with_bounds(BOUNDS.0, BOUNDS.1, DIGITS) {
            Ok(histogram) => Self(histogram),
            Err(error) => unreachable!("constant bounds are valid: {error}"),
        }
    }
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Quantiles {
    /// Latencies recorded.
    pub count: u64,
    /// Half are at most this.
    pub p50: f64,
    /// 90 of 100 are at most this.
    pub p90: f64,
    /// 99 of 100 are at most this.
    pub p99: f64,
    /// 999 of 1,000 are at most this.
    pub p999: f64,
    /// All are at most this.
    pub max: f64,
}

impl Latency {
    /// Counts an item that was due at one time and received at another, both in nanoseconds of
    /// [`crate::clock`].
    #[inline]
    pub fn record(&mut self, due_ns: u64, received_ns: u64) {
        self.0.saturating_record(received_ns.saturating_sub(due_ns));
    }

    /// Counts all of another histogram.
    pub fn merge(&mut self, counts: &[(u64, u64)]) {
        for &(ns, count) in counts {
            let count = u32::try_from(count).unwrap_or(u32::MAX);
            self.0.saturating_record_n(ns, count);
        }
    }

    /// The form that travels.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let steps = self.0.iter_recorded();
        steps
            .map(|step| (step.value_iterated_to(), step.count_at_value().into()))
            .collect()
    }

    /// The percentiles; nothing when nothing was recorded.
    #[must_use]
    pub fn quantiles(&self) -> Option<Quantiles> {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1e3;
        (!self.0.is_empty()).then(|| Quantiles {
            count: self.0.len(),
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / 1e3,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_survive_the_trip() {
        let mut one = Latency::default();
        assert_eq!(one.quantiles(), None);
        for micros in 1..=1000 {
            one.record(500, 500 + micros * 1000);
        }
        let mut two = Latency::default();
        two.merge(&one.counts());
        let (one, two) = (one.quantiles().unwrap(), two.quantiles().unwrap());
        assert_eq!(one, two);
        assert_eq!(one.count, 1000);
        assert!((one.p50 - 500.0).abs() < 1.0, "{one:?}");
        assert!((one.p99 - 990.0).abs() < 1.5, "{one:?}");
    }

    /// A producer that stalls for 100 ms in the middle of a schedule of one item each millisecond:
    /// each item is delivered at once when sent, so only the correction shows the stall.
    #[test]
    fn a_stalled_producer_shows_in_the_latencies() {
        let (mut corrected, mut naive) = (Latency::default(), Latency::default());
        for number in 0..1000_u64 {
            let due = number * 1_000_000;
            let sent = if (500..600).contains(&number) {
                600_000_000
            } else {
                due
            };
            corrected.record(due, sent + 10_000);
            naive.record(sent, sent + 10_000);
        }
        let (corrected, naive) = (corrected.quantiles().unwrap(), naive.quantiles().unwrap());
        assert!(naive.max < 20.0, "{naive:?}");
        assert!(corrected.max > 99_000.0, "{corrected:?}");
        assert!(corrected.p99 > 85_000.0, "{corrected:?}");
        assert!(corrected.p50 < 20.0, "{corrected:?}");
    }
}
