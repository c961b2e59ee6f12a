//! Runs the handshake of `rivermesh_proto::handshake` on a new connection.

use iroh::endpoint::{Connection, ConnectionError};
use rivermesh_proto::{
    NetworkId, NetworkKey,
    code::Code,
    handshake::{Context, EXPORTER_LABEL, Handshake, HandshakeError, Hello, Role},
    limits,
    wire::EncodeError,
};
use thiserror::Error;
use tokio::time::timeout;

use super::stream::{self, ReadError, WriteError};

/// The membership that connections are proven by.
#[derive(Clone, Debug)]
pub(crate) struct Membership {
    pub(crate) network: NetworkId,
    pub(crate) keys: Vec<NetworkKey>,
}

/// A handshake failed; the connection has been closed with [`Failure::code`].
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error(
        "the peer took longer than {:?} for a step of the handshake",
        limits::HANDSHAKE_PHASE
    )]
    Timeout,
    #[error("reading the handshake failed")]
    Read(#[source] ReadError),
    #[error("writing the handshake failed")]
    Write(#[source] WriteError),
    #[error("the peer ended the handshake early")]
    Ended,
    #[error("the connection was lost in the handshake")]
    Lost(#[source] ConnectionError),
    #[error("the connection has no TLS exporter")]
    Exporter,
    #[error("this node's own entry cannot be sent")]
    Hello(#[source] EncodeError),
    #[error("the handshake was refused")]
    Refused(#[source] HandshakeError),
}

impl Failure {
    /// What the peer is told.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Timeout => Code::Timeout,
            Self::Read(ReadError::Message(error)) => error.code(),
            Self::Refused(error) => error.code(),
            _ => Code::Protocol,
        }
    }

    /// The code that the peer closed the connection with, where that was the reason.
    pub(crate) fn closed_by_peer(&self) -> Option<Code> {
        match self {
            Self::Read(ReadError::Lost(error))
            | Self::Write(WriteError::Lost(error))
            | Self::Lost(error) => stream::close_code(error),
            _ => None,
        }
    }
}

/// Proves both sides to each other and exchanges greetings; gives the peer's.
pub(crate) async fn run(
    connection: &Connection,
    role: Role,
    local: rivermesh_proto::NodeId,
    membership: &Membership,
    hello: Hello,
) -> Result<Hello, Failure> {
    let result = exchange(connection, role, local, membership, hello).await;
    if let Err(failure) = &result {
        stream::close(connection, failure.code());
    }
    result
}

async fn exchange(
    connection: &Connection,
    role: Role,
    local: rivermesh_proto::NodeId,
    membership: &Membership,
    hello: Hello,
) -> Result<Hello, Failure> {
    let mut exporter = [0; 32];
    connection
        .export_keying_material(&mut exporter, EXPORTER_LABEL, b"")
        .map_err(|_| Failure::Exporter)?;
    let context = Context {
        role,
        network: membership.network,
        keys: membership.keys.clone(),
        local,
        remote: connection.remote_id(),
        exporter,
    };
    let mut handshake = Handshake::new(context, hello).map_err(Failure::Hello)?;
    let opened = async {
        match role {
            Role::Dialer => stream::open(connection, None).await.map_err(Failure::Write),
            Role::Acceptor => stream::accept(connection).await.map_err(Failure::Lost),
        }
    };
    let (mut writer, mut reader) = phase(opened).await?;
    if let Some(bytes) = handshake.start() {
        phase(async { writer.raw(&bytes).await.map_err(Failure::Write) }).await?;
    }
    loop {
        let limit = handshake.expects();
        let body = phase(async { reader.body(limit).await.map_err(Failure::Read) }).await?;
        let step = handshake
            .on_message(&body.ok_or(Failure::Ended)?)
            .map_err(Failure::Refused)?;
        for bytes in step.send {
            phase(async { writer.raw(&bytes).await.map_err(Failure::Write) }).await?;
        }
        if let Some(hello) = step.done {
            writer.finish();
            return Ok(hello);
        }
    }
}

async fn phase<T>(step: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(limits::HANDSHAKE_PHASE, step)
        .await
        .unwrap_or(Err(Failure::Timeout))
}
