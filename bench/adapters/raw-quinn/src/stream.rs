//! The streams: batches go in at one end, pieces come out at the other.

use std::array;

use anyhow::Context;
use bytes::Bytes;
use harness::{
    Sink,
    fanout::{Cutter, Queue},
};
use quinn::{Connection, Endpoint, RecvStream, SendStream};
use tokio::sync::mpsc;

/// What a stream begins with: the other side learns of it by its first bytes.
pub(crate) const HELLO: [u8; 1] = [1];
/// Packets' payloads that are taken in one go.
const CHUNKS: usize = 64;

/// Takes one connection per consumer and opens a stream in each.
pub(crate) async fn accept(
    endpoint: Endpoint,
    consumers: u32,
    depth: usize,
) -> anyhow::Result<Vec<Queue>> {
    let mut queues = Vec::new();
    for _ in 0..consumers {
        let incoming = endpoint.accept().await.context("the endpoint is closed")?;
        let connection = incoming.await.context("a handshake failed")?;
        let mut stream = connection.open_uni().await?;
        stream.write_all(&HELLO).await?;
        let (queue, batches) = mpsc::channel(depth);
        tokio::spawn(write(
            (endpoint.clone(), connection),
            stream,
            batches,
            depth,
        ));
        queues.push(queue);
    }
    Ok(queues)
}

async fn write(
    _open: (Endpoint, Connection),
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

/// Takes all items of a stream.
pub(crate) async fn read(mut stream: RecvStream, sink: Sink) {
    let mut chunks: [Bytes; CHUNKS] = array::from_fn(|_| Bytes::new());
    let mut cutter = Cutter::new(sink);
    let why = loop {
        match stream.read_chunks(&mut chunks).await {
            Ok(Some(count)) => {
                let mut sound = true;
                for chunk in &mut chunks[..count] {
                    sound &= cutter.feed(&std::mem::take(chunk));
                }
                if !sound {
                    break "an item is too large".to_owned();
                }
            }
            Ok(None) => break "the stream ended".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    cutter.fail(why);
}
