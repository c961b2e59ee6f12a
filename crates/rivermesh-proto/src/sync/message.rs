//! The messages of a sync, and their one encoding (postcard, within a page).

use std::fmt;

use serde::{
    Deserialize, Deserializer, Serialize, Serializer,
    de::{self, SeqAccess, Visitor},
    ser::SerializeTuple,
};

use super::SyncError;
use crate::{
    catalog::BUCKETS,
    entry::{SignedRecord, list},
    limits,
};

/// Bytes that a message may take besides its records, ids and items.
pub(super) const OVERHEAD: usize = 64;
/// Bytes of an item of a [`Message::Have`] at most.
const ITEM: usize = 32 + 10;
/// Items of one [`Message::Have`] at most.
pub(super) const ITEMS: usize = (limits::SYNC_PAGE - OVERHEAD) / ITEM;
/// Ids that one [`Message::Delta`] asks for at most; they leave half of the page to records.
pub(super) const WANTS: usize = limits::SYNC_PAGE / 2 / 32;
/// Records of one message at most; the smallest has 137 bytes.
const RECORDS: usize = limits::SYNC_PAGE / 137;

/// A message of a sync. Ids are bytes that need not be a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Message {
    /// The initiator's digest.
    Open {
        /// The sum over all that is known.
        total: u64,
        /// How many nodes are in the sum.
        count: u32,
    },
    /// The responder knows the same; the sync is over.
    Same,
    /// The responder's digest in full.
    Buckets(Sums),
    /// What the initiator knows in the buckets that differ.
    Have {
        /// The buckets that differ, the lowest bit of the first byte being bucket 0.
        buckets: [u8; 32],
        /// Nodes and revisions.
        #[serde(deserialize_with = "list::<_, _, { ITEMS }>")]
        items: Vec<([u8; 32], u64)>,
        /// Whether no further page of this follows.
        last: bool,
    },
    /// The responder waits for the next page of `Have`.
    More,
    /// What the initiator lacks, and what the responder lacks.
    Delta {
        /// Newer than what the initiator has.
        #[serde(deserialize_with = "list::<_, _, { RECORDS }>")]
        records: Vec<Carried>,
        /// Nodes of which the initiator has something newer.
        #[serde(deserialize_with = "list::<_, _, { WANTS }>")]
        want: Vec<[u8; 32]>,
        /// Whether the responder has nothing further.
        last: bool,
    },
    /// What the responder asked for.
    Push {
        /// The records.
        #[serde(deserialize_with = "list::<_, _, { RECORDS }>")]
        records: Vec<Carried>,
        /// Whether the initiator has further records to push.
        more: bool,
    },
}

/// A record on its way, and for how long nothing was heard of its node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Carried {
    /// Seconds since the sender, or the one that told it, heard of the node.
    pub age_s: u32,
    /// The record.
    pub record: SignedRecord,
}

impl Carried {
    /// Bytes that it takes in a message at most.
    pub(super) fn most_bytes(&self) -> usize {
        5 + 2 + self.record.as_bytes().len()
    }
}

/// The sum of each bucket of a digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sums(pub Box<[u64; BUCKETS]>);

impl Message {
    /// The bytes to send.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        // Nothing in a message can fail to be encoded into memory.
        postcard::to_stdvec(self).unwrap_or_default()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are more than a page, or are not exactly one message.
    pub fn decode(bytes: &[u8]) -> Result<Self, SyncError> {
        if bytes.len() > limits::SYNC_PAGE {
            return Err(SyncError::TooLarge { got: bytes.len() });
        }
        match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Ok(message),
            Ok(_) | Err(_) => Err(SyncError::Malformed),
        }
    }
}

impl Serialize for Sums {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut tuple = serializer.serialize_tuple(BUCKETS)?;
        for sum in self.0.iter() {
            tuple.serialize_element(&sum.to_le_bytes())?;
        }
        tuple.end()
    }
}

impl<'de> Deserialize<'de> for Sums {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Fixed;

        impl<'de> Visitor<'de> for Fixed {
            type Value = Sums;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{BUCKETS} sums")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Sums, A::Error> {
                let mut sums = Box::new([0; BUCKETS]);
                for (at, sum) in sums.iter_mut().enumerate() {
                    let bytes: [u8; 8] = seq
                        .next_element()?
                        .ok_or_else(|| de::Error::invalid_length(at, &self))?;
                    *sum = u64::from_le_bytes(bytes);
                }
                Ok(Sums(sums))
            }
        }

        deserializer.deserialize_tuple(BUCKETS, Fixed)
    }
}
