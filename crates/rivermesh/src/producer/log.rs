//! The log of a produced stream: a ring of sealed batches, and cursors into it.
//!
//! No I/O, no clock, no lock: whoever holds the [`Log`] calls it. One log serves all consumers of
//! the stream; each costs a [`Cursor`]. Items are encoded into the open batch; whoever reads at
//! the end of the ring seals it, so batches grow with load and nothing waits for one to fill.
//!
//! Readers with a filter are in [groups](super::groups); `select` is how they read.
//!
//! The ring is bounded in bytes. When it is over its bound, batches leave at the old end, whether
//! every cursor has passed them or not, except that it never moves past a [pinned](Log::pin)
//! cursor: then appending is refused until that cursor has moved. For what is [held](Log::hold) it grows
//! beyond that bound, up to another one.

use std::collections::{BTreeMap, VecDeque};

use bytes::{Bytes, BytesMut};
use rivermesh_proto::{
    Seq,
    batch::{self, Batch, Builder},
    filter::{GroupId, Set},
    limits,
};
use slotmap::{SlotMap, new_key_type};

use super::groups::{Groups, Limits, Match};

mod retain;
mod select;
mod table;
mod thin;

pub(crate) use retain::{Begin, NotCompacted, Retention};
pub(crate) use select::Outlook;
use table::Table;
#[cfg(test)]
pub(crate) use table::TableBounds;
pub(crate) use thin::Thin;

new_key_type! {
    /// A cursor that the ring does not move past.
    pub(crate) struct Pin;
}

/// The blocks that are kept to be used again are this part of the bound on a log's bytes.
const SPARED: usize = 8;

/// Bounds of a log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of sealed batches that are kept, what is known of them for filters included; one batch
    /// may lie above it.
    pub(crate) log_bytes: usize,
    /// Bytes of sealed batches at which appending is refused because of what is [held](Log::hold).
    pub(crate) hold_bytes: usize,
    /// Bytes at which the open batch is sealed.
    pub(crate) batch_bytes: usize,
    /// What the filters may take.
    pub(crate) filters: Limits,
    /// What is kept for those who come later.
    pub(crate) retention: Retention,
}

/// A batch in the ring.
#[derive(Debug)]
struct Sealed {
    first: Seq,
    end: Seq,
    frame: Bytes,
    /// Which items groups of readers get; sorted.
    matches: Box<[Match]>,
    /// The frames of groups with more than one reader, made when the first of them reads.
    thinned: BTreeMap<u32, Bytes>,
    /// The keys of its items, while there is a table of them.
    keys: Box<[u32]>,
    /// When it was begun, or the batch before it, whichever is later: a clock may go back.
    since_us: u64,
    /// Bytes that all of this takes, about.
    bytes: usize,
}

/// Where a consumer stands: everything before `seq` has been given to it, or left out by its
/// filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cursor {
    seq: Seq,
    /// The number of the batch that holds `seq`, counted from the log's first batch.
    batch: u64,
    /// What lies between this and `seq` was left out, and the consumer has not been told yet.
    told: Seq,
}

impl Cursor {
    pub(crate) fn seq(&self) -> Seq {
        self.seq
    }

    /// Everything before this has been put out.
    pub(crate) fn told(&self) -> Seq {
        self.told
    }

    /// Everything up to where the cursor stands has been put out.
    pub(crate) fn put_out(&mut self) {
        self.told = self.seq;
    }
}

/// A pinned cursor: it waits for the item `seq`, or for the next after it that its filter lets
/// through.
#[derive(Clone, Copy, Debug)]
struct Pinned {
    seq: Seq,
    group: Option<GroupId>,
}

/// What [`Log::append`] did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Append {
    /// The item has this number. `wakes` when readers that were at the end must be told; those with
    /// a filter have been. `unwanted` when nobody reads who gets it.
    Done {
        seq: Seq,
        wakes: bool,
        unwanted: bool,
    },
    /// A pinned cursor is in the way; nothing was appended.
    Full,
    /// What consumers with a name have not acknowledged is in the way; nothing was appended.
    Held,
    /// The log was closed; nothing was appended.
    Closed,
}

/// What the log holds from some item on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lagging {
    pub(crate) items: u64,
    /// Bytes of the batches that hold them.
    pub(crate) bytes: u64,
    /// When the first item of the first of these batches was sent; `None` where there is none.
    pub(crate) since_us: Option<u64>,
}

/// What [`Log::read`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Read {
    /// Frames were put out that hold this many items.
    Frames { items: u64, bytes: u64 },
    /// The cursor has moved behind these items, which have left the ring, and were sent in batches
    /// that were begun at this time.
    Held {
        items: Vec<(Seq, Bytes)>,
        at_us: u64,
    },
    /// The cursor has moved behind this frame, of which these items are not superseded.
    Newest { frame: Bytes, items: Vec<Seq> },
    /// The cursor has moved over what the reader does not get.
    Passed,
    /// The ring has moved past the cursor: these items are gone. The cursor has not moved.
    Lost { from: Seq, to: Seq },
    /// The cursor has moved behind this frame, which was sealed before anybody had its filter: the
    /// reader is to pick out what it gets, from this item on.
    Unsorted { frame: Bytes, from: Seq },
    /// The cursor is at the end.
    End,
}

/// Why the oldest batch does not leave the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stays {
    /// A pinned cursor is in the way.
    Pinned,
    /// It is [held](Log::hold).
    Held,
}

#[derive(Debug)]
pub(crate) struct Log {
    bounds: Bounds,
    sealed: VecDeque<Sealed>,
    /// How many batches have left the ring.
    evicted: u64,
    bytes: usize,
    open: Builder,
    open_since_us: u64,
    /// The number of the next item.
    next: Seq,
    pins: SlotMap<Pin, Pinned>,
    /// No pinned cursor is before this: saves looking at all of them for each batch.
    pinned_from: Seq,
    /// Nothing from this item on leaves the ring, up to a bound of its own.
    held_from: Seq,
    /// An append was refused, and nobody was told since that there is room.
    refused: bool,
    closed: bool,
    groups: Groups,
    /// The newest item of each key, where somebody asks.
    table: Option<Box<Table>>,
    /// Readers to whom superseded items need not be sent.
    tracked: usize,
    /// Items from here on are kept elsewhere, for those who come later.
    kept_from: Seq,
}

impl Log {
    pub(crate) fn new(bounds: Bounds) -> Self {
        // Somewhat more than whole batches, which end behind the item that fills them.
        let block = bounds.batch_bytes.max(64 * 1024) + 4 * 1024;
        let blocks = bounds.log_bytes / SPARED / block;
        let Retention {
            newest_per_key,
            table,
            ..
        } = bounds.retention;
        Self {
            bounds,
            sealed: VecDeque::new(),
            evicted: 0,
            bytes: 0,
            open: Builder::reusing(block, blocks),
            open_since_us: 0,
            next: 0,
            pins: SlotMap::with_key(),
            pinned_from: 0,
            held_from: Seq::MAX,
            refused: false,
            closed: false,
            groups: Groups::new(bounds.filters),
            table: newest_per_key.then(|| Box::new(Table::new(true, table, 0))),
            tracked: 0,
            kept_from: Seq::MAX,
        }
    }

    /// Goes on behind items of an earlier life of the process. Before anything is appended.
    pub(crate) fn go_on_at(&mut self, next: Seq) {
        self.next = next;
    }

    /// Lets those who come later begin with items that are kept elsewhere: see [`Read::Lost`].
    pub(crate) fn reach_back(&mut self, first: Seq) {
        self.kept_from = first;
    }

    /// The number of the next item.
    pub(crate) fn next(&self) -> Seq {
        self.next
    }

    /// The number of the oldest item that is held, or of the next one where none is.
    pub(crate) fn oldest(&self) -> Seq {
        self.sealed
            .front()
            .map_or_else(|| self.open_first(), |batch| batch.first)
    }

    /// Whether an item at or after `seq` is there, but only in the open batch.
    pub(crate) fn is_open(&self, seq: Seq) -> bool {
        (self.open_first()..self.next).contains(&seq)
    }

    /// Bytes held.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.open.bytes() + self.groups.open_bytes()
    }

    /// Distinct filters of the readers.
    pub(crate) fn filters(&self) -> usize {
        self.groups.len()
    }

    /// Takes no further item. Who sees the log closed and reads to its end has seen everything.
    pub(crate) fn close(&mut self) {
        self.closed = true;
        self.groups.ring();
    }

    /// Encodes an item into the open batch. `now_us` is asked once per batch. `evaluate` is to
    /// evaluate the filters on the item, and is asked where there are any.
    pub(crate) fn append<E>(
        &mut self,
        now_us: impl FnOnce() -> u64,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), E>,
        evaluate: impl FnOnce(&mut Set) -> Result<(), E>,
    ) -> Result<Append, E> {
        if self.closed {
            return Ok(Append::Closed);
        }
        if !self.has_room() {
            return Ok(if self.is_held() {
                Append::Held
            } else {
                Append::Full
            });
        }
        let is_filtered = !self.groups.is_empty();
        if is_filtered {
            evaluate(self.groups.set())?;
        }
        let wakes = self.open.is_empty();
        let (mut index, mut offset) = (self.open.count(), self.open.offset());
        self.open.push(encode)?;
        if wakes {
            self.open_since_us = now_us();
        } else if self.open.bytes() > limits::BATCH {
            // A frame has room for one item of the largest size: a large one travels alone.
            let first = self.next - u64::from(index);
            let sealed = self.open.seal_before(offset, first, self.open_since_us);
            if let Some(frame) = sealed {
                self.keep(first, frame);
                self.open_since_us = now_us();
                (index, offset) = (0, batch::FIRST);
            }
        }
        let seq = self.next;
        self.next += 1;
        if let Some(table) = &mut self.table {
            table.note(seq);
        }
        let unwanted = if is_filtered {
            let batch = self.open_number();
            self.groups.note(seq, index, offset, batch)
        } else {
            !self.groups.has_unfiltered()
        };
        if self.open.bytes() >= self.bounds.batch_bytes || self.groups.is_full() {
            self.seal();
        }
        Ok(Append::Done {
            seq,
            wakes,
            unwanted,
        })
    }

    /// Whether an append would be taken.
    #[inline]
    pub(crate) fn has_room(&mut self) -> bool {
        self.bytes < self.bounds.log_bytes || self.make_room() || {
            self.refused = true;
            false
        }
    }

    /// Puts out the frames after the cursor, of at most about `max_bytes` (but at least one), and
    /// moves the cursor behind them.
    pub(crate) fn read(
        &mut self,
        cursor: &mut Cursor,
        max_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Read {
        if cursor.seq >= self.next {
            return Read::End;
        }
        let oldest = self.oldest();
        if cursor.seq < oldest {
            return Read::Lost {
                from: cursor.seq,
                to: oldest,
            };
        }
        let (mut items, mut bytes) = (0, 0);
        while bytes < max_bytes {
            if cursor.seq >= self.open_first() {
                // The open batch may still fill up while what was found is on its way.
                if bytes > 0 {
                    break;
                }
                self.seal();
            }
            let index = usize::try_from(cursor.batch - self.evicted).unwrap_or(usize::MAX);
            let Some(batch) = self.sealed.get(index) else {
                break;
            };
            let frame = if cursor.seq == batch.first {
                batch.frame.clone()
            } else {
                match Batch::of_frame(&batch.frame).and_then(|b| b.frame_from(cursor.seq)) {
                    Some(rest) => rest,
                    None => break,
                }
            };
            items += batch.end - cursor.seq;
            bytes += frame.len();
            out.push(frame);
            *cursor = Cursor {
                seq: batch.end,
                batch: cursor.batch + 1,
                told: batch.end,
            };
        }
        Read::Frames {
            items,
            bytes: bytes as u64,
        }
    }

    /// A cursor at an item, or at the end where that lies before it. Where the item is gone already,
    /// the first read says so.
    ///
    /// Seals the open batch: a reader that begins at the end is told of the next item only if that
    /// begins a batch.
    pub(crate) fn cursor(&mut self, seq: Seq) -> Cursor {
        self.seal();
        let seq = seq.min(self.next);
        self.place(seq, seq)
    }

    /// A cursor at an item that need not be in the ring, for a reader that has put out everything
    /// before `told`.
    pub(crate) fn place(&mut self, seq: Seq, told: Seq) -> Cursor {
        if seq >= self.open_first() {
            self.seal();
        }
        let seq = seq.min(self.next);
        let index = self.sealed.partition_point(|batch| batch.end <= seq);
        let batch = self.evicted + index as u64;
        Cursor { seq, batch, told }
    }

    /// A cursor at the newest batch.
    pub(crate) fn newest(&mut self) -> Cursor {
        self.seal();
        let seq = self.sealed.back().map_or(self.next, |batch| batch.first);
        self.cursor(seq)
    }

    /// Keeps the ring from moving past `seq`, or the next item after it that the filter of `group`
    /// lets through, until the pin is moved or taken out.
    pub(crate) fn pin(&mut self, seq: Seq, group: Option<GroupId>) -> Pin {
        self.pinned_from = self.pinned_from.min(seq);
        self.pins.insert(Pinned { seq, group })
    }

    /// Moves a pin on. True when whoever was refused may try again.
    pub(crate) fn move_pin(&mut self, pin: Pin, seq: Seq) -> bool {
        if let Some(held) = self.pins.get_mut(pin) {
            held.seq = seq;
        }
        self.relieved()
    }

    /// Lets a pin wait for the items of another group.
    pub(crate) fn turn_pin(&mut self, pin: Pin, group: Option<GroupId>) {
        if let Some(held) = self.pins.get_mut(pin) {
            held.group = group;
            self.pinned_from = self.pinned_from.min(held.seq);
        }
    }

    /// Takes a pin out. True when whoever was refused may try again.
    pub(crate) fn unpin(&mut self, pin: Pin) -> bool {
        self.pins.remove(pin);
        self.relieved()
    }

    /// Keeps what is sent from this item on; nothing with [`Seq::MAX`]. True when whoever was refused
    /// may try again.
    pub(crate) fn hold(&mut self, from: Seq) -> bool {
        self.held_from = from;
        self.relieved()
    }

    /// Whether what is held is more than may be.
    pub(crate) fn is_held(&self) -> bool {
        self.bytes >= self.bounds.hold_bytes
            && self
                .sealed
                .front()
                .is_some_and(|front| front.end > self.held_from)
    }

    /// What the log holds from an item on.
    pub(crate) fn lag(&self, from: Seq) -> Lagging {
        let from = from.max(self.oldest());
        let first = self.sealed.partition_point(|batch| batch.end <= from);
        let sealed = self.sealed.iter().skip(first);
        let bytes: usize = sealed.map(|batch| batch.bytes).sum();
        let open = (!self.open.is_empty()).then_some(self.open_since_us);
        Lagging {
            items: self.next.saturating_sub(from),
            bytes: (bytes + self.open.bytes()) as u64,
            since_us: self.sealed.get(first).map(|batch| batch.since_us).or(open),
        }
    }

    /// Whether an append was refused and there is room now. Whoever waits is not told of pins that
    /// move while another one is in the way: with many consumers that is most of them.
    fn relieved(&mut self) -> bool {
        if !self.refused || !self.make_room() {
            return false;
        }
        self.refused = false;
        true
    }

    fn open_first(&self) -> Seq {
        self.next - u64::from(self.open.count())
    }

    /// The number that the open batch will have.
    #[inline]
    fn open_number(&self) -> u64 {
        self.evicted + self.sealed.len() as u64
    }

    fn seal(&mut self) {
        let first = self.open_first();
        if let Some(frame) = self.open.seal(first, self.open_since_us) {
            self.keep(first, frame);
        }
    }

    /// Puts a frame of the items from `first` to the newest one into the ring.
    fn keep(&mut self, first: Seq, frame: Bytes) {
        let (matches, bytes) = self.groups.seal(self.open_number(), first);
        let keys = self.table.as_mut().map_or_else(Box::default, |t| t.seal());
        let bytes = frame.len() + bytes + size_of_val(&*keys);
        self.bytes += bytes;
        let before_us = self.sealed.back().map_or(0, |batch| batch.since_us);
        self.sealed.push_back(Sealed {
            first,
            end: self.next,
            frame,
            matches,
            thinned: BTreeMap::new(),
            keys,
            since_us: self.open_since_us.max(before_us),
            bytes,
        });
        self.make_room();
    }

    /// Lets batches go until the ring is within its bound; false where a pin is in the way.
    fn make_room(&mut self) -> bool {
        while self.bytes >= self.bounds.log_bytes {
            let Some(front) = self.sealed.front() else {
                return true;
            };
            // The newest batch stays even where it alone is over the bound.
            if self.sealed.len() == 1 {
                let free = self.pins.is_empty() || front.end <= self.lowest_pin();
                return free && !self.is_held();
            }
            match self.let_go() {
                Ok(()) => {}
                Err(Stays::Pinned) => return false,
                Err(Stays::Held) => return self.bytes < self.bounds.hold_bytes,
            }
        }
        true
    }

    /// Lets the oldest batch go, unless it has to stay.
    fn let_go(&mut self) -> Result<(), Stays> {
        let end = self.sealed.front().map_or(self.next, |front| front.end);
        if end > self.pinned_from && !self.pins.is_empty() {
            self.pinned_from = self.lowest_pin();
            if end > self.pinned_from {
                return Err(Stays::Pinned);
            }
        }
        if end > self.held_from {
            return Err(Stays::Held);
        }
        let Some(front) = self.sealed.pop_front() else {
            return Ok(());
        };
        self.bytes -= front.bytes;
        self.groups.evict(self.evicted, &front.matches);
        if let Some(table) = &mut self.table {
            table.evict(&front.keys, front.first, &front.frame, front.since_us);
        }
        self.evicted += 1;
        self.open.give_back(front.frame);
        Ok(())
    }

    fn lowest_pin(&self) -> Seq {
        let waits = self.pins.values().map(|pinned| self.waits_for(pinned));
        waits.min().unwrap_or(self.next)
    }
}

#[cfg(test)]
mod tests;
