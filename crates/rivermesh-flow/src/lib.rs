//! Operators for any [`futures::Stream`]: what one does with a stream that has arrived.
//!
//! Nothing here knows of a network. The input can be a consumer of Rivermesh, a channel, a file;
//! the output is again a stream, or goes to any [`futures::Sink`], such as a producer.
//!
//! ```
//! use std::time::Duration;
//!
//! use futures::{StreamExt, stream};
//! use rivermesh_flow::{EventTime, FlowExt};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let readings = stream::iter([(3, "c"), (1, "a"), (2, "b"), (9, "d"), (4, "late")]);
//! let ordered = readings.reorder(|(at, _)| EventTime::from_secs(*at), Duration::from_secs(5));
//! let stats = ordered.stats();
//! let words: Vec<&str> = ordered.map(|(_, word)| word).collect().await;
//! assert_eq!(words, ["a", "b", "c", "late", "d"]);
//! assert_eq!(stats.get().emitted, 5);
//! # }
//! ```
//!
//! | module | story |
//! | --- | --- |
//! | [`router`] | one input to many outputs that come and go; a supervisor for many inputs |
//! | [`demux`] | a sub-stream per key |
//! | [`merge`](mod@merge) | several streams as one, in any order or in that of event time |
//! | [`reorder`] | putting items in event-time order |
//! | [`window`] | tumbling, sliding, session windows and snapshots, with watermarks |
//! | [`rate`], [`sample`], [`batch`] | fewer items, or several at once |
//! | [`dedup`], [`zip`], [`inspect`] | leaving out repetitions, the latest of two, measuring a rate |
//! | [`operator`] | what an operator is: a state machine, and what runs it over a stream |
//!
//! Time is an argument: event time comes from the items by a function, timeouts run on tokio's
//! clock. So a test can run in virtual time. Every operator is bounded in memory, says so, and counts
//! what it leaves out: see [`Stats`].

pub mod batch;
pub mod dedup;
pub mod demux;
pub mod inspect;
pub mod merge;
pub mod operator;
pub mod rate;
pub mod reorder;
pub mod router;
pub mod sample;
pub mod window;
pub mod zip;

mod aging;
mod ext;
mod queue;
mod side;
mod stats;
mod time;

pub use self::{
    ext::{FlowExt, Reordered, Unkeyed, ZipSide, Zipped},
    merge::{merge, merge_ordered},
    operator::{Operated, Operator},
    queue::Full,
    router::{Filter, Router, Supervisor},
    side::{Side, SideOutput, side},
    stats::{Reader, Stats},
    time::EventTime,
};
