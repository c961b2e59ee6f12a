//! A look at gossip messages before the gossip protocol sees them.
//!
//! iroh-gossip trusts its peers with more than we do: it forwards before the program sees a
//! message, keeps data about every node that is ever named, walks as many hops as a message says,
//! and adds to a hop count without a check. Here a message is read with our own description of its
//! format (that of iroh-gossip 0.101 in postcard), held to bounds, and its content taken out, so
//! that it can be judged before it is passed on.

use bytes::Bytes;
use iroh_gossip::proto;
use rivermesh_proto::{
    NodeId,
    wire::{self, DecodeError},
};
use serde::{Deserialize, Serialize};

/// Hops that a message may have travelled, or that a walk may go on for. Walks start with 6, and
/// trees are as deep as the logarithm of the network.
const HOPS: u16 = 64;

/// A message that the gossip protocol may see.
#[derive(Debug)]
pub(super) struct Screened {
    pub(super) message: proto::Message<NodeId>,
    /// What the message carries to the program, and the name it has in the gossip protocol.
    pub(super) content: Option<(MessageId, Bytes)>,
    /// Whether it is of the broadcast, and not of the membership.
    pub(super) broadcast: bool,
    /// Whether the sender says that it is no neighbour, or has no room to become one.
    pub(super) parting: bool,
    /// What it counts against the sender's budget.
    pub(super) cost: u32,
}

/// The hash that names a broadcast message.
pub(super) type MessageId = [u8; 32];

/// Reads a message from a peer.
pub(super) fn screen(body: &Bytes, topic: [u8; 32]) -> Result<Screened, DecodeError> {
    let mut message: Message = wire::decode(body)?;
    if message.topic != topic {
        return Err(broken());
    }
    let mut cost = 1;
    let mut content = None;
    let mut broadcast = false;
    let mut parting = false;
    match &mut message.body {
        Body::Swarm(swarm) => match swarm {
            Swarm::Join(data) | Swarm::Neighbor(_, data) => *data = None,
            Swarm::ForwardJoin(node, hops) => {
                check_hops(*hops)?;
                node.data = None;
                cost += 1;
            }
            Swarm::Shuffle(_, nodes, hops) => {
                check_hops(*hops)?;
                cost += forget_data(nodes);
            }
            Swarm::ShuffleReply(nodes) => cost += forget_data(nodes),
            Swarm::Disconnect(..) => parting = true,
        },
        Body::Gossip(gossip) => {
            broadcast = true;
            match gossip {
                Gossip::Content(id, bytes, Scope::Swarm(hops)) => {
                    check_hops(*hops)?;
                    content = Some((*id, bytes.clone()));
                }
                // Nobody here sends to neighbours alone.
                Gossip::Content(_, _, Scope::Neighbors) => return Err(broken()),
                Gossip::Prune | Gossip::Graft(..) => {}
                Gossip::IHave(list) => {
                    for (_, hops) in list.iter() {
                        check_hops(*hops)?;
                    }
                    cost += count(list);
                }
            }
        }
    }
    // What was changed above has to be written again; the rest is as it came.
    let message = if broadcast {
        wire::decode(body)?
    } else {
        let bytes = postcard::to_stdvec(&message).map_err(DecodeError::Invalid)?;
        wire::decode(&bytes)?
    };
    Ok(Screened {
        message,
        content,
        broadcast,
        parting,
        cost,
    })
}

/// What a message is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Who is whose neighbour, besides the next two.
    Membership,
    /// A request to become a neighbour, or the answer that one is.
    Neighbour,
    /// Whom else one might ask to become a neighbour.
    Others,
    /// An entry or another record.
    Record,
    /// That no records are wanted any more: they come from elsewhere.
    Prune,
    /// That records are wanted.
    Graft,
    /// Which records can be had.
    Offer,
}

impl Kind {
    pub(super) const ALL: [Self; 7] = [
        Self::Membership,
        Self::Neighbour,
        Self::Others,
        Self::Record,
        Self::Prune,
        Self::Graft,
        Self::Offer,
    ];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Membership => "membership",
            Self::Neighbour => "neighbour",
            Self::Others => "others",
            Self::Record => "record",
            Self::Prune => "prune",
            Self::Graft => "graft",
            Self::Offer => "offer",
        }
    }

    /// The kind of a message of our own, with its length prefix.
    pub(super) fn of(message: &[u8]) -> Self {
        // The variants' numbers, which stand behind the topic.
        match message.get(wire::PREFIX + 32..) {
            Some([0, 3, ..]) => Self::Others,
            Some([0, 4, ..]) => Self::Neighbour,
            Some([1, 0, ..]) => Self::Record,
            Some([1, 1, ..]) => Self::Prune,
            Some([1, 2, ..]) => Self::Graft,
            Some([1, 3, ..]) => Self::Offer,
            _ => Self::Membership,
        }
    }
}

/// The message "you are not my neighbour", which the gossip protocol has no command for.
pub(super) fn disconnect(topic: [u8; 32]) -> Message {
    Message {
        topic,
        body: Body::Swarm(Swarm::Disconnect(true, false)),
    }
}

/// The message "be my neighbour": if there is room, or even if another one has to go for it.
pub(super) fn ask(topic: [u8; 32], priority: Priority) -> Message {
    Message {
        topic,
        body: Body::Swarm(Swarm::Neighbor(priority, None)),
    }
}

/// A message that carries `content`, as its first sender sends it.
#[cfg(test)]
pub(super) fn broadcast(topic: [u8; 32], content: Bytes) -> Message {
    let id = *blake3::hash(&content).as_bytes();
    Message {
        topic,
        body: Body::Gossip(Gossip::Content(id, content, Scope::Swarm(0))),
    }
}

fn check_hops(hops: u16) -> Result<(), DecodeError> {
    if hops > HOPS { Err(broken()) } else { Ok(()) }
}

fn forget_data(nodes: &mut [Info]) -> u32 {
    for node in nodes.iter_mut() {
        node.data = None;
    }
    count(nodes)
}

/// A message has some thousand bytes, so a count of its parts fits.
fn count<T>(list: &[T]) -> u32 {
    u32::try_from(list.len()).unwrap_or(u32::MAX)
}

fn broken() -> DecodeError {
    DecodeError::Invalid(postcard::Error::SerdeDeCustom)
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Message {
    topic: [u8; 32],
    body: Body,
}

#[derive(Debug, Serialize, Deserialize)]
enum Body {
    Swarm(Swarm),
    Gossip(Gossip),
}

#[derive(Debug, Serialize, Deserialize)]
enum Swarm {
    Join(Option<Bytes>),
    ForwardJoin(Info, u16),
    Shuffle(NodeId, Vec<Info>, u16),
    ShuffleReply(Vec<Info>),
    Neighbor(Priority, Option<Bytes>),
    Disconnect(bool, bool),
}

#[derive(Debug, Serialize, Deserialize)]
struct Info {
    node: NodeId,
    data: Option<Bytes>,
}

/// How much it matters to become a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Priority {
    /// Cannot be denied: a peer that is full drops another neighbour.
    High,
    /// Granted where there is room.
    Low,
}

#[derive(Debug, Serialize, Deserialize)]
enum Gossip {
    Content(MessageId, Bytes, Scope),
    Prune,
    Graft(Option<MessageId>, u16),
    IHave(Vec<(MessageId, u16)>),
}

#[derive(Debug, Serialize, Deserialize)]
enum Scope {
    Swarm(u16),
    Neighbors,
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;
    use rivermesh_proto::limits;

    use super::*;

    const TOPIC: [u8; 32] = [7; 32];

    fn bytes(body: Body) -> Bytes {
        postcard::to_stdvec(&Message { topic: TOPIC, body })
            .unwrap()
            .into()
    }

    fn node(n: u8) -> NodeId {
        SecretKey::from_bytes(&[n; 32]).public()
    }

    fn info(n: u8) -> Info {
        Info {
            node: node(n),
            data: Some(Bytes::from_static(b"data")),
        }
    }

    #[test]
    fn our_description_is_that_of_the_gossip_protocol() {
        let id = [9; 32];
        let content = Bytes::from_static(b"content");
        let all = [
            Body::Swarm(Swarm::Join(None)),
            Body::Swarm(Swarm::ForwardJoin(
                Info {
                    node: node(1),
                    data: None,
                },
                6,
            )),
            Body::Swarm(Swarm::Shuffle(
                node(1),
                vec![Info {
                    node: node(2),
                    data: None,
                }],
                6,
            )),
            Body::Swarm(Swarm::ShuffleReply(vec![Info {
                node: node(2),
                data: None,
            }])),
            Body::Swarm(Swarm::Neighbor(Priority::Low, None)),
            Body::Swarm(Swarm::Neighbor(Priority::High, None)),
            Body::Swarm(Swarm::Disconnect(true, false)),
            Body::Gossip(Gossip::Content(id, content.clone(), Scope::Swarm(3))),
            Body::Gossip(Gossip::Prune),
            Body::Gossip(Gossip::Graft(Some(id), 2)),
            Body::Gossip(Gossip::IHave(vec![(id, 1), (id, 2)])),
        ];
        for body in all {
            let text = format!("{body:?}");
            let bytes = bytes(body);
            let screened = screen(&bytes, TOPIC).unwrap();
            let again = postcard::to_stdvec(&screened.message).unwrap();
            assert_eq!(again, bytes, "{text}");
            let carries = text.starts_with("Gossip(Content(");
            assert_eq!(screened.content, carries.then(|| (id, content.clone())));
            assert_eq!(screened.broadcast, text.starts_with("Gossip("));
            assert_eq!(screened.parting, text.contains("Disconnect("));
            let framed = wire::encode(&screened.message, limits::GOSSIP).unwrap();
            let kind = match () {
                () if text.contains("Content(") => Kind::Record,
                () if text.contains("Prune") => Kind::Prune,
                () if text.contains("Graft(") => Kind::Graft,
                () if text.contains("IHave(") => Kind::Offer,
                () if text.contains("Neighbor(") => Kind::Neighbour,
                () if text.contains("ShuffleReply(") => Kind::Others,
                () => Kind::Membership,
            };
            assert_eq!(Kind::of(&framed), kind, "{text}");
        }
    }

    #[test]
    fn data_about_nodes_is_taken_out() {
        let data = Some(Bytes::from_static(b"data"));
        for body in [
            Body::Swarm(Swarm::Join(data.clone())),
            Body::Swarm(Swarm::Neighbor(Priority::High, data)),
            Body::Swarm(Swarm::ForwardJoin(info(1), 6)),
            Body::Swarm(Swarm::Shuffle(node(3), vec![info(1), info(2)], 6)),
            Body::Swarm(Swarm::ShuffleReply(vec![info(1), info(2)])),
        ] {
            let screened = screen(&bytes(body), TOPIC).unwrap();
            let again = postcard::to_stdvec(&screened.message).unwrap();
            assert!(!again.windows(4).any(|window| window == b"data"));
        }
    }

    #[test]
    fn what_would_overflow_wander_or_leak_is_refused() {
        let id = [9; 32];
        let content = Bytes::new();
        for body in [
            Body::Swarm(Swarm::ForwardJoin(info(1), u16::MAX)),
            Body::Swarm(Swarm::Shuffle(node(1), vec![], HOPS + 1)),
            Body::Gossip(Gossip::Content(id, content.clone(), Scope::Swarm(u16::MAX))),
            Body::Gossip(Gossip::Content(id, content, Scope::Neighbors)),
            Body::Gossip(Gossip::IHave(vec![(id, u16::MAX)])),
        ] {
            assert!(screen(&bytes(body), TOPIC).is_err());
        }
        assert!(screen(&bytes(Body::Gossip(Gossip::Prune)), [8; 32]).is_err());
        let mut long = bytes(Body::Gossip(Gossip::Prune)).to_vec();
        long.push(0);
        assert!(screen(&long.into(), TOPIC).is_err());
    }

    #[test]
    fn naming_many_counts_more() {
        let list: Vec<_> = (0..100).map(|n| ([n; 32], 1)).collect();
        let screened = screen(&bytes(Body::Gossip(Gossip::IHave(list))), TOPIC).unwrap();
        assert_eq!(screened.cost, 101);
    }
}
