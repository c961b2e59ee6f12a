//! How a group reads the log: once for all its members.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher},
    sync::Arc,
};

use bytes::Bytes;
use rivermesh_proto::{
    Seq,
    batch::{Batch, Position},
    schema::Schema,
};

use super::{group::Group, room::Shared, stage::gap_of};
use crate::{
    Datum, Payload,
    producer::feed::{Feed, Pull, Taken, behind::Found},
};

/// Finds the key of an encoded item.
pub(crate) type KeyOf = fn(&Batch, &[u8], &Arc<Schema>) -> u64;

/// [`KeyOf`] for items of a type. Items without a key have one in common.
pub(crate) fn key_of<T: Datum>(batch: &Batch, data: &[u8], schema: &Arc<Schema>) -> u64 {
    let item = T::decode(Payload::new(batch.body(), data, Some(schema)));
    let key = item.as_ref().ok().and_then(Datum::key);
    // Not seeded at random, so that equal keys are equal.
    let mut hasher = DefaultHasher::new();
    hasher.write(key.as_ref().map_or(&[], |key| key.as_bytes()));
    hasher.finish()
}

/// Where an item's bytes are.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) frame: Bytes,
    pub(super) offset: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) feed: Feed,
    frames: VecDeque<Bytes>,
    /// The frame in front, and how far it was dealt out.
    front: Option<(Batch, Position)>,
    /// What comes next is on disk, up to this number.
    on_disk: Option<Seq>,
    /// Whoever is to get the next item has no room for it.
    pub(super) is_stuck: bool,
    /// The stream has ended, and all of it was read.
    pub(super) is_ended: bool,
}

impl Reader {
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            feed,
            frames: VecDeque::new(),
            front: None,
            on_disk: None,
            is_stuck: false,
            is_ended: false,
        }
    }

    /// Whether there is something that was read and not dealt out.
    pub(super) fn is_behind(&self) -> bool {
        !self.frames.is_empty()
    }

    /// Deals out what there is, as far as members have room.
    fn deal_all(&mut self, group: &mut Group<Place>, key_of: Option<KeyOf>) {
        self.is_stuck = false;
        while group.wants() && self.on_disk.is_none() {
            if !self.deal(group, key_of) {
                self.is_stuck = true;
                return;
            }
            if self.is_behind() {
                continue;
            }
            let mut frames = Vec::new();
            match self.feed.read(&mut frames) {
                Pull::Frames => self.frames.extend(frames),
                Pull::Ended => {
                    self.is_ended = true;
                    return;
                }
                Pull::Behind { to } => {
                    self.on_disk = Some(to);
                    return group.skip(self.feed.next());
                }
                // What the filter leaves out is done with.
                _ => return group.skip(self.feed.next()),
            }
        }
    }

    /// Takes what was found on disk, where it stands.
    pub(super) fn take_up(&mut self, found: Found, to: Seq) {
        let mut frames = Vec::new();
        self.on_disk = None;
        self.feed
            .take_up(found, to, &mut frames, &mut Taken::default());
        self.frames.extend(frames);
    }

    /// Deals out the frame in front; false where somebody has no room.
    fn deal(&mut self, group: &mut Group<Place>, key_of: Option<KeyOf>) -> bool {
        let Some(frame) = self.frames.front() else {
            return true;
        };
        let front = self.front.take().or_else(|| {
            let batch = Batch::of_frame(frame)?;
            let start = batch.start();
            Some((batch, start))
        });
        if front.is_none()
            && let Some(gap) = gap_of(frame)
        {
            // Only of a log on disk that is damaged: else all is kept that the group has not
            // acknowledged.
            group.lose(gap);
        }
        if let Some((batch, mut position)) = front {
            loop {
                let before = position;
                let Some((pick, data)) = batch.next_pick(&mut position) else {
                    break;
                };
                if !group.wants() {
                    self.front = Some((batch, before));
                    return false;
                }
                let schema = &self.feed.core().schema;
                let key = key_of.map_or(0, |key_of| key_of(&batch, data, schema));
                let place = Place {
                    frame: frame.clone(),
                    offset: pick.offset,
                };
                if !group.offer(pick.seq, data.len(), key, place) {
                    self.front = Some((batch, before));
                    return false;
                }
            }
            group.skip(batch.end());
        }
        self.frames.pop_front();
        true
    }
}

impl Shared {
    /// Deals out what there is, as far as members have room. True if somebody got something.
    pub(super) fn deal(&mut self, key_of: Option<KeyOf>) -> bool {
        let before = (self.group.in_flight(), self.group.next());
        self.group.deal_returned();
        if let Some(reader) = &mut self.reader {
            reader.deal_all(&mut self.group, key_of);
        }
        before != (self.group.in_flight(), self.group.next())
    }

    /// Where the group goes on from disk, and up to where, if it does.
    pub(super) fn behind(&self) -> Option<(Seq, Seq)> {
        let reader = self.reader.as_ref()?;
        Some((reader.feed.next(), reader.on_disk?))
    }

    /// Whether there is something to deal out, to somebody who has room.
    pub(super) fn can_deal(&self) -> bool {
        let Some(reader) = &self.reader else {
            return false;
        };
        let core = reader.feed.core();
        self.group.wants()
            && !reader.is_stuck
            && (reader.is_behind()
                || !reader.is_ended && (core.is_closed() || core.reaches(reader.feed.next())))
    }

    /// Whether the stream has ended and everything of it is acknowledged.
    pub(super) fn is_done(&self) -> bool {
        let ended = self.reader.as_ref().is_some_and(|reader| reader.is_ended);
        ended && self.group.committed() == self.group.next()
    }
}
