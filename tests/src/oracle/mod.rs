//! The one judge for every test of delivery.
//!
//! Each payload is a keyed hash of (producer, epoch, stream, seq), so an item that arrives can be
//! judged without knowing how it travelled. Producers journal what was accepted, consumers what
//! was received, missed and reset, outside the process under test; [`Run::check`] holds the two
//! against each other. What it demands:
//!
//! - integrity: a payload is the one its place in the stream has;
//! - order: sequence numbers rise within an epoch, and nothing arrives twice;
//! - no hole and no overlap: received and missed form one interval from the joined position on;
//! - no false gap: what is reported missed was accepted and is not delivered as well;
//! - no invention: nothing arrives that was never accepted;
//! - the end: what a producer that ended well accepted is covered up to its last item;
//! - a new epoch is announced by a reset, and the old one stays silent after it;
//! - what was committed was received; nothing arrives later than the grace after a revocation.
//!
//! A run without the faults its rules ask for, or with fewer items than they ask for, is
//! [`Failure::Void`]: it proves nothing, and that is not a pass.
//!
//! # How a test uses it
//! The producing program asks [`ProducerJournal::attempt`] for the next sequence number *before*
//! it sends, sends [`Key::payload`] of it, and calls [`ProducerJournal::accepted`] when `send`
//! returned `Ok`. This works because a program knows its producer's epoch and one handle that
//! sends in order gets consecutive numbers; with several handles, put the journal and the handle
//! behind one lock. The consuming program writes every event into a [`ConsumerJournal`] in the
//! order in which it comes. Who judges reads both back and calls [`Run::check`].
//!
//! Consumers with a name, whose items come again until they are committed, are judged by [`judge`].
//!
//! Ranges are half open everywhere: `from..to` does not contain `to`.

#[cfg(test)]
mod bugs;
mod check;
mod consumer;
mod judge;
mod lines;
mod names;
mod payload;
mod producer;
mod ranges;
mod rules;
#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
mod verdict;

pub use check::Run;
pub use consumer::{ConsumerEnd, ConsumerEvent, ConsumerJournal, Leave};
pub use lines::ReadError;
pub use names::{Kind, NameBreach, NameReport, NameRules, judge};
pub use payload::{BadPayload, Digest, Key, Place};
pub use producer::{ProducerEnd, ProducerJournal};
pub use rules::{Rejoin, Revocation, Rules, Tail};
pub use verdict::{Breach, Failure, Report, Violation, VoidReason};
