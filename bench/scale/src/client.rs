//! A consumer by hand: an endpoint, the handshake and one subscription of the protocol, and no
//! part in discovery. So what is measured at the producer is the producer's, and a thousand of them
//! fit a machine on which a thousand nodes would be busy finding each other.

use std::{
    collections::BTreeSet,
    sync::atomic::{AtomicU64, Ordering},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail, ensure};
use iroh::{
    Endpoint, EndpointAddr,
    endpoint::{Connection, RecvStream, SendStream},
};
use rivermesh_proto::{
    NetworkId,
    batch::{self, Frame},
    entry::Entry,
    handshake::{Context, EXPORTER_LABEL, Handshake, Hello, Role},
    limits,
    subscribe::{Lag, Reply, Start, Subscribe, Superseded},
    wire::{self, StreamKind},
};

/// A subscription that was accepted.
#[derive(Debug)]
pub(crate) struct Client {
    /// Kept open.
    _endpoint: Endpoint,
    connection: Connection,
    frames: RecvStream,
}

impl Client {
    /// Connects, proves membership and subscribes.
    pub(crate) async fn join(
        endpoint: Endpoint,
        addr: EndpointAddr,
        network: NetworkId,
        stream: &str,
    ) -> Result<Self> {
        let connection = endpoint.connect(addr, wire::ALPN).await?;
        shake(&endpoint, &connection, network).await?;
        let (mut to, mut from) = connection.open_bi().await?;
        let ask = Subscribe {
            stream: stream.parse().context("the stream's name")?,
            fingerprint: None,
            start: Start::Latest,
            lag: Lag::Skip,
            named: None,
            filter: None,
            superseded: Superseded::Send,
            credential: None,
        };
        to.write_all(&[StreamKind::Subscribe.byte()]).await?;
        to.write_all(&wire::encode(&ask, limits::CONTROL)?).await?;
        let reply = body(&mut from, limits::CONTROL).await?;
        match wire::decode(&reply)? {
            Reply::Accepted(_) => to.finish()?,
            Reply::Refused(refusal) => bail!(refusal),
        }
        Ok(Self {
            _endpoint: endpoint,
            connection,
            frames: from,
        })
    }

    /// Counts items until the stream ends.
    pub(crate) async fn count(mut self, items: &AtomicU64) -> Result<()> {
        loop {
            let mut head = [0; batch::HEADER];
            self.frames.read_exact(&mut head).await?;
            let header = batch::Header::parse(head)?;
            let mut body = vec![0; header.len];
            self.frames.read_exact(&mut body).await?;
            match Frame::parse(header.kind, body.into())? {
                Frame::Batch(batch) => {
                    items.fetch_add(u64::from(batch.count()), Ordering::Relaxed);
                }
                Frame::End { .. } => break,
                _ => {}
            }
        }
        self.connection.close(0_u32.into(), b"");
        Ok(())
    }
}

async fn shake(endpoint: &Endpoint, connection: &Connection, network: NetworkId) -> Result<()> {
    let mut exporter = [0; 32];
    let exported = connection.export_keying_material(&mut exporter, EXPORTER_LABEL, b"");
    ensure!(exported.is_ok(), "the connection has no TLS exporter");
    let context = Context {
        role: Role::Dialer,
        network,
        keys: Vec::new(),
        local: endpoint.id(),
        remote: connection.remote_id(),
        exporter,
    };
    let mut handshake = Handshake::new(context, hello(endpoint, network)?)?;
    let (mut to, mut from) = connection.open_bi().await?;
    let first = handshake.start().context("a dialer speaks first")?;
    to.write_all(&first).await?;
    loop {
        let message = body(&mut from, handshake.expects()).await?;
        let step = handshake.on_message(&message)?;
        send(&mut to, &step.send).await?;
        if step.done.is_some() {
            to.finish()?;
            return Ok(());
        }
    }
}

async fn send(to: &mut SendStream, messages: &[Vec<u8>]) -> Result<()> {
    for message in messages {
        to.write_all(message).await?;
    }
    Ok(())
}

fn hello(endpoint: &Endpoint, network: NetworkId) -> Result<Hello> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
    let entry = Entry {
        network,
        node: endpoint.id(),
        name: String::new(),
        tags: BTreeSet::new(),
        addrs: Vec::new(),
        streams: Vec::new(),
        instance: 1,
        revision: u64::try_from(now.as_micros())?,
        refresh_s: 3600,
    };
    let record = entry.sign(endpoint.secret_key())?;
    Ok(Hello {
        instance: 1,
        record: record.as_bytes().clone(),
    })
}

/// The body of the next message.
async fn body(from: &mut RecvStream, limit: usize) -> Result<Vec<u8>> {
    let mut prefix = [0; 4];
    from.read_exact(&mut prefix).await?;
    let mut body = vec![0; wire::body_len(prefix, limit)?];
    from.read_exact(&mut body).await?;
    Ok(body)
}
