//! What the log keeps for those who come later, and where they begin.
//!
//! The ring is there for all: for consumers that are behind and for those whose connection broke. A
//! [`Retention`] says how much of it is for those who come later. Its age alone lets batches go
//! from the ring; what is older is given to nobody.

use std::time::Duration;

use rivermesh_proto::{Epoch, Seq, subscribe::Start};
use thiserror::Error;

use super::{
    Cursor, Log,
    table::{Table, TableBounds},
};

/// What is kept for those who come later. The default is all that the log holds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// This many of the newest items at most.
    pub(crate) items: u64,
    /// The newest batches that have this many bytes at most; the newest one always.
    pub(crate) bytes: usize,
    /// Nothing that is older.
    pub(crate) age: Option<Duration>,
    /// Beyond that the newest item of each key.
    pub(crate) newest_per_key: bool,
    /// Bounds of the table of keys, where there is one.
    pub(crate) table: TableBounds,
}

impl Retention {
    pub(crate) const ALL: Self = Self {
        items: u64::MAX,
        bytes: usize::MAX,
        age: None,
        newest_per_key: false,
        table: TableBounds {
            keys: 65_536,
            bytes: 16 * 1024 * 1024,
        },
    };

    fn age_us(&self) -> Option<u64> {
        let age = self.age?.as_micros();
        Some(u64::try_from(age).unwrap_or(u64::MAX))
    }
}

/// Where a reader begins.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Begin {
    /// What lies between where the cursor was [told](Cursor::told) and where it stands is gone.
    pub(crate) cursor: Cursor,
    /// Of the items before this only the newest of each key are for the reader.
    pub(crate) thinned: Seq,
}

/// The producer does not keep the newest item of each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the newest items of keys are not kept")]
pub(crate) struct NotCompacted;

impl Log {
    /// Where a reader begins that wants this, of this life of the stream, at this time.
    pub(crate) fn begin(
        &mut self,
        start: Start,
        epoch: Epoch,
        now_us: u64,
    ) -> Result<Begin, NotCompacted> {
        let floor = self.floor(now_us);
        let is_compacted = self.table.as_ref().is_some_and(|table| table.keeps());
        let (from, thinned) = match start {
            Start::Latest => (self.next, 0),
            Start::Resume { epoch: old, next } if old == epoch => (next, 0),
            Start::Rest {
                epoch: old,
                next,
                until,
            } if old == epoch => (
                next,
                if is_compacted {
                    until.min(self.next)
                } else {
                    0
                },
            ),
            // Another life of this producer: all of this one is new to the consumer.
            Start::Resume { .. } | Start::Rest { .. } => (0, 0),
            Start::Earliest => (self.lowest(floor), floor),
            Start::At { seq } => (seq.min(self.next), floor),
            Start::Since { at_us } => (self.since(at_us), floor),
            Start::Ago { us } => (self.since(now_us.saturating_sub(us)), floor),
            Start::LastPerKey if is_compacted => (self.lowest(floor), self.next),
            Start::LastPerKey => return Err(NotCompacted),
        };
        if is_compacted || from >= thinned {
            return Ok(Begin {
                cursor: self.cursor(from),
                thinned: if from < thinned { thinned } else { 0 },
            });
        }
        // What is kept begins behind it.
        let told = match start {
            Start::At { .. } => from,
            _ => thinned,
        };
        let cursor = Cursor {
            told,
            ..self.cursor(thinned)
        };
        Ok(Begin { cursor, thinned: 0 })
    }

    /// Where a reader begins that is to get everything from an item on.
    pub(crate) fn begin_at(&mut self, seq: Seq) -> Begin {
        Begin {
            cursor: self.cursor(seq),
            thinned: 0,
        }
    }

    /// Where a reader begins that acknowledges what it gets. It gets everything from there on: the
    /// newest items of keys that are kept from before are not for it.
    pub(crate) fn first_in_full(&mut self, start: Start, epoch: Epoch, now_us: u64) -> Seq {
        let floor = self.floor(now_us);
        match start {
            Start::Latest => self.next,
            Start::Resume { epoch: old, next }
            | Start::Rest {
                epoch: old, next, ..
            } if old == epoch => next.min(self.next),
            Start::Resume { .. } | Start::Rest { .. } => 0,
            Start::At { seq } => seq.min(self.next),
            Start::Earliest | Start::LastPerKey => floor,
            Start::Since { at_us } => self.since(at_us).max(floor),
            Start::Ago { us } => self.since(now_us.saturating_sub(us)).max(floor),
        }
    }

    /// The first of the items that are kept for those who come later, but for newest ones of keys.
    pub(crate) fn floor(&mut self, now_us: u64) -> Seq {
        self.drop_old(now_us);
        self.seal();
        let Retention { items, bytes, .. } = self.bounds.retention;
        let oldest = self.oldest().min(self.kept_from);
        let mut floor = oldest.max(self.next.saturating_sub(items));
        if let Some(age) = self.bounds.retention.age_us() {
            // What somebody is waited for with may be older.
            let oldest_us = now_us.saturating_sub(age);
            let old = self
                .sealed
                .partition_point(|batch| batch.since_us < oldest_us);
            floor = floor.max(self.sealed.get(old).map_or(self.next, |batch| batch.first));
        }
        let mut kept = 0usize;
        for (number, batch) in self.sealed.iter().rev().enumerate() {
            kept = kept.saturating_add(batch.frame.len());
            if kept > bytes && number > 0 {
                floor = floor.max(batch.end);
                break;
            }
            if batch.first <= floor {
                break;
            }
        }
        floor
    }

    /// Lets go the batches that were begun too long ago, the open one included. True when whoever was
    /// refused may try again.
    pub(crate) fn trim(&mut self, now_us: u64) -> bool {
        self.drop_old(now_us);
        self.relieved()
    }

    fn drop_old(&mut self, now_us: u64) {
        let Some(age) = self.bounds.retention.age_us() else {
            return;
        };
        let oldest_us = now_us.saturating_sub(age);
        if self.open_since_us < oldest_us {
            self.seal();
        }
        while self
            .sealed
            .front()
            .is_some_and(|batch| batch.since_us < oldest_us)
            && self.let_go().is_ok()
        {}
    }

    /// Seals the open batch. Who asks for items by their time gets whole batches.
    pub(crate) fn end_batch(&mut self) {
        self.seal();
    }

    /// The first item that is kept in any way.
    fn lowest(&self, floor: Seq) -> Seq {
        let Some(table) = self.table.as_ref().filter(|table| table.keeps()) else {
            return floor;
        };
        table.oldest().unwrap_or(floor).min(self.oldest())
    }

    /// Whether there is a batch that was begun before this time.
    pub(crate) fn reaches_back(&self, at_us: u64) -> bool {
        let front = self.sealed.front();
        front.is_some_and(|batch| batch.since_us < at_us)
    }

    /// The first item of the first batch in which one may be that was sent at `at_us` or later.
    fn since(&self, at_us: u64) -> Seq {
        let later = self.sealed.partition_point(|batch| batch.since_us < at_us);
        match (later.checked_sub(1), &self.table) {
            // The batch before that one may have gone on until it began.
            (Some(before), _) => self.sealed[before].first,
            (None, Some(table)) if table.keeps() => table.since(at_us, self.oldest()),
            (None, _) => self.oldest(),
        }
    }

    /// Counts a reader to whom superseded items need not be sent.
    ///
    /// Seals the open batch for the first, because a table begins with a batch.
    pub(crate) fn track(&mut self) {
        self.tracked += 1;
        if self.table.is_none() {
            self.seal();
            let bounds = self.bounds.retention.table;
            self.table = Some(Box::new(Table::new(false, bounds, self.next)));
        }
    }

    /// Takes back one [`track`](Self::track).
    pub(crate) fn untrack(&mut self) {
        self.tracked = self.tracked.saturating_sub(1);
        if self.tracked == 0 && self.table.as_ref().is_some_and(|table| !table.keeps()) {
            self.table = None;
        }
    }

    /// Whether the keys of items are wanted.
    pub(crate) fn is_keyed(&self) -> bool {
        self.table.is_some()
    }

    /// Takes the key of the item that is about to be appended. To be called before each append
    /// where [`is_keyed`](Self::is_keyed).
    pub(crate) fn key(&mut self, key: Option<&[u8]>) {
        if let Some(table) = &mut self.table {
            table.key(key);
        }
    }

    /// Keys that are known, bytes that they and their items take outside of the ring, and keys that
    /// were let go, or not taken up, for want of room.
    pub(crate) fn keys(&self) -> (usize, usize, u64) {
        let table = self.table.as_ref();
        table.map_or((0, 0, 0), |table| {
            (table.len(), table.bytes(), table.forgotten())
        })
    }
}
