//! One-way latencies, and the wall clock they are measured by.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};

/// Longest latency that is told apart, in microseconds; longer ones count as this.
const CEILING_US: u64 = 60_000_000;

/// A histogram of latencies, to 3 significant digits.
#[derive(Debug, Clone)]
pub(crate) struct Latency {
    histogram: Histogram<u64>,
}

/// A histogram as it travels between processes: pairs of microseconds and count.
pub(crate) type Counts = Vec<(u64, u64)>;

/// Percentiles in microseconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Quantiles {
    /// Latencies recorded.
    pub(crate) count: u64,
    /// Mean.
    pub(crate) mean: f64,
    /// Half are at most this.
    pub(crate) p50: u64,
    /// 90 of 100 are at most this.
    pub(crate) p90: u64,
    /// 99 of 100 are at most this.
    pub(crate) p99: u64,
    /// 999 of 1,000 are at most this.
    pub(crate) p999: u64,
    /// All are at most this.
    pub(crate) max: u64,
}

impl Default for Latency {
    fn default() -> Self {
        let histogram = match Histogram::new_with_bounds(1, CEILING_US, 3) {
            Ok(histogram) => histogram,
            Err(error) => unreachable!("constant bounds are valid: {error}"),
        };
        Self { histogram }
    }
}

impl Latency {
    /// Counts one latency.
    pub(crate) fn record(&mut self, micros: u64) {
        self.histogram.saturating_record(micros);
    }

    /// Counts all of another histogram.
    pub(crate) fn merge(&mut self, counts: &[(u64, u64)]) {
        for &(micros, count) in counts {
            self.histogram.saturating_record_n(micros, count);
        }
    }

    /// The form that travels.
    pub(crate) fn counts(&self) -> Counts {
        self.histogram
            .iter_recorded()
            .map(|step| (step.value_iterated_to(), step.count_at_value()))
            .collect()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.histogram.reset();
    }

    /// The percentiles; nothing when nothing was recorded.
    pub(crate) fn quantiles(&self) -> Option<Quantiles> {
        let histogram = &self.histogram;
        (!histogram.is_empty()).then(|| Quantiles {
            count: histogram.len(),
            mean: (histogram.mean() * 10.0).round() / 10.0,
            p50: histogram.value_at_quantile(0.50),
            p90: histogram.value_at_quantile(0.90),
            p99: histogram.value_at_quantile(0.99),
            p999: histogram.value_at_quantile(0.999),
            max: histogram.max(),
        })
    }
}

/// Microseconds since 1970; comparable between processes of one machine.
pub(crate) fn now_us() -> u64 {
    since_epoch_us(SystemTime::now())
}

/// A time as microseconds since 1970; 0 for times before.
pub(crate) fn since_epoch_us(time: SystemTime) -> u64 {
    micros_of(time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO))
}

/// A duration in whole microseconds.
pub(crate) fn micros_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_survive_the_trip() {
        let mut one = Latency::default();
        assert_eq!(one.quantiles(), None);
        for micros in 1..=1000 {
            one.record(micros);
        }
        one.record(u64::MAX);
        let mut two = Latency::default();
        two.merge(&one.counts());
        assert_eq!(one.quantiles(), two.quantiles());
        let quantiles = two.quantiles().unwrap();
        assert_eq!(
            (quantiles.count, quantiles.p50, quantiles.p99),
            (1001, 501, 991)
        );
        assert!(quantiles.max >= CEILING_US);
        two.clear();
        assert_eq!(two.quantiles(), None);
    }
}
