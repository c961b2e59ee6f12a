//! Whose log it is: a block of fixed size at the head of each segment, and in a file of its own, so
//! that either outlives the loss of the other.

use rivermesh_proto::{Epoch, Fingerprint, Seq, StreamName};

/// Bytes of the block.
pub(crate) const HEAD: usize = 256;
/// The version of everything in the folder.
pub(crate) const VERSION: u32 = 1;

const MAGIC: &[u8; 8] = b"rivermsh";
const NAME_AT: usize = 46;
const SUM_AT: usize = HEAD - 32;
const _: () = assert!(NAME_AT + rivermesh_proto::limits::STREAM_NAME <= SUM_AT);

/// Which stream a store holds, in which of its lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The stream's name.
    pub name: StreamName,
    /// The shape of its items.
    pub fingerprint: Fingerprint,
    /// The number that names this life of the stream.
    pub epoch: Epoch,
}

/// What the block at the head of a segment says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Block {
    pub(crate) identity: Identity,
    /// The segment's number; 0 in the file of its own.
    pub(crate) number: u64,
    /// Items before this are in earlier segments.
    pub(crate) base: Seq,
}

/// What was found in place of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Bytes that are no block, or a damaged one.
    Damaged,
    /// A whole block of another version.
    Version(u32),
}

impl Block {
    pub(crate) fn to_bytes(&self) -> [u8; HEAD] {
        let mut bytes = [0; HEAD];
        let name = self.identity.name.as_str().as_bytes();
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.identity.epoch.0.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.identity.fingerprint.0);
        bytes[28..36].copy_from_slice(&self.number.to_le_bytes());
        bytes[36..44].copy_from_slice(&self.base.to_le_bytes());
        bytes[44..46].copy_from_slice(&(name.len() as u16).to_le_bytes());
        bytes[NAME_AT..NAME_AT + name.len()].copy_from_slice(name);
        let sum = blake3::hash(&bytes[..SUM_AT]);
        bytes[SUM_AT..].copy_from_slice(sum.as_bytes());
        bytes
    }

    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        Self::read(bytes).unwrap_or(Err(Unreadable::Damaged))
    }

    fn read(bytes: &[u8]) -> Option<Result<Self, Unreadable>> {
        let bytes: &[u8; HEAD] = bytes.first_chunk()?;
        if bytes[..8] != MAGIC[..]
            || bytes[SUM_AT..] != blake3::hash(&bytes[..SUM_AT]).as_bytes()[..]
        {
            return None;
        }
        let version = u32::from_le_bytes(bytes[8..12].try_into().ok()?);
        if version != VERSION {
            return Some(Err(Unreadable::Version(version)));
        }
        let len = usize::from(u16::from_le_bytes(bytes[44..46].try_into().ok()?));
        let name = bytes[NAME_AT..SUM_AT].get(..len)?;
        Some(Ok(Self {
            identity: Identity {
                name: StreamName::new(std::str::from_utf8(name).ok()?).ok()?,
                fingerprint: Fingerprint(bytes[20..28].try_into().ok()?),
                epoch: Epoch(word(bytes, 12)),
            },
            number: word(bytes, 28),
            base: word(bytes, 36),
        }))
    }
}

impl Identity {
    /// The key of all checksums of the store: bytes of another store, which an item may hold, are
    /// not taken for records of this one.
    pub(crate) fn key(&self) -> [u8; 32] {
        let block = Block {
            identity: self.clone(),
            number: 0,
            base: 0,
        };
        blake3::derive_key("rivermesh 2026-11 store record", &block.to_bytes())
    }
}

/// The `u64` at an offset of a block that is known to hold it.
pub(crate) fn word(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_reads_back_and_no_bit_of_it_may_change() {
        let identity = Identity {
            name: StreamName::new("weather/JFK").unwrap(),
            fingerprint: Fingerprint([7; 8]),
            epoch: Epoch(42),
        };
        let block = Block {
            identity,
            number: 3,
            base: 99,
        };
        let bytes = block.to_bytes();
        assert_eq!(Block::parse(&bytes), Ok(block));
        for bit in 0..HEAD * 8 {
            let mut bytes = bytes;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Block::parse(&bytes), Err(Unreadable::Damaged), "bit {bit}");
        }
        assert_eq!(Block::parse(&bytes[1..]), Err(Unreadable::Damaged));
    }
}
