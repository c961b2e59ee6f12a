//! What a test asks of its run.

use std::time::Duration;

use rivermesh_proto::NodeId;

/// What a producer that joins again in the same epoch owes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rejoin {
    /// The next number: what the consumer was not connected for is delivered or reported missed.
    #[default]
    Resumes,
    /// Whatever comes from the new position on (a consumer that did not ask for a resumption).
    StartsAnew,
    /// At least what was not committed: numbers that were received may come again, in order.
    Redelivers,
}

/// When the last items of a producer that finished are demanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Tail {
    /// Always: a connection that broke must have been resumed by the end.
    #[default]
    Always,
    /// Not when the last thing that was seen of the producer is [`Leave::Lost`](super::Leave::Lost).
    UnlessLost,
}

/// A right that was taken from a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revocation {
    /// The name of the consumer's journal.
    pub consumer: String,
    /// The producer that it may not hear any more.
    pub producer: NodeId,
    /// When it took effect, microseconds since the Unix epoch.
    pub from_us: u64,
    /// When the right was given back.
    pub until_us: Option<u64>,
}

/// What a test asks of its run. The default is strict; a test loosens what it means to.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Items that consumers must have received in all, else the run is void. Default 10,000.
    pub min_items: u64,
    /// Faults that must have happened, else the run is void. Default 1; a test of the sunny case
    /// says 0.
    pub min_faults: u64,
    /// What joining again in the same epoch means.
    pub rejoin: Rejoin,
    /// When the last items are demanded.
    pub tail: Tail,
    /// Whether every drained consumer must have joined every producer that finished with items.
    /// Default true.
    pub everyone_joins: bool,
    /// Whether a consumer may be refused or cut off without a [`Revocation`] (a requirement, a
    /// capacity). Default false: then neither excuses what it did not get.
    pub may_refuse: bool,
    /// Whether the first joined position in each epoch must be 0. Default false.
    pub from_start: bool,
    /// Whether reported gaps are allowed. Default true.
    pub may_miss: bool,
    /// Time after a revocation within which items may still arrive. Default one second.
    pub revocation_grace: Duration,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            min_items: 10_000,
            min_faults: 1,
            rejoin: Rejoin::default(),
            tail: Tail::default(),
            everyone_joins: true,
            may_refuse: false,
            from_start: false,
            may_miss: true,
            revocation_grace: Duration::from_secs(1),
        }
    }
}

impl Rules {
    /// For a run in which nothing goes wrong: no fault is asked for, and nothing may be missed.
    #[must_use]
    pub fn sunny() -> Self {
        Self {
            min_faults: 0,
            may_miss: false,
            ..Self::default()
        }
    }
}
