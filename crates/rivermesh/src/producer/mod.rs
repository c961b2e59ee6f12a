//! Producing a stream.
//!
//! | file | story |
//! | --- | --- |
//! | `handle` | [`Producer`], the handle that a program holds |
//! | `builder` | how a stream is set up |
//! | `core` | one produced stream without its items' type; the one function that admits |
//! | `log` | the ring of recent batches, cursors into it, reading with a filter (pure) |
//! | `groups` | which items the filters of the log's readers let through (pure) |
//! | `feed` | one subscription's way through the log |
//! | `sender` | the task per remote consumer |
//! | `worker` | the task per stream: keeps admission and `online` true |
//! | `registry` | all streams of a node, and the peers that ask for them |
//! | `status` | what a program can see |

mod builder;
pub(crate) mod core;
pub(crate) mod feed;
mod groups;
mod handle;
mod log;
pub(crate) mod registry;
mod sender;
mod status;
mod worker;

pub use self::{
    builder::{Builder, ProduceError},
    handle::{Producer, SendError, TrySendError},
    status::{Stats, Status, Subscriber},
};
