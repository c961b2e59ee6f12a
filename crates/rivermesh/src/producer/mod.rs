//! Producing a stream.
//!
//! | file | story |
//! | --- | --- |
//! | `handle` | [`Producer`], the handle that a program holds |
//! | `builder` | how a stream is set up |
//! | `core` | one produced stream without its items' type; the one function that admits |
//! | `entry` | who is let in: the part of admission that asks for tickets |
//! | `refusals` | who was refused of late, and why |
//! | `explain` | why a peer receives the stream, or does not |
//! | `log` | the ring of recent batches, cursors into it, reading with a filter (pure) |
//! | `disk` | the log on disk: who waits for it, and the task that writes |
//! | `since` | where a consumer begins that asks by time, as far as that is on disk |
//! | `groups` | which items the filters of the log's readers let through (pure) |
//! | `feed` | one subscription's way through the log |
//! | `pick` | which items of a batch a subscription gets, where the log does not know |
//! | `retain` | what is kept for consumers that come later |
//! | `dedup` | which keys were sent a short while ago (pure) |
//! | `named` | consumers with a name: what they have acknowledged, and what is kept for them |
//! | `question` | questions about a stream over the network: one message there, one back |
//! | `sender` | the task per remote consumer |
//! | `worker` | the task per stream: keeps admission and `online` true |
//! | `registry` | all streams of a node, and the peers that ask for them |
//! | `status` | what a program can see |

mod builder;
pub(crate) mod core;
mod dedup;
mod disk;
mod entry;
pub(crate) mod explain;
pub(crate) mod feed;
mod groups;
mod handle;
mod log;
pub(crate) mod named;
mod pick;
pub(crate) mod question;
mod refusals;
pub(crate) mod registry;
mod retain;
mod sender;
mod since;
mod status;
mod worker;

#[cfg(test)]
mod tests;

pub use self::{
    builder::{Builder, ProduceError},
    dedup::Dedup,
    disk::Durability,
    handle::{Producer, SaveError, SendError, TrySendError},
    named::{Behind, Named, Overflow},
    retain::Retention,
    status::{Stats, Status, Subscriber},
};
