//! Dialing: callers for one peer share one dial, and a peer that dials as well may be quicker.

use std::{pin::pin, sync::Arc, time::Duration};

use iroh::{EndpointAddr, endpoint::Connection};
use rivermesh_proto::{NodeId, code::Code, handshake::Role, wire};
use thiserror::Error;
use tokio::{sync::oneshot, time::timeout};
use tracing::debug;

use super::{
    handshake::{self, Failure},
    link::{Link, Use},
    peers::{Peers, lock},
};

/// A peer could not be connected.
#[derive(Debug, Error, Clone)]
#[non_exhaustive]
pub enum ConnectError {
    /// The peer is this node itself.
    #[error("a node cannot connect to itself")]
    Myself,
    /// Nobody answered at the addresses known.
    #[error("no connection to {peer}: {reason}")]
    Unreachable {
        /// The peer.
        peer: NodeId,
        /// What the transport said.
        reason: String,
    },
    /// The peer did not answer in time.
    #[error("no answer from {peer} within {within:?}")]
    Timeout {
        /// The peer.
        peer: NodeId,
        /// How long was waited.
        within: Duration,
    },
    /// The peer, or this node, refused the handshake.
    #[error("handshake with {peer} failed: {reason}")]
    Handshake {
        /// The peer.
        peer: NodeId,
        /// What was wrong.
        reason: String,
        /// What the peer said when it closed the connection.
        code: Option<Code>,
    },
    /// The node shuts down.
    #[error("the node is shutting down")]
    ShuttingDown,
}

impl Peers {
    /// The link to a peer, dialing it if need be. Callers for one peer share one dial.
    pub(crate) async fn connect(&self, peer: NodeId) -> Result<Use, ConnectError> {
        self.connect_at(peer, None).await
    }

    /// As [`Peers::connect`], with an address known from elsewhere than the catalog.
    pub(crate) async fn connect_at(
        &self,
        peer: NodeId,
        hint: Option<EndpointAddr>,
    ) -> Result<Use, ConnectError> {
        if peer == self.0.endpoint.id() {
            return Err(ConnectError::Myself);
        }
        if let Some(link) = self.get(peer) {
            return Ok(link.hold());
        }
        let turn = {
            let mut dials = lock(&self.0.dials);
            dials.retain(|_, turn| Arc::strong_count(turn) > 1);
            Arc::clone(dials.entry(peer).or_default())
        };
        let turn = tokio::select! {
            biased;
            link = self.arrival(peer) => return Ok(link),
            turn = turn.lock_owned() => turn,
        };
        // Many dials that lead nowhere may be in front of this one.
        let place = tokio::select! {
            biased;
            link = self.arrival(peer) => return Ok(link),
            place = Arc::clone(&self.0.dial_places).acquire_owned() => place,
        };
        let place = place.map_err(|_| ConnectError::ShuttingDown)?;
        let (done, dialed) = oneshot::channel();
        let (peers, within) = (self.clone(), self.0.config.dial_timeout);
        // A task of its own: a dial that is given up half way may close the one connection that the
        // peer has decided to keep.
        self.0.tasks.spawn("dial", async move {
            let _held = (turn, place);
            let result = timeout(within, peers.dial(peer, hint)).await;
            let result = result.unwrap_or(Err(ConnectError::Timeout { peer, within }));
            let _ = done.send(result);
        });
        // The peer may dial as well, and be quicker: after it was restarted it is, by seconds, when
        // our packets still go to where it was before.
        tokio::select! {
            biased;
            link = self.arrival(peer) => Ok(link),
            result = dialed => result.unwrap_or(Err(ConnectError::ShuttingDown)),
        }
    }

    /// Resolves when there is a link to the peer, whoever dialed it.
    async fn arrival(&self, peer: NodeId) -> Use {
        loop {
            let mut arrived = pin!(self.0.arrived.notified());
            // From here on a notification is kept for us, so looking before waiting loses none.
            arrived.as_mut().enable();
            if let Some(link) = self.get(peer) {
                return link.hold();
            }
            arrived.await;
        }
    }

    /// Dials a peer, whether there is a link to it or not.
    pub(crate) async fn dial(
        &self,
        peer: NodeId,
        hint: Option<EndpointAddr>,
    ) -> Result<Use, ConnectError> {
        let mut address = self.0.directory.address(peer);
        if let Some(hint) = hint {
            address.addrs.extend(hint.addrs);
        }
        debug!(peer = %peer.fmt_short(), addrs = ?address.addrs, "dialing");
        let connection = self.0.endpoint.connect(address, wire::ALPN).await;
        let connection = connection.map_err(|error| ConnectError::Unreachable {
            peer,
            reason: error_chain(&error),
        })?;
        match self.establish(connection, Role::Dialer).await {
            Ok(link) => Ok(link),
            // Both sides dialed at once, and the other connection is the one that is kept.
            Err(Refusal::Duplicate(link)) => Ok(link),
            Err(Refusal::Failed { reason, code }) => {
                if code == Some(Code::Duplicate)
                    && let Some(link) = self.get(peer)
                {
                    return Ok(link.hold());
                }
                Err(ConnectError::Handshake { peer, reason, code })
            }
        }
    }

    /// Runs the handshake, admits the peer's entry and takes the connection into the links.
    pub(super) async fn establish(
        &self,
        connection: Connection,
        role: Role,
    ) -> Result<Use, Refusal> {
        let inner = &*self.0;
        let peer = connection.remote_id();
        let local = inner.endpoint.id();
        let hello = handshake::run(
            &connection,
            role,
            local,
            &inner.membership,
            inner.directory.hello(),
        )
        .await?;
        let link = Arc::new(Link::new(connection, hello.instance, role == Role::Dialer));
        if let Err(code) = inner.directory.admit(peer, hello.record, link.measure()) {
            link.close(code);
            return Err(Refusal::Failed {
                reason: code.to_string(),
                code: None,
            });
        }
        let held = link.hold();
        self.register(link)?;
        Ok(held)
    }
}

/// A connection was not taken in.
pub(super) enum Refusal {
    /// This one is kept instead.
    Duplicate(Use),
    Failed {
        reason: String,
        code: Option<Code>,
    },
}

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        let code = failure.closed_by_peer();
        let reason = match code {
            Some(code) => format!("the peer closed the connection: {code}"),
            None => error_chain(&failure),
        };
        Self::Failed { reason, code }
    }
}

/// An error and its causes in one line.
pub(crate) fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    text
}
