//! What a producer accepted.

use std::{io, path::Path};

use rivermesh_proto::{Epoch, NodeId, Seq, StreamName};
use serde::{Deserialize, Serialize};

use super::{
    lines::{self, Lines, ReadError},
    payload::Place,
};

/// How the life of a producer ended, as far as anyone knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProducerEnd {
    /// It ended well, or rests: everything accepted must be covered.
    Finished,
    /// The test killed it: what it had accepted last may be lost, and counts as a fault.
    Killed,
}

/// The journal of one producer in one epoch on one stream.
///
/// In memory, or in a file that outlives the process. Each count is written before it matters:
/// the attempt before `send`, the acceptance after it, so what lies between is in doubt when the
/// process was killed there.
#[derive(Debug)]
pub struct ProducerJournal {
    producer: NodeId,
    epoch: Epoch,
    stream: StreamName,
    /// The first number of this life of the process; 0 but for a log on disk that goes on.
    base: Seq,
    attempted: Seq,
    accepted: Seq,
    end: Option<ProducerEnd>,
    file: Option<Lines>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Producer {
        producer: NodeId,
        epoch: Epoch,
        stream: StreamName,
    },
    /// Items before this one were sent by earlier lives of the process, or never.
    Begins(Seq),
    /// Every number below this one may have been sent.
    Attempted(Seq),
    /// Every number below this one was accepted.
    Accepted(Seq),
    Finished,
}

impl ProducerJournal {
    /// A journal in memory, for a producer in the process of the judge.
    #[must_use]
    pub const fn new(producer: NodeId, epoch: Epoch, stream: StreamName) -> Self {
        Self {
            producer,
            epoch,
            stream,
            base: 0,
            attempted: 0,
            accepted: 0,
            end: None,
            file: None,
        }
    }

    /// A journal in a new file.
    ///
    /// # Errors
    /// When the file exists already or cannot be written.
    pub fn create(
        path: &Path,
        producer: NodeId,
        epoch: Epoch,
        stream: StreamName,
    ) -> io::Result<Self> {
        let mut journal = Self::new(producer, epoch, stream.clone());
        journal.file = Some(Lines::create(path)?);
        journal.write(&Line::Producer {
            producer,
            epoch,
            stream,
        })?;
        Ok(journal)
    }

    /// The same for a process that goes on with an epoch of an earlier one: its first item has this
    /// number.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn begins(mut self, base: Seq) -> io::Result<Self> {
        self.begin_at(base);
        self.write(&Line::Begins(base))?;
        Ok(self)
    }

    const fn begin_at(&mut self, base: Seq) {
        (self.base, self.attempted, self.accepted) = (base, base, base);
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
                (
                    None,
                    Line::Producer {
                        producer,
                        epoch,
                        stream,
                    },
                ) => journal = Some(Self::new(producer, epoch, stream)),
                (None, _) => return Err(bad("the first record names the producer")),
                (Some(_), Line::Producer { .. }) => return Err(bad("a second first record")),
                (Some(j), _) if j.end.is_some() => return Err(bad("a record after the end")),
                (Some(j), Line::Begins(base)) if j.attempted == 0 => j.begin_at(base),
                (Some(j), Line::Attempted(to)) if to >= j.attempted => j.attempted = to,
                (Some(j), Line::Accepted(to)) if (j.accepted..=j.attempted).contains(&to) => {
                    j.accepted = to;
                }
                (Some(j), Line::Finished) => j.end = Some(ProducerEnd::Finished),
                (Some(_), Line::Begins(_)) => return Err(bad("it begins after an item")),
                (Some(_), Line::Attempted(_) | Line::Accepted(_)) => {
                    return Err(bad("a count went back, or accepted passed attempted"));
                }
            }
        }
        journal.ok_or_else(|| ReadError::Record {
            path: path.to_owned(),
            line: 1,
            why: "no whole record",
        })
    }

    /// The sequence number that the next item will have if it is accepted. Call it before `send`;
    /// after a `send` that failed it gives the same number again.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn attempt(&mut self) -> io::Result<Seq> {
        if self.attempted == self.accepted {
            self.attempted += 1;
            self.write(&Line::Attempted(self.attempted))?;
        }
        Ok(self.accepted)
    }

    /// Like [`attempt`](Self::attempt), for `count` items that are sent in a row: two writes for
    /// all of them, and as many in doubt when the process is killed in the middle.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn attempt_many(&mut self, count: u64) -> io::Result<std::ops::Range<Seq>> {
        let range = self.accepted..self.accepted + count;
        if range.end > self.attempted {
            self.attempted = range.end;
            self.write(&Line::Attempted(self.attempted))?;
        }
        Ok(range)
    }

    /// `send` returned `Ok` for the item that was attempted.
    ///
    /// # Errors
    /// When the file cannot be written.
    ///
    /// # Panics
    /// When nothing was attempted: the test keeps its journal wrongly.
    pub fn accepted(&mut self) -> io::Result<()> {
        self.accepted_many(1)
    }

    /// `send` returned `Ok` for the next `count` attempted items.
    ///
    /// # Errors
    /// When the file cannot be written.
    ///
    /// # Panics
    /// When fewer were attempted: the test keeps its journal wrongly.
    pub fn accepted_many(&mut self, count: u64) -> io::Result<()> {
        self.accepted += count;
        assert!(
            self.accepted <= self.attempted,
            "accepted {} items of {} attempted",
            self.accepted,
            self.attempted
        );
        self.write(&Line::Accepted(self.accepted))
    }

    /// The producer ended well, or the test stops it here: all that was accepted must be covered.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn finish(&mut self) -> io::Result<()> {
        self.end = Some(ProducerEnd::Finished);
        self.write(&Line::Finished)
    }

    /// The judge says: the test killed this one on purpose. Without this, a journal that has no
    /// end is itself a violation, because something crashed that should not have. A journal that
    /// finished before the kill stays finished.
    #[must_use]
    pub fn killed(mut self) -> Self {
        self.end.get_or_insert(ProducerEnd::Killed);
        self
    }

    /// The node.
    #[must_use]
    pub const fn producer(&self) -> NodeId {
        self.producer
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The stream.
    #[must_use]
    pub const fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The first number of this life of the process.
    #[must_use]
    pub const fn base(&self) -> Seq {
        self.base
    }

    /// How many items were accepted for certain, those of earlier lives of the process and numbers
    /// that it never gave included; equal to the next sequence number.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.accepted
    }

    /// How it ended; `None` while it runs, and after a crash.
    #[must_use]
    pub const fn end(&self) -> Option<ProducerEnd> {
        self.end
    }

    /// Where the item with this number belongs.
    #[must_use]
    pub fn place(&self, seq: Seq) -> Place {
        Place {
            producer: self.producer,
            epoch: self.epoch,
            stream: self.stream.clone(),
            seq,
        }
    }

    /// Numbers from here on can not have been delivered. What was attempted is in doubt unless
    /// the producer lived to say that it was refused.
    pub(super) const fn bound(&self) -> Seq {
        match self.end {
            Some(ProducerEnd::Finished) => self.accepted,
            Some(ProducerEnd::Killed) | None => self.attempted,
        }
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.push(line)?;
            file.flush()?;
        }
        Ok(())
    }
}
