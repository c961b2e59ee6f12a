//! One produced stream's log on disk.
//!
//! A [`Store`] is a folder of segment files that batches are appended to, as the finished frames
//! that go to consumers, and a [`Reader`] reads them back, from any thread, while the store writes.
//! All calls block; there is no task, no timer and no clock in here: whoever owns the store decides
//! when to [persist](Store::persist) and what to [trim](Store::trim).
//!
//! What it promises:
//!
//! - After [`Store::persist`] with [`Persist::Synced`] has returned, what was appended before
//!   outlives a crash of the machine; with [`Persist::Buffered`], of the process.
//! - After a crash the same epoch goes on, and no sequence number is ever given to two items: the
//!   next number lies above all that may have been used (see [`Store::granted`]).
//! - A tail that was being written is cut, and [`Recovered::torn`] says how much.
//! - Wrong bytes are never read. Each record has a keyed checksum that is bound to its place. What
//!   fails it is a range that [`Recovered::corrupt`] and [`Read::Gone`] name, and reading goes on
//!   behind it.
//! - A full disk is an error to the writer, and nothing of the failed call is stored. Reading goes
//!   on, and writing works again when there is room.
//! - The disk is bounded by [`Config::disk_bytes`]; in memory are 16 bytes for each
//!   [`Config::index_bytes`] on disk, and the committed positions of at most [`Config::names`] names.
//!
//! | module | story |
//! | --- | --- |
//! | `store` | the writer: append, persist, trim |
//! | `lease` | which sequence numbers may be given out |
//! | `active` | the segment that is written to |
//! | `recover` | opening: what is there, what is damaged |
//! | `read` | reading, beside the writer |
//! | `map` | what lies where, shared by writer and readers |
//! | `scan` | walking the records of a segment, and finding the way behind damage |
//! | `record`, `identity` | bytes (pure) |
//! | `commits` | the positions that named consumers have committed |

#![warn(missing_docs)]

mod active;
mod commits;
mod config;
mod error;
mod files;
mod identity;
mod lease;
mod map;
mod read;
mod record;
mod recover;
mod scan;
mod store;

pub use self::{
    config::Config,
    error::{OpenError, ReadError, WriteError},
    identity::Identity,
    read::{Cause, Read, Reader},
    recover::{Damage, Recovered, Torn},
    store::{Persist, Sealed, Store},
};
