//! A peer-to-peer, leaderless streaming runtime.
//!
//! Nodes of one network find each other by gossip, without a broker, leader or coordinator. A
//! program produces and consumes typed streams; consumers follow every producer of a stream's
//! name, wherever it runs, over one QUIC connection per pair of nodes.
//!
//! ```no_run
//! use rivermesh::{Datum, Node};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, Datum)]
//! struct Reading {
//!     station: String,
//!     celsius: f32,
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let node = Node::builder("weather").spawn().await?;
//! let producer = node.produce::<Reading>()?;
//! // Waits until somebody consumes the stream.
//! producer.send(Reading { station: "JFK".into(), celsius: 21.5 }).await?;
//! node.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! | module | story |
//! | --- | --- |
//! | [`node`] | a running member of a network |
//! | [`discovery`] | who else is there: settings, catalog, events |
//! | [`producer`] | producing a stream: log, fan-out, admission |
//! | [`consumer`] | consuming a stream: receivers, resuming, events |
//! | [`admission`] | who is entitled to what: tickets and their authorities |
//! | [`stream`] | settings that all streams of a node share |
//! | [`store`] | a producer's log on disk: bounds, what was found, errors |
//! | [`flow`] | operators: router, demultiplexing, reordering, windows, rates |

pub mod admission;
pub mod consumer;
pub mod discovery;
pub mod node;
pub mod producer;
pub mod stream;

mod condition;
mod datum;
mod net;
mod task;

pub use rivermesh_flow as flow;
pub use rivermesh_store as store;

pub use iroh::{EndpointAddr, RelayUrl, SecretKey, TransportAddr};
pub use rivermesh_proto::{
    Epoch, Fingerprint, NetworkId, NetworkKey, NodeId, Seq, StreamName,
    catalog::{Peer, Reachability, Rtt, Snapshot},
    entry::StreamAdvert,
    filter,
    invite::{Invite, InviteError},
    schema::{Difference, Schema},
    subscribe::{Lag, LagSet},
};

pub use self::{
    condition::Condition,
    consumer::{Consumer, Delivery, Event},
    datum::{
        __datum, AsKey, Datum, DecodeError, Dynamic, EncodeError, Encoder, Filters, Key, Payload,
        SchemaError, View,
    },
    discovery::Rendezvous,
    net::{
        dial::ConnectError,
        endpoint::{EndpointError, Relay},
        peers::Config as ConnectionConfig,
        transport::{Acknowledge, Congestion, Profile, Transport},
    },
    node::Node,
    producer::{Durability, Producer, SaveError, SendError, TrySendError},
};
