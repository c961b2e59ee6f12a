//! What a window makes of its items: folds, and those that are ready.

use std::{fmt, num::NonZeroU64};

use sketches_ddsketch::DDSketch;

use crate::time::EventTime;

/// How a window's state comes from its items, one state per key.
///
/// The order of items within a window is that of their arrival.
pub trait Fold<T> {
    /// What is known of the items so far. Windows hold states, not items.
    type State;

    /// The state of no items.
    fn start(&self) -> Self::State;

    /// Takes an item with its event time.
    fn step(&self, state: &mut Self::State, time: EventTime, item: &T);

    /// Takes over another state, as when two sessions turn out to be one.
    fn merge(&self, state: &mut Self::State, other: Self::State);
}

/// How many items there were.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count;

impl<T> Fold<T> for Count {
    type State = u64;

    fn start(&self) -> u64 {
        0
    }

    fn step(&self, state: &mut u64, _: EventTime, _: &T) {
        *state += 1;
    }

    fn merge(&self, state: &mut u64, other: u64) {
        *state += other;
    }
}

/// The newest item by event time, a clone of it; among equals the one that came last.
#[derive(Clone, Copy, Debug, Default)]
pub struct Newest;

impl<T: Clone> Fold<T> for Newest {
    type State = Option<(EventTime, T)>;

    fn start(&self) -> Self::State {
        None
    }

    fn step(&self, state: &mut Self::State, time: EventTime, item: &T) {
        if state.as_ref().is_none_or(|(newest, _)| *newest <= time) {
            *state = Some((time, item.clone()));
        }
    }

    fn merge(&self, state: &mut Self::State, other: Self::State) {
        let newest = |state: &Self::State| state.as_ref().map(|(time, _)| *time);
        if newest(state) <= newest(&other) {
            *state = other;
        }
    }
}

/// A fold made of three functions: see [`fold`].
#[derive(Clone, Copy)]
pub struct By<I, S, M> {
    init: I,
    step: S,
    merge: M,
}

/// A fold of one's own: the state of no items, how an item changes it, how two states become one.
pub fn fold<T, A, I, S, M>(init: I, step: S, merge: M) -> By<I, S, M>
where
    I: Fn() -> A,
    S: Fn(&mut A, EventTime, &T),
    M: Fn(&mut A, A),
{
    By { init, step, merge }
}

impl<T, A, I, S, M> Fold<T> for By<I, S, M>
where
    I: Fn() -> A,
    S: Fn(&mut A, EventTime, &T),
    M: Fn(&mut A, A),
{
    type State = A;

    fn start(&self) -> A {
        (self.init)()
    }

    fn step(&self, state: &mut A, time: EventTime, item: &T) {
        (self.step)(state, time, item);
    }

    fn merge(&self, state: &mut A, other: A) {
        (self.merge)(state, other);
    }
}

impl<I, S, M> fmt::Debug for By<I, S, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("By").finish_non_exhaustive()
    }
}

/// Count, sum, least, greatest and mean of a number in each item. `None` and what is not finite is
/// counted as absent.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<F>(pub F);

/// What [`Numbers`] has found.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Summary {
    count: u64,
    absent: u64,
    sum: f64,
    min: f64,
    max: f64,
}

impl Summary {
    /// How many numbers there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many items had no finite number.
    pub fn absent(&self) -> u64 {
        self.absent
    }

    /// The sum; 0 of none.
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The least.
    pub fn min(&self) -> Option<f64> {
        (self.count > 0).then_some(self.min)
    }

    /// The greatest.
    pub fn max(&self) -> Option<f64> {
        (self.count > 0).then_some(self.max)
    }

    /// The arithmetic mean.
    pub fn mean(&self) -> Option<f64> {
        let count = NonZeroU64::new(self.count)?;
        Some(self.sum / count.get() as f64)
    }

    /// Takes a number, or the absence of one.
    pub fn add(&mut self, number: Option<f64>) {
        let Some(number) = number.filter(|number| number.is_finite()) else {
            self.absent += 1;
            return;
        };
        let first = self.count == 0;
        self.min = if first { number } else { self.min.min(number) };
        self.max = if first { number } else { self.max.max(number) };
        self.sum += number;
        self.count += 1;
    }

    /// Takes over what another has found.
    pub fn merge(&mut self, other: &Self) {
        if self.count == 0 {
            (self.min, self.max) = (other.min, other.max);
        } else if other.count > 0 {
            self.min = self.min.min(other.min);
            self.max = self.max.max(other.max);
        }
        self.sum += other.sum;
        self.count += other.count;
        self.absent += other.absent;
    }
}

impl<T, F: Fn(&T) -> Option<f64>> Fold<T> for Numbers<F> {
    type State = Summary;

    fn start(&self) -> Summary {
        Summary::default()
    }

    fn step(&self, state: &mut Summary, _: EventTime, item: &T) {
        state.add((self.0)(item));
    }

    fn merge(&self, state: &mut Summary, other: Summary) {
        state.merge(&other);
    }
}

/// Quantiles of a number in each item, beside what [`Numbers`] finds.
#[derive(Clone, Copy, Debug)]
pub struct Quantiles<F>(pub F);

/// What [`Quantiles`] has found: a [DDSketch](https://arxiv.org/abs/1908.10693) with a relative error
/// of 1 % and at most 2048 buckets for each sign, which is 32 KiB.
///
/// Quantiles are within 1 % of a number that has the rank asked for, while the buckets reach: numbers
/// of one sign may differ by a factor of 10^17. Beyond that the smallest ones (by magnitude) share a
/// bucket. Numbers closer to zero than 10^-9 count as zero.
#[derive(Clone, Default)]
pub struct Sketch {
    summary: Summary,
    sketch: DDSketch,
}

impl Sketch {
    /// Count, sum, least, greatest, mean: these are exact.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The number of which the part `q` (0 to 1) of all numbers is not greater. `None` without
    /// numbers, or if `q` is not from 0 to 1.
    pub fn quantile(&self, q: f64) -> Option<f64> {
        self.sketch.quantile(q).ok().flatten()
    }

    /// Takes a number, or the absence of one.
    pub fn add(&mut self, number: Option<f64>) {
        self.summary.add(number);
        // The sketch computes a bucket's number from the logarithm, which must be finite.
        if let Some(number) = number.filter(|number| number.is_finite()) {
            self.sketch.add(number);
        }
    }

    /// Takes over what another has found.
    pub fn merge(&mut self, other: &Self) {
        self.summary.merge(&other.summary);
        // Sketches of different settings cannot be merged; these all have the same.
        let _ = self.sketch.merge(&other.sketch);
    }
}

impl fmt::Debug for Sketch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sketch")
            .field("summary", &self.summary)
            .finish_non_exhaustive()
    }
}

impl<T, F: Fn(&T) -> Option<f64>> Fold<T> for Quantiles<F> {
    type State = Sketch;

    fn start(&self) -> Sketch {
        Sketch::default()
    }

    fn step(&self, state: &mut Sketch, _: EventTime, item: &T) {
        state.add((self.0)(item));
    }

    fn merge(&self, state: &mut Sketch, other: Sketch) {
        state.merge(&other);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn numbers() -> impl Strategy<Value = Vec<Option<f64>>> {
        let number = prop_oneof![
            8 => (-1e6..1e6_f64).prop_map(Some),
            1 => Just(None),
            1 => Just(Some(f64::NAN)),
            1 => Just(Some(f64::INFINITY)),
            1 => Just(Some(0.0)),
        ];
        prop::collection::vec(number, 0..120)
    }

    proptest! {
        #[test]
        fn a_summary_and_a_sketch_equal_the_sorted_numbers(
            all in numbers(), cut in 0_usize..120, q in 0.0..=1.0_f64,
        ) {
            let cut = cut.min(all.len());
            let (mut one, mut other) = (Sketch::default(), Sketch::default());
            all[..cut].iter().for_each(|number| one.add(*number));
            all[cut..].iter().for_each(|number| other.add(*number));
            one.merge(&other);
            let mut sorted: Vec<f64> = all.iter().flatten().copied().filter(|n| n.is_finite()).collect();
            sorted.sort_by(f64::total_cmp);
            let summary = one.summary();
            prop_assert_eq!(summary.count(), sorted.len() as u64);
            prop_assert_eq!(summary.absent(), (all.len() - sorted.len()) as u64);
            prop_assert_eq!(summary.min(), sorted.first().copied());
            prop_assert_eq!(summary.max(), sorted.last().copied());
            let sum: f64 = sorted.iter().sum();
            prop_assert!(summary.sum() == sum || (summary.sum() - sum).abs() <= 1e-9 * sum.abs().max(1e7));
            match one.quantile(q) {
                None => prop_assert!(sorted.is_empty()),
                Some(found) => {
                    let exact = sorted[(q * (sorted.len() - 1) as f64) as usize];
                    let error = (found - exact).abs();
                    prop_assert!(error <= 0.0101 * exact.abs() + 1e-9, "{found} for {exact}");
                }
            }
        }
    }

    #[test]
    fn the_newest_is_by_event_time() {
        let at = EventTime::from_secs;
        let mut state = Fold::<&str>::start(&Newest);
        for (time, item) in [(2, "b"), (3, "c"), (1, "a"), (3, "d")] {
            Newest.step(&mut state, at(time), &item);
        }
        assert_eq!(state, Some((at(3), "d")));
        Newest.merge(&mut state, Some((at(2), "old")));
        assert_eq!(state, Some((at(3), "d")));
        Fold::<&str>::merge(&Newest, &mut state, Some((at(4), "new")));
        assert_eq!(state, Some((at(4), "new")));
    }
}
