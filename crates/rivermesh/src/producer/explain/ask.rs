//! The question over the network, and who may ask it.
//!
//! Who may ask is who may subscribe, by requirement and by the ticket that comes with the question, or
//! is subscribed. All others get one answer, whatever they ask: whether the stream is there, and who the
//! peer is, does not show in it, nor in how long it takes. A question may cost as many signatures as a
//! ticket that is shown; so it waits for its turn as that does.

use rivermesh_proto::{
    NodeId, StreamName,
    code::Code,
    explain::{ExplainReply, ExplainRequest, Step},
    ids::BadStreamName,
    limits,
    ticket::Credential,
    wire::StreamKind,
};
use thiserror::Error;
use tokio::time::{Instant, sleep_until, timeout, timeout_at};
use tracing::debug;

use super::{For, Witness};
use crate::{
    net::{ConnectError, Reader, Use, Writer},
    producer::registry::{Producers, REFUSAL_PAUSE},
};

/// A producer did not say why a node receives its stream, or does not. Nothing has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The name is not a stream name.
    #[error("not a stream name")]
    Name(#[source] BadStreamName),
    /// The node cannot be connected.
    #[error("the node cannot be connected")]
    Connect(#[source] ConnectError),
    /// The node does not produce the stream, or this node may not subscribe to it: it does not meet
    /// the requirement, or has shown no ticket.
    #[error("the node does not produce the stream, for this node at least")]
    Refused,
    /// The node did not answer within 5 s, or not as it should. One of an older version does not.
    #[error("the node does not answer")]
    NoAnswer,
}

impl Producers {
    /// Answers a peer that asks why somebody receives a stream.
    pub(crate) async fn tell_why(
        &self,
        witness: &Witness,
        (link, mut writer, mut reader): (Use, Writer, Reader),
    ) {
        let deadline = Instant::now() + limits::HANDSHAKE_PHASE;
        let ask = reader.message::<ExplainRequest>(limits::CONTROL);
        let ask = match timeout_at(deadline, ask).await {
            Ok(Ok(Some(ask))) => ask,
            Ok(Ok(None)) | Err(_) => return writer.reset(Code::Timeout),
            Ok(Err(error)) => {
                debug!(peer = %link.peer().fmt_short(), %error, "not a request to explain");
                reader.stop(Code::BadFrame);
                return writer.reset(Code::BadFrame);
            }
        };
        let answered = async {
            let _turn = link.turn().await;
            let answer = Instant::now() + REFUSAL_PAUSE;
            let reply = self.why(witness, link.peer(), &ask);
            sleep_until(answer).await;
            reply
        };
        let Ok(reply) = timeout_at(deadline, answered).await else {
            return writer.reset(Code::Timeout);
        };
        match timeout_at(deadline, writer.message(&reply, limits::CONTROL)).await {
            Ok(Ok(())) => {
                writer.finish();
                let _ = timeout_at(deadline, writer.stopped()).await;
            }
            _ => writer.reset(Code::Timeout),
        }
    }

    fn why(&self, witness: &Witness, asking: NodeId, ask: &ExplainRequest) -> ExplainReply {
        let snapshot = self.discovery().snapshot();
        let (Some(core), Some(peer)) = (self.get(&ask.stream), snapshot.get(&asking)) else {
            return ExplainReply::Refused;
        };
        if !core.tells_why(peer, ask.credential.as_ref()) {
            return ExplainReply::Refused;
        }
        let whom = if ask.peer == asking {
            For::Concerned
        } else {
            For::Other
        };
        ExplainReply::Steps(self.explain(witness, (ask.peer, &ask.stream), whom))
    }

    /// Asks a node, which may be this one, why a peer receives its stream, or does not.
    pub(crate) async fn ask_why(
        &self,
        witness: &Witness,
        producer: NodeId,
        (peer, stream): (NodeId, &StreamName),
        credential: Option<Credential>,
    ) -> Result<Vec<Step>, ExplainError> {
        let snapshot = self.discovery().snapshot();
        if snapshot.get(&producer).is_some_and(|node| node.is_local()) {
            return Ok(self.explain(witness, (peer, stream), For::Concerned));
        }
        let link = witness.peers.connect(producer).await;
        let link = link.map_err(ExplainError::Connect)?;
        let ask = ExplainRequest {
            stream: stream.clone(),
            peer,
            credential,
        };
        let asked = async {
            let (mut writer, mut reader) = link.open(StreamKind::Explain).await.ok()?;
            writer.message(&ask, limits::CONTROL).await.ok()?;
            writer.finish();
            reader.message::<ExplainReply>(limits::CONTROL).await.ok()?
        };
        match timeout(limits::HANDSHAKE_PHASE, asked).await {
            Ok(Some(ExplainReply::Steps(steps))) => Ok(steps),
            Ok(Some(ExplainReply::Refused)) => Err(ExplainError::Refused),
            Ok(None) | Err(_) => Err(ExplainError::NoAnswer),
        }
    }
}
