//! Sets of numbers as ranges.

use serde::{Deserialize, Serialize};

/// A set of numbers, kept as disjoint half-open ranges in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ranges(Vec<(u64, u64)>);

impl Ranges {
    /// Adds `from..to`; returns how many of these numbers were there before.
    pub(super) fn insert(&mut self, from: u64, to: u64) -> u64 {
        if from >= to {
            return 0;
        }
        // In order is the rule: extend or append without a search.
        match self.0.last_mut() {
            Some(last) if last.1 == from => {
                last.1 = to;
                return 0;
            }
            Some(last) if last.1 > from => {}
            _ => {
                self.0.push((from, to));
                return 0;
            }
        }
        let start = self.0.partition_point(|range| range.1 < from);
        let end = self.0.partition_point(|range| range.0 <= to);
        let mut merged = (from, to);
        let mut known = 0;
        for range in &self.0[start..end] {
            known += range.1.min(to).saturating_sub(range.0.max(from));
            merged = (merged.0.min(range.0), merged.1.max(range.1));
        }
        self.0.splice(start..end, [merged]);
        known
    }

    /// How many numbers are in the set.
    pub(super) fn len(&self) -> u64 {
        self.0.iter().map(|range| range.1 - range.0).sum()
    }

    /// The number after the greatest one, 0 for an empty set.
    pub(super) fn end(&self) -> u64 {
        self.0.last().map_or(0, |range| range.1)
    }

    /// The numbers.
    pub(super) fn numbers(&self) -> impl Iterator<Item = u64> {
        self.0.iter().flat_map(|range| range.0..range.1)
    }

    /// Whether a number is in the set.
    #[cfg(test)]
    fn contains(&self, number: u64) -> bool {
        self.0
            .iter()
            .any(|range| (range.0..range.1).contains(&number))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn ranges_are_a_set(inserts in proptest::collection::vec((0_u64..60, 0_u64..12), 0..40)) {
            let (mut ranges, mut naive) = (Ranges::default(), BTreeSet::new());
            for (from, len) in inserts {
                let known = (from..from + len).filter(|n| !naive.insert(*n)).count();
                prop_assert_eq!(ranges.insert(from, from + len), known as u64);
                prop_assert_eq!(ranges.len(), naive.len() as u64);
                prop_assert_eq!(ranges.end(), naive.last().map_or(0, |n| n + 1));
                prop_assert!(ranges.numbers().eq(naive.iter().copied()));
                prop_assert!((0..80).all(|n| ranges.contains(n) == naive.contains(&n)));
            }
        }
    }
}
