//! The producing end: one open batch, sealed once, written to every consumer.

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes, BytesMut};
use harness::{Item, Sender, Spec};
use iroh::{Endpoint, endpoint::{Connection, SendStream}};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::endpoint;

/// Bytes at which a batch is sealed.
const BATCH: usize = 16 * 1024;
/// Batches that wait for one consumer.
const DEPTH: usize = 16;

/// Writes the same batches to all consumers, and waits for the slowest.
pub(crate) struct Fanout {
    open: BytesMut,
    batch: usize,
    queues: Vec<mpsc::Sender<Bytes>>,
    /// Until all consumers are there: what takes their connections.
    arriving: Option<JoinHandle<anyhow::Result<Vec<mpsc::Sender<Bytes>>>>>,
    _endpoint: Endpoint,
}

impl Fanout {
    pub(crate) fn new(endpoint: Endpoint, spec: &Spec) -> Self {
        let depth = spec.depth.unwrap_or(DEPTH).max(1);
        let accepting = accept(endpoint.clone(), spec.consumers, depth);
        Self {
            open: BytesMut::new(),
            batch: spec.batch.unwrap_or(BATCH),
            queues: Vec::new(),
            arriving: Some(tokio::spawn(accepting)),
            _endpoint: endpoint,
        }
    }

    async fn seal(&mut self) -> anyhow::Result<()> {
        let batch = self.open.split().freeze();
        for queue in &self.queues {
            match queue.try_send(batch.clone()) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(batch)) => {
                    queue.send(batch).await.context("a consumer is gone")?;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => bail!("a consumer is gone"),
            }
        }
        Ok(())
    }
}

impl Sender for Fanout {
    async fn send(&mut self, item: &Item<'_>) -> anyhow::Result<()> {
        if let Some(arriving) = self.arriving.take() {
            self.queues = arriving.await??;
        }
        let len = 4 + item.len();
        if self.open.capacity() - self.open.len() < len {
            self.open.reserve(self.batch.max(len));
        }
        self.open.put_u32_le(item.len() as u32);
        item.put(&mut self.open);
        if self.open.len() + len > self.batch {
            self.seal().await?;
            tokio::task::coop::consume_budget().await;
        }
        Ok(())
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        if self.open.is_empty() {
            return Ok(());
        }
        self.seal().await
    }
}

/// Takes one connection per consumer and opens a stream in each.
async fn accept(
    endpoint: Endpoint,
    consumers: u32,
    depth: usize,
) -> anyhow::Result<Vec<mpsc::Sender<Bytes>>> {
    let mut queues = Vec::new();
    for _ in 0..consumers {
        let incoming = endpoint.accept().await.context("the endpoint is closed")?;
        let connection = incoming.await.context("a handshake failed")?;
        let mut stream = connection.open_uni().await?;
        stream.write_all(&endpoint::HELLO).await?;
        let (queue, batches) = mpsc::channel(depth);
        tokio::spawn(write(connection, stream, batches, depth));
        queues.push(queue);
    }
    Ok(queues)
}

async fn write(
    _connection: Connection,
    mut stream: SendStream,
    mut batches: mpsc::Receiver<Bytes>,
    depth: usize,
) {
    let mut waiting = Vec::with_capacity(depth);
    while batches.recv_many(&mut waiting, depth).await > 0 {
        // The producer finds the queue closed when this ends.
        if stream.write_all_chunks(&mut waiting).await.is_err() {
            return;
        }
        waiting.clear();
    }
}
