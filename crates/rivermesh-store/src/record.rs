//! One record of a segment: a head of 64 bytes, its body, and zeros up to a multiple of 8.
//!
//! | at | bytes | is |
//! | --- | --- | --- |
//! | 0 | 4 | `RvRc` |
//! | 4 | 1, and 3 zeros | the kind |
//! | 8 | `u32`, and 4 zeros | bytes of the body |
//! | 16 | `u64` | data: the first sequence number; lease: the number below which all may have been used |
//! | 24 | `u64` | data: the number after the last |
//! | 32 | `u64` | where the items that were stored before this record end |
//! | 40 | 16 | BLAKE3 of the body, keyed, cut |
//! | 56 | 8 | BLAKE3 of the segment's number, the record's offset and the head up to here, keyed, cut |
//!
//! The second sum binds a record to its place, so neither a block that the disk has put elsewhere
//! nor a copy of a record within an item is taken for one. The word at 32 chains records: who finds
//! one behind damage knows exactly which items are missing.

use rivermesh_proto::{Seq, limits};

use crate::identity::word;

/// Bytes of a head.
pub(crate) const HEAD: usize = 64;
/// Records begin at multiples of this.
pub(crate) const ALIGN: u64 = 8;
/// What a record begins with.
pub(crate) const MAGIC: [u8; 4] = *b"RvRc";
/// Bytes of the largest body.
pub(crate) const BODY: usize = limits::FRAME;

const BODY_SUM: usize = 16;
const HEAD_SUM: usize = 8;
const SUMMED: usize = HEAD - HEAD_SUM;

/// What a record holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A batch.
    Data,
    /// Up to where sequence numbers may be given out.
    Lease,
    /// All committed positions.
    Names,
    /// Committed positions that have changed.
    Commits,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        Some(match byte {
            1 => Self::Data,
            2 => Self::Lease,
            3 => Self::Names,
            4 => Self::Commits,
            _ => return None,
        })
    }

    fn byte(self) -> u8 {
        match self {
            Self::Data => 1,
            Self::Lease => 2,
            Self::Names => 3,
            Self::Commits => 4,
        }
    }
}

/// What a head says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) kind: Kind,
    pub(crate) len: usize,
    pub(crate) first: Seq,
    pub(crate) end: Seq,
    pub(crate) prev: Seq,
    sum: [u8; BODY_SUM],
}

/// Writes and checks the records of one segment.
#[derive(Clone, Debug)]
pub(crate) struct Codec {
    key: [u8; 32],
    number: u64,
}

impl Codec {
    pub(crate) fn new(key: [u8; 32], number: u64) -> Self {
        Self { key, number }
    }

    /// Puts a record behind `out`, whose first byte lies at `base` in the segment.
    pub(crate) fn put(&self, out: &mut Vec<u8>, base: u64, record: Record<'_>) {
        let at = out.len();
        let mut head = [0; HEAD];
        head[..4].copy_from_slice(&MAGIC);
        head[4] = record.kind.byte();
        head[8..12].copy_from_slice(&(record.body.len() as u32).to_le_bytes());
        head[16..24].copy_from_slice(&record.first.to_le_bytes());
        head[24..32].copy_from_slice(&record.end.to_le_bytes());
        head[32..40].copy_from_slice(&record.prev.to_le_bytes());
        head[40..SUMMED].copy_from_slice(&self.body_sum(record.body));
        let sum = self.head_sum(base + at as u64, &head);
        head[SUMMED..].copy_from_slice(&sum);
        out.extend_from_slice(&head);
        out.extend_from_slice(record.body);
        out.resize(at + stored(record.body.len()), 0);
    }

    /// Reads a head that lies at `offset`; `None` where it is none, or damaged.
    pub(crate) fn parse(&self, offset: u64, head: &[u8; HEAD]) -> Option<Head> {
        if head[..4] != MAGIC || head[SUMMED..] != self.head_sum(offset, head) {
            return None;
        }
        let len = u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize;
        let mut sum = [0; BODY_SUM];
        sum.copy_from_slice(&head[40..SUMMED]);
        let head = Head {
            kind: Kind::of(head[4])?,
            len,
            first: word(head, 16),
            end: word(head, 24),
            prev: word(head, 32),
            sum,
        };
        (len <= BODY && (head.kind != Kind::Data || head.first < head.end)).then_some(head)
    }

    /// Whether a body is the one that was written.
    pub(crate) fn is_intact(&self, head: &Head, body: &[u8]) -> bool {
        head.len == body.len() && self.body_sum(body) == head.sum
    }

    fn body_sum(&self, body: &[u8]) -> [u8; BODY_SUM] {
        let mut sum = [0; BODY_SUM];
        let whole = blake3::keyed_hash(&self.key, body);
        sum.copy_from_slice(&whole.as_bytes()[..BODY_SUM]);
        sum
    }

    fn head_sum(&self, offset: u64, head: &[u8; HEAD]) -> [u8; HEAD_SUM] {
        let mut hasher = blake3::Hasher::new_keyed(&self.key);
        hasher.update(&self.number.to_le_bytes());
        hasher.update(&offset.to_le_bytes());
        hasher.update(&head[..SUMMED]);
        let mut sum = [0; HEAD_SUM];
        sum.copy_from_slice(&hasher.finalize().as_bytes()[..HEAD_SUM]);
        sum
    }
}

/// A record to write.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    pub(crate) kind: Kind,
    pub(crate) first: Seq,
    pub(crate) end: Seq,
    pub(crate) prev: Seq,
    pub(crate) body: &'a [u8],
}

impl Head {
    /// The same record with its body, to write it elsewhere.
    pub(crate) fn with<'a>(&self, body: &'a [u8]) -> Record<'a> {
        Record {
            kind: self.kind,
            first: self.first,
            end: self.end,
            prev: self.prev,
            body,
        }
    }
}

/// Bytes that a record with a body of `len` takes.
pub(crate) fn stored(len: usize) -> usize {
    (HEAD + len).next_multiple_of(ALIGN as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BODY: &[u8] = b"seventeen bytes..";

    fn sample() -> (Codec, Vec<u8>) {
        let codec = Codec::new([3; 32], 9);
        let record = Record {
            kind: Kind::Data,
            first: 5,
            end: 8,
            prev: 4,
            body: BODY,
        };
        let mut out = Vec::new();
        codec.put(&mut out, 256, record);
        (codec, out)
    }

    fn head(bytes: &[u8]) -> &[u8; HEAD] {
        bytes.first_chunk().unwrap()
    }

    #[test]
    fn a_record_reads_back_and_no_bit_of_it_may_change() {
        let (codec, bytes) = sample();
        assert_eq!(bytes.len() % ALIGN as usize, 0);
        let parsed = codec.parse(256, head(&bytes)).unwrap();
        assert_eq!((parsed.first, parsed.end, parsed.prev), (5, 8, 4));
        assert!(codec.is_intact(&parsed, BODY));
        for bit in 0..(HEAD + BODY.len()) * 8 {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let body = &bytes[HEAD..HEAD + BODY.len()];
            let taken = codec.parse(256, head(&bytes));
            assert!(
                !taken.is_some_and(|head| codec.is_intact(&head, body)),
                "bit {bit}"
            );
        }
    }

    #[test]
    fn a_record_holds_at_its_own_place_alone() {
        let (codec, bytes) = sample();
        assert_eq!(codec.parse(264, head(&bytes)), None);
        assert_eq!(Codec::new([3; 32], 10).parse(256, head(&bytes)), None);
        assert_eq!(Codec::new([4; 32], 9).parse(256, head(&bytes)), None);
    }

    #[test]
    fn golden_bytes() {
        let (_, bytes) = sample();
        let hash = blake3::hash(&bytes).to_hex();
        assert_eq!(&hash[..16], "e7db731ba119a868");
    }
}
