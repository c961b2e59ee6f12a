//! The audit: what became of every reading.
//!
//! The rows of the weather file are the truth. Each life of a station sent the rows from some row on,
//! numbered from 0; each consumer reports which numbers it received and which were reported to
//! it as missed. A reading is delivered when it was received in any life, missed when it was only
//! reported missed, and unaccounted for otherwise.

use std::collections::BTreeMap;

use rivermesh_weather::Reading;
use serde::Serialize;

use super::{ranges::Ranges, wire::Source};

/// One life of a station.
#[derive(Debug, Clone)]
pub(super) struct Life {
    pub(super) origin: String,
    pub(super) node: String,
    pub(super) epoch: String,
    /// Row of the item numbered 0.
    pub(super) first_row: u64,
}

/// Counts of readings; those of several consumers and stations add up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(super) struct Count {
    /// Readings received.
    pub(super) delivered: u64,
    /// Readings reported missed and never received.
    pub(super) missed: u64,
    /// Readings neither received nor reported missed.
    pub(super) unaccounted: u64,
    /// Readings received in more than one life of their station.
    pub(super) redelivered: u64,
    /// Items received more than once in one life.
    pub(super) duplicates: u64,
    /// Items received after a later one.
    pub(super) out_of_order: u64,
    /// Lives in which content or numbering is not that of the file.
    pub(super) corrupt: u64,
}

impl Count {
    /// Whether every reading is accounted for and nothing came twice, mixed up or changed.
    pub(super) fn is_clean(&self) -> bool {
        self.unaccounted + self.duplicates + self.out_of_order + self.corrupt == 0
    }

    /// Adds another count.
    pub(super) fn add(&mut self, other: &Self) {
        self.delivered += other.delivered;
        self.missed += other.missed;
        self.unaccounted += other.unaccounted;
        self.redelivered += other.redelivered;
        self.duplicates += other.duplicates;
        self.out_of_order += other.out_of_order;
        self.corrupt += other.corrupt;
    }
}

/// Audits what one consumer reports about one station, whose rows are `rows`.
pub(super) fn audit(origin: &str, rows: &[Reading], lives: &[Life], books: &[Source]) -> Count {
    let mut count = Count::default();
    let (mut received, mut missed) = (Ranges::default(), Ranges::default());
    for life in lives.iter().filter(|life| life.origin == origin) {
        let of_life = |source: &&Source| source.node == life.node && source.epoch == life.epoch;
        for source in books.iter().filter(of_life) {
            count.duplicates += source.duplicates;
            count.out_of_order += source.out_of_order;
            count.corrupt += u64::from(!is_genuine(source, life, rows));
            for seq in source.received.numbers() {
                let row = life.first_row.saturating_add(seq);
                count.redelivered += received.insert(row, row + 1);
            }
            for seq in source.missed.numbers().take(rows.len()) {
                let row = life.first_row.saturating_add(seq);
                missed.insert(row, row + 1);
            }
        }
    }
    let total = rows.len() as u64;
    count.delivered = received.numbers().filter(|row| *row < total).count() as u64;
    let either = missed.numbers().filter(|row| *row < total);
    count.missed = either
        .map(|row| 1 - received.clone().insert(row, row + 1))
        .sum();
    count.unaccounted = total - count.delivered - count.missed;
    count
}

/// Books of epochs that no station of the demo ever announced.
pub(super) fn strays(lives: &[Life], books: &[Source]) -> u64 {
    let known: BTreeMap<_, _> = lives
        .iter()
        .map(|life| ((&life.node, &life.epoch), life))
        .collect();
    books
        .iter()
        .filter(|source| !known.contains_key(&(&source.node, &source.epoch)))
        .count() as u64
}

/// Whether the items received are the rows that their numbers stand for, and none of them was
/// reported missed as well.
fn is_genuine(source: &Source, life: &Life, rows: &[Reading]) -> bool {
    let mut digest = 0_u64;
    for seq in source.received.numbers() {
        let row = usize::try_from(life.first_row.saturating_add(seq)).ok();
        let Some(reading) = row.and_then(|row| rows.get(row)) else {
            return false;
        };
        digest = digest.wrapping_add(reading.digest(seq));
    }
    let mut both = source.received.clone();
    let overlap: u64 = source
        .missed
        .numbers()
        .map(|seq| both.insert(seq, seq + 1))
        .sum();
    digest == source.digest && overlap == 0
}

#[cfg(test)]
mod tests {
    use rivermesh_weather::readings_of;

    use super::{super::tally::Tally, *};

    const ROWS: usize = 20;

    struct Scene {
        rows: Vec<Reading>,
        lives: Vec<Life>,
        tally: Tally,
    }

    impl Scene {
        fn new() -> Self {
            let mut rows = readings_of("EWR").unwrap();
            rows.truncate(ROWS);
            Self {
                rows,
                lives: Vec::new(),
                tally: Tally::default(),
            }
        }

        fn life(&mut self, epoch: &str, first_row: u64, seqs: std::ops::Range<u64>) {
            self.lives.push(Life {
                origin: "EWR".into(),
                node: "n".into(),
                epoch: epoch.into(),
                first_row,
            });
            seqs.for_each(|seq| self.item(epoch, first_row, seq));
        }

        fn item(&mut self, epoch: &str, first_row: u64, seq: u64) {
            let digest = self.rows[(first_row + seq) as usize].digest(seq);
            self.tally.item("n", epoch, seq, digest);
        }

        fn audit(self) -> Count {
            let books = self.tally.into_sources();
            assert_eq!(strays(&self.lives, &books), 0);
            audit("EWR", &self.rows, &self.lives, &books)
        }
    }

    #[test]
    fn all_delivered_is_clean() {
        let mut scene = Scene::new();
        scene.life("a", 0, 0..20);
        let count = scene.audit();
        assert!(count.is_clean());
        assert_eq!((count.delivered, count.missed), (20, 0));
    }

    #[test]
    fn what_was_reported_missed_is_accounted_for() {
        let mut scene = Scene::new();
        scene.life("a", 0, 0..10);
        scene.tally.missed("n", "a", 10, 13);
        for seq in 13..20 {
            scene.item("a", 0, seq);
        }
        let count = scene.audit();
        assert!(count.is_clean());
        assert_eq!((count.delivered, count.missed), (17, 3));
    }

    #[test]
    fn a_silent_drop_is_unaccounted_for() {
        let mut scene = Scene::new();
        scene.life("a", 0, 0..9);
        for seq in 10..20 {
            scene.item("a", 0, seq);
        }
        let count = scene.audit();
        assert_eq!((count.delivered, count.unaccounted), (19, 1));
        assert!(!count.is_clean());
    }

    #[test]
    fn a_duplicate_and_a_swap_are_found() {
        let mut scene = Scene::new();
        scene.life("a", 0, 0..20);
        scene.item("a", 0, 7);
        let count = scene.audit();
        assert_eq!((count.duplicates, count.delivered), (1, 20));
        assert!(!count.is_clean());

        let mut scene = Scene::new();
        scene.life("a", 0, 0..5);
        for seq in [6, 5].into_iter().chain(7..20) {
            scene.item("a", 0, seq);
        }
        assert_eq!(scene.audit().out_of_order, 1);
    }

    #[test]
    fn changed_content_and_a_false_gap_are_corrupt() {
        let mut scene = Scene::new();
        scene.life("a", 0, 0..19);
        scene.tally.item("n", "a", 19, 0xbad);
        assert_eq!(scene.audit().corrupt, 1);

        let mut scene = Scene::new();
        scene.life("a", 0, 0..20);
        scene.tally.missed("n", "a", 3, 4);
        assert_eq!(scene.audit().corrupt, 1);

        let mut scene = Scene::new();
        scene.life("a", 0, 0..20);
        scene.tally.item("n", "a", 25, 1);
        assert_eq!(scene.audit().corrupt, 1);
    }

    #[test]
    fn a_restart_that_overlaps_is_redelivery_not_duplication() {
        let mut scene = Scene::new();
        scene.life("a", 0, 0..12);
        scene.life("b", 9, 0..11);
        let count = scene.audit();
        assert!(count.is_clean());
        assert_eq!((count.delivered, count.redelivered), (20, 3));

        let mut scene = Scene::new();
        scene.life("a", 0, 0..8);
        scene.life("b", 9, 0..11);
        assert_eq!(scene.audit().unaccounted, 1);
    }

    #[test]
    fn books_of_a_stranger_are_strays() {
        let mut tally = Tally::default();
        tally.item("someone", "x", 0, 0);
        assert_eq!(strays(&[], &tally.into_sources()), 1);
    }
}
