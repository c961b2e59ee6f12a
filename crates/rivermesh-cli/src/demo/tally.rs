//! What one consumer got, counted independently of the library under test.

use std::collections::BTreeMap;

use super::wire::{Position, Source};

/// A consumer's own books.
#[derive(Debug, Default)]
pub(super) struct Tally {
    sources: BTreeMap<(String, String), Source>,
}

impl Tally {
    /// Books an item; returns true for the first one of an epoch.
    pub(super) fn item(&mut self, node: &str, epoch: &str, seq: u64, digest: u64) -> bool {
        let source = self.source(node, epoch);
        let first = source.received.end() == 0;
        if seq < source.received.end() {
            source.out_of_order += 1;
        }
        if source.received.insert(seq, seq + 1) > 0 {
            source.duplicates += 1;
        } else {
            source.digest = source.digest.wrapping_add(digest);
        }
        first
    }

    /// Books a gap that was reported.
    pub(super) fn missed(&mut self, node: &str, epoch: &str, from: u64, to: u64) {
        self.source(node, epoch).missed.insert(from, to);
    }

    /// Where things stand.
    pub(super) fn positions(&self) -> Vec<Position> {
        self.sources
            .values()
            .map(|source| Position {
                node: source.node.clone(),
                epoch: source.epoch.clone(),
                next: source.received.end().max(source.missed.end()),
                received: source.received.len(),
                missed: source.missed.len(),
            })
            .collect()
    }

    /// The books.
    pub(super) fn into_sources(self) -> Vec<Source> {
        self.sources.into_values().collect()
    }

    fn source(&mut self, node: &str, epoch: &str) -> &mut Source {
        self.sources
            .entry((node.to_owned(), epoch.to_owned()))
            .or_insert_with(|| Source {
                node: node.to_owned(),
                epoch: epoch.to_owned(),
                ..Source::default()
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_and_disorder_are_seen() {
        let mut tally = Tally::default();
        assert!(tally.item("n", "e", 0, 1));
        assert!(!tally.item("n", "e", 2, 4));
        tally.missed("n", "e", 3, 5);
        tally.item("n", "e", 1, 2);
        tally.item("n", "e", 2, 4);
        assert!(tally.item("n", "f", 7, 8));
        let positions = tally.positions();
        assert_eq!(
            (
                positions[0].next,
                positions[0].received,
                positions[0].missed
            ),
            (5, 3, 2)
        );
        let sources = tally.into_sources();
        assert_eq!(sources[0].digest, 7);
        assert_eq!((sources[0].duplicates, sources[0].out_of_order), (1, 2));
        assert_eq!(sources[1].received.end(), 8);
    }
}
