//! What a node says of itself, signed, and what nodes say of each other.
//!
//! Three kinds of record travel between members: an [`Entry`] (a node describes itself), a
//! [`Departure`] (a node says goodbye) and a [`Suspicion`] (a node lost its connection to another).
//! Their bytes and signatures are in [`SignedRecord`]. What follows from a record is not here but in
//! [`catalog`](crate::catalog).
//!
//! Records of one node are ordered by their revision alone. Invariant: a node never signs two of its
//! entries or departures with the same revision; [`Revisions`] sees to that.

mod body;
#[cfg(test)]
pub(crate) mod fixture;
mod signed;
#[cfg(test)]
mod tests;

use std::{collections::BTreeSet, time::Duration};

use iroh_base::{SecretKey, TransportAddr};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Epoch, Fingerprint, NetworkId, NodeId, StreamName, limits};

pub(crate) use body::list;
pub use signed::{Kind, SignedRecord};

/// The shortest promise to announce again that is taken at its word, in seconds.
pub const MIN_REFRESH_S: u16 = 5;
/// The longest promise to announce again that is taken at its word, in seconds.
pub const MAX_REFRESH_S: u16 = 3600;
/// Bytes of a relay's URL in an entry.
pub const RELAY_URL: usize = 256;

/// What a node says of itself.
///
/// The fields are checked when the entry is signed and again when it is verified; see
/// [`limits`] for the bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The network the entry is meant for; it has no meaning in another one.
    pub network: NetworkId,
    /// Who speaks, and whose key signs.
    pub node: NodeId,
    /// A name for people; may be empty, need not be unique.
    pub name: String,
    /// The node's tags.
    pub tags: BTreeSet<String>,
    /// Where the node can be reached: IP addresses and relays. The scope and flow label of an IPv6
    /// address do not travel, they mean nothing on another machine.
    pub addrs: Vec<TransportAddr>,
    /// The streams the node produces, each name once. They travel in the order of their names.
    pub streams: Vec<StreamAdvert>,
    /// A random number for the life of the process: a new one means that the node was restarted.
    pub instance: u64,
    /// Orders what the node says of itself; see [`Revisions`].
    pub revision: u64,
    /// Seconds within which the node promises to announce itself again. Read it through
    /// [`Entry::refresh`].
    pub refresh_s: u16,
}

/// A stream that a node produces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StreamAdvert {
    /// The stream's name.
    pub name: StreamName,
    /// The shape of its items.
    pub fingerprint: Fingerprint,
    /// The life of the producer.
    pub epoch: Epoch,
}

/// A node says that it leaves the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Departure {
    /// The network that the node leaves.
    pub network: NetworkId,
    /// Who leaves, and whose key signs.
    pub node: NodeId,
    /// Higher than that of the node's last entry.
    pub revision: u64,
}

/// "I lost my connection to `node`, whose entry at `revision` I hold, and could not dial it again."
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    /// The network of both.
    pub network: NetworkId,
    /// Who is suspected.
    pub node: NodeId,
    /// The revision of the suspected node's entry that the reporter holds. A newer entry refutes.
    pub revision: u64,
    /// Who suspects, and whose key signs.
    pub reporter: NodeId,
}

/// One of the three things that are said in records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A node describes itself.
    Entry(Entry),
    /// A node leaves.
    Departure(Departure),
    /// A node suspects another.
    Suspicion(Suspicion),
}

/// A record cannot be signed, or must not be believed.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum EntryError {
    /// The record is larger than [`limits::ENTRY`].
    #[error("the record has {got} bytes, the limit is {max}", max = limits::ENTRY)]
    TooLarge {
        /// Bytes of the record.
        got: usize,
    },
    /// There are more of something than the limit says.
    #[error("{got} {what}, the limit is {max}")]
    TooMany {
        /// Of what there are too many.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many there may be.
        max: usize,
    },
    /// A text is longer than its limit.
    #[error("a {what} of {got} bytes, the limit is {max}")]
    TooLong {
        /// What the text is.
        what: &'static str,
        /// Bytes of the text.
        got: usize,
        /// Bytes it may have.
        max: usize,
    },
    /// A text is empty where it must not be, or has control characters.
    #[error("a {what} that is empty or has control characters: {text:?}")]
    BadText {
        /// What the text is.
        what: &'static str,
        /// The text.
        text: String,
    },
    /// A stream is named twice.
    #[error("stream {0} is named twice")]
    DuplicateStream(StreamName),
    /// An address is neither an IP address nor a relay.
    #[error("an address that is neither an IP address nor a relay: {0}")]
    UnsupportedAddr(String),
    /// The key does not belong to the node that speaks.
    #[error("the signing key belongs to another node than the one that speaks")]
    WrongKey,
    /// A node reports itself.
    #[error("a node suspects itself")]
    SelfSuspicion,
    /// The bytes are not a record.
    #[error("malformed record: {0}")]
    Malformed(&'static str),
    /// The signature does not fit the body.
    #[error("the signature does not fit")]
    Signature,
}

impl Entry {
    /// The time within which the node promises to announce itself again, held to the range of
    /// [`MIN_REFRESH_S`] to [`MAX_REFRESH_S`].
    #[must_use]
    pub fn refresh(&self) -> Duration {
        Duration::from_secs(u64::from(
            self.refresh_s.clamp(MIN_REFRESH_S, MAX_REFRESH_S),
        ))
    }

    /// Whether the two say the same to a program: apart from the revision, and from the interval,
    /// which follows the size of the network.
    #[must_use]
    pub fn same_content(&self, other: &Self) -> bool {
        self.network == other.network
            && self.node == other.node
            && self.name == other.name
            && self.tags == other.tags
            && self.addrs == other.addrs
            && self.streams == other.streams
            && self.instance == other.instance
    }

    /// Checks and signs the entry.
    ///
    /// # Errors
    /// When the key is not the node's, or a limit is exceeded; the error names the limit.
    pub fn sign(&self, key: &SecretKey) -> Result<SignedRecord, EntryError> {
        let rest = body::encode_entry(self)?;
        SignedRecord::sign(
            Kind::Entry,
            &self.network,
            &self.node,
            self.revision,
            &rest,
            (&self.node, key),
        )
    }
}

impl Departure {
    /// Signs the departure.
    ///
    /// # Errors
    /// When the key is not the node's.
    pub fn sign(&self, key: &SecretKey) -> Result<SignedRecord, EntryError> {
        SignedRecord::sign(
            Kind::Departure,
            &self.network,
            &self.node,
            self.revision,
            &[],
            (&self.node, key),
        )
    }
}

impl Suspicion {
    /// Signs the suspicion.
    ///
    /// # Errors
    /// When the key is not the reporter's, or the reporter suspects itself.
    pub fn sign(&self, key: &SecretKey) -> Result<SignedRecord, EntryError> {
        if self.node == self.reporter {
            return Err(EntryError::SelfSuspicion);
        }
        SignedRecord::sign(
            Kind::Suspicion,
            &self.network,
            &self.node,
            self.revision,
            self.reporter.as_bytes(),
            (&self.reporter, key),
        )
    }
}

/// Where a node takes the revisions of its own records from.
///
/// A revision is the wall clock in microseconds since 1970, or one more than the last, whichever is
/// higher: so a restarted node needs no memory of its former life as long as its clock went on, and
/// [`Revisions::above`] helps when it did not.
#[derive(Clone, Debug, Default)]
pub struct Revisions {
    last: u64,
}

impl Revisions {
    /// A source that has given out nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self { last: 0 }
    }

    /// The next revision. It stays at `u64::MAX` once it is there, which takes 580,000 years.
    pub fn next(&mut self, wall_us: u64) -> u64 {
        self.last = wall_us.max(self.last.saturating_add(1));
        self.last
    }

    /// The next revision, above one that somebody has shown us of ourselves.
    pub fn above(&mut self, shown: u64, wall_us: u64) -> u64 {
        self.last = self.last.max(shown);
        self.next(wall_us)
    }

    /// The last revision given out, 0 before the first.
    #[must_use]
    pub const fn last(&self) -> u64 {
        self.last
    }
}
