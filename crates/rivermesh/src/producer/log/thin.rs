//! Reading the log without items that a newer one of their key has superseded.
//!
//! Whether an item is superseded is found out when it is read, not when the reader began: what has
//! superseded it in between is ahead of the reader, who comes to it.

use bytes::Bytes;
use rivermesh_proto::{Seq, filter::GroupId};

use super::{Cursor, Log, Read};
use crate::producer::groups::Pending;

/// Bytes of items that were kept beyond the ring and are given out at a time, if one item alone is
/// not larger.
const HELD_BYTES: usize = 32 * 1024;

/// A part of the log of which a reader gets only what is not superseded.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Thin {
    /// Where it ends.
    pub(crate) until: Seq,
    /// Whether items that are gone and were not superseded are told as lost. The reader would have
    /// got them; to one that begins with what is kept they were never promised.
    pub(crate) is_strict: bool,
}

impl Log {
    /// Whether a reader is behind: what it is to read next is not in the newest batch.
    pub(crate) fn is_behind(&self, cursor: &Cursor, group: Option<GroupId>) -> bool {
        if cursor.seq >= self.next || cursor.seq < self.oldest() {
            return cursor.seq < self.next;
        }
        let batches = self.open_number() + u64::from(!self.open.is_empty());
        let number = match self.sorted(cursor, group) {
            Some(group) => match self.groups.pending(group, cursor.seq) {
                Pending::Batch(number) => number,
                Pending::Open | Pending::Nothing => return false,
            },
            None => cursor.batch,
        };
        number + 1 < batches
    }

    /// The group of a reader, if the log knows of the items at its cursor what the group gets.
    fn sorted(&self, cursor: &Cursor, group: Option<GroupId>) -> Option<GroupId> {
        group.filter(|group| cursor.seq >= self.groups.since(*group))
    }

    /// As [`read`](Log::read), of a part of the log that is thinned out. One step of it: it may find
    /// nothing, and move on.
    pub(crate) fn read_thin(
        &mut self,
        cursor: &mut Cursor,
        group: Option<GroupId>,
        thin: Thin,
        out: &mut Vec<Bytes>,
    ) -> Read {
        if cursor.seq >= self.next {
            return Read::End;
        }
        if cursor.seq < self.oldest() {
            return self.read_held(cursor, group, thin);
        }
        if let Some(group) = self.sorted(cursor, group) {
            return self.select_newest(cursor, group, thin.until, out);
        }
        if cursor.seq >= self.open_first() {
            self.seal();
        }
        let index = usize::try_from(cursor.batch - self.evicted).unwrap_or(usize::MAX);
        let Some(batch) = self.sealed.get(index) else {
            return Read::End;
        };
        let is_wanted = |seq: &Seq| *seq >= thin.until || self.is_newest(index, *seq);
        let items = (cursor.seq..batch.end).filter(is_wanted).collect();
        let frame = batch.frame.clone();
        *cursor = Cursor {
            seq: batch.end,
            batch: cursor.batch + 1,
            told: cursor.told,
        };
        Read::Newest { frame, items }
    }

    /// Whether no newer item has the key of this one, which is in this batch of the ring.
    fn is_newest(&self, index: usize, seq: Seq) -> bool {
        let batch = &self.sealed[index];
        let table = self.table.as_ref();
        table.is_none_or(|table| table.is_newest(&batch.keys, batch.first, seq))
    }

    /// Reads what was kept when it left the ring.
    fn read_held(&self, cursor: &mut Cursor, group: Option<GroupId>, thin: Thin) -> Read {
        let (from, oldest) = (cursor.seq, self.oldest());
        // What lies behind the part, and in front of the ring, is to be told as lost.
        let end = oldest.min(thin.until);
        let Some(table) = &self.table else {
            return Read::Lost { from, to: oldest };
        };
        let mut held = table.items(from..end).peekable();
        let found = held.peek().map_or(end, |(seq, _)| *seq);
        let lost = if thin.is_strict {
            let known = self.sorted(cursor, group);
            let of_group = known.map_or(Seq::MAX, |group| self.groups.lost(group));
            table.lost().min(of_group).min(found)
        } else {
            0
        };
        if from < lost {
            return Read::Lost { from, to: lost };
        }
        let Some((_, first)) = held.peek() else {
            *cursor = Cursor {
                seq: end,
                batch: self.evicted,
                told: cursor.told,
            };
            return Read::Passed;
        };
        let (at_us, mut bytes, mut items) = (first.at_us, 0, Vec::new());
        for (seq, held) in held {
            bytes += held.item.len();
            if !items.is_empty() && (held.at_us != at_us || bytes > HELD_BYTES) {
                break;
            }
            // One that was lost in between is told with the next read.
            if thin.is_strict && seq > cursor.seq && cursor.seq < table.lost() && !items.is_empty()
            {
                break;
            }
            cursor.seq = seq + 1;
            items.push((seq, held.item.clone()));
        }
        cursor.batch = self.evicted;
        Read::Held { items, at_us }
    }

    /// Puts out what the next batch that has something for a group has for it, if it is not
    /// superseded.
    fn select_newest(
        &mut self,
        cursor: &mut Cursor,
        group: GroupId,
        until: Seq,
        out: &mut Vec<Bytes>,
    ) -> Read {
        if self.groups.pending(group, cursor.seq) == Pending::Open {
            self.seal();
        }
        let Pending::Batch(number) = self.groups.pending(group, cursor.seq) else {
            cursor.seq = self.next;
            cursor.batch = self.open_number();
            return Read::End;
        };
        let index = usize::try_from(number.saturating_sub(self.evicted)).unwrap_or(usize::MAX);
        let (Some(batch), Ok(id)) = (self.sealed.get(index), u32::try_from(group.index())) else {
            return Read::End;
        };
        let mut matches = batch.matches_of(id, cursor.seq).to_vec();
        matches.retain(|found| {
            let seq = batch.first + u64::from(found.index);
            seq >= until || self.is_newest(index, seq)
        });
        cursor.seq = batch.end;
        cursor.batch = number + 1;
        if matches.is_empty() {
            return Read::Passed;
        }
        let Some(frame) = batch.thin(cursor.told, &matches) else {
            return Read::Passed;
        };
        cursor.told = batch.end;
        let (items, bytes) = (matches.len() as u64, frame.len() as u64);
        out.push(frame);
        Read::Frames { items, bytes }
    }
}
