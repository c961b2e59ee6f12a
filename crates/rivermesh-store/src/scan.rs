//! Walking the records of a segment, and finding the way behind damage.

use std::{
    fs::File,
    io::{self, BufReader, Read, Seek, SeekFrom},
};

use bytes::{Bytes, BytesMut};

use crate::record::{ALIGN, Codec, HEAD, Head, MAGIC, stored};

/// Bytes that are read at once.
const CHUNK: usize = 64 * 1024;

/// What comes next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// A head that is intact. [`Scan::body`] gives its body; without that it is passed over.
    Record {
        /// Where it lies.
        at: u64,
        /// What it says.
        head: Head,
    },
    /// Bytes that are no record, and what follows them is one, or the end.
    Bad {
        /// Where they begin.
        at: u64,
        /// Where they end.
        to: u64,
    },
    /// Nothing.
    End,
}

/// A walk through a part of a segment.
#[derive(Debug)]
pub(crate) struct Scan {
    file: BufReader<File>,
    codec: Codec,
    /// Where the next record begins.
    at: u64,
    /// Where the file is read.
    place: u64,
    /// Nothing from here on is looked at.
    limit: u64,
}

impl Scan {
    /// A walk from `at`, where a record begins, to `limit`.
    pub(crate) fn new(file: File, codec: Codec, at: u64, limit: u64) -> io::Result<Self> {
        let mut file = BufReader::with_capacity(CHUNK, file);
        file.seek(SeekFrom::Start(at))?;
        Ok(Self {
            file,
            codec,
            at,
            place: at,
            limit,
        })
    }

    /// The next record, or the damage before it.
    pub(crate) fn next(&mut self) -> io::Result<Found> {
        let at = self.at;
        if at >= self.limit {
            return Ok(Found::End);
        }
        if self.limit - at < HEAD as u64 {
            self.at = self.limit;
            return Ok(Found::Bad { at, to: self.limit });
        }
        self.go(at)?;
        let mut head = [0; HEAD];
        if !self.fill(&mut head)? {
            // Shorter than it was: cut by somebody else.
            self.at = self.limit;
            return Ok(Found::Bad { at, to: self.limit });
        }
        match self.codec.parse(at, &head) {
            Some(head) => {
                self.at = at + stored(head.len) as u64;
                Ok(Found::Record { at, head })
            }
            None => {
                let to = self.find(at + ALIGN)?;
                self.at = to;
                Ok(Found::Bad { at, to })
            }
        }
    }

    /// The body of the record that was found last; `None` where it is damaged or cut off.
    pub(crate) fn body(&mut self, at: u64, head: &Head) -> io::Result<Option<Bytes>> {
        let begin = at + HEAD as u64;
        if begin + head.len as u64 > self.limit {
            return Ok(None);
        }
        self.go(begin)?;
        // Within the limit of a body: the head says so, and its sum is right.
        let mut body = BytesMut::zeroed(head.len);
        let is_whole = self.fill(&mut body)?;
        Ok((is_whole && self.codec.is_intact(head, &body)).then(|| body.freeze()))
    }

    /// Where the next intact head lies, at or behind `from`, or the limit.
    fn find(&mut self, from: u64) -> io::Result<u64> {
        let mut chunk = vec![0; CHUNK];
        let mut begin = from;
        while self.limit.saturating_sub(begin) >= HEAD as u64 {
            let len = CHUNK.min(usize::try_from(self.limit - begin).unwrap_or(CHUNK));
            self.go(begin)?;
            if !self.fill(&mut chunk[..len])? {
                return Ok(self.limit);
            }
            let mut at = 0;
            while let Some(head) = chunk[..len].get(at..).and_then(<[u8]>::first_chunk::<HEAD>) {
                let place = begin + at as u64;
                if head[..4] == MAGIC && self.codec.parse(place, head).is_some() {
                    return Ok(place);
                }
                at += ALIGN as usize;
            }
            begin += at as u64;
        }
        Ok(self.limit)
    }

    fn go(&mut self, to: u64) -> io::Result<()> {
        if self.place != to {
            // Both lie within a file, so neither is over the largest offset.
            self.file.seek_relative(to as i64 - self.place as i64)?;
            self.place = to;
        }
        Ok(())
    }

    /// Reads the whole slice; false where the file ends before that.
    fn fill(&mut self, out: &mut [u8]) -> io::Result<bool> {
        match self.file.read_exact(out) {
            Ok(()) => {
                self.place += out.len() as u64;
                Ok(true)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.place = self.file.stream_position()?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}
