//! How far a producer's names are, asked over the network.

use rivermesh_proto::{
    NodeId, StreamName, limits,
    named::{LagReply, LagRequest},
    wire::StreamKind,
};

use super::Behind;
use crate::{
    net::{Peers, Reader, Use, Writer},
    producer::{
        question::{self, AskError},
        registry::Producers,
    },
};

impl Producers {
    /// Answers a peer that asks how far the names of a stream are.
    pub(crate) async fn tell_lag(&self, (link, writer, reader): (Use, Writer, Reader)) {
        let find = async |ask: LagRequest| self.lag_of(link.peer(), &ask);
        question::answer(&link, (writer, reader), "a request for lag", find).await;
    }

    /// Who may ask is who may subscribe; where that takes a ticket, who is subscribed.
    fn lag_of(&self, peer: NodeId, ask: &LagRequest) -> LagReply {
        let snapshot = self.discovery().snapshot();
        let (Some(core), Some(peer)) = (self.get(&ask.stream), snapshot.get(&peer)) else {
            return LagReply::Refused;
        };
        if !core.tells(peer) {
            return LagReply::Refused;
        }
        let names = core.names.behind(&core);
        let names = names.iter().take(limits::CONSUMERS_NAMED);
        LagReply::Names {
            epoch: core.epoch,
            names: names.map(Behind::to_wire).collect(),
        }
    }

    /// Asks a node, which may be this one, how far the names of its stream are.
    pub(crate) async fn ask_lag(
        &self,
        peers: &Peers,
        node: NodeId,
        stream: &str,
    ) -> Result<Vec<Behind>, AskError> {
        let stream = StreamName::new(stream).map_err(AskError::Name)?;
        let is_own = self
            .discovery()
            .snapshot()
            .get(&node)
            .is_some_and(|peer| peer.is_local());
        if is_own {
            let core = self.get(&stream).ok_or(AskError::Refused)?;
            return Ok(core.names.behind(&core));
        }
        match question::ask(peers, node, StreamKind::Lag, &LagRequest { stream }).await? {
            LagReply::Names { names, .. } => Ok(names.into_iter().map(Behind::of_wire).collect()),
            LagReply::Refused => Err(AskError::Refused),
        }
    }
}
