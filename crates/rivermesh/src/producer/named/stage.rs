//! Frames that were read from the log and may not all be sent yet.
//!
//! A consumer with a name gets so many items before it commits. What the log gives is whole batches,
//! so what is over waits here, and batches are cut where the room ends.

use std::{collections::VecDeque, ops::Range};

use bytes::Bytes;
use rivermesh_proto::{
    Seq,
    batch::{self, Batch, Frame, Header, Position},
};

/// See the module.
#[derive(Debug)]
pub(super) struct Stage {
    frames: VecDeque<Bytes>,
    /// The frame in front as it was read, and how far it was sent.
    front: Option<(Batch, Position)>,
    /// Everything before this was released.
    told: Seq,
}

/// What was released.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Released {
    /// The items, as ranges that rise.
    pub(super) items: Vec<Range<Seq>>,
    pub(super) bytes: u64,
    pub(super) missed: u64,
}

impl Released {
    fn note(&mut self, seq: Seq) {
        match self.items.last_mut() {
            Some(last) if last.end == seq => last.end += 1,
            _ => self.items.push(seq..seq + 1),
        }
    }

    /// How many items there are.
    pub(super) fn count(&self) -> u64 {
        self.items.iter().map(|range| range.end - range.start).sum()
    }
}

impl Stage {
    pub(super) fn new(start: Seq) -> Self {
        Self {
            frames: VecDeque::new(),
            front: None,
            told: start,
        }
    }

    /// Everything before this was released.
    pub(super) fn told(&self) -> Seq {
        self.told
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Takes frames that follow those that are here.
    pub(super) fn push(&mut self, frames: impl IntoIterator<Item = Bytes>) {
        self.frames.extend(frames);
    }

    /// Lets go of what was not released. It must be read again from where it stands.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.front = None;
    }

    /// Passes over what was told in another way.
    pub(super) fn tell(&mut self, upto: Seq) {
        self.told = self.told.max(upto);
    }

    /// Puts out frames of at most `room` items.
    pub(super) fn release(&mut self, room: u64, out: &mut Vec<Bytes>) -> Released {
        let mut released = Released::default();
        let mut room = room;
        while let Some(frame) = self.frames.front() {
            let (batch, mut position) = match self.front.take() {
                Some(front) => front,
                None => match Batch::of_frame(frame) {
                    Some(batch) => {
                        let start = batch.start();
                        (batch, start)
                    }
                    None => {
                        let before = self.told;
                        self.told = gap_of(frame).map_or(before, |gap| gap.end);
                        released.missed += self.told - before;
                        out.extend(self.frames.pop_front());
                        continue;
                    }
                },
            };
            let left = u64::from(batch.count() - position.index());
            if room == 0 && left > 0 {
                self.front = Some((batch, position));
                break;
            }
            let is_whole = left <= room;
            let put = if is_whole && position.index() == 0 {
                note(&batch, &mut released);
                self.told = batch.end();
                Some(frame.clone())
            } else {
                let picks = take(&batch, &mut position, room, &mut released);
                let end = match picks.last() {
                    Some(last) if !is_whole => last.seq + 1,
                    _ => batch.end(),
                };
                let from = std::mem::replace(&mut self.told, end);
                batch::thinned(frame, from..end, picks.iter().copied())
            };
            room -= left.min(room);
            released.bytes += put.as_ref().map_or(0, |frame| frame.len() as u64);
            out.extend(put);
            if is_whole {
                self.frames.pop_front();
            } else {
                self.front = Some((batch, position));
            }
        }
        released
    }
}

/// Notes all items of a batch.
fn note(batch: &Batch, released: &mut Released) {
    if batch.filtered() == 0 {
        released.note_range(batch.first()..batch.end());
        return;
    }
    let mut position = batch.start();
    while let Some((seq, _)) = batch.next(&mut position) {
        released.note(seq);
    }
}

impl Released {
    fn note_range(&mut self, range: Range<Seq>) {
        match self.items.last_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.items.push(range),
        }
    }
}

fn take(
    batch: &Batch,
    position: &mut Position,
    room: u64,
    released: &mut Released,
) -> Vec<batch::Pick> {
    let mut picks = Vec::new();
    while (picks.len() as u64) < room
        && let Some((pick, _)) = batch.next_pick(position)
    {
        released.note(pick.seq);
        picks.push(pick);
    }
    picks
}

/// What a frame tells as missed, if it does.
pub(super) fn gap_of(frame: &Bytes) -> Option<Range<Seq>> {
    let header = Header::parse(*frame.first_chunk::<{ batch::HEADER }>()?).ok()?;
    match Frame::parse(header.kind, frame.slice(batch::HEADER..)).ok()? {
        Frame::Gap { from, to } => Some(from..to),
        _ => None,
    }
}
