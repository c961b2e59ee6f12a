//! Reading the log with a filter.

use bytes::Bytes;
use rivermesh_proto::{
    Seq,
    batch::{self, Pick},
    filter::{GroupId, Plan},
};

use super::{Cursor, Log, Pinned, Read, Sealed};
use crate::producer::groups::{Full, Match, Pending};

/// What a reader with a filter has to expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outlook {
    /// A read gives something.
    More,
    /// There is nothing for it, and it has not been told of all that was left out.
    Untold,
    /// It knows everything.
    Nothing,
}

impl Log {
    /// Counts a reader: of everything, or of a filter, which gives its group.
    ///
    /// Seals the open batch for a filter that nobody else has, because a group begins with a batch.
    pub(crate) fn enter(&mut self, plan: Option<&Plan>) -> Result<Option<GroupId>, Full> {
        let Some(plan) = plan else {
            self.groups.enter_unfiltered();
            return Ok(None);
        };
        if self.groups.find(plan).is_none() {
            self.seal();
        }
        self.groups.enter(plan, self.next).map(Some)
    }

    /// Takes back one [`enter`](Self::enter).
    pub(crate) fn leave(&mut self, group: Option<GroupId>) {
        match group {
            Some(group) => self.groups.leave(group),
            None => self.groups.leave_unfiltered(),
        }
    }

    /// Rings when there is an item for a group whose readers have taken all there was.
    pub(crate) fn bell(&self, group: GroupId) -> std::sync::Arc<tokio::sync::Notify> {
        self.groups.bell(group)
    }

    /// Whether the next item for a group is in the open batch, so that a read would seal it.
    pub(crate) fn is_open_for(&self, cursor: &Cursor, group: GroupId) -> bool {
        cursor.seq >= self.groups.since(group)
            && self.groups.pending(group, cursor.seq) == Pending::Open
    }

    /// What a reader with a filter has to expect.
    pub(crate) fn outlook(&self, cursor: &Cursor, group: GroupId) -> Outlook {
        let is_unsorted = cursor.seq < self.groups.since(group) && cursor.seq < self.next;
        if is_unsorted
            || cursor.seq < self.groups.lost(group)
            || self.groups.pending(group, cursor.seq) != Pending::Nothing
        {
            Outlook::More
        } else if cursor.told < self.next {
            Outlook::Untold
        } else {
            Outlook::Nothing
        }
    }

    /// How many items the log holds from `seq` on that the reader gets. Of items from before its
    /// filter was there, and of a batch that it is in the middle of, all are counted.
    pub(crate) fn waiting(&self, seq: Seq, group: Option<GroupId>) -> u64 {
        let Some(group) = group else {
            return self.next.saturating_sub(seq);
        };
        let since = self.groups.since(group).min(self.next);
        since.saturating_sub(seq) + self.groups.waiting(group, seq.max(since))
    }

    /// As [`read`](Self::read), for a reader in a group: puts out the frames that have something
    /// for it, each with what was left out before it.
    pub(crate) fn read_group(
        &mut self,
        cursor: &mut Cursor,
        group: GroupId,
        max_bytes: usize,
        out: &mut Vec<Bytes>,
    ) -> Read {
        if cursor.seq >= self.next {
            return Read::End;
        }
        if cursor.seq < self.groups.since(group) {
            return self.read_unsorted(cursor, group);
        }
        let (mut items, mut bytes) = (0, 0);
        while bytes < max_bytes {
            let lost = self.groups.lost(group);
            if cursor.seq < lost && bytes == 0 {
                return Read::Lost {
                    from: cursor.seq,
                    to: lost,
                };
            }
            let number = match self.groups.pending(group, cursor.seq) {
                Pending::Batch(number) => number,
                // The open batch may still fill up while what was found is on its way.
                Pending::Open if bytes == 0 => {
                    self.seal();
                    continue;
                }
                Pending::Open => break,
                Pending::Nothing if bytes == 0 => {
                    cursor.seq = self.next;
                    cursor.batch = self.open_number();
                    return Read::End;
                }
                Pending::Nothing => break,
            };
            let before = out.len();
            let Some(found) = self.select(cursor, number, group, out) else {
                break;
            };
            items += found;
            bytes += out[before..].iter().map(Bytes::len).sum::<usize>();
        }
        Read::Frames {
            items,
            bytes: bytes as u64,
        }
    }

    /// Reads a batch from before the group began.
    fn read_unsorted(&self, cursor: &mut Cursor, group: GroupId) -> Read {
        let (oldest, since) = (self.oldest(), self.groups.since(group));
        if cursor.seq < oldest {
            let to = if oldest <= since {
                oldest
            } else {
                self.groups.lost(group)
            };
            return Read::Lost {
                from: cursor.seq,
                to,
            };
        }
        let index = usize::try_from(cursor.batch - self.evicted).unwrap_or(usize::MAX);
        let Some(batch) = self.sealed.get(index) else {
            return Read::End;
        };
        let from = cursor.seq;
        cursor.seq = batch.end;
        cursor.batch += 1;
        Read::Unsorted {
            frame: batch.frame.clone(),
            from,
        }
    }

    /// Puts out what a batch has for a group, from the cursor on, and how many items that is.
    fn select(
        &mut self,
        cursor: &mut Cursor,
        number: u64,
        group: GroupId,
        out: &mut Vec<Bytes>,
    ) -> Option<u64> {
        let index = usize::try_from(number.checked_sub(self.evicted)?).ok()?;
        let is_shared = self.groups.is_shared(group);
        let batch = self.sealed.get_mut(index)?;
        let id = u32::try_from(group.index()).ok()?;
        let matches = batch.matches_of(id, cursor.seq);
        let count = matches.len() as u64;
        let is_whole = count == batch.end - batch.first;
        if cursor.seq > batch.first || !is_shared && !is_whole {
            // Nobody else can use it, so it speaks for what was left out before it as well.
            out.push(batch.thin(cursor.told, matches)?);
        } else {
            if cursor.told < batch.first {
                out.push(batch::filtered(cursor.told..batch.first));
            }
            let made = batch.thinned.get(&id).cloned();
            out.push(if is_whole {
                batch.frame.clone()
            } else if let Some(frame) = made {
                frame
            } else {
                let frame = batch.thin(batch.first, matches)?;
                batch.thinned.insert(id, frame.clone());
                batch.bytes += frame.len();
                self.bytes += frame.len();
                frame
            });
        }
        *cursor = Cursor {
            seq: batch.end,
            batch: number + 1,
            told: batch.end,
        };
        Some(count)
    }

    /// Moves a cursor over what its group is known not to get, up to the next batch that has
    /// something for it.
    pub(crate) fn settle(&mut self, cursor: &mut Cursor, group: GroupId) {
        let pinned = Pinned {
            seq: cursor.seq,
            group: Some(group),
        };
        let told = cursor.told;
        if cursor.seq >= self.groups.lost(group) {
            *cursor = Cursor {
                told,
                ..self.cursor(self.waits_for(&pinned))
            };
        }
    }

    /// Puts out what the cursor was moved over.
    pub(crate) fn tell(cursor: &mut Cursor, out: &mut Vec<Bytes>) {
        if cursor.told < cursor.seq {
            out.push(batch::filtered(cursor.told..cursor.seq));
            cursor.told = cursor.seq;
        }
    }

    /// The first item that a pinned cursor may still need.
    pub(super) fn waits_for(&self, pinned: &Pinned) -> Seq {
        let Some(group) = pinned.group else {
            return pinned.seq;
        };
        if pinned.seq < self.groups.since(group) {
            return pinned.seq;
        }
        let first = match self.groups.pending(group, pinned.seq) {
            Pending::Batch(number) => usize::try_from(number.saturating_sub(self.evicted))
                .ok()
                .and_then(|index| self.sealed.get(index))
                .map_or(pinned.seq, |batch| batch.first),
            Pending::Open => self.open_first(),
            Pending::Nothing => self.next,
        };
        first.max(pinned.seq)
    }
}

impl Sealed {
    /// The items from `seq` on that a group gets.
    pub(super) fn matches_of(&self, group: u32, seq: Seq) -> &[Match] {
        let index = u32::try_from(seq.saturating_sub(self.first)).unwrap_or(u32::MAX);
        let from = |found: &Match| (found.group, found.index) < (group, index);
        let own = &self.matches[self.matches.partition_point(from)..];
        &own[..own.partition_point(|found| found.group == group)]
    }

    /// A frame of some items of the batch, which speaks for all numbers from `first` on.
    pub(super) fn thin(&self, first: Seq, matches: &[Match]) -> Option<Bytes> {
        let picks = matches.iter().map(|found| Pick {
            seq: self.first + u64::from(found.index),
            offset: found.offset as usize,
        });
        batch::thinned(&self.frame, first..self.end, picks)
    }
}
