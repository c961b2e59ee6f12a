//! What all adapters of the comparison share.
//!
//! An adapter is a program that plays one of two roles, each in a process of its own: the
//! *producer* sends numbered items, the *consumers* (all of them in one process, each with a client
//! or node of its own) count what arrives. The runner, `compare`, starts both and leads them by
//! JSON lines. Everything that is measured is measured here, so that it is measured alike.
//!
//! | module | story |
//! | --- | --- |
//! | [`spec`] | one run: what an adapter is told, and what it tells of itself |
//! | [`payload`] | what an item holds, and how it is checked |
//! | [`tally`] | what a consumer counts: lost, duplicated, out of order |
//! | [`latency`] | histograms of one-way latencies |
//! | [`protocol`] | what the runner and its two processes tell each other |
//! | [`adapter`] | what an adapter implements, and [`adapter::run`], its `main` |
//! | [`fanout`] | batches by hand, for adapters of a bare transport |
//! | [`process`] | CPU time and memory of a process |
//! | [`clock`] | the clock that all processes share |

pub mod adapter;
pub mod clock;
mod consuming;
pub mod fanout;
pub mod latency;
pub mod payload;
pub mod process;
mod producing;
pub mod protocol;
pub mod sink;
pub mod spec;
pub mod tally;

pub use self::{
    adapter::{Adapter, Sender, run},
    payload::{Item, Slab},
    sink::Sink,
    spec::{Delivery, Info, Spec, Transport, Variant},
};
