//! The newest item of each key.
//!
//! A log has a table where its producer keeps the newest item of each key, or while there is a
//! consumer to whom superseded items need not be sent. It knows of each key the number of its newest
//! item, and each batch in the ring knows the keys of its items, by small numbers. So whether an
//! item is superseded is one look-up, whoever asks.
//!
//! A newest item that leaves the ring is copied out of its batch and kept here, if the producer
//! keeps them. Keys and kept items are bounded together. At the bound the keys go whose items are
//! the oldest of those that have left the ring; where there are none such, a new key is not taken
//! up. Both are counted.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Range,
    sync::Arc,
};

use bytes::Bytes;
use rivermesh_proto::{Seq, batch::Batch};

/// The item has no key.
const NO_KEY: u32 = u32::MAX;
/// There was no room for the item's key.
const NO_ROOM: u32 = u32::MAX - 1;
/// Bytes that a key costs beside its own: its entry, its place in the map and in the order of what
/// is kept, the room that these keep free, and what allocating costs; about, and rather too many.
const ENTRY_BYTES: usize = 320;

/// What a table may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableBounds {
    /// Keys.
    pub(crate) keys: usize,
    /// Bytes of keys and of items that have left the ring, about.
    pub(crate) bytes: usize,
}

#[derive(Debug)]
struct Entry {
    key: Arc<[u8]>,
    /// The number of its newest item.
    seq: Seq,
    /// That item, if it has left the ring.
    held: Option<Held>,
}

/// An item that has left the ring.
#[derive(Clone, Debug)]
pub(super) struct Held {
    /// When its batch was begun.
    pub(super) at_us: u64,
    pub(super) item: Bytes,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    /// Whether newest items are kept that have left the ring.
    keeps: bool,
    bounds: TableBounds,
    /// The first item that it knows of.
    since: Seq,
    ids: HashMap<Arc<[u8]>, u32>,
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// The keys whose items are held, by the items' numbers.
    held: BTreeMap<Seq, u32>,
    /// The keys of the open batch's items.
    open: Vec<u32>,
    /// The key of the item that is about to be appended.
    pending: Option<Vec<u8>>,
    /// Room for `pending`, so that it is not allocated for each item.
    spare: Vec<u8>,
    bytes: usize,
    /// No item from here on is gone that was the newest of its key, or had none.
    lost: Seq,
    forgotten: u64,
}

impl Table {
    /// A table of the items from `since` on, with which a batch must begin.
    pub(super) fn new(keeps: bool, bounds: TableBounds, since: Seq) -> Self {
        Self {
            keeps,
            bounds,
            since,
            ids: HashMap::new(),
            entries: Vec::new(),
            free: Vec::new(),
            held: BTreeMap::new(),
            open: Vec::new(),
            pending: None,
            spare: Vec::new(),
            bytes: 0,
            lost: since,
            forgotten: 0,
        }
    }

    /// Whether newest items are kept that have left the ring.
    pub(super) fn keeps(&self) -> bool {
        self.keeps
    }

    /// How many keys it knows.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Bytes of keys and of items that have left the ring, about.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// How many keys were let go, and of how many items the key was not taken up, for want of room.
    pub(super) fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// No item from here on is gone that was the newest of its key, or had none.
    pub(super) fn lost(&self) -> Seq {
        self.lost
    }

    /// Takes the key of the item that is about to be appended. Nothing comes of it where the item
    /// then is not.
    pub(super) fn key(&mut self, key: Option<&[u8]>) {
        if let Some(pending) = self.pending.take() {
            self.spare = pending;
        }
        if let Some(key) = key {
            let mut pending = std::mem::take(&mut self.spare);
            pending.clear();
            pending.extend_from_slice(key);
            self.pending = Some(pending);
        }
    }

    /// Notes that the item has been appended, with this number.
    pub(super) fn note(&mut self, seq: Seq) {
        let id = match self.pending.take() {
            None => NO_KEY,
            Some(key) => {
                let id = match self.ids.get(key.as_slice()) {
                    Some(id) => self.renew(*id, seq),
                    None => self.insert(&key, seq),
                };
                self.spare = key;
                id
            }
        };
        self.open.push(id);
    }

    fn renew(&mut self, id: u32, seq: Seq) -> u32 {
        let Some(Some(entry)) = self.entries.get_mut(id as usize) else {
            return NO_ROOM;
        };
        let old = std::mem::replace(&mut entry.seq, seq);
        if let Some(held) = entry.held.take() {
            self.held.remove(&old);
            self.bytes -= held.item.len();
        }
        id
    }

    /// Takes up a key, if there is room or room can be made.
    fn insert(&mut self, key: &[u8], seq: Seq) -> u32 {
        let cost = key.len() + ENTRY_BYTES;
        if cost > self.bounds.bytes {
            // Letting all others go would not help.
            self.forgotten += 1;
            return NO_ROOM;
        }
        while self.ids.len() >= self.bounds.keys || self.bytes + cost > self.bounds.bytes {
            if !self.forget() {
                self.forgotten += 1;
                return NO_ROOM;
            }
        }
        let key: Arc<[u8]> = key.into();
        let entry = Some(Entry {
            key: Arc::clone(&key),
            seq,
            held: None,
        });
        let id = match self.free.pop() {
            Some(id) => id,
            None => {
                self.entries.push(None);
                self.entries.len() as u32 - 1
            }
        };
        self.entries[id as usize] = entry;
        self.ids.insert(key, id);
        self.bytes += cost;
        id
    }

    /// Lets the key go whose item is the oldest of those that have left the ring.
    fn forget(&mut self) -> bool {
        let Some((seq, id)) = self.held.pop_first() else {
            return false;
        };
        self.remove(id);
        self.forgotten += 1;
        self.lost = self.lost.max(seq + 1);
        true
    }

    fn remove(&mut self, id: u32) {
        if let Some(entry) = self.entries[id as usize].take() {
            self.bytes -= entry.key.len() + ENTRY_BYTES;
            self.bytes -= entry.held.map_or(0, |held| held.item.len());
            self.ids.remove(&entry.key);
            self.free.push(id);
        }
    }

    /// The keys of the open batch's items, when it is sealed.
    pub(super) fn seal(&mut self) -> Box<[u32]> {
        std::mem::take(&mut self.open).into_boxed_slice()
    }

    /// Whether this item of a batch in the ring is the newest of its key. One without a key, or of
    /// which the table does not know, always is.
    pub(super) fn is_newest(&self, keys: &[u32], first: Seq, seq: Seq) -> bool {
        if first < self.since {
            return true;
        }
        let index = usize::try_from(seq - first).unwrap_or(usize::MAX);
        keys.get(index).is_none_or(|id| {
            let entry = self.entries.get(*id as usize).and_then(Option::as_ref);
            // No entry: the item has no key, or there was no room for it.
            entry.is_none_or(|entry| entry.seq == seq)
        })
    }

    /// Takes over what is to be kept of a batch that leaves the ring.
    pub(super) fn evict(&mut self, keys: &[u32], first: Seq, frame: &Bytes, at_us: u64) {
        if first < self.since {
            return;
        }
        let is_kept = |(index, id): (usize, &u32)| {
            let entry = self.entries.get(*id as usize).and_then(Option::as_ref);
            self.keeps && entry.is_some_and(|entry| entry.seq == first + index as u64)
        };
        if keys.iter().enumerate().any(is_kept) {
            self.hold(keys, frame, at_us);
        }
        for (index, id) in keys.iter().enumerate() {
            let seq = first + index as u64;
            match self.entries.get(*id as usize).and_then(Option::as_ref) {
                Some(entry) if entry.seq != seq || entry.held.is_some() => {}
                Some(_) => {
                    self.remove(*id);
                    self.lost = seq + 1;
                }
                None => {
                    self.lost = seq + 1;
                }
            }
        }
        while self.bytes > self.bounds.bytes && self.forget() {}
    }

    fn hold(&mut self, keys: &[u32], frame: &Bytes, at_us: u64) {
        let Some(batch) = Batch::of_frame(frame) else {
            return;
        };
        let mut position = batch.start();
        for id in keys {
            let Some((seq, data)) = batch.next(&mut position) else {
                return;
            };
            if let Some(Some(entry)) = self.entries.get_mut(*id as usize)
                && entry.seq == seq
            {
                // A copy: a slice would keep the whole batch.
                let item = Bytes::copy_from_slice(data);
                self.bytes += item.len();
                entry.held = Some(Held { at_us, item });
                self.held.insert(seq, *id);
            }
        }
    }

    /// The number of the oldest item that is held.
    pub(super) fn oldest(&self) -> Option<Seq> {
        self.held.first_key_value().map(|(seq, _)| *seq)
    }

    /// The items that are held, of these numbers, in order.
    pub(super) fn items(&self, range: Range<Seq>) -> impl Iterator<Item = (Seq, &Held)> {
        let range = range.start..range.end.max(range.start);
        self.held.range(range).filter_map(|(seq, id)| {
            let entry = self.entries.get(*id as usize)?.as_ref()?;
            Some((*seq, entry.held.as_ref()?))
        })
    }

    /// The first item that is held of a batch in which one may be that was sent at `at_us` or later;
    /// `end` where there is none before it.
    pub(super) fn since(&self, at_us: u64, end: Seq) -> Seq {
        let from = self.begun(at_us, end);
        let before = self.held.range(..from).next_back();
        let before = before.and_then(|(seq, _)| self.items(*seq..seq + 1).next());
        // The batch before that one may have gone on until it began.
        before.map_or(from, |(_, held)| self.begun(held.at_us, end))
    }

    /// The first item that is held of a batch that was begun at `at_us` or later. Times never fall
    /// from one item to the next, so the place is found by halving.
    fn begun(&self, at_us: u64, end: Seq) -> Seq {
        let (mut low, mut high) = (self.oldest().unwrap_or(end).min(end), end);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.items(middle..end).next() {
                Some((seq, held)) if held.at_us < at_us => low = seq + 1,
                _ => high = middle,
            }
        }
        low
    }
}
