//! One link of a ticket, and what narrowing means.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Pattern, Rights, TicketError};
use crate::{NodeId, limits};

/// The random number that names a link for ever: what a revocation list names.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TicketId(pub [u8; 16]);

impl fmt::Display for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TicketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TicketId({self})")
    }
}

/// What a link allows, to whom, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    /// The node that may use the ticket.
    pub audience: NodeId,
    /// Which streams.
    pub pattern: Pattern,
    /// What may be done; something at least.
    pub rights: Rights,
    /// From when on, in seconds since 1970.
    pub not_before_s: u64,
    /// Until when, in seconds since 1970: at this second it is over. At most
    /// [`limits::TICKET_LIFETIME_S`] after the beginning.
    pub expires_s: u64,
    /// How many further links may follow; fewer with each one, 3 at most.
    pub delegations: u8,
}

/// What makes a link this one and no other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Random.
    pub id: TicketId,
    /// When it is made, in seconds since 1970.
    pub issued_s: u64,
}

/// One link of a ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Link {
    /// Its name.
    pub id: TicketId,
    /// When it was made, in seconds since 1970, by the word of who made it.
    pub issued_s: u64,
    /// What it allows.
    pub terms: Terms,
}

/// In what a link goes beyond the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Widening {
    /// It covers further streams.
    Pattern,
    /// It has further rights.
    Rights,
    /// It begins earlier.
    NotBefore,
    /// It ends later.
    Expires,
    /// It may be passed on at least as often, or the one before may not be passed on at all.
    Delegations,
}

impl fmt::Display for Widening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pattern => "it covers further streams",
            Self::Rights => "it has further rights",
            Self::NotBefore => "it begins earlier",
            Self::Expires => "it ends later",
            Self::Delegations => "it may not be passed on that often",
        })
    }
}

/// A link's body on the wire.
#[derive(Serialize, Deserialize)]
struct Body {
    id: [u8; 16],
    audience: [u8; 32],
    pattern: Pattern,
    rights: Rights,
    issued_s: u64,
    not_before_s: u64,
    expires_s: u64,
    delegations: u8,
}

impl Link {
    pub(super) fn new(stamp: Stamp, terms: &Terms) -> Self {
        Self {
            id: stamp.id,
            issued_s: stamp.issued_s,
            terms: terms.clone(),
        }
    }

    /// Puts the body, without a signature, behind `bytes`.
    pub(super) fn write(&self, bytes: Vec<u8>) -> Result<Vec<u8>, TicketError> {
        let Terms {
            audience,
            pattern,
            rights,
            not_before_s,
            expires_s,
            delegations,
        } = &self.terms;
        let body = Body {
            id: self.id.0,
            audience: *audience.as_bytes(),
            pattern: pattern.clone(),
            rights: *rights,
            issued_s: self.issued_s,
            not_before_s: *not_before_s,
            expires_s: *expires_s,
            delegations: *delegations,
        };
        postcard::to_extend(&body, bytes).map_err(|_| TicketError::Malformed("a link"))
    }

    /// Reads a body, in canonical form, from the beginning of `bytes`, and says how long it is.
    pub(super) fn read(bytes: &[u8]) -> Result<(Self, usize), TicketError> {
        let (body, rest): (Body, _) = postcard::take_from_bytes(bytes)
            .map_err(|_| TicketError::Malformed("a link cannot be read"))?;
        let len = bytes.len() - rest.len();
        let audience = NodeId::from_bytes(&body.audience)
            .map_err(|_| TicketError::Malformed("the audience is no key"))?;
        let link = Self {
            id: TicketId(body.id),
            issued_s: body.issued_s,
            terms: Terms {
                audience,
                pattern: body.pattern,
                rights: body.rights,
                not_before_s: body.not_before_s,
                expires_s: body.expires_s,
                delegations: body.delegations,
            },
        };
        link.check()?;
        // A number has several forms as a varint; one ticket must not have several.
        if link.write(Vec::new())? != bytes[..len] {
            return Err(TicketError::Malformed("not in canonical form"));
        }
        Ok((link, len))
    }

    fn check(&self) -> Result<(), TicketError> {
        let Terms {
            rights,
            not_before_s,
            expires_s,
            delegations,
            ..
        } = self.terms;
        if rights.is_empty() {
            return Err(TicketError::NoRights);
        }
        let lifetime = expires_s.checked_sub(not_before_s);
        let fits = lifetime.is_some_and(|s| s > 0 && s <= limits::TICKET_LIFETIME_S);
        if !fits || expires_s > limits::TICKET_TIME_S || self.issued_s > limits::TICKET_TIME_S {
            return Err(TicketError::Times);
        }
        if usize::from(delegations) >= limits::TICKET_LINKS {
            return Err(TicketError::TooManyLinks);
        }
        Ok(())
    }

    /// In what `child` goes beyond this link, if in anything.
    pub(super) fn widened_by(&self, child: &Self) -> Option<Widening> {
        let (ours, theirs) = (&self.terms, &child.terms);
        if theirs.delegations >= ours.delegations {
            Some(Widening::Delegations)
        } else if !theirs.pattern.is_within(&ours.pattern) {
            Some(Widening::Pattern)
        } else if !theirs.rights.is_within(ours.rights) {
            Some(Widening::Rights)
        } else if theirs.not_before_s < ours.not_before_s {
            Some(Widening::NotBefore)
        } else if theirs.expires_s > ours.expires_s {
            Some(Widening::Expires)
        } else {
            None
        }
    }
}
