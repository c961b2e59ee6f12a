//! A set of sequence numbers as disjoint half-open ranges.

use std::{collections::BTreeMap, ops::Range};

use rivermesh_proto::Seq;

/// Disjoint, non-adjacent ranges, by their start.
#[derive(Debug, Clone, Default)]
pub(super) struct Ranges(BTreeMap<Seq, Seq>);

impl Ranges {
    pub(super) fn insert(&mut self, range: Range<Seq>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        // Swallow every range that touches the new one, from the right end leftwards.
        while let Some((&s, &e)) = self.0.range(..=end).next_back() {
            if e < start {
                break;
            }
            self.0.remove(&s);
            start = start.min(s);
            end = end.max(e);
        }
        self.0.insert(start, end);
    }

    /// The first number that is both in the set and in the range.
    pub(super) fn first_in(&self, range: Range<Seq>) -> Option<Seq> {
        if range.is_empty() {
            return None;
        }
        if let Some((_, &end)) = self.0.range(..=range.start).next_back()
            && end > range.start
        {
            return Some(range.start);
        }
        self.0.range(range).next().map(|(&start, _)| start)
    }

    pub(super) fn contains(&self, seq: Seq) -> bool {
        self.0
            .range(..=seq)
            .next_back()
            .is_some_and(|(_, &end)| end > seq)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_a_plain_set(inserts in prop::collection::vec((0u64..60, 0u64..9), 0..20)) {
            let mut ranges = Ranges::default();
            let mut model = BTreeSet::new();
            for (start, len) in inserts {
                ranges.insert(start..start + len);
                model.extend(start..start + len);
                for at in 0..70 {
                    prop_assert_eq!(ranges.contains(at), model.contains(&at));
                    for len in 0..5 {
                        let expected = model.iter().copied().find(|s| (at..at + len).contains(s));
                        prop_assert_eq!(ranges.first_in(at..at + len), expected);
                    }
                }
                let ends: Vec<_> = ranges.0.iter().map(|(s, e)| (*s, *e)).collect();
                prop_assert!(ends.windows(2).all(|w| w[0].1 < w[1].0), "{:?}", ends);
            }
        }
    }
}
