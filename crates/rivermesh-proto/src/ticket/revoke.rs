//! Lists of tickets that count no more.
//!
//! ```text
//! version 1 | network 32 | authority 32 | number 8 | before 8 | ids, 16 each | signature 64
//! ```
//!
//! Integers are little endian. The signature (Ed25519) covers the tag `rivermesh/1 revocations` with
//! a zero byte and everything before it. Of one authority the list with the highest number counts
//! alone, so each list says everything that is to be revoked. What has expired can be left out; if
//! that is still too much for one list, `before` revokes everything the authority issued before a
//! time.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use bytes::Bytes;
use iroh_base::SecretKey;
use thiserror::Error;

use super::{
    Ticket, TicketId,
    form::{self, Head, SIGNATURE, VERSION, array},
};
use crate::{NetworkId, NodeId, limits};

const NUMBER: usize = Head::LEN;
const BEFORE: usize = NUMBER + 8;
const IDS: usize = BEFORE + 8;
const ID: usize = 16;
const TAG: &[u8] = b"rivermesh/1 revocations\0";

/// What a list revokes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Revoking {
    /// The higher number counts.
    pub number: u64,
    /// Every ticket whose first link was issued before this second since 1970; 0 for none. Only the
    /// authority's own link is asked: what holders say of the time is their word alone.
    pub before_s: u64,
    /// Every ticket that has one of these links, wherever in its chain.
    pub ids: BTreeSet<TicketId>,
}

/// A list of an authority's tickets that count no more, with a right signature.
#[derive(Clone, PartialEq, Eq)]
pub struct RevocationList {
    bytes: Bytes,
    head: Head,
    revoking: Revoking,
}

/// Bytes are not a revocation list, or one cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RevocationError {
    /// The list is too long.
    #[error(
        "a revocation list has at most {max} bytes, got {got}: revoke all issued before a time instead",
        max = limits::REVOCATIONS
    )]
    TooLarge {
        /// Bytes there are.
        got: usize,
    },
    /// The list was made by another version.
    #[error("the revocation list has version {found}, known is {VERSION}")]
    Version {
        /// The version of the list.
        found: u8,
    },
    /// The bytes have another form.
    #[error("not a revocation list: {0}")]
    Malformed(&'static str),
    /// The signature is wrong.
    #[error("the signature of the revocation list is wrong")]
    Signature,
}

impl RevocationList {
    /// Signs a list.
    ///
    /// # Errors
    /// When it has more ids than fit.
    pub fn sign(
        network: NetworkId,
        authority: &SecretKey,
        revoking: Revoking,
    ) -> Result<Self, RevocationError> {
        let got = IDS + revoking.ids.len() * ID + SIGNATURE;
        if got > limits::REVOCATIONS {
            return Err(RevocationError::TooLarge { got });
        }
        let head = Head {
            network,
            authority: authority.public(),
        };
        let mut bytes = head.write();
        bytes.extend_from_slice(&revoking.number.to_le_bytes());
        bytes.extend_from_slice(&revoking.before_s.to_le_bytes());
        for id in &revoking.ids {
            bytes.extend_from_slice(&id.0);
        }
        form::sign(TAG, authority, &mut bytes);
        Ok(Self {
            bytes: bytes.into(),
            head,
            revoking,
        })
    }

    /// Reads a list and checks its signature, last.
    ///
    /// # Errors
    /// See [`RevocationError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, RevocationError> {
        let head = Head::read(bytes, (IDS + SIGNATURE, limits::REVOCATIONS))?;
        let end = bytes.len() - SIGNATURE;
        if !(end - IDS).is_multiple_of(ID) {
            return Err(RevocationError::Malformed("truncated"));
        }
        let listed: Vec<TicketId> = bytes[IDS..end]
            .chunks_exact(ID)
            .map(|id| TicketId(array(id, 0)))
            .collect();
        if !listed.is_sorted_by(|a, b| a < b) {
            return Err(RevocationError::Malformed("not in canonical form"));
        }
        if !form::is_signed(TAG, head.authority, bytes, end) {
            return Err(RevocationError::Signature);
        }
        Ok(Self {
            bytes: Bytes::copy_from_slice(bytes),
            head,
            revoking: Revoking {
                number: u64::from_le_bytes(array(bytes, NUMBER)),
                before_s: u64::from_le_bytes(array(bytes, BEFORE)),
                ids: listed.into_iter().collect(),
            },
        })
    }

    /// Network, authority and number of what may be a list, without a look at the rest: enough to
    /// tell that it is no news before its signature is checked, which is what costs.
    #[must_use]
    pub fn peek(bytes: &[u8]) -> Option<(NetworkId, [u8; 32], u64)> {
        (bytes.len() >= IDS).then(|| {
            let (network, authority) = Head::peek(bytes);
            (network, authority, u64::from_le_bytes(array(bytes, NUMBER)))
        })
    }

    /// The bytes as they travel.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The network that it counts in.
    #[must_use]
    pub const fn network(&self) -> NetworkId {
        self.head.network
    }

    /// Whose tickets it is about.
    #[must_use]
    pub const fn authority(&self) -> NodeId {
        self.head.authority
    }

    /// What it revokes.
    #[must_use]
    pub const fn revoking(&self) -> &Revoking {
        &self.revoking
    }

    /// Whether it revokes a ticket.
    #[must_use]
    pub fn covers(&self, ticket: &Ticket) -> bool {
        if ticket.head != self.head {
            return false;
        }
        let links = ticket.links();
        links[0].issued_s < self.revoking.before_s
            || links
                .iter()
                .any(|link| self.revoking.ids.contains(&link.id))
    }
}

impl fmt::Debug for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RevocationList")
            .field("network", &self.head.network)
            .field("authority", &self.head.authority.fmt_short().to_string())
            .field("number", &self.revoking.number)
            .field("before_s", &self.revoking.before_s)
            .field("ids", &self.revoking.ids.len())
            .finish()
    }
}

/// The newest list of each authority.
///
/// It has no bound of its own: whoever puts lists in decides whose.
#[derive(Clone, Debug, Default)]
pub struct Revoked {
    lists: BTreeMap<NodeId, RevocationList>,
}

impl Revoked {
    /// Takes a list if it is newer than the one that is there; says whether it was.
    pub fn insert(&mut self, list: RevocationList) -> bool {
        let newer = self
            .lists
            .get(&list.head.authority)
            .is_none_or(|held| held.revoking.number < list.revoking.number);
        if newer {
            self.lists.insert(list.head.authority, list);
        }
        newer
    }

    /// The list of an authority.
    #[must_use]
    pub fn get(&self, authority: &NodeId) -> Option<&RevocationList> {
        self.lists.get(authority)
    }

    /// Takes the list of an authority out.
    pub fn remove(&mut self, authority: &NodeId) -> Option<RevocationList> {
        self.lists.remove(authority)
    }

    /// All lists.
    pub fn iter(&self) -> impl Iterator<Item = &RevocationList> {
        self.lists.values()
    }

    /// How many lists there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lists.len()
    }

    /// Whether there is no list.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Whether a ticket is revoked.
    #[must_use]
    pub fn covers(&self, ticket: &Ticket) -> bool {
        self.get(&ticket.authority())
            .is_some_and(|list| list.covers(ticket))
    }
}
