//! Why a peer receives a stream of this node, or does not.

use std::fmt;

use rivermesh_proto::{NodeId, StreamName, catalog::Peer};

use super::{Inner, Node};
use crate::{net::Link, producer::core::Core};

/// What must be so before a peer receives a stream, in the order in which it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Part {
    /// This node produces the stream.
    Stream,
    /// This node lists the peer, and thinks that it runs.
    Catalog,
    /// There is a connection.
    Connection,
    /// The peer has proved the network's key, where there is one.
    NetworkKey,
    /// The peer meets the stream's requirement.
    Requirement,
    // A ticket, where one is required, is checked here: after the requirement, before capacity.
    /// The peer is subscribed; or there is room for it to be.
    Capacity,
    /// The peer's filter.
    Filter,
    /// How far behind the peer is.
    Lag,
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stream => "stream",
            Self::Catalog => "catalog",
            Self::Connection => "connection",
            Self::NetworkKey => "network key",
            Self::Requirement => "requirement",
            Self::Capacity => "capacity",
            Self::Filter => "filter",
            Self::Lag => "lag",
        })
    }
}

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

/// Why a peer receives a stream of this node at this moment, or does not. Made by
/// [`Node::explain`]. Its `Display` is one line a step.
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
    /// Whether the peer receives the stream.
    #[must_use]
    pub fn receives(&self) -> bool {
        self.steps.iter().all(|step| step.holds)
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
        let mut steps = Vec::new();
        // The last step that is there is the first that does not hold, if any.
        let _ = self.inner.explain(peer, stream, &mut steps);
        Explanation {
            peer,
            stream: stream.clone(),
            steps,
        }
    }
}

/// Notes a step; `None` where there is no point in going on.
fn note(steps: &mut Vec<Step>, part: Part, holds: bool, finding: impl Into<String>) -> Option<()> {
    steps.push(Step {
        part,
        holds,
        finding: finding.into(),
    });
    holds.then_some(())
}

impl Inner {
    fn explain(&self, id: NodeId, stream: &StreamName, steps: &mut Vec<Step>) -> Option<()> {
        let core = self.producers.get(stream);
        let produced = core.as_ref().is_some_and(|core| !core.is_closed());
        let finding = match (&core, produced) {
            (Some(core), true) => format!("this node produces it, in epoch {}", core.epoch),
            (Some(_), false) => "this node has ended it".to_owned(),
            (None, _) => "this node does not produce it".to_owned(),
        };
        note(steps, Part::Stream, produced, finding)?;
        let core = core?;
        let snapshot = self.discovery.snapshot();
        let Some(peer) = snapshot.get(&id) else {
            return note(steps, Part::Catalog, false, "this node does not list it");
        };
        note(steps, Part::Catalog, peer.is_live(), listed(peer))?;
        if !peer.is_local() {
            let link = self.peers.get(id);
            let finding = link.as_ref().map_or_else(
                || "there is none; a consumer dials when it wants the stream".to_owned(),
                |link| connected(link),
            );
            note(steps, Part::Connection, link.is_some(), finding)?;
            let proof = if self.key.is_some() {
                "proved in the handshake, or there were no connection"
            } else {
                "the network has none: it is open to all"
            };
            note(steps, Part::NetworkKey, true, proof)?;
        }
        let (holds, finding) = required(&core, peer);
        note(steps, Part::Requirement, holds, finding)?;
        let subscribers = core.subscribers();
        let (taken, most) = (subscribers.len(), core.settings.max_consumers);
        let Some(sub) = subscribers.into_iter().find(|sub| sub.peer == id) else {
            let room = if taken < most { "room" } else { "no room" };
            let finding = format!("not subscribed; {taken} of {most} places are taken: {room}");
            return note(steps, Part::Capacity, false, finding);
        };
        let seconds = sub.connected_for.as_secs();
        let finding = format!("subscribed for {seconds} s; {taken} of {most} places are taken");
        note(steps, Part::Capacity, true, finding)?;
        let finding = match &sub.filter {
            Some(filter) => format!("{}: left out {} items", filter.as_str(), sub.filtered),
            None => "none: it gets all items".to_owned(),
        };
        note(steps, Part::Filter, true, finding)?;
        let finding = format!(
            "{} items wait for it ({}), {} sent, {} missed",
            sub.lag, sub.lag_policy, sub.items, sub.missed
        );
        note(steps, Part::Lag, true, finding)
    }
}

fn listed(peer: &Peer) -> String {
    let name = if peer.name().is_empty() {
        "without a name"
    } else {
        peer.name()
    };
    let state = if peer.is_live() {
        "live"
    } else {
        "cannot be reached"
    };
    format!("listed, {state}, {name}, revision {}", peer.revision())
}

fn connected(link: &Link) -> String {
    let side = if link.dialed() {
        "dialed by this node"
    } else {
        "dialed by the peer"
    };
    let paths = link.connection().paths();
    let selected = paths.iter().find(iroh::endpoint::Path::is_selected);
    match selected {
        Some(path) => format!("{side}, by {:?}, {:?}", path.remote_addr(), path.rtt()),
        None => format!("{side}, no path is selected"),
    }
}

/// Whether the requirement holds, and the values that it was asked with.
fn required(core: &Core, peer: &Peer) -> (bool, String) {
    let conditions = &core.settings.require;
    let broken = conditions.iter().position(|holds| !holds(peer));
    let rtt = match peer.rtt() {
        Some(rtt) => format!("{:?}", rtt.smoothed),
        None => "unknown".to_owned(),
    };
    let tags: Vec<&str> = peer.tags().iter().map(String::as_str).collect();
    let seen = format!("tags [{}], round trip {rtt}", tags.join(", "));
    let finding = match broken {
        _ if conditions.is_empty() => "none".to_owned(),
        None => format!("all {} conditions hold of {seen}", conditions.len()),
        Some(n) => format!(
            "condition {} of {} does not hold of {seen}",
            n + 1,
            conditions.len()
        ),
    };
    (broken.is_none(), finding)
}
