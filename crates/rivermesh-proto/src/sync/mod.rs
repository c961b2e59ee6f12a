//! Digest-first, paged anti-entropy between two catalogs.
//!
//! Two nodes compare the sums of what they know; only when these differ do they compare the sums of
//! 256 buckets, then list (node, revision) of the buckets that differ, then send what the other
//! lacks. So two nodes that know the same exchange some 20 bytes, and otherwise the cost follows
//! the difference:
//!
//! ```text
//! initiator                                   responder
//!   Open { total, count }            ──▶
//!                                    ◀──   Same                       (done)
//!                                    ◀──   Buckets                    (or: 2 KiB of sums)
//!   Have { buckets, items, last }    ──▶
//!                                    ◀──   More                       (until the last Have)
//!                                    ◀──   Delta { records, want, last }
//!   Push { records, more }           ──▶
//!                                    ◀──   Delta …                    (until last, and not more)
//! ```
//!
//! Each side speaks in turn, one message of at most [`limits::SYNC_PAGE`] at a time, so that neither
//! holds more than a page for the other, and no pair of full windows can lock.
//!
//! [`Initiator`] and [`Responder`] are the two state machines, each a [`Party`]. Several may run on one catalog at a
//! time, and the catalog may change between messages.

#[cfg(test)]
pub(crate) mod fixture;
mod incoming;
mod initiator;
mod message;
mod responder;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use thiserror::Error;

pub use incoming::Incoming;
pub use initiator::Initiator;
pub use message::{Carried, Message, Sums};
pub use responder::Responder;

use crate::{
    NodeId,
    catalog::{Catalog, Change, Clock, Offer, Refused},
    entry::{EntryError, Kind, SignedRecord},
    limits,
};

/// Bytes that one side takes from the other in one sync: a full catalog with every place filled.
pub const BUDGET: usize = limits::CATALOG * (limits::ENTRY_PLACE + 64);
/// Messages that one side takes from the other in one sync. A full sync of the largest catalog takes
/// fewer than 300.
pub const MESSAGES: usize = 1024;

/// What came of a message.
#[derive(Debug, Default)]
pub struct Output {
    /// The message to send now.
    pub send: Option<Message>,
    /// What became different in the catalog.
    pub changes: Vec<Change>,
    /// The records that were news.
    pub news: Vec<SignedRecord>,
    /// The peer believes something of the local node that it does not say now; it must announce
    /// itself with a revision above this one.
    pub refute: Option<u64>,
    /// After `send`, nothing more is sent or expected.
    pub done: bool,
}

/// One of the two sides of a sync.
///
/// [`handle`](Self::handle) is all that a side needs. The other three are its steps, for whoever must not
/// hold the catalog for as long as it takes to verify a page: see [`Incoming`].
pub trait Party {
    /// Reads a message of the peer.
    ///
    /// # Errors
    /// When it is not a message, or the peer sends more than it may; the sync is over then, and the
    /// connection should be, too.
    fn read(&mut self, bytes: &[u8]) -> Result<Incoming, SyncError>;

    /// Hands records of a message to the catalog, this many at most. Nothing is to be sent yet.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    fn admit(
        &mut self,
        incoming: &mut Incoming,
        most: usize,
        catalog: &mut Catalog,
        now: Clock,
    ) -> Result<Output, SyncError>;

    /// Hands what is left of a message to the catalog, and answers it.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    fn answer(
        &mut self,
        incoming: Incoming,
        catalog: &mut Catalog,
        now: Clock,
    ) -> Result<Output, SyncError>;

    /// Takes a message of the peer.
    ///
    /// # Errors
    /// When the peer breaks a rule; the sync is over then, and the connection should be, too.
    fn handle(
        &mut self,
        bytes: &[u8],
        catalog: &mut Catalog,
        now: Clock,
    ) -> Result<Output, SyncError> {
        let incoming = self.read(bytes)?;
        self.answer(incoming, catalog, now)
    }
}

/// The peer broke a rule of the sync. What was taken before that stays in the catalog, being checked
/// record by record.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SyncError {
    /// The message is larger than a page.
    #[error("a message of {got} bytes, the limit is {max}", max = limits::SYNC_PAGE)]
    TooLarge {
        /// Bytes of the message.
        got: usize,
    },
    /// The bytes are not a message.
    #[error("not a message of a sync")]
    Malformed,
    /// The message does not belong here.
    #[error("an unexpected message: {0}")]
    Unexpected(&'static str),
    /// The peer sent more in one sync than it may.
    #[error("the peer sent more than {BUDGET} bytes or {MESSAGES} messages")]
    Budget,
    /// The peer passed on a record that it should have refused itself.
    #[error("the peer passed on a bad record")]
    BadRecord(#[source] Refused),
}

impl From<EntryError> for SyncError {
    fn from(error: EntryError) -> Self {
        Self::BadRecord(Refused::Invalid(error))
    }
}

/// What both sides keep.
#[derive(Debug)]
struct Side {
    peer: NodeId,
    bytes: usize,
    messages: usize,
    /// Nodes whose records are still to be sent.
    queue: VecDeque<[u8; 32]>,
}

impl Side {
    fn new(peer: NodeId) -> Self {
        Self {
            peer,
            bytes: 0,
            messages: 0,
            queue: VecDeque::new(),
        }
    }

    /// Decodes a message and takes it from the budget.
    fn take(&mut self, bytes: &[u8]) -> Result<Message, SyncError> {
        self.bytes = self.bytes.saturating_add(bytes.len());
        self.messages += 1;
        if self.bytes > BUDGET || self.messages > MESSAGES {
            return Err(SyncError::Budget);
        }
        Message::decode(bytes)
    }

    /// Hands records of a page to the catalog, this many at most.
    fn admit(
        &mut self,
        incoming: &mut Incoming,
        most: usize,
        catalog: &mut Catalog,
        now: Clock,
        output: &mut Output,
    ) -> Result<(), SyncError> {
        for _ in 0..most {
            let Some((record, admitted)) = incoming.admit_next(catalog, now) else {
                break;
            };
            let node = record.node_bytes();
            match admitted {
                Ok(admitted) => {
                    output.changes.extend(admitted.displaced);
                    output.changes.extend(admitted.change);
                    output.refute = output.refute.max(admitted.refute);
                    if admitted.forward {
                        output.news.push(record);
                    }
                }
                Err(refused) if refused.is_fault() => return Err(SyncError::BadRecord(refused)),
                // The peer itself is behind what is known of it, by a record that need not be in the
                // digest any more. It must see that record to get above it.
                Err(Refused::Older { .. } | Refused::Departed)
                    if node == *self.peer && record.kind() == Kind::Entry =>
                {
                    self.queue.push_back(node);
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    /// Fills a page from the queue.
    fn fill(&mut self, catalog: &Catalog, now: Clock) -> Vec<Carried> {
        let mut room = limits::SYNC_PAGE - message::OVERHEAD;
        let mut records = Vec::new();
        while let Some(node) = self.queue.front() {
            if let Some(offer) = catalog.offer(node, &self.peer, now) {
                let Offer {
                    record,
                    age,
                    suspicion,
                } = offer;
                let age_s = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
                let carried: Vec<Carried> = [Some(record), suspicion]
                    .into_iter()
                    .flatten()
                    .map(|record| Carried { age_s, record })
                    .collect();
                let size: usize = carried.iter().map(Carried::most_bytes).sum();
                if size > room {
                    break;
                }
                room -= size;
                records.extend(carried);
            }
            self.queue.pop_front();
        }
        records
    }
}
