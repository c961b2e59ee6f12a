//! Records as they travel: a signature, a header of fixed size, and the rest.
//!
//! ```text
//! signature 64 | kind 1 | network 32 | node 32 | revision 8, little endian | rest
//! ```
//!
//! The rest of an entry is postcard, that of a departure is empty, that of a suspicion is the
//! reporter's key (32 bytes). The signature (Ed25519) covers a tag for the kind and everything after
//! the signature. Because the header is fixed, a catalog can tell that a record is not news before
//! it decodes the rest or checks the signature, which is the expensive part.

use std::fmt;

use bytes::Bytes;
use iroh_base::{SecretKey, Signature};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Departure, EntryError, Record, Suspicion, body};
use crate::{NetworkId, NodeId, limits};

const BODY: usize = 64;
const NETWORK: usize = BODY + 1;
const NODE: usize = NETWORK + 32;
const REVISION: usize = NODE + 32;
const REST: usize = REVISION + 8;
const REPORTER: usize = 32;

/// What a record is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// A node describes itself.
    Entry = 1,
    /// A node leaves.
    Departure = 2,
    /// A node suspects another.
    Suspicion = 3,
}

impl Kind {
    /// What is signed in front of the body, so that a signature for one purpose serves no other.
    const fn tag(self) -> &'static [u8] {
        match self {
            Self::Entry => b"rivermesh/1 entry\0",
            Self::Departure => b"rivermesh/1 departure\0",
            Self::Suspicion => b"rivermesh/1 suspicion\0",
        }
    }

    const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Entry),
            2 => Some(Self::Departure),
            3 => Some(Self::Suspicion),
            _ => None,
        }
    }
}

/// The bytes of a record as they travel. Cloning is cheap.
///
/// A value of this type has the right size and a readable header; nothing else is known about it
/// until [`SignedRecord::verify`] says so.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct SignedRecord {
    bytes: Bytes,
    kind: Kind,
}

impl SignedRecord {
    pub(super) fn sign(
        kind: Kind,
        network: &NetworkId,
        node: &NodeId,
        revision: u64,
        rest: &[u8],
        (signer, key): (&NodeId, &SecretKey),
    ) -> Result<Self, EntryError> {
        if key.public() != *signer {
            return Err(EntryError::WrongKey);
        }
        let got = REST + rest.len();
        if got > limits::ENTRY {
            return Err(EntryError::TooLarge { got });
        }
        let mut bytes = Vec::with_capacity(got);
        bytes.extend_from_slice(&[0; BODY]);
        bytes.push(kind as u8);
        bytes.extend_from_slice(network.as_bytes());
        bytes.extend_from_slice(node.as_bytes());
        bytes.extend_from_slice(&revision.to_le_bytes());
        bytes.extend_from_slice(rest);
        let signature = key.sign(&signed_bytes(kind, &bytes[BODY..])).to_bytes();
        bytes[..BODY].copy_from_slice(&signature);
        Ok(Self {
            bytes: bytes.into(),
            kind,
        })
    }

    /// Takes the bytes of a record, after a look at its size and kind only.
    ///
    /// # Errors
    /// When the size or the kind is not that of a record.
    pub fn decode(bytes: Bytes) -> Result<Self, EntryError> {
        let got = bytes.len();
        if got > limits::ENTRY {
            return Err(EntryError::TooLarge { got });
        }
        if got < REST {
            return Err(EntryError::Malformed("truncated"));
        }
        let kind = Kind::from_byte(bytes[BODY]).ok_or(EntryError::Malformed("unknown kind"))?;
        let rest = got - REST;
        match kind {
            Kind::Departure if rest != 0 => Err(EntryError::Malformed("trailing bytes")),
            Kind::Suspicion if rest < REPORTER => Err(EntryError::Malformed("truncated")),
            Kind::Suspicion if rest > REPORTER => Err(EntryError::Malformed("trailing bytes")),
            _ => Ok(Self { bytes, kind }),
        }
    }

    /// As [`SignedRecord::decode`], with a copy of the bytes: a record is kept for long, and must
    /// not keep the page alive that it came in.
    ///
    /// # Errors
    /// When the size or the kind is not that of a record.
    pub fn copy_from_slice(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > limits::ENTRY {
            return Err(EntryError::TooLarge { got: bytes.len() });
        }
        Self::decode(Bytes::copy_from_slice(bytes))
    }

    /// The bytes as they travel.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// What the record is about.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The revision: of the entry itself, or of the entry that is suspected. Not verified.
    #[must_use]
    pub fn revision(&self) -> u64 {
        u64::from_le_bytes(self.array(REVISION))
    }

    /// The node that the record is about, as bytes that need not be a key. Not verified.
    #[must_use]
    pub fn node_bytes(&self) -> [u8; 32] {
        self.array(NODE)
    }

    /// The node that must have signed, as bytes that need not be a key. Not verified.
    #[must_use]
    pub fn signer_bytes(&self) -> [u8; 32] {
        match self.kind {
            Kind::Entry | Kind::Departure => self.array(NODE),
            Kind::Suspicion => self.array(REST),
        }
    }

    /// The network, as bytes. Not verified.
    #[must_use]
    pub fn network_bytes(&self) -> [u8; 32] {
        self.array(NETWORK)
    }

    /// Decodes and checks everything, the signature last. Costs some 50 µs.
    ///
    /// # Errors
    /// When the body breaks a limit or is not in canonical form, or the signature does not fit.
    pub fn verify(&self) -> Result<Record, EntryError> {
        let network: NetworkId = postcard::from_bytes(&self.network_bytes())
            .map_err(|_| EntryError::Malformed("network"))?;
        let node = key(&self.node_bytes())?;
        let revision = self.revision();
        let (record, signer) = match self.kind {
            Kind::Entry => {
                let entry = body::decode_entry(network, node, revision, &self.bytes[REST..])?;
                (Record::Entry(entry), node)
            }
            Kind::Departure => {
                let departure = Departure {
                    network,
                    node,
                    revision,
                };
                (Record::Departure(departure), node)
            }
            Kind::Suspicion => {
                let reporter = key(&self.array(REST))?;
                if reporter == node {
                    return Err(EntryError::SelfSuspicion);
                }
                let suspicion = Suspicion {
                    network,
                    node,
                    revision,
                    reporter,
                };
                (Record::Suspicion(suspicion), reporter)
            }
        };
        let signature = Signature::from_bytes(&self.array(0));
        signer
            .verify(&signed_bytes(self.kind, &self.bytes[BODY..]), &signature)
            .map_err(|_| EntryError::Signature)?;
        Ok(record)
    }

    /// The bytes from `at` on; the size was checked when the value was made.
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }
}

impl fmt::Debug for SignedRecord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignedRecord")
            .field("kind", &self.kind)
            .field(
                "node",
                &data_encoding::HEXLOWER.encode(&self.node_bytes()[..5]),
            )
            .field("revision", &self.revision())
            .field("bytes", &self.bytes.len())
            .finish()
    }
}

impl Serialize for SignedRecord {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.bytes)
    }
}

impl<'de> Deserialize<'de> for SignedRecord {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl de::Visitor<'_> for Visitor {
            type Value = SignedRecord;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the bytes of a signed record")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<SignedRecord, E> {
                SignedRecord::copy_from_slice(bytes).map_err(E::custom)
            }
        }

        deserializer.deserialize_bytes(Visitor)
    }
}

fn signed_bytes(kind: Kind, body: &[u8]) -> Vec<u8> {
    [kind.tag(), body].concat()
}

fn key(bytes: &[u8; 32]) -> Result<NodeId, EntryError> {
    NodeId::from_bytes(bytes).map_err(|_| EntryError::Malformed("not a key"))
}
