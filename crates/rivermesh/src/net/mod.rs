//! Connections: one per pair of nodes, proven before use, shared by everything above.
//!
//! | file | story |
//! | --- | --- |
//! | `endpoint` | the iroh endpoint and its QUIC settings |
//! | `stream` | the only code that reads and writes QUIC streams; everything else speaks messages and frames |
//! | `handshake` | runs the handshake of `rivermesh_proto::handshake` on a new connection |
//! | `link` | one proven connection to a peer, and who uses it |
//! | `accept` | incoming connections, until they are proven |
//! | `transport` | the QUIC settings |
//! | `peers` | all links |
//! | `dial` | dialing, and what goes with any new connection: handshake, admission |
//! | `rivals` | taking a link in, and which of two to one peer to keep |
//! | `serve` | what a peer opens on a link |

mod accept;
pub(crate) mod dial;
pub(crate) mod endpoint;
pub(crate) mod handshake;
pub(crate) mod link;
pub(crate) mod peers;
mod rivals;
mod serve;
pub(crate) mod stream;
pub(crate) mod transport;

pub(crate) use self::{
    dial::{ConnectError, error_chain},
    link::{Link, Use},
    peers::{Directory, LinkEvent, Peers, Subscription},
    stream::{ReadError, Reader, WriteError, Writer},
};
