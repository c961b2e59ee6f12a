//! Tickets: who may consume, produce or relay which streams, until when, and by whose word.
//!
//! A ticket is a chain of at most [`limits::TICKET_LINKS`] links. The first is signed by an
//! *authority*, each further one by the node that the link before names as its audience, without
//! asking anybody: *delegation*. A delegated link may only narrow what the one before allows; a
//! chain that widens is not a ticket at all, whatever its signatures. Whoever shows a ticket must be
//! the audience of its last link, as TLS has authenticated it, so a copied ticket is worth nothing.
//!
//! ```text
//! version 1 | network 32 | authority 32 | link | link …      at most 2 KiB
//!
//! link:  id 16 | audience 32 | pattern | rights 1 | issued | not before | expires | further 1 | signature 64
//! ```
//!
//! Pattern is a text with a length, times are varints of seconds since 1970 (postcard). A signature
//! (Ed25519, strict verification) covers the tag `rivermesh/1 ticket` with a zero byte and every
//! byte of the ticket before the signature itself. So a link can neither be moved to another chain
//! nor stand behind other links than those its signer saw. Only the canonical form is read.
//!
//! | file | story |
//! | --- | --- |
//! | `pattern`, `rights` | what a ticket is about |
//! | `link` | one link, and what narrowing means |
//! | `verify` | the decision, with its reason |
//! | `revoke` | lists of tickets that count no more |
//! | `form` | what tickets and revocation lists have in common |
//! | `credential` | what is shown in a handshake: a ticket, or another proof |
//! | `text` | the form that people copy |

mod credential;
mod form;
mod link;
mod pattern;
mod revoke;
mod rights;
mod text;
mod verify;

use std::{fmt, mem};

use bytes::Bytes;
use iroh_base::SecretKey;
use thiserror::Error;

use self::form::{Head, SIGNATURE, VERSION};
pub use self::{
    credential::{BadCredential, Credential, Kind},
    link::{Link, Stamp, Terms, TicketId, Widening},
    pattern::{BadPattern, Pattern},
    revoke::{RevocationError, RevocationList, Revoked, Revoking},
    rights::{BadRights, Right, Rights},
    text::{REVOCATIONS_PREFIX, TICKET_PREFIX, TextError},
    verify::{Denied, Question, Verifier},
};
use crate::{NetworkId, NodeId, limits};

const TAG: &[u8] = b"rivermesh/1 ticket\0";

/// A ticket: well formed, in canonical form, and narrowing from link to link.
///
/// Nothing is known of its signatures until [`Verifier::verify`] says so. It is no secret: only the
/// node that it names can use it.
#[derive(Clone, PartialEq, Eq)]
pub struct Ticket {
    bytes: Bytes,
    head: Head,
    /// One at least.
    links: Vec<Link>,
    /// Where the signature of each link begins.
    signatures: Vec<usize>,
}

/// Bytes are not a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TicketError {
    /// The bytes are too many.
    #[error("a ticket has at most {max} bytes, got {got}", max = limits::TICKET)]
    TooLarge {
        /// Bytes there are.
        got: usize,
    },
    /// The ticket was made by another version.
    #[error("the ticket has version {found}, known is {VERSION}: a newer program may read it")]
    Version {
        /// The version of the ticket.
        found: u8,
    },
    /// The bytes have another form than a ticket.
    #[error("not a ticket: {0}")]
    Malformed(&'static str),
    /// The chain is too long.
    #[error("a ticket has at most {max} links", max = limits::TICKET_LINKS)]
    TooManyLinks,
    /// A link's times contradict each other or are out of range.
    #[error(
        "a ticket must end after it begins, within {days} days, and before the year 10000",
        days = limits::TICKET_LIFETIME_S / 86_400
    )]
    Times,
    /// A link allows nothing at all.
    #[error("a ticket must allow something")]
    NoRights,
    /// A delegated link allows more than the one it comes from.
    #[error("link {link} allows more than the one before it: {what}")]
    Widens {
        /// Which link, counted from 1.
        link: usize,
        /// In what.
        what: Widening,
    },
}

/// A ticket could not be issued or delegated. Nothing was made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum IssueError {
    /// The terms make no ticket.
    #[error("these terms make no ticket")]
    Terms(#[source] TicketError),
    /// The key is not that of the ticket's holder, who alone can delegate it.
    #[error("only the holder of a ticket, {holder}, can delegate it")]
    NotHolder {
        /// The node that the ticket was made for.
        holder: NodeId,
    },
}

impl Ticket {
    /// A ticket by an authority. `stamp` has its id, which must be random, and the time.
    ///
    /// # Errors
    /// When the terms make no ticket.
    pub fn issue(
        network: NetworkId,
        authority: &SecretKey,
        stamp: Stamp,
        terms: &Terms,
    ) -> Result<Self, IssueError> {
        let head = Head {
            network,
            authority: authority.public(),
        };
        Self::append(head.write(), authority, Link::new(stamp, terms))
    }

    /// A ticket for another node, by the holder of this one, that allows no more than this one
    /// does. Needs nobody's help.
    ///
    /// # Errors
    /// When the key is not the holder's, or the terms go beyond this ticket's.
    pub fn delegate(
        &self,
        holder: &SecretKey,
        stamp: Stamp,
        terms: &Terms,
    ) -> Result<Self, IssueError> {
        if holder.public() != self.holder() {
            return Err(IssueError::NotHolder {
                holder: self.holder(),
            });
        }
        Self::append(self.bytes.to_vec(), holder, Link::new(stamp, terms))
    }

    fn append(mut bytes: Vec<u8>, key: &SecretKey, link: Link) -> Result<Self, IssueError> {
        bytes = link.write(bytes).map_err(IssueError::Terms)?;
        form::sign(TAG, key, &mut bytes);
        Self::decode(&bytes).map_err(IssueError::Terms)
    }

    /// Reads a ticket. Checks everything but signatures and time.
    ///
    /// # Errors
    /// See [`TicketError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TicketError> {
        let head = Head::read(bytes, (Head::LEN, limits::TICKET))?;
        let got = bytes.len();
        let (mut links, mut signatures): (Vec<Link>, Vec<usize>) = (Vec::new(), Vec::new());
        let mut at = Head::LEN;
        while at < got || links.is_empty() {
            if links.len() == limits::TICKET_LINKS {
                return Err(TicketError::TooManyLinks);
            }
            let (link, len) = Link::read(&bytes[at..])?;
            if let Some(what) = links.last().and_then(|parent| parent.widened_by(&link)) {
                let link = links.len() + 1;
                return Err(TicketError::Widens { link, what });
            }
            at += len;
            if got - at < SIGNATURE {
                return Err(TicketError::Malformed("truncated"));
            }
            links.push(link);
            signatures.push(at);
            at += SIGNATURE;
        }
        Ok(Self {
            bytes: Bytes::copy_from_slice(bytes),
            head,
            links,
            signatures,
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

    /// Whose word it is.
    #[must_use]
    pub const fn authority(&self) -> NodeId {
        self.head.authority
    }

    /// The links, from the authority's to the holder's; one to [`limits::TICKET_LINKS`].
    #[must_use]
    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// The last link: what the ticket allows, which is the least of all.
    #[must_use]
    pub fn terms(&self) -> &Terms {
        &self.links[self.links.len() - 1].terms
    }

    /// The node that may use the ticket.
    #[must_use]
    pub fn holder(&self) -> NodeId {
        self.terms().audience
    }

    /// Whether every signature is right. That says nothing of whether anybody trusts the authority, nor
    /// of time: see [`Verifier::verify`].
    #[must_use]
    pub fn is_signed(&self) -> bool {
        let mut signer = self.head.authority;
        self.links.iter().zip(&self.signatures).all(|(link, at)| {
            let signer = mem::replace(&mut signer, link.terms.audience);
            form::is_signed(TAG, signer, &self.bytes, *at)
        })
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket")
            .field("network", &self.head.network)
            .field("authority", &self.head.authority.fmt_short().to_string())
            .field("links", &self.links)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
