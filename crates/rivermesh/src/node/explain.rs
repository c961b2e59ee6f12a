//! Why a peer receives a stream, or does not, as a program asks for it.

use std::fmt;

pub use rivermesh_proto::explain::Part;
use rivermesh_proto::{NodeId, StreamName, explain};

use super::{AskError, Node};
use crate::{admission::Credential, producer::explain::For};

/// One step of an [`Explanation`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Step {
    /// What it is about.
    pub part: Part,
    /// Whether it is as it must be; where not, the peer does not receive the stream.
    pub holds: bool,
    /// What was seen, in plain words.
    pub finding: String,
}

/// Why a peer receives a stream of a producer at this moment, or does not. Made by
/// [`Node::explain`] and [`Node::explain_at`]. Its `Display` is one line a step.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Explanation {
    /// The peer.
    pub peer: NodeId,
    /// The stream.
    pub stream: StreamName,
    /// What was seen, in the order in which it is decided. It ends with the first step that does not
    /// hold, because what comes after it is not asked.
    pub steps: Vec<Step>,
}

impl Explanation {
    fn new(peer: NodeId, stream: StreamName, steps: Vec<explain::Step>) -> Self {
        let steps = steps.into_iter().map(|step| Step {
            part: step.part,
            holds: step.holds,
            finding: step.finding.as_str().to_owned(),
        });
        Self {
            peer,
            stream,
            steps: steps.collect(),
        }
    }

    /// Whether the peer receives the stream.
    #[must_use]
    pub fn receives(&self) -> bool {
        !self.steps.is_empty() && self.obstacle().is_none()
    }

    /// The step that stands in the way, if one does.
    #[must_use]
    pub fn obstacle(&self) -> Option<&Step> {
        self.steps.iter().find(|step| !step.holds)
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for step in &self.steps {
            let mark = if step.holds { "yes" } else { "NO" };
            writeln!(f, "{:<12} {mark:<4} {}", step.part, step.finding)?;
        }
        let verdict = if self.receives() { "" } else { " not" };
        write!(
            f,
            "{} does{verdict} receive {}",
            self.peer.fmt_short(),
            self.stream
        )
    }
}

impl Node {
    /// Tells, step by step, why a peer receives a stream that this node produces, or does not. What it
    /// says holds for this moment; it changes nothing.
    ///
    /// Only the producer can tell: requirement, places and positions are known nowhere else.
    #[must_use]
    pub fn explain(&self, peer: NodeId, stream: &StreamName) -> Explanation {
        let about = (peer, stream);
        let producers = &self.inner.producers;
        let steps = producers.explain(&self.inner.witness(), about, For::Concerned);
        Explanation::new(peer, stream.clone(), steps)
    }

    /// Asks a node that produces a stream why a peer receives it, or does not: as
    /// [`explain`](Self::explain) tells its own program. The peer may be this node. Takes 5 s at
    /// most once there is a connection.
    ///
    /// Who may ask is who may subscribe: who meets the requirement and, where that takes a ticket,
    /// shows one in `credential` or is subscribed by one. Of another node than this one it is not told
    /// which filter it has, nor by which address it is connected.
    ///
    /// # Errors
    /// When the node cannot be reached, does not produce the stream, or does not admit this node.
    pub async fn explain_at(
        &self,
        producer: NodeId,
        peer: NodeId,
        stream: &str,
        credential: Option<Credential>,
    ) -> Result<Explanation, AskError> {
        let stream = StreamName::new(stream).map_err(AskError::Name)?;
        let (producers, witness) = (&self.inner.producers, self.inner.witness());
        let asked = producers.ask_why(&witness, producer, (peer, &stream), credential);
        let steps = asked.await?;
        Ok(Explanation::new(peer, stream, steps))
    }
}
