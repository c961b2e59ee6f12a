//! The decision on a ticket, with its reason.

use std::collections::BTreeSet;

use thiserror::Error;

use super::{Revoked, Right, Ticket};
use crate::{NetworkId, NodeId, StreamName};

/// What is asked of a ticket.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// The network in which it is asked.
    pub network: NetworkId,
    /// Who shows the ticket, as TLS has authenticated it.
    pub audience: NodeId,
    /// Which stream it is about.
    pub stream: &'a StreamName,
    /// What is to be done with it.
    pub right: Right,
    /// The wall clock, in seconds since 1970.
    pub now_s: u64,
}

/// Whose tickets count.
///
/// A ticket ends at its second, without an allowance: it is for who issues it to make it last long
/// enough. It may be used [`Verifier::EARLY_S`] seconds before it begins, because a fresh ticket
/// of an authority whose clock is a little ahead must not be refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verifier {
    authorities: BTreeSet<NodeId>,
}

/// Why a ticket does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Denied {
    /// There is none.
    #[error("no ticket was shown")]
    Missing,
    /// It cannot be read.
    #[error("what was shown is not a ticket")]
    Unreadable,
    /// It is for another network.
    #[error("the ticket is for another network")]
    Network,
    /// It is by an authority that is not trusted.
    #[error("the ticket's authority is not trusted")]
    Authority,
    /// It was made for another node.
    #[error("the ticket was made for another node")]
    Audience,
    /// It does not cover the stream.
    #[error("the ticket does not cover the stream")]
    Stream,
    /// It does not allow this.
    #[error("the ticket does not allow this")]
    Right,
    /// A signature is wrong.
    #[error("a signature of the ticket is wrong")]
    Signature,
    /// Its time has not come.
    #[error("the ticket is not valid yet")]
    NotYet,
    /// Its time is over.
    #[error("the ticket has expired")]
    Expired,
    /// Its authority has revoked it.
    #[error("the ticket has been revoked")]
    Revoked,
}

impl Denied {
    /// Whether the ticket is genuine, for this node, stream and right, and only its time is wrong
    /// or it was revoked. Such a node was told of the stream, so it may be told that it is refused.
    #[must_use]
    pub const fn is_genuine(self) -> bool {
        matches!(self, Self::NotYet | Self::Expired | Self::Revoked)
    }
}

impl Verifier {
    /// How many seconds before its beginning a ticket counts already.
    pub const EARLY_S: u64 = 60;

    /// A verifier that trusts these authorities; with none it denies everything.
    pub fn new(authorities: impl IntoIterator<Item = NodeId>) -> Self {
        Self {
            authorities: authorities.into_iter().collect(),
        }
    }

    /// Trusts this authority as well.
    #[must_use]
    pub fn trust(mut self, authority: NodeId) -> Self {
        self.authorities.insert(authority);
        self
    }

    /// Whether it trusts this authority.
    #[must_use]
    pub fn trusts(&self, authority: &NodeId) -> bool {
        self.authorities.contains(authority)
    }

    /// Whom it trusts.
    pub fn authorities(&self) -> impl Iterator<Item = &NodeId> {
        self.authorities.iter()
    }

    /// Whether a ticket allows what is asked, and until when, in seconds since 1970.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn verify(
        &self,
        ticket: &Ticket,
        question: &Question<'_>,
        revoked: &Revoked,
    ) -> Result<u64, Denied> {
        self.scope(ticket, question)?;
        if !ticket.is_signed() {
            return Err(Denied::Signature);
        }
        self.time(ticket, question.now_s, revoked)
    }

    /// As [`verify`](Self::verify), of a ticket that it has accepted before from the same node:
    /// signatures do not change, so only what can have changed is looked at.
    ///
    /// # Errors
    /// The first reason against it.
    pub fn verify_again(
        &self,
        ticket: &Ticket,
        question: &Question<'_>,
        revoked: &Revoked,
    ) -> Result<u64, Denied> {
        self.scope(ticket, question)?;
        self.time(ticket, question.now_s, revoked)
    }

    fn scope(&self, ticket: &Ticket, question: &Question<'_>) -> Result<(), Denied> {
        if ticket.network() != question.network {
            return Err(Denied::Network);
        }
        if !self.trusts(&ticket.authority()) {
            return Err(Denied::Authority);
        }
        if ticket.holder() != question.audience {
            return Err(Denied::Audience);
        }
        if !ticket.terms().pattern.covers(question.stream) {
            return Err(Denied::Stream);
        }
        if !ticket.terms().rights.contains(question.right) {
            return Err(Denied::Right);
        }
        Ok(())
    }

    fn time(&self, ticket: &Ticket, now_s: u64, revoked: &Revoked) -> Result<u64, Denied> {
        let terms = ticket.terms();
        if now_s.saturating_add(Self::EARLY_S) < terms.not_before_s {
            return Err(Denied::NotYet);
        }
        if now_s >= terms.expires_s {
            return Err(Denied::Expired);
        }
        if revoked.covers(ticket) {
            return Err(Denied::Revoked);
        }
        Ok(terms.expires_s)
    }
}
