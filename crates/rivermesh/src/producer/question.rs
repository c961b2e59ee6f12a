//! A question about a stream over the network: one message there, one back, and that is all. What is
//! asked and who is answered is the story of `explain` and `named`.
//!
//! A subscription begins as a question does: [`first`] reads it, too.

use std::future::Future;

use rivermesh_proto::{NodeId, code::Code, ids::BadStreamName, limits, wire::StreamKind};
use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;
use tokio::time::{Instant, timeout, timeout_at};
use tracing::debug;

use crate::net::{ConnectError, Peers, Reader, Use, Writer};

/// A producer did not answer a question about its stream. Nothing has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AskError {
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
    /// The node did not answer within 5 s, or not as it should. One that is too old to know the
    /// question does not.
    #[error("the node does not answer")]
    NoAnswer,
}

/// Asks a node. Connects where there is no connection; from then on it takes 5 s at most.
pub(super) async fn ask<Q, A>(
    peers: &Peers,
    node: NodeId,
    kind: StreamKind,
    question: &Q,
) -> Result<A, AskError>
where
    Q: Serialize,
    A: DeserializeOwned,
{
    let link = peers.connect(node).await.map_err(AskError::Connect)?;
    let asked = async {
        let (mut writer, mut reader) = link.open(kind).await.ok()?;
        writer.message(question, limits::CONTROL).await.ok()?;
        writer.finish();
        reader.message(limits::CONTROL).await.ok()?
    };
    let asked = timeout(limits::HANDSHAKE_PHASE, asked).await;
    asked.ok().flatten().ok_or(AskError::NoAnswer)
}

/// Answers a peer that asks; reading the question, finding the answer and writing it take 5 s in all
/// at most. `what` names the question in the log.
pub(super) async fn answer<Q, A, F>(
    link: &Use,
    (mut writer, mut reader): (Writer, Reader),
    what: &'static str,
    find: impl FnOnce(Q) -> F,
) where
    Q: DeserializeOwned,
    A: Serialize,
    F: Future<Output = A>,
{
    let deadline = Instant::now() + limits::HANDSHAKE_PHASE;
    let Some(question) = first(link, (&mut writer, &mut reader), deadline, what).await else {
        return;
    };
    let Ok(reply) = timeout_at(deadline, find(question)).await else {
        return writer.reset(Code::Timeout);
    };
    match timeout_at(deadline, writer.message(&reply, limits::CONTROL)).await {
        Ok(Ok(())) => finish(writer, deadline).await,
        _ => writer.reset(Code::Timeout),
    }
}

/// What a peer says first on a stream that it has opened. `None` where that does not come in time or is
/// something else: then the peer has been told.
pub(super) async fn first<Q: DeserializeOwned>(
    link: &Use,
    (writer, reader): (&mut Writer, &mut Reader),
    deadline: Instant,
    what: &'static str,
) -> Option<Q> {
    match timeout_at(deadline, reader.message(limits::CONTROL)).await {
        Ok(Ok(Some(question))) => Some(question),
        Ok(Ok(None)) | Err(_) => {
            writer.reset(Code::Timeout);
            None
        }
        Ok(Err(error)) => {
            debug!(peer = %link.peer().fmt_short(), %error, "not {what}");
            reader.stop(Code::BadFrame);
            writer.reset(Code::BadFrame);
            None
        }
    }
}

/// Ends a stream and gives the peer until then to read what was written.
pub(super) async fn finish(mut writer: Writer, deadline: Instant) {
    writer.finish();
    let _ = timeout_at(deadline, writer.stopped()).await;
}
