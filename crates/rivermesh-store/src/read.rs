//! Reading, beside the writer and without holding it up.

use std::{fs::File, io, ops::Range, sync::Arc};

use bytes::Bytes;
use rivermesh_proto::Seq;

use crate::{
    error::ReadError,
    map::{Place, Shared},
    record::{Codec, Kind},
    scan::{Found, Scan},
};

/// How often a segment may be trimmed between the look at the map and its opening.
const TRIES: usize = 8;

/// Why items are not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The store is bounded, or was told to [trim](crate::Store::trim): they were let go.
    Trimmed,
    /// What was stored of them is damaged or missing. What is intact behind them is read as usual.
    Corrupt,
    /// They were never stored: a crash came before that, or their numbers were never used. Nobody
    /// who asked for [`Persist::Synced`](crate::Persist::Synced) was told that they were.
    Unsaved,
}

/// What a read has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read {
    /// Whole batches, as they were appended, without a gap between them. The first of them holds the
    /// number that was asked for, and may begin before it.
    Frames {
        /// The frames; at least one.
        frames: Vec<Bytes>,
        /// Where they end: where to go on reading.
        next: Seq,
    },
    /// These items are not there; they begin with the one asked for. Go on at the end of the range.
    Gone {
        /// Which items.
        range: Range<Seq>,
        /// Why.
        cause: Cause,
    },
    /// The item has not been stored yet.
    End,
}

/// Reads what a [`Store`](crate::Store) holds. Clones are cheap; each read opens the segment anew,
/// so a reader that waits holds nothing. It may outlive the store.
#[derive(Clone, Debug)]
pub struct Reader {
    shared: Arc<Shared>,
}

impl Reader {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
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

    /// About how many bytes the batches of these items take, from what is known without reading: off by
    /// [`Config::index_bytes`](crate::Config) at each end.
    #[must_use]
    pub fn bytes(&self, items: Range<Seq>) -> u64 {
        let map = self.shared.map();
        map.bytes_from(items.start)
            .saturating_sub(map.bytes_from(items.end))
    }

    /// Reads the batches from the item `from` on: of about `max_bytes`, but at least one. Takes
    /// memory for these and 64 KiB, and reads over [`Config::index_bytes`](crate::Config) more at
    /// most. Blocks on the disk.
    ///
    /// # Errors
    /// When a file cannot be read; reading again may help.
    pub fn read(&self, from: Seq, max_bytes: usize) -> Result<Read, ReadError> {
        let mut tries = 0;
        loop {
            let place = self.shared.map().locate(from);
            let (number, at, limit, end) = match place {
                Place::End => return Ok(Read::End),
                Place::Gone { to, cause } => return Ok(gone(from, to, cause)),
                Place::In {
                    number,
                    at,
                    limit,
                    end,
                } => (number, at, limit, end),
            };
            let path = self.shared.folder.segment(number);
            let opened = File::open(&path);
            match opened.and_then(|file| self.walk(file, number, (at, limit), from..end, max_bytes))
            {
                Ok(read) => return Ok(read),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    // Trimmed since the look at the map, which says so when it is asked again. If it
                    // never does, somebody else has deleted the file.
                    tries += 1;
                    if tries == TRIES {
                        return Ok(gone(from, end, Cause::Corrupt));
                    }
                }
                Err(error) => return Err(ReadError { path, error }),
            }
        }
    }

    fn walk(
        &self,
        file: File,
        number: u64,
        (at, limit): (u64, u64),
        wanted: Range<Seq>,
        max_bytes: usize,
    ) -> io::Result<Read> {
        let codec = Codec::new(self.shared.key, number);
        let mut scan = Scan::new(file, codec, at, limit)?;
        let (mut frames, mut bytes, mut expect) = (Vec::new(), 0, wanted.start);
        while bytes < max_bytes.max(1) {
            let (at, head) = match scan.next()? {
                Found::Record { at, head } => (at, head),
                // The next record tells what is missing.
                Found::Bad { .. } => continue,
                Found::End => break,
            };
            if head.kind != Kind::Data || head.end <= expect {
                continue;
            }
            if head.first > expect {
                if frames.is_empty() {
                    return Ok(hole(expect, head.first, head.prev));
                }
                break;
            }
            let Some(frame) = scan.body(at, &head)? else {
                if frames.is_empty() {
                    return Ok(gone(expect, head.end, Cause::Corrupt));
                }
                break;
            };
            expect = head.end;
            bytes += frame.len();
            frames.push(frame);
        }
        Ok(if frames.is_empty() {
            gone(expect, wanted.end, Cause::Corrupt)
        } else {
            let next = expect;
            Read::Frames { frames, next }
        })
    }
}

/// What lies between `from` and the record that begins at `first`, before which the stored items
/// ended at `prev`: first what was stored and is damaged, then what never was.
fn hole(from: Seq, first: Seq, prev: Seq) -> Read {
    if prev > from {
        gone(from, prev.min(first), Cause::Corrupt)
    } else {
        gone(from, first, Cause::Unsaved)
    }
}

fn gone(from: Seq, to: Seq, cause: Cause) -> Read {
    let range = from..to;
    Read::Gone { range, cause }
}
