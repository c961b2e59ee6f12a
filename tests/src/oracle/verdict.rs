//! What the check has to say.

use std::fmt;

use rivermesh_proto::{Epoch, NodeId, Seq, StreamName};
use thiserror::Error;

use super::payload::BadPayload;

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Breach {
    /// The payload is not the one of its place.
    #[error("item {seq}: {error}")]
    Payload {
        /// The item's number.
        seq: Seq,
        /// In what way.
        error: BadPayload,
    },
    /// An item came twice.
    #[error("item {seq} came twice")]
    Duplicate {
        /// The item's number.
        seq: Seq,
    },
    /// An item came after a later one.
    #[error("item {seq} came when {next} was due")]
    OutOfOrder {
        /// The item's number.
        seq: Seq,
        /// The number that was due.
        next: Seq,
    },
    /// Items neither came nor were reported missed.
    #[error("items {from}..{to} neither came nor were reported missed")]
    Hole {
        /// The first one.
        from: Seq,
        /// One past the last one.
        to: Seq,
    },
    /// A gap claims an item that was delivered, before it or after it.
    #[error("item {seq} was reported missed and delivered as well")]
    FalseGap {
        /// The item's number.
        seq: Seq,
    },
    /// A gap does not begin where the delivery stood.
    #[error("gap {from}..{to} came when {next} was due")]
    Overlap {
        /// The first one.
        from: Seq,
        /// One past the last one.
        to: Seq,
        /// The number that was due.
        next: Seq,
    },
    /// A gap of nothing.
    #[error("gap {from}..{to} is empty")]
    EmptyGap {
        /// Its start.
        from: Seq,
        /// Its end.
        to: Seq,
    },
    /// A gap in a run whose rules allow none.
    #[error("items {from}..{to} were missed, the rules allow none")]
    Missed {
        /// The first one.
        from: Seq,
        /// One past the last one.
        to: Seq,
    },
    /// Something names a number that was never accepted.
    #[error("number {seq} is spoken of, but only numbers below {bound} can exist")]
    NeverAccepted {
        /// The number.
        seq: Seq,
        /// The first number that cannot exist.
        bound: Seq,
    },
    /// The end of what a finished producer accepted was not covered.
    #[error("the producer finished at {to}, the consumer got no further than {from}")]
    Tail {
        /// The number that was due.
        from: Seq,
        /// How many were accepted.
        to: Seq,
    },
    /// A drained consumer never joined a producer that finished with items.
    #[error("never joined, though {accepted} items were accepted")]
    NeverJoined {
        /// How many were accepted.
        accepted: u64,
    },
    /// The first joined position is not 0, though the rules ask for it.
    #[error("joined at {seq}, the rules ask for 0")]
    LateStart {
        /// The position.
        seq: Seq,
    },
    /// Something came from a producer that had not joined, or had left.
    #[error("something came from a producer that is not there")]
    NotThere,
    /// No producer's journal has this epoch.
    #[error("no producer has this epoch")]
    UnknownEpoch,
    /// Something came from an epoch that was over.
    #[error("something came from an epoch that is over")]
    StaleEpoch,
    /// A new epoch spoke before the reset was reported.
    #[error("a new epoch without a reset, the consumer was in {current}")]
    NoReset {
        /// The epoch in which the consumer was.
        current: Epoch,
    },
    /// A reset names an epoch in which the consumer was not, or goes back.
    #[error("a reset from {old} to {new} does not fit, the consumer was in {current:?}")]
    BadReset {
        /// The epoch that it says is over.
        old: Epoch,
        /// The epoch that it says starts.
        new: Epoch,
        /// The epoch in which the consumer was.
        current: Option<Epoch>,
    },
    /// Something was committed that was not received.
    #[error("committed below {below}, received only below {next}")]
    Uncommitted {
        /// One past the last number that was committed.
        below: Seq,
        /// The number that was due.
        next: Seq,
    },
    /// An item came too late after the right to it was revoked.
    #[error("item {seq} came {late_us} us after the revocation")]
    AfterRevocation {
        /// The item's number.
        seq: Seq,
        /// Microseconds from the revocation to the item.
        late_us: u64,
    },
    /// Two lives of a producer share an epoch.
    #[error("two lives of the producer share this epoch")]
    EpochReused,
    /// A journal has no end, and the test did not kill whoever wrote it.
    #[error("the journal has no end: its writer crashed, or the test did not finish it")]
    Unfinished,
}

/// A promise that was broken, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The stream.
    pub stream: StreamName,
    /// The consumer that saw it.
    pub consumer: Option<String>,
    /// The producer it concerns.
    pub producer: Option<NodeId>,
    /// The epoch it concerns.
    pub epoch: Option<Epoch>,
    /// The index of the event in the consumer's journal.
    pub event: Option<usize>,
    /// What was broken.
    pub breach: Breach,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stream {}", self.stream)?;
        if let Some(consumer) = &self.consumer {
            write!(f, ", consumer {consumer}")?;
        }
        if let Some(event) = self.event {
            write!(f, " event {event}")?;
        }
        if let Some(producer) = self.producer {
            write!(f, ", producer {}", producer.fmt_short())?;
        }
        if let Some(epoch) = self.epoch {
            write!(f, " epoch {epoch}")?;
        }
        write!(f, ": {}", self.breach)
    }
}

/// Why a run proves nothing.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum VoidReason {
    /// Too little flowed.
    #[error("{got} items were received, the rules ask for {needed}")]
    TooFewItems {
        /// Items received by all consumers.
        got: u64,
        /// Items asked for.
        needed: u64,
    },
    /// Too little went wrong.
    #[error("{got} faults happened, the rules ask for {needed}")]
    TooFewFaults {
        /// Faults that happened.
        got: u64,
        /// Faults asked for.
        needed: u64,
    },
    /// A revocation cannot be judged without the times of the items.
    #[error("consumer {consumer} had a right revoked but kept no times")]
    NoTimes {
        /// The consumer.
        consumer: String,
    },
    /// A revocation names a consumer that has no journal.
    #[error("a right of consumer {consumer} was revoked, but it has no journal")]
    NoSuchConsumer {
        /// The consumer.
        consumer: String,
    },
    /// Two consumers' journals share a name, so that a revocation could mean either.
    #[error("two journals are named {consumer}")]
    SameName {
        /// The name.
        consumer: String,
    },
}

/// A run that did not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Promises were broken; at least one violation. Takes precedence over void.
    Broken(Vec<Violation>),
    /// Nothing was seen to break, but the run proves nothing; at least one reason.
    Void(Vec<VoidReason>),
}

/// Violations that `Display` lists; one bug often breaks thousands of items.
const SHOWN: usize = 20;

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken(violations) => {
                write!(f, "{} violations", violations.len())?;
                for violation in violations.iter().take(SHOWN) {
                    write!(f, "\n  {violation}")?;
                }
                if violations.len() > SHOWN {
                    write!(f, "\n  … and {} more", violations.len() - SHOWN)?;
                }
            }
            Self::Void(reasons) => {
                f.write_str("the run is void")?;
                for reason in reasons {
                    write!(f, "\n  {reason}")?;
                }
            }
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

/// What happened in a run that passed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Items that producers accepted for certain.
    pub accepted: u64,
    /// Items that consumers received, all together.
    pub received: u64,
    /// Items that were reported missed.
    pub missed: u64,
    /// Reports of missed items.
    pub gaps: u64,
    /// First joinings.
    pub joins: u64,
    /// Joinings again in the same epoch.
    pub rejoins: u64,
    /// Producers that were lost.
    pub losses: u64,
    /// Producers that came back in a new epoch.
    pub resets: u64,
    /// Faults: kills, revocations, and those the test named.
    pub faults: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} accepted, {} received, {} missed in {} gaps, {} joins, {} rejoins, {} losses, \
             {} resets, {} faults",
            self.accepted,
            self.received,
            self.missed,
            self.gaps,
            self.joins,
            self.rejoins,
            self.losses,
            self.resets,
            self.faults
        )
    }
}
