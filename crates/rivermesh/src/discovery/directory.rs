//! What connections ask of the catalog.

use std::time::Duration;

use bytes::Bytes;
use iroh::EndpointAddr;
use rivermesh_proto::{
    NodeId,
    catalog::{Refused, Source},
    code::Code,
    entry::SignedRecord,
    handshake::Hello,
};
use tracing::warn;

use super::shared::Shared;
use crate::net::Directory;

impl Directory for Shared {
    fn hello(&self) -> Hello {
        let (instance, record) = self.own();
        Hello {
            instance,
            record: record.as_bytes().clone(),
        }
    }

    fn admit(&self, peer: NodeId, record: Bytes, rtt: Option<Duration>) -> Result<(), Code> {
        let record = SignedRecord::copy_from_slice(&record).map_err(|_| Code::Malformed)?;
        match Self::admit(self, record, Source::Handshake { peer }) {
            Ok(_) | Err(Refused::Known) => {}
            Err(Refused::Older { .. } | Refused::Departed | Refused::Evicted) => {
                // It is a member, only behind: perhaps its clock was set back when it restarted.
                self.set_outdated(peer);
            }
            Err(Refused::Network) => return Err(Code::Unauthorized),
            Err(Refused::Full) => return Err(Code::Busy),
            Err(Refused::Invalid(_)) => return Err(Code::Malformed),
            Err(error) => {
                warn!(peer = %peer.fmt_short(), %error, "turned a peer away");
                return Err(Code::Protocol);
            }
        }
        if let Some(rtt) = rtt {
            self.measured(peer, rtt);
        }
        Ok(())
    }

    fn address(&self, peer: NodeId) -> EndpointAddr {
        self.addresses(peer)
    }
}
