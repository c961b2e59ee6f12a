//! What one consumer counts: distinct items, duplicates, items out of order.
//!
//! What is lost is not counted but follows: items sent minus distinct items received, which also
//! tells of those lost at the end.

use std::collections::BTreeMap;

/// Ranges of missing numbers that are remembered. Beyond it the lowest is given up: what comes of
/// it later counts as a duplicate, so that loss is told too high then, never too low.
const MAX_GAPS: usize = 16 * 1024;

/// The accounting of one sequence that begins at 0.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    next: u64,
    items: u64,
    duplicates: u64,
    disordered: u64,
    /// Ranges of numbers that have not come and were passed by: begin → end.
    gaps: BTreeMap<u64, u64>,
}

impl Tally {
    /// Counts an item.
    #[inline]
    pub fn see(&mut self, number: u64) {
        self.items += 1;
        if number == self.next {
            self.next += 1;
        } else {
            self.see_other(number);
        }
    }

    #[cold]
    fn see_other(&mut self, number: u64) {
        if number > self.next {
            self.gaps.insert(self.next, number);
            self.next = number.saturating_add(1);
            if self.gaps.len() > MAX_GAPS {
                self.gaps.pop_first();
            }
            return;
        }
        let gap = self.gaps.range(..=number).next_back();
        let Some((begin, end)) = gap.map(|(begin, end)| (*begin, *end)) else {
            self.duplicates += 1;
            return;
        };
        if number >= end {
            self.duplicates += 1;
            return;
        }
        self.disordered += 1;
        self.gaps.remove(&begin);
        if begin < number {
            self.gaps.insert(begin, number);
        }
        if number + 1 < end {
            self.gaps.insert(number + 1, end);
        }
    }

    /// Items received, duplicates too.
    #[must_use]
    pub fn items(&self) -> u64 {
        self.items
    }

    /// Items that had been received before.
    #[must_use]
    pub fn duplicates(&self) -> u64 {
        self.duplicates
    }

    /// Items that came after one with a higher number.
    #[must_use]
    pub fn disordered(&self) -> u64 {
        self.disordered
    }

    /// Items received at least once.
    #[must_use]
    pub fn distinct(&self) -> u64 {
        self.items - self.duplicates
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn tally(numbers: &[u64]) -> Tally {
        let mut tally = Tally::default();
        numbers.iter().for_each(|number| tally.see(*number));
        tally
    }

    #[test]
    fn a_whole_sequence() {
        let tally = tally(&[0, 1, 2, 3]);
        assert_eq!((tally.distinct(), tally.items()), (4, 4));
        assert_eq!((tally.duplicates(), tally.disordered()), (0, 0));
    }

    #[test]
    fn a_lost_item_is_not_distinct() {
        assert_eq!(tally(&[0, 1, 3]).distinct(), 3);
        assert_eq!(tally(&[5]).distinct(), 1);
    }

    #[test]
    fn a_duplicate_is_none_of_the_distinct() {
        let tally = tally(&[0, 1, 1, 2, 0]);
        assert_eq!((tally.distinct(), tally.duplicates()), (3, 2));
    }

    #[test]
    fn a_swap_is_out_of_order_and_not_lost() {
        let tally = tally(&[0, 2, 1, 3]);
        assert_eq!(
            (tally.distinct(), tally.disordered(), tally.duplicates()),
            (4, 1, 0)
        );
    }

    #[test]
    fn what_came_late_and_comes_again_is_a_duplicate() {
        let tally = tally(&[0, 4, 2, 2, 3, 1, 1, 4]);
        assert_eq!(
            (tally.distinct(), tally.disordered(), tally.duplicates()),
            (5, 3, 3)
        );
    }

    /// Seeded loss, duplication and swaps against sets of numbers.
    #[test]
    fn seeded_faults_are_counted_exactly() {
        for seed in 1..200_u64 {
            let mut state = seed;
            let mut random = |below: u64| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state % below
            };
            let mut numbers: Vec<u64> = Vec::new();
            for number in 0..500 {
                match random(20) {
                    0 => {}
                    1 => numbers.extend([number, number]),
                    _ => numbers.push(number),
                }
            }
            for _ in 0..random(30) {
                let at = random(numbers.len() as u64 - 1) as usize;
                numbers.swap(at, at + 1);
            }
            let (mut known, mut highest) = (HashSet::new(), None);
            let (mut duplicates, mut disordered) = (0, 0);
            for &number in &numbers {
                if !known.insert(number) {
                    duplicates += 1;
                } else if highest.is_some_and(|highest| number < highest) {
                    disordered += 1;
                }
                highest = highest.max(Some(number));
            }
            let tally = tally(&numbers);
            assert_eq!(tally.distinct(), known.len() as u64, "seed {seed}");
            assert_eq!(tally.duplicates(), duplicates, "seed {seed}");
            assert_eq!(tally.disordered(), disordered, "seed {seed}");
        }
    }

    #[test]
    fn forgetting_makes_loss_too_high_and_never_too_low() {
        let mut tally = Tally::default();
        let odd = (0..).map(|n| n * 2 + 1).take(MAX_GAPS + 10);
        odd.for_each(|number| tally.see(number));
        let before = tally.distinct();
        tally.see(0);
        assert_eq!((tally.distinct(), tally.duplicates()), (before, 1));
        assert!(tally.gaps.len() <= MAX_GAPS);
    }
}
