//! How far a producer's names are, asked over the network.

use rivermesh_proto::{
    NodeId, StreamName,
    code::Code,
    ids::BadStreamName,
    limits,
    named::{LagReply, LagRequest},
    wire::StreamKind,
};
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use super::Behind;
use crate::{
    net::{ConnectError, Peers, Reader, Use, Writer},
    producer::registry::Producers,
};

/// A producer did not say how far its names are. Nothing has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LagError {
    /// The name is not a stream name.
    #[error("not a stream name")]
    Name(#[source] BadStreamName),
    /// The node cannot be connected.
    #[error("the node cannot be connected")]
    Connect(#[source] ConnectError),
    /// The node does not produce the stream, or this node may not subscribe to it.
    #[error("the node does not produce the stream, for this node at least")]
    Refused,
    /// The node did not answer within 5 s, or not as it should.
    #[error("the node does not answer")]
    NoAnswer,
}

impl Producers {
    /// Answers a peer that asks how far the names of a stream are.
    pub(crate) async fn tell_lag(&self, (link, mut writer, mut reader): (Use, Writer, Reader)) {
        let deadline = Instant::now() + limits::HANDSHAKE_PHASE;
        let ask = match timeout_at(deadline, reader.message::<LagRequest>(limits::CONTROL)).await {
            Ok(Ok(Some(ask))) => ask,
            Ok(Ok(None)) | Err(_) => return writer.reset(Code::Timeout),
            Ok(Err(error)) => {
                debug!(peer = %link.peer().fmt_short(), %error, "not a request for lag");
                reader.stop(Code::BadFrame);
                return writer.reset(Code::BadFrame);
            }
        };
        let reply = self.lag_of(link.peer(), &ask);
        match timeout_at(deadline, writer.message(&reply, limits::CONTROL)).await {
            Ok(Ok(())) => {
                writer.finish();
                let _ = timeout_at(deadline, writer.stopped()).await;
            }
            _ => writer.reset(Code::Timeout),
        }
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
    ) -> Result<Vec<Behind>, LagError> {
        let stream = StreamName::new(stream).map_err(LagError::Name)?;
        let is_own = self
            .discovery()
            .snapshot()
            .get(&node)
            .is_some_and(|peer| peer.is_local());
        if is_own {
            let core = self.get(&stream).ok_or(LagError::Refused)?;
            return Ok(core.names.behind(&core));
        }
        let link = peers.connect(node).await.map_err(LagError::Connect)?;
        let asked = async {
            let (mut writer, mut reader) = link.open(StreamKind::Lag).await.ok()?;
            writer
                .message(&LagRequest { stream }, limits::CONTROL)
                .await
                .ok()?;
            writer.finish();
            reader.message::<LagReply>(limits::CONTROL).await.ok()?
        };
        match timeout(limits::HANDSHAKE_PHASE, asked).await {
            Ok(Some(LagReply::Names { names, .. })) => {
                Ok(names.into_iter().map(Behind::of_wire).collect())
            }
            Ok(Some(LagReply::Refused)) => Err(LagError::Refused),
            Ok(None) | Err(_) => Err(LagError::NoAnswer),
        }
    }
}
