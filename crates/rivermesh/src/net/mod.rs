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
//! | `peers` | all links: dialling, taking in, letting go |
//! | `rivals` | which of two connections to one peer to keep |

mod accept;
pub(crate) mod endpoint;
pub(crate) mod handshake;
pub(crate) mod link;
pub(crate) mod peers;
mod rivals;
pub(crate) mod stream;
pub(crate) mod transport;

pub(crate) use self::{
    link::{Link, Use},
    peers::{ConnectError, Directory, LinkEvent, Peers, Subscription, error_chain},
    stream::{ReadError, Reader, WriteError, Writer},
};
