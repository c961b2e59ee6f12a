//! Why a peer receives the stream of a producer, or does not: what the producer sees at this moment.
//!
//! | file | story |
//! | --- | --- |
//! | `ask` | the question over the network, and who may ask it |

mod ask;

use std::sync::Arc;

use iroh::TransportAddr;
use rivermesh_proto::{
    NodeId, StreamName,
    catalog::Peer,
    explain::{Finding, Part, Step},
};

use super::{
    core::{Core, Sub},
    refusals::Refused,
    registry::Producers,
    status::Subscriber,
};
use crate::{
    admission::{span, words},
    net::{Link, Peers},
};

/// What of a node an explanation is made of, beside its streams.
#[derive(Clone, Debug)]
pub(crate) struct Witness {
    pub(crate) peers: Peers,
    /// Whether the network has a key.
    pub(crate) keyed: bool,
}

/// For whom an explanation is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum For {
    /// The program itself, or the peer that it is about.
    Concerned,
    /// Another node: it is not told what the peer has said in confidence (its filter), nor where it
    /// is reached from.
    Other,
}

/// The steps that were seen; the first that does not hold is the last.
struct Steps(Vec<Step>);

impl Steps {
    /// Notes a step; `None` where there is no point in going on.
    fn note(&mut self, part: Part, holds: bool, finding: impl AsRef<str>) -> Option<()> {
        self.0.push(Step {
            part,
            holds,
            finding: Finding::new(finding.as_ref()),
        });
        holds.then_some(())
    }
}

impl Producers {
    /// Why a peer receives a stream that this node produces, or does not.
    pub(crate) fn explain(
        &self,
        witness: &Witness,
        (peer, stream): (NodeId, &StreamName),
        whom: For,
    ) -> Vec<Step> {
        let mut steps = Steps(Vec::new());
        // Where it ends is in the steps.
        let _ = self.see(witness, (peer, stream), whom, &mut steps);
        steps.0
    }

    fn see(
        &self,
        witness: &Witness,
        (id, stream): (NodeId, &StreamName),
        whom: For,
        steps: &mut Steps,
    ) -> Option<()> {
        let core = self.get(stream);
        let produced = core.as_ref().is_some_and(|core| !core.is_closed());
        let finding = match (&core, produced) {
            (Some(core), true) => format!("this node produces it, in epoch {}", core.epoch),
            (Some(_), false) => "this node has ended it".to_owned(),
            (None, _) => "this node does not produce it".to_owned(),
        };
        steps.note(Part::Stream, produced, finding)?;
        let core = core?;
        let snapshot = self.discovery().snapshot();
        let Some(peer) = snapshot.get(&id) else {
            return steps.note(Part::Catalog, false, "this node does not list it");
        };
        steps.note(Part::Catalog, peer.is_live(), listed(peer))?;
        let refused = core.refusals.of(id);
        if !peer.is_local() {
            let link = witness.peers.get(id);
            let finding = match (&link, &refused) {
                (Some(link), _) => connected(link, whom),
                (None, Some(refused)) => format!("there is none; {}", refused.in_words()),
                (None, None) => "there is none; a consumer dials when it wants the stream".into(),
            };
            steps.note(Part::Connection, link.is_some(), finding)?;
            let proof = if witness.keyed {
                "proved in the handshake, or there were no connection"
            } else {
                "the network has none: it is open to all"
            };
            steps.note(Part::NetworkKey, true, proof)?;
        }
        let (holds, finding) = required(&core, peer);
        steps.note(Part::Requirement, holds, finding)?;
        served(&core, id, (refused.as_ref(), whom), steps)
    }
}

/// What is decided on a peer that meets the requirement.
fn served(
    core: &Core,
    peer: NodeId,
    (refused, whom): (Option<&Refused>, For),
    steps: &mut Steps,
) -> Option<()> {
    let (own, taken) = subscriptions_of(core, peer);
    let (holds, finding) = entitled(core, peer, own.first(), refused);
    steps.note(Part::Ticket, holds, finding)?;
    let most = core.settings.max_consumers;
    let Some(sub) = own.first() else {
        let room = if taken < most { "room" } else { "no room" };
        let why = match refused {
            Some(refused) => refused.in_words(),
            None => "it does not ask for the stream, here at least".to_owned(),
        };
        let finding = format!("not subscribed; {taken} of {most} places are taken: {room}; {why}");
        return steps.note(Part::Capacity, false, finding);
    };
    let several = match own.len() {
        1 => String::new(),
        times => format!(" ({times} times; this is about the first)"),
    };
    let finding = format!(
        "subscribed for {}{several}; {taken} of {most} places are taken",
        span(sub.since.elapsed().as_secs())
    );
    steps.note(Part::Capacity, true, finding)?;
    let seen = Subscriber::of(sub, &core.log());
    let finding = match (&seen.filter, whom) {
        (Some(filter), For::Concerned) => {
            format!("left out {} items by {}", seen.filtered, filter.as_str())
        }
        (Some(_), For::Other) => format!("it has one, which left out {} items", seen.filtered),
        (None, _) => "none: it gets all items".to_owned(),
    };
    steps.note(Part::Filter, true, finding)?;
    let finding = format!(
        "{} items wait for it ({}), {} sent, {} missed",
        seen.lag, seen.lag_policy, seen.items, seen.missed
    );
    steps.note(Part::Lag, true, finding)
}

/// What a peer is subscribed by, and how many places are taken by all.
pub(super) fn subscriptions_of(core: &Core, peer: NodeId) -> (Vec<Arc<Sub>>, usize) {
    let subs = core.subs();
    let own = subs.values().filter(|sub| sub.peer == peer && sub.counts());
    (own.cloned().collect(), subs.len())
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

fn connected(link: &Link, whom: For) -> String {
    let side = if link.dialed() {
        "dialed by this node"
    } else {
        "dialed by the peer"
    };
    let paths = link.connection().paths();
    let Some(path) = paths.iter().find(iroh::endpoint::Path::is_selected) else {
        return format!("{side}, no path is selected");
    };
    let way = match (path.remote_addr(), whom) {
        (TransportAddr::Ip(addr), For::Concerned) => format!("directly to {addr}"),
        (TransportAddr::Ip(_), For::Other) => "directly".to_owned(),
        (TransportAddr::Relay(url), For::Concerned) => format!("through the relay {url}"),
        (TransportAddr::Relay(_), For::Other) => "through a relay".to_owned(),
        (other, For::Concerned) => format!("by {other}"),
        (_, For::Other) => "by another transport".to_owned(),
    };
    format!("{side}, {way}, round trip {:.1?}", path.rtt())
}

/// Whether the requirement holds, and the values that it was asked with.
fn required(core: &Core, peer: &Peer) -> (bool, String) {
    let conditions = &core.settings.require;
    let broken = conditions.iter().position(|holds| !holds(peer));
    let rtt = match peer.rtt() {
        Some(rtt) => format!("{:.1?}", rtt.smoothed),
        None => "unknown".to_owned(),
    };
    let tags: Vec<&str> = peer.tags().iter().map(String::as_str).collect();
    // Tags come last: they alone can be so long that the end is cut off.
    let seen = format!("round trip {rtt}, tags [{}]", tags.join(", "));
    let finding = match (broken, conditions.len()) {
        (_, 0) => "none".to_owned(),
        (None, 1) => format!("it holds of {seen}"),
        (None, all) => format!("all {all} conditions hold of {seen}"),
        (Some(_), 1) => format!("it does not hold of {seen}"),
        (Some(n), all) => format!("condition {} of {all} does not hold of {seen}", n + 1),
    };
    (broken.is_none(), finding)
}

/// Whether the peer has shown what entitles it, where that is asked for; decided anew.
pub(super) fn entitled(
    core: &Core,
    peer: NodeId,
    sub: Option<&Arc<Sub>>,
    refused: Option<&Refused>,
) -> (bool, String) {
    let Some(gate) = core.gate() else {
        return (true, "none is asked for".to_owned());
    };
    if let Some(held) = sub.and_then(|sub| sub.held()) {
        let said = held.in_words();
        return match gate.check_again(&held, peer) {
            Ok(_) => (true, said),
            Err(denied) => (false, format!("{denied}: {said}")),
        };
    }
    let Some(refused) = refused else {
        let finding = "one is asked for, and it has shown none of late";
        return (false, finding.to_owned());
    };
    let shown = refused.shown.as_ref();
    let said = shown.map(words::shown);
    match (gate.check(shown, peer), said) {
        (Ok(entitled), _) => (true, entitled.in_words()),
        (Err(denied), Some(said)) => (false, format!("{denied}: {said}")),
        (Err(denied), None) => (false, denied.to_string()),
    }
}
