//! Consuming a stream: all its producers, merged into one queue.
//!
//! | file | story |
//! | --- | --- |
//! | `handle` | [`Consumer`], the handle that a program holds |
//! | `batch` | items that arrived together, as the program gets them |
//! | `builder` | how a consumer is set up |
//! | `event` | what a consumer can be told besides items |
//! | `events` | items and events as a stream |
//! | `inbox` | the bounded queue of batches between receivers and the program |
//! | `worker` | the task per consumer: which producers to follow |
//! | `receiver` | the task per producer followed: subscribing, resuming, reading |
//! | `refused` | when there is no subscription: what is told, and whether to ask again |
//! | `speak` | what a consumer says on its side of a subscription |
//! | `local` | the same for a producer on this node, without the network |
//! | `pattern` | one stream, or all whose names follow a pattern |
//! | `start` | where it begins with a producer |
//! | `commit` | what a consumer with a name has done with, on its way to the producers |
//! | `taken` | the names that consumers of a node have |
//! | `wish` | what is asked of each producer |
//! | `wanted` | which items are wanted: the filter and its changes |
//! | `status` | what a program can see |

mod batch;
mod builder;
mod commit;
mod event;
mod events;
mod handle;
mod inbox;
mod local;
mod pattern;
mod receiver;
mod refused;
mod speak;
mod start;
mod status;
pub(crate) mod taken;
mod wanted;
mod wish;
mod worker;

pub use self::{
    batch::{Batch, Payloads},
    builder::{Builder, ConsumeError},
    commit::CommitError,
    event::{Delivery, Event, LeaveReason, SubscribeError},
    events::Events,
    handle::{Consumer, TryRecvError},
    start::Start,
    status::{Followed, Stats, Status},
    wanted::FilterError,
};

#[cfg(test)]
mod tests;
