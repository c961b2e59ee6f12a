//! The writer.

use std::{collections::BTreeMap, io, path::Path, sync::Arc};

use bytes::Bytes;
use rivermesh_proto::{Epoch, Seq, limits};

use crate::{
    active::Active,
    commits::Commits,
    config::Config,
    error::{OpenError, WriteError},
    identity::{Block, Identity},
    lease::Lease,
    map::{Segment, Shared},
    read::Reader,
    record::{Codec, Kind, Record, stored},
    recover::{self, Lock, Recovered},
};

mod rescue;

/// Bytes that are copied at once when a segment has to be written anew, and that the memory for
/// writing keeps from one append to the next.
const COPY: usize = 1024 * 1024;

/// A batch to store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// The number of its first item.
    pub first: Seq,
    /// The number after its last.
    pub end: Seq,
    /// The frame, which is stored and given back as it is.
    pub frame: Bytes,
}

/// What must have happened for [`Store::persist`] to return.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Persist {
    /// The system has it: it outlives a crash of the process, and not of the machine.
    Buffered,
    /// The disk has it: it outlives a crash of the machine, as far as the disk is honest.
    Synced,
}

/// The log of one stream on disk: see the [crate](crate). One thread writes; [readers](Store::reader)
/// are beside it.
///
/// Dropping it without [`close`](Self::close) is a crash, as far as sequence numbers go: those up to
/// the lease are skipped.
#[derive(Debug)]
pub struct Store {
    shared: Arc<Shared>,
    identity: Identity,
    config: Config,
    /// `None` until something is to be written: opening needs no room on the disk.
    active: Option<Active>,
    /// The highest number that a segment has had.
    number: u64,
    commits: Commits,
    lease: Lease,
    /// Items from here on are not let go for want of room.
    hold: Seq,
    buf: Vec<u8>,
    /// Held while this is open.
    _lock: Lock,
}

impl Store {
    /// Opens the store in a folder, or begins one there. `asked` says which stream it is to be, and
    /// the epoch that a new one gets. Reads all of it once, checking every byte, and cuts off the
    /// tail that a crash has left.
    ///
    /// # Errors
    /// When it is open already, holds another stream, or cannot be read; see [`OpenError`].
    pub fn open(
        path: impl AsRef<Path>,
        asked: &Identity,
        config: Config,
    ) -> Result<(Self, Recovered), OpenError> {
        let config = config.checked();
        let opened = recover::open(path.as_ref(), asked, &config)?;
        let lease = Lease::at(opened.map.next);
        let store = Self {
            shared: Shared::new(opened.folder, opened.identity.key(), opened.map),
            identity: opened.identity,
            config,
            active: None,
            number: opened.number,
            commits: opened.commits,
            lease,
            hold: Seq::MAX,
            buf: Vec::new(),
            _lock: opened.lock,
        };
        Ok((store, opened.recovered))
    }

    /// The number that names this life of the stream.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.identity.epoch
    }

    /// The number of the oldest item that is held, or of the next one where none is.
    #[must_use]
    pub fn first(&self) -> Seq {
        self.shared.map().first
    }

    /// The number of the next item to be appended.
    #[must_use]
    pub fn next(&self) -> Seq {
        self.shared.map().next
    }

    /// Bytes on disk.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.shared.map().bytes()
    }

    /// Sequence numbers below this may be shown to anybody: after a crash, none of them is given to
    /// another item. It grows when the store is [synced](Persist::Synced); right after opening it is
    /// the next number, so a sync comes before the first item. A batch may be appended without it,
    /// if nobody has seen the items.
    #[must_use]
    pub fn granted(&self) -> Seq {
        self.lease.granted()
    }

    /// Whether a sync would let [`granted`](Self::granted) grow.
    #[must_use]
    pub fn is_lease_waiting(&self) -> bool {
        self.lease.is_waiting()
    }

    /// What named consumers have committed, by name.
    #[must_use]
    pub fn commits(&self) -> &BTreeMap<String, Seq> {
        self.commits.table()
    }

    /// Reads what is stored, beside this writer.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.shared))
    }

    /// Stores batches, all of them or none, and what was committed since the last call. They are
    /// readable when this returns; it does not sync. Takes memory for a copy of them, so keep a call
    /// to a few MiB.
    ///
    /// # Errors
    /// When a batch does not begin where the last one ended, is too large, or the disk or the
    /// store's bound has no room. Nothing is stored then.
    pub fn append(&mut self, batches: &[Sealed]) -> Result<(), WriteError> {
        let bytes = self.check(batches)?;
        if batches.is_empty() {
            return Ok(());
        }
        self.ready()?;
        let changes = self.commits.changes().map_or(0, |body| stored(body.len()));
        self.make_room(bytes + (changes + 2 * stored(0)) as u64)?;
        self.write(batches)
    }

    /// Brings what was appended and committed to where it outlives a crash.
    ///
    /// # Errors
    /// When the disk does not take it. Call it again: what was appended since the last success is
    /// written anew, in case the disk has forgotten it.
    pub fn persist(&mut self, level: Persist) -> Result<(), WriteError> {
        let next = self.next();
        if level == Persist::Buffered && self.commits.changes().is_none() {
            return Ok(());
        }
        self.ready()?;
        if self.commits.changes().is_some() || self.lease.wanted(next).is_some() {
            self.write(&[])?;
        }
        if level == Persist::Synced {
            self.sync()?;
            self.lease.synced(next);
        }
        Ok(())
    }

    /// Notes how far a named consumer has come. On disk with the next append or persist.
    ///
    /// # Errors
    /// When the name cannot be kept; nothing has changed then.
    pub fn commit(&mut self, name: &str, seq: Seq) -> Result<(), WriteError> {
        self.commits.set(name, seq, self.config.names)
    }

    /// Forgets a named consumer. On disk with the next append or persist.
    pub fn forget(&mut self, name: &str) {
        self.commits.forget(name);
    }

    /// Keeps items from `seq` on from being let go for want of room; appending is refused then.
    /// Default: none is held.
    pub fn hold(&mut self, seq: Seq) {
        self.hold = seq;
    }

    /// Lets go of the items before `before`, by whole segments: some of them may stay.
    ///
    /// # Errors
    /// When a file cannot be deleted. It is not read any more, and goes when the store is opened and
    /// trimmed again.
    pub fn trim(&mut self, before: Seq) -> Result<(), WriteError> {
        while self.trim_one(before)? {}
        Ok(())
    }

    /// Syncs and notes that the stream has stopped here: when it is opened again, no number is
    /// skipped. Every item that anybody has seen must have been appended.
    ///
    /// # Errors
    /// As [`persist`](Self::persist); the store is closed all the same.
    pub fn close(mut self) -> Result<(), WriteError> {
        if self.active.is_none() && self.commits.changes().is_none() {
            return Ok(());
        }
        self.persist(Persist::Synced)?;
        let next = self.next();
        let mut records = Vec::new();
        let stored = self.shared.map().stored;
        if let Some(active) = &mut self.active {
            let codec = Codec::new(self.shared.key, active.number);
            put_lease(&codec, &mut records, active.len, next, stored);
            active.write(&records)?;
            active.sync(stored)?;
        }
        Ok(())
    }

    /// Holds batches to their order, and gives the bytes they will take.
    fn check(&self, batches: &[Sealed]) -> Result<u64, WriteError> {
        let mut expected = self.next();
        let mut bytes = 0;
        for batch in batches {
            if batch.first != expected || batch.end <= batch.first {
                let got = batch.first;
                return Err(WriteError::OutOfOrder { expected, got });
            }
            if batch.frame.len() > limits::FRAME {
                let got = batch.frame.len();
                return Err(WriteError::TooLarge { got });
            }
            expected = batch.end;
            bytes += stored(batch.frame.len()) as u64;
        }
        Ok(bytes)
    }

    /// Sees to it that there is a segment to write to, and that it can be trusted.
    fn ready(&mut self) -> Result<(), WriteError> {
        match &mut self.active {
            Some(active) if active.is_unsure => self.rescue()?,
            Some(active) if active.len < self.config.segment_bytes => {}
            Some(_) => {
                self.sync()?;
                self.begin()?;
            }
            None => self.begin()?,
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let stored = self.shared.map().stored;
        match &mut self.active {
            Some(active) => active.sync(stored),
            None => Ok(()),
        }
    }

    /// Begins a new segment.
    fn begin(&mut self) -> io::Result<()> {
        let (base, next) = {
            let map = self.shared.map();
            (map.stored, map.next)
        };
        let (active, lease) = self.create(base)?;
        let mut map = self.shared.map();
        // Segments that hold no item any more held commits, which the new one has all.
        let is_idle = |segment: &Segment| segment.end.is_none() && !segment.is_damaged;
        for segment in map.segments.iter().filter(|segment| is_idle(segment)) {
            // Harmless if it stays: opening finds nothing in it that is not in the new one.
            let _ = self.shared.folder.remove(segment.number);
        }
        map.segments.retain(|segment| !is_idle(segment));
        map.segments
            .push_back(Segment::new(active.number, active.len));
        drop(map);
        self.took(active, lease, next);
        Ok(())
    }

    /// Goes on in a new segment, which has been synced.
    fn took(&mut self, active: Active, lease: Seq, next: Seq) {
        self.active = Some(active);
        self.commits.written();
        self.lease.wrote(lease);
        self.lease.synced(next);
    }

    /// Creates a segment whose items begin behind `base`: with all commits, and a lease, which is
    /// given, too.
    fn create(&mut self, base: Seq) -> io::Result<(Active, Seq)> {
        let number = self.number + 1;
        let codec = Codec::new(self.shared.key, number);
        let begin = crate::identity::HEAD as u64;
        let mut records = Vec::new();
        let body = self.commits.everything();
        codec.put(&mut records, begin, other(Kind::Names, &body, base));
        let lease = self.lease.renewed(self.next());
        put_lease(&codec, &mut records, begin, lease, base);
        let block = Block {
            identity: self.identity.clone(),
            number,
            base,
        };
        let active = Active::create(&self.shared.folder, &block, &records)?;
        self.number = number;
        Ok((active, lease))
    }

    /// Writes batches, what was committed, and a lease if one is due, in one go.
    fn write(&mut self, batches: &[Sealed]) -> Result<(), WriteError> {
        let Some(active) = &mut self.active else {
            return Ok(());
        };
        let codec = Codec::new(self.shared.key, active.number);
        let (mut prev, next) = {
            let map = self.shared.map();
            (map.stored, map.next)
        };
        let mut buf = std::mem::take(&mut self.buf);
        buf.clear();
        if let Some(body) = self.commits.changes() {
            codec.put(&mut buf, active.len, other(Kind::Commits, &body, prev));
        }
        let mut places = Vec::with_capacity(batches.len());
        for batch in batches {
            places.push(active.len + buf.len() as u64);
            let record = Record {
                kind: Kind::Data,
                first: batch.first,
                end: batch.end,
                prev,
                body: &batch.frame,
            };
            codec.put(&mut buf, active.len, record);
            prev = batch.end;
        }
        let end = batches.last().map_or(next, |batch| batch.end);
        let lease = self.lease.wanted(end);
        if let Some(lease) = lease {
            put_lease(&codec, &mut buf, active.len, lease, prev);
        }
        let written = active.write(&buf);
        buf.truncate(0);
        buf.shrink_to(COPY);
        self.buf = buf;
        written?;
        self.commits.written();
        if let Some(lease) = lease {
            self.lease.wrote(lease);
        }
        let mut map = self.shared.map();
        map.stored = prev;
        map.next = end;
        if let Some(segment) = map.segments.back_mut() {
            segment.len = active.len;
            for (batch, at) in batches.iter().zip(places) {
                segment.note(batch.first, batch.end, at, self.config.index_bytes);
            }
        }
        Ok(())
    }

    /// Lets the oldest segments go until `bytes` more fit.
    fn make_room(&mut self, bytes: u64) -> Result<(), WriteError> {
        let limit = self.config.disk_bytes;
        loop {
            let (held, is_last) = {
                let map = self.shared.map();
                (map.bytes(), map.segments.len() < 2)
            };
            if is_last || held + bytes <= limit {
                return Ok(());
            }
            if !self.trim_one(self.hold)? {
                return Err(WriteError::Full { bytes: held, limit });
            }
        }
    }

    /// Lets the oldest segment go if all its items are before `before`. Never the newest.
    fn trim_one(&mut self, before: Seq) -> Result<bool, WriteError> {
        let number = {
            let mut map = self.shared.map();
            if map.segments.len() < 2 {
                return Ok(false);
            }
            let Some(front) = map.segments.front() else {
                return Ok(false);
            };
            if front.end.is_some_and(|end| end > before) {
                return Ok(false);
            }
            let (number, end) = (front.number, front.end);
            map.first = map.first.max(end.unwrap_or(0));
            map.segments.pop_front();
            number
        };
        // The map first: a reader that finds no file asks it again.
        self.shared.folder.remove(number)?;
        Ok(true)
    }
}

fn other(kind: Kind, body: &[u8], prev: Seq) -> Record<'_> {
    let (first, end) = (0, 0);
    Record {
        kind,
        first,
        end,
        prev,
        body,
    }
}

/// Twice: damage to one of them must not take back what was granted.
fn put_lease(codec: &Codec, out: &mut Vec<u8>, base: u64, lease: Seq, prev: Seq) {
    let record = Record {
        first: lease,
        ..other(Kind::Lease, &[], prev)
    };
    codec.put(out, base, record);
    codec.put(out, base, record);
}

#[cfg(test)]
mod tests;
