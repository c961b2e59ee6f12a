//! Consumers with a name: what each has acknowledged, and what is kept for it.
//!
//! | file | story |
//! | --- | --- |
//! | `config` | what a producer keeps for names, and what happens when that is too much |
//! | `alone` | how far one consumer with a name is (pure) |
//! | `group` | the members of a group and what each of them has (pure) |
//! | `stage` | frames that may not all be sent yet (pure) |
//! | `room` | one name at run time: its state under a lock, its bell |
//! | `reader` | how a group reads the log, once for all its members |
//! | `names` | all names of a stream: who gets one, and what the log holds for them |
//! | `hooks` | what the stream's core does for names |
//! | `holding` | what a subscription with a name does instead of reading the log itself |
//! | `ask` | how far the names are, asked over the network |
//! | `status` | what a program can see |

mod alone;
mod ask;
mod config;
mod group;
mod holding;
mod hooks;
mod names;
mod reader;
mod room;
mod stage;
mod status;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub(super) use self::holding::Holding;
pub use self::{
    config::{Named, Overflow},
    status::Behind,
};
pub(crate) use self::{
    names::{Claim, Ear, Names},
    reader::{KeyOf, key_of},
};

/// One consumer's hold on a name; never given twice by one producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Token(u64);

/// Something was acknowledged that was never sent.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("what was never sent cannot be acknowledged")]
pub(crate) struct Ahead;

/// Another node has the name.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("another node has the name")]
struct Held;
