//! Payloads that say where they belong, to whoever has the key of the run.

use std::fmt;

use rivermesh_proto::{Epoch, NodeId, Seq, StreamName, limits};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The secret of one run: payloads of another run, or of a bug, do not verify under it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key([u8; 32]);

/// Where an item belongs: what its payload is a function of.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Place {
    /// The node that produced it.
    pub producer: NodeId,
    /// The life of the producer.
    pub epoch: Epoch,
    /// The stream it went out on.
    pub stream: StreamName,
    /// Its position in the epoch.
    pub seq: Seq,
}

/// A payload is not the one its place has.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadPayload {
    /// No payload has this size.
    #[error("a payload has {min} to {max} bytes, this one {got}", min = Key::MIN, max = limits::ITEM)]
    Size {
        /// Bytes of what was taken for a payload.
        got: usize,
    },
    /// The bytes differ from those of the place.
    #[error("the payload of {got} bytes is not the one of this place")]
    Bytes {
        /// Bytes of the payload.
        got: usize,
    },
}

impl Key {
    /// Bytes of the smallest payload: one hash.
    pub const MIN: usize = 32;

    /// The key of the run with this seed.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        Self(blake3::derive_key(
            "rivermesh 2026-11 test payload key",
            &seed.to_le_bytes(),
        ))
    }

    /// The payload of a place, `size` bytes of it (at least [`Self::MIN`]).
    ///
    /// The size is part of what is hashed and the filler is the same keyed output, so a payload
    /// that was cut, extended or damaged anywhere does not verify.
    #[must_use]
    pub fn payload(&self, place: &Place, size: usize) -> Vec<u8> {
        let mut bytes = vec![0; size.max(Self::MIN)];
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(place.producer.as_bytes());
        hasher.update(&place.epoch.0.to_le_bytes());
        hasher.update(&place.seq.to_le_bytes());
        hasher.update(&(bytes.len() as u64).to_le_bytes());
        // Last and alone of variable length, so no two places hash the same bytes.
        hasher.update(place.stream.as_str().as_bytes());
        hasher.finalize_xof().fill(&mut bytes);
        bytes
    }

    /// Whether these bytes are the payload of the place.
    ///
    /// # Errors
    /// When they are not, or no payload has their size.
    pub fn verify(&self, place: &Place, payload: &[u8]) -> Result<(), BadPayload> {
        self.check_size(payload.len())?;
        if self.payload(place, payload.len()) == payload {
            Ok(())
        } else {
            Err(BadPayload::Bytes { got: payload.len() })
        }
    }

    /// Whether this is the digest of the payload of the place.
    ///
    /// # Errors
    /// When it is not, or no payload has its size.
    pub fn verify_digest(&self, place: &Place, digest: Digest) -> Result<(), BadPayload> {
        let got = digest.size as usize;
        self.check_size(got)?;
        if Digest::of(&self.payload(place, got)) == digest {
            Ok(())
        } else {
            Err(BadPayload::Bytes { got })
        }
    }

    fn check_size(&self, got: usize) -> Result<(), BadPayload> {
        if (Self::MIN..=limits::ITEM).contains(&got) {
            Ok(())
        } else {
            Err(BadPayload::Size { got })
        }
    }
}

/// What a journal keeps of a payload: its size and 64 bits of its BLAKE3 hash, enough against
/// bugs (not against an adversary who can search for collisions).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest {
    size: u32,
    hash: u64,
}

impl Digest {
    /// The digest of these bytes.
    #[must_use]
    pub fn of(payload: &[u8]) -> Self {
        let hash = blake3::hash(payload);
        let mut first = [0; 8];
        first.copy_from_slice(&hash.as_bytes()[..8]);
        Self {
            size: u32::try_from(payload.len()).unwrap_or(u32::MAX),
            hash: u64::from_le_bytes(first),
        }
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({} bytes, {:016x})", self.size, self.hash)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::oracle::sim::node_id;

    fn place(seq: Seq) -> Place {
        Place {
            producer: node_id(1),
            epoch: Epoch(7),
            stream: StreamName::new("weather").unwrap(),
            seq,
        }
    }

    proptest! {
        #[test]
        fn a_payload_verifies_at_its_own_place_only(
            seed: u64, seq in 0..u64::MAX, size in 0usize..300, flip: prop::sample::Index,
        ) {
            let key = Key::from_seed(seed);
            let mut payload = key.payload(&place(seq), size);
            prop_assert_eq!(payload.len(), size.max(Key::MIN));
            prop_assert_eq!(key.verify(&place(seq), &payload), Ok(()));
            prop_assert_eq!(key.verify_digest(&place(seq), Digest::of(&payload)), Ok(()));

            let elsewhere = [
                place(seq + 1),
                Place { producer: node_id(2), ..place(seq) },
                Place { epoch: Epoch(8), ..place(seq) },
                Place { stream: StreamName::new("weathe").unwrap(), ..place(seq) },
            ];
            for other in elsewhere {
                prop_assert!(key.verify(&other, &payload).is_err());
                prop_assert!(key.verify_digest(&other, Digest::of(&payload)).is_err());
            }
            prop_assert!(Key::from_seed(!seed).verify(&place(seq), &payload).is_err());
            prop_assert!(key.verify(&place(seq), &payload[..payload.len() - 1]).is_err());
            let at = flip.index(payload.len());
            payload[at] ^= 1;
            prop_assert!(key.verify(&place(seq), &payload).is_err());
        }
    }

    #[test]
    fn sizes_that_no_payload_has_are_refused() {
        let key = Key::from_seed(1);
        assert_eq!(key.verify(&place(0), b""), Err(BadPayload::Size { got: 0 }));
        let huge = Digest {
            size: u32::MAX,
            hash: 0,
        };
        assert!(matches!(
            key.verify_digest(&place(0), huge),
            Err(BadPayload::Size { .. })
        ));
    }
}
