//! What tickets and revocation lists have in common: how they begin, and how they are signed.
//!
//! ```text
//! version 1 | network 32 | authority 32 | …
//! ```

use iroh_base::{SecretKey, Signature};

use super::{RevocationError, TicketError};
use crate::{NetworkId, NodeId};

/// The one version there is of both.
pub(super) const VERSION: u8 = 1;
/// Bytes of a signature.
pub(super) const SIGNATURE: usize = 64;
const NETWORK: usize = 1;
const AUTHORITY: usize = NETWORK + 32;

/// Where something is valid, and by whose word.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) network: NetworkId,
    pub(super) authority: NodeId,
}

/// Bytes begin neither a ticket nor a revocation list.
pub(super) enum BadHead {
    TooLarge { got: usize },
    Version { found: u8 },
    Malformed(&'static str),
}

impl Head {
    /// Bytes that it takes.
    pub(super) const LEN: usize = AUTHORITY + 32;

    /// Writes it, before everything else.
    pub(super) fn write(self) -> Vec<u8> {
        let (network, authority) = (self.network.as_bytes(), self.authority.as_bytes());
        [&[VERSION], &network[..], &authority[..]].concat()
    }

    /// Reads it where there are `bounds` bytes in all, the least and the most; the least is at least
    /// its own [`LEN`](Self::LEN).
    pub(super) fn read(bytes: &[u8], (least, most): (usize, usize)) -> Result<Self, BadHead> {
        let got = bytes.len();
        if got > most {
            return Err(BadHead::TooLarge { got });
        }
        match bytes.first() {
            None => return Err(BadHead::Malformed("empty")),
            Some(&VERSION) => {}
            Some(&found) => return Err(BadHead::Version { found }),
        }
        if got < least {
            return Err(BadHead::Malformed("truncated"));
        }
        let (network, authority) = Self::peek(bytes);
        let authority = NodeId::from_bytes(&authority)
            .map_err(|_| BadHead::Malformed("the authority is no key"))?;
        Ok(Self { network, authority })
    }

    /// Network and authority, which may be no key, of bytes that are enough for a head.
    pub(super) fn peek(bytes: &[u8]) -> (NetworkId, [u8; 32]) {
        let network = NetworkId::from_bytes(array(bytes, NETWORK));
        (network, array(bytes, AUTHORITY))
    }
}

impl From<BadHead> for TicketError {
    fn from(bad: BadHead) -> Self {
        match bad {
            BadHead::TooLarge { got } => Self::TooLarge { got },
            BadHead::Version { found } => Self::Version { found },
            BadHead::Malformed(what) => Self::Malformed(what),
        }
    }
}

impl From<BadHead> for RevocationError {
    fn from(bad: BadHead) -> Self {
        match bad {
            BadHead::TooLarge { got } => Self::TooLarge { got },
            BadHead::Version { found } => Self::Version { found },
            BadHead::Malformed(what) => Self::Malformed(what),
        }
    }
}

/// Appends the signature of all there is, under a tag.
pub(super) fn sign(tag: &[u8], key: &SecretKey, bytes: &mut Vec<u8>) {
    let signature = key.sign(&[tag, bytes].concat()).to_bytes();
    bytes.extend_from_slice(&signature);
}

/// Whether what stands at `at` is the signature of all before it, under a tag. The caller knows that
/// so many bytes are there.
pub(super) fn is_signed(tag: &[u8], signer: NodeId, bytes: &[u8], at: usize) -> bool {
    let signature = Signature::from_bytes(&array(bytes, at));
    let signed = [tag, &bytes[..at]].concat();
    signer.verify(&signed, &signature).is_ok()
}

/// The `N` bytes from `at` on, which the caller knows to be there.
pub(super) fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(&bytes[at..at + N]);
    array
}
