//! What Rivermesh peers say to each other, and what follows from it, without I/O.
//!
//! Nothing here opens a socket, reads a clock or draws a random number by itself: bytes, time and
//! randomness come in as arguments, decisions come out as values. The runtime crate `rivermesh`
//! only moves bytes and time.
//!
//! | module | story |
//! | --- | --- |
//! | [`ids`] | the names of things: network, node, stream, epoch, sequence, fingerprint |
//! | [`limits`] | every bound a peer is held to |
//! | [`code`] | the one table of close and reset codes |
//! | [`wire`] | bounded framing and strict decoding of control messages |
//! | [`handshake`] | who may speak at all: network key proof and first exchange |
//! | [`encode`] | writing items into a batch, under a limit of bytes |
//! | [`entry`] | what a node says of itself, signed |
//! | [`catalog`] | merging entries into one view; expiry, departures, suspicion |
//! | [`sync`] | digest-first, paged anti-entropy between two catalogs |
//! | [`rtt`] | smoothed round-trip time (RFC 6298) |
//! | [`subscribe`] | asking for a stream, and the answer |
//! | [`named`] | consumers with a name: what they ask for and acknowledge |
//! | [`explain`] | asking a producer why a node receives its stream |
//! | [`batch`] | the data frames: many items in one run of bytes |
//! | [`filter`] | predicates over items: a language, its types, and many of them at once |
//! | [`schema`] | the shape of an item, its fingerprint, and reading items by it |
//! | [`ticket`] | who may do what: signed, delegated offline, revoked |
//! | [`invite`] | the string a person pastes to join |

pub mod batch;
pub mod catalog;
pub mod code;
pub mod encode;
pub mod entry;
pub mod explain;
pub mod filter;
pub mod handshake;
pub mod ids;
pub mod invite;
pub mod limits;
pub mod named;
pub mod rtt;
pub mod schema;
pub mod subscribe;
pub mod sync;
pub mod ticket;
pub mod wire;

pub use ids::{Epoch, Fingerprint, NetworkId, NetworkKey, NodeId, Seq, StreamName};
