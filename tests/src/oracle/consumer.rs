//! What a consumer saw, in the order in which it saw it.

use std::{
    io,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use rivermesh_proto::{Epoch, NodeId, Seq, StreamName};
use serde::{Deserialize, Serialize};

use super::{
    lines::{self, Lines, ReadError},
    payload::Digest,
};

/// Why a producer left a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Leave {
    /// It ended its stream: nothing is owed any more, so everything must be there.
    Ended,
    /// The connection broke or the node is gone.
    Lost,
    /// It cut this consumer off.
    Cut,
}

/// How a consumer's journal ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerEnd {
    /// It took everything that there was: the tail of every producer is demanded.
    Drained,
    /// It stopped by its own choice before the end.
    Stopped,
    /// The test killed it, which counts as a fault.
    Killed,
}

/// One thing a consumer saw.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ConsumerEvent {
    /// A producer is there; delivery starts at this number.
    Joined {
        /// The node.
        producer: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// The first number that is owed.
        seq: Seq,
    },
    /// An item.
    Received {
        /// The node.
        producer: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// The item's number.
        seq: Seq,
        /// What is kept of its payload.
        payload: Digest,
        /// When it was taken, microseconds since the Unix epoch, if the program kept time.
        at_us: Option<u64>,
    },
    /// Items that will not come: `from..to`, without `to`.
    Missed {
        /// The node.
        producer: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// The first one.
        from: Seq,
        /// One past the last one.
        to: Seq,
    },
    /// A producer lives on in a new epoch.
    Reset {
        /// The node.
        producer: NodeId,
        /// The epoch that is over.
        old: Epoch,
        /// The epoch that starts.
        new: Epoch,
    },
    /// A producer is not there any more.
    Left {
        /// The node.
        producer: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// Why.
        why: Leave,
    },
    /// A producer did not admit this consumer.
    Refused {
        /// The node.
        producer: NodeId,
    },
    /// The consumer committed everything below this number.
    Committed {
        /// The node.
        producer: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// One past the last number that is committed.
        below: Seq,
    },
    /// A member of a group committed one item.
    Acknowledged {
        /// The node.
        producer: NodeId,
        /// Its epoch.
        epoch: Epoch,
        /// The item.
        seq: Seq,
    },
}

/// The journal of one life of one consumer of one stream.
///
/// In memory, or in a file: then the events are not held in memory too, so that journalling does
/// not disturb a measurement of the process under test.
#[derive(Debug)]
pub struct ConsumerJournal {
    name: String,
    stream: StreamName,
    events: Vec<ConsumerEvent>,
    end: Option<ConsumerEnd>,
    file: Option<Lines>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Consumer {
        name: String,
        stream: StreamName,
    },
    End(ConsumerEnd),
    #[serde(untagged)]
    Event(ConsumerEvent),
}

impl ConsumerJournal {
    /// A journal in memory. The name is the test's own, unique among the consumers of a run.
    #[must_use]
    pub fn new(name: &str, stream: StreamName) -> Self {
        Self {
            name: name.to_owned(),
            stream,
            events: Vec::new(),
            end: None,
            file: None,
        }
    }

    /// A journal in a new file.
    ///
    /// # Errors
    /// When the file exists already or cannot be written.
    pub fn create(path: &Path, name: &str, stream: StreamName) -> io::Result<Self> {
        let mut file = Lines::create(path)?;
        file.push(&Line::Consumer {
            name: name.to_owned(),
            stream: stream.clone(),
        })?;
        file.flush()?;
        Ok(Self {
            file: Some(file),
            ..Self::new(name, stream)
        })
    }

    /// Reads a journal back; a torn last line is left out.
    ///
    /// # Errors
    /// When the file cannot be read or contradicts itself.
    pub fn read(path: &Path) -> Result<Self, ReadError> {
        let mut journal: Option<Self> = None;
        for (line, record) in lines::read::<Line>(path)? {
            let bad = |why| ReadError::Record {
                path: path.to_owned(),
                line,
                why,
            };
            match (&mut journal, record) {
                (None, Line::Consumer { name, stream }) => {
                    journal = Some(Self::new(&name, stream));
                }
                (None, _) => return Err(bad("the first record names the consumer")),
                (Some(_), Line::Consumer { .. }) => return Err(bad("a second first record")),
                (Some(j), _) if j.end.is_some() => return Err(bad("a record after the end")),
                (Some(j), Line::End(end)) => j.end = Some(end),
                (Some(j), Line::Event(event)) => j.events.push(event),
            }
        }
        journal.ok_or_else(|| ReadError::Record {
            path: path.to_owned(),
            line: 1,
            why: "no whole record",
        })
    }

    /// Adds an event. To a file it goes through a buffer of 64 KiB, see [`flush`](Self::flush).
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn push(&mut self, event: ConsumerEvent) -> io::Result<()> {
        match &mut self.file {
            Some(file) => {
                file.push(&event)?;
                // What a program has promised to others must be known even when it is killed next.
                let promises = matches!(
                    event,
                    ConsumerEvent::Committed { .. } | ConsumerEvent::Acknowledged { .. }
                );
                if promises {
                    file.flush()?;
                }
            }
            None => self.events.push(event),
        }
        Ok(())
    }

    /// Adds an item, with the time of now.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn received(
        &mut self,
        producer: NodeId,
        epoch: Epoch,
        seq: Seq,
        payload: &[u8],
    ) -> io::Result<()> {
        self.push(ConsumerEvent::Received {
            producer,
            epoch,
            seq,
            payload: Digest::of(payload),
            at_us: Some(now_us()),
        })
    }

    /// Hands what is buffered to the system, where it survives a kill.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Lines::flush)
    }

    /// The last record: drained, or stopped by choice.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&mut self, end: ConsumerEnd) -> io::Result<()> {
        self.end = Some(end);
        if let Some(file) = &mut self.file {
            file.push(&Line::End(end))?;
            file.flush()?;
        }
        Ok(())
    }

    /// The judge says: the test killed this one on purpose. Without this, a journal that has no
    /// end is itself a violation. A journal that had its end before the kill keeps it.
    #[must_use]
    pub fn killed(mut self) -> Self {
        self.end.get_or_insert(ConsumerEnd::Killed);
        self
    }

    /// The test's name for this consumer.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The stream it consumed.
    #[must_use]
    pub const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// What it saw; empty in the process that writes to a file.
    #[must_use]
    pub fn events(&self) -> &[ConsumerEvent] {
        &self.events
    }

    /// How it ended; `None` while it runs, and after a crash.
    #[must_use]
    pub const fn end(&self) -> Option<ConsumerEnd> {
        self.end
    }

    /// For seeded bugs.
    #[cfg(test)]
    pub(super) const fn events_mut(&mut self) -> &mut Vec<ConsumerEvent> {
        &mut self.events
    }
}

/// Microseconds since the Unix epoch: processes of one machine share this clock.
pub(super) fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
