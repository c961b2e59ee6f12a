//! Smoothed round-trip time, as TCP keeps it (RFC 6298, section 2).
//!
//! An [`Estimator`] is fed with samples from live connections or probes; it keeps no clock and no
//! history beyond the last [`WINDOW`] samples. A [`Steady`] says what is told of it: nothing before
//! there are [`ENOUGH`] samples, and nothing new for a change by less than a tenth.

use std::time::Duration;

/// Samples that [`Estimator::recent_minimum`] looks back over.
pub const WINDOW: usize = 16;

/// Samples before a round-trip time counts as known. One may be a lucky one, or a lie.
pub const ENOUGH: u32 = 3;

/// A change by less than one part in so many is not told.
const BAND: u32 = 10;

/// What is told of a round-trip time, for decisions: unknown for long enough, and then steady.
///
/// A decision by a bound is made again whenever what is told changes. So a time that wavers about
/// the bound by less than a tenth does not move it to and fro.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Steady {
    estimator: Estimator,
    told: Option<Duration>,
}

impl Steady {
    /// Nothing is known yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a measured round-trip time into account; gives the smoothed one where it is to be told
    /// anew.
    pub fn on_sample(&mut self, sample: Duration) -> Option<Duration> {
        self.estimator.on_sample(sample);
        let smoothed = self.estimator.smoothed()?;
        let enough = self.estimator.samples() >= ENOUGH;
        let moved = self
            .told
            .is_none_or(|told| told.abs_diff(smoothed) > told / BAND);
        if !(enough && moved) {
            return None;
        }
        self.told = Some(smoothed);
        self.told
    }

    /// What was told last, or `None` while the time counts as unknown.
    #[must_use]
    pub const fn told(&self) -> Option<Duration> {
        self.told
    }

    /// The estimate behind it.
    #[must_use]
    pub const fn estimator(&self) -> &Estimator {
        &self.estimator
    }
}

/// What is known of the round-trip time to one peer.
///
/// Weights of RFC 6298: 1/8 for the smoothed time, 1/4 for its variation. Times are kept in
/// nanoseconds and saturate at 584 years. Takes 168 bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Estimator {
    samples: u32,
    smoothed: u64,
    variance: u64,
    minimum: u64,
    window: [u64; WINDOW],
}

impl Estimator {
    /// An estimator that knows nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes a measured round-trip time into account.
    pub fn on_sample(&mut self, sample: Duration) {
        let sample = u64::try_from(sample.as_nanos()).unwrap_or(u64::MAX);
        if self.samples == 0 {
            self.smoothed = sample;
            self.variance = sample / 2;
            self.minimum = sample;
            self.window = [sample; WINDOW];
        } else {
            // The variation first: it is measured against the smoothed time before this sample.
            self.variance = weighted(self.variance, self.smoothed.abs_diff(sample), 4);
            self.smoothed = weighted(self.smoothed, sample, 8);
            self.minimum = self.minimum.min(sample);
            self.window[self.samples as usize % WINDOW] = sample;
        }
        // Past the maximum the count goes round the window once more instead of standing still,
        // so that new samples still replace the oldest ones.
        self.samples = self
            .samples
            .checked_add(1)
            .unwrap_or(u32::MAX - (WINDOW as u32 - 1));
    }

    /// The smoothed round-trip time (SRTT), or `None` before the first sample.
    #[must_use]
    pub fn smoothed(&self) -> Option<Duration> {
        self.known(self.smoothed)
    }

    /// How far samples lie from the smoothed time on average (RTTVAR; a mean deviation, in the
    /// unit of the samples, for all its name), or `None` before the first sample.
    #[must_use]
    pub fn variance(&self) -> Option<Duration> {
        self.known(self.variance)
    }

    /// The smallest sample ever, or `None` before the first.
    #[must_use]
    pub fn minimum(&self) -> Option<Duration> {
        self.known(self.minimum)
    }

    /// The smallest of the last [`WINDOW`] samples, or `None` before the first. It follows a path
    /// that became longer, which [`minimum`](Self::minimum) never does.
    #[must_use]
    pub fn recent_minimum(&self) -> Option<Duration> {
        self.window.iter().min().and_then(|min| self.known(*min))
    }

    /// How many samples there were. From 4,294,967,295 on the count is not exact any more.
    #[must_use]
    pub const fn samples(&self) -> u32 {
        self.samples
    }

    fn known(&self, nanos: u64) -> Option<Duration> {
        (self.samples > 0).then(|| Duration::from_nanos(nanos))
    }
}

/// `old` and `new` mixed so that `new` weighs one in `parts`; never outside of the two.
fn weighted(old: u64, new: u64, parts: u64) -> u64 {
    let sum = u128::from(old) * u128::from(parts - 1) + u128::from(new);
    u64::try_from(sum / u128::from(parts)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn nothing_is_known_before_the_first_sample() {
        let estimator = Estimator::new();
        assert_eq!(estimator.samples(), 0);
        assert_eq!(estimator.smoothed(), None);
        assert_eq!(estimator.variance(), None);
        assert_eq!(estimator.minimum(), None);
        assert_eq!(estimator.recent_minimum(), None);
    }

    #[test]
    fn golden_sequence() {
        // Worked by hand from RFC 6298, (2.2) and (2.3), in microseconds.
        let expected = [
            (ms(100), 100_000, 50_000),
            (ms(200), 112_500, 62_500),
            (ms(40), 103_437, 65_000),
            (ms(103), 103_382, 48_859),
        ];
        let mut estimator = Estimator::new();
        for (sample, smoothed, variance) in expected {
            estimator.on_sample(sample);
            assert_eq!(estimator.smoothed().unwrap().as_micros(), smoothed);
            assert_eq!(estimator.variance().unwrap().as_micros(), variance);
        }
        assert_eq!(estimator.minimum(), Some(ms(40)));
        assert_eq!(estimator.samples(), 4);
    }

    #[test]
    fn the_recent_minimum_forgets() {
        let mut estimator = Estimator::new();
        estimator.on_sample(ms(1));
        for _ in 1..WINDOW {
            estimator.on_sample(ms(50));
            assert_eq!(estimator.recent_minimum(), Some(ms(1)));
        }
        estimator.on_sample(ms(50));
        assert_eq!(estimator.recent_minimum(), Some(ms(50)));
        assert_eq!(estimator.minimum(), Some(ms(1)));
    }

    #[test]
    fn a_time_is_unknown_before_there_are_enough_samples() {
        let mut steady = Steady::new();
        for _ in 1..ENOUGH {
            assert_eq!(steady.on_sample(ms(1)), None);
            assert_eq!(steady.told(), None);
        }
        assert_eq!(steady.on_sample(ms(1)), Some(ms(1)));
        assert_eq!(steady.told(), Some(ms(1)));
    }

    #[test]
    fn wavering_about_a_bound_does_not_move_a_decision() {
        let bound = ms(50);
        let passes = |steady: &Steady| steady.told().is_some_and(|told| told <= bound);
        let mut steady = Steady::new();
        for _ in 0..ENOUGH {
            steady.on_sample(ms(49));
        }
        assert!(passes(&steady));
        for _ in 0..50 {
            for _ in 0..20 {
                steady.on_sample(ms(53));
            }
            assert!(steady.estimator().smoothed() > Some(bound));
            assert!(passes(&steady), "it went to and fro");
            for _ in 0..20 {
                steady.on_sample(ms(46));
            }
            assert!(passes(&steady));
        }
        // What is really beyond the bound is told.
        for _ in 0..20 {
            steady.on_sample(ms(60));
        }
        assert!(!passes(&steady));
    }

    #[test]
    fn extremes_saturate() {
        let mut estimator = Estimator::new();
        for sample in [Duration::MAX, Duration::ZERO, Duration::MAX, Duration::MAX] {
            estimator.on_sample(sample);
        }
        assert_eq!(estimator.minimum(), Some(Duration::ZERO));
        estimator.samples = u32::MAX;
        for _ in 0..WINDOW {
            estimator.on_sample(ms(7));
        }
        assert_eq!(estimator.recent_minimum(), Some(ms(7)));
        assert!(estimator.samples() > u32::MAX - WINDOW as u32);
    }

    proptest! {
        #[test]
        fn estimates_stay_within_the_samples(
            samples in prop::collection::vec(any::<u64>().prop_map(Duration::from_nanos), 1..200)
        ) {
            let mut estimator = Estimator::new();
            for (n, sample) in samples.iter().enumerate() {
                estimator.on_sample(*sample);
                let seen = &samples[..=n];
                let min = *seen.iter().min().unwrap();
                let max = *seen.iter().max().unwrap();
                let smoothed = estimator.smoothed().unwrap();
                prop_assert!(min <= smoothed && smoothed <= max);
                prop_assert!(estimator.variance().unwrap() <= max);
                prop_assert_eq!(estimator.minimum(), Some(min));
                let recent = &seen[seen.len().saturating_sub(WINDOW)..];
                prop_assert_eq!(estimator.recent_minimum(), recent.iter().min().copied());
                prop_assert_eq!(estimator.samples() as usize, n + 1);
            }
        }
    }
}
