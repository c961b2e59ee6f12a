//! What lies where: shared by the one writer and any number of readers, under a short lock.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use rivermesh_proto::Seq;

use crate::{files::Folder, read::Cause};

/// A segment, as far as it is known.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) number: u64,
    /// Bytes of whole records, the block at its head included.
    pub(crate) len: u64,
    /// Where its last intact batch ends; `None` without one.
    pub(crate) end: Option<Seq>,
    /// Damage was found in it.
    pub(crate) is_damaged: bool,
    /// Some of its batches: the first number and where the record lies, in order.
    index: Vec<(Seq, u64)>,
}

impl Segment {
    pub(crate) fn new(number: u64, len: u64) -> Self {
        Self {
            number,
            len,
            end: None,
            is_damaged: false,
            index: Vec::new(),
        }
    }

    /// Notes a batch that lies behind all others.
    pub(crate) fn note(&mut self, first: Seq, end: Seq, at: u64, spacing: u64) {
        let is_due = self
            .index
            .last()
            .is_none_or(|&(_, last)| at.saturating_sub(last) >= spacing);
        if is_due {
            self.index.push((first, at));
        }
        self.end = Some(end);
    }

    /// Takes back everything from `len` on, when `end` is where the batches before it end.
    pub(crate) fn take_back(&mut self, len: u64, end: Seq) {
        self.len = len;
        self.index.retain(|&(_, at)| at < len);
        self.end = (!self.index.is_empty()).then_some(end);
    }
}

/// Where to look for an item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In this segment, at or behind a record.
    In {
        number: u64,
        at: u64,
        limit: u64,
        /// Where the segment's batches end.
        end: Seq,
    },
    /// Nowhere: it is gone, like all up to `to`.
    Gone { to: Seq, cause: Cause },
    /// It has not been stored yet.
    End,
}

/// All segments.
#[derive(Debug)]
pub(crate) struct Map {
    pub(crate) segments: VecDeque<Segment>,
    /// Items before this were trimmed.
    pub(crate) first: Seq,
    /// Items before this were stored, whether or not they are intact.
    pub(crate) stored: Seq,
    /// The number of the next item.
    pub(crate) next: Seq,
}

impl Map {
    pub(crate) fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.len).sum()
    }

    /// Bytes from about where an item lies on.
    pub(crate) fn bytes_from(&self, from: Seq) -> u64 {
        let behind = |segment: &&Segment| segment.end.is_some_and(|end| end > from);
        let rest = |segment: &Segment| {
            let before = segment.index.partition_point(|&(first, _)| first <= from);
            let at = before.checked_sub(1).map_or(0, |n| segment.index[n].1);
            segment.len.saturating_sub(at)
        };
        self.segments.iter().filter(behind).map(rest).sum()
    }

    pub(crate) fn locate(&self, from: Seq) -> Place {
        if from >= self.next {
            return Place::End;
        }
        if from < self.first {
            let (to, cause) = (self.first, Cause::Trimmed);
            return Place::Gone { to, cause };
        }
        // Segments without a batch lie anywhere between the others, and are few.
        let holds = |segment: &&Segment| segment.end.is_some_and(|end| end > from);
        let Some(segment) = self.segments.iter().find(holds) else {
            let (to, cause) = if from < self.stored {
                (self.stored, Cause::Corrupt)
            } else {
                (self.next, Cause::Unsaved)
            };
            return Place::Gone { to, cause };
        };
        let behind = segment.index.partition_point(|&(first, _)| first <= from);
        let at = segment.index.get(behind.saturating_sub(1));
        Place::In {
            number: segment.number,
            at: at.map_or(segment.len, |&(_, at)| at),
            limit: segment.len,
            end: segment.end.unwrap_or(from),
        }
    }
}

/// What the writer and its readers share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) folder: Folder,
    pub(crate) key: [u8; 32],
    map: Mutex<Map>,
}

impl Shared {
    pub(crate) fn new(folder: Folder, key: [u8; 32], map: Map) -> Arc<Self> {
        let map = Mutex::new(map);
        Arc::new(Self { folder, key, map })
    }

    pub(crate) fn map(&self) -> MutexGuard<'_, Map> {
        // Nothing under this lock leaves the map half changed.
        self.map.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
