//! Batches by hand, for adapters that measure a bare transport: the open batch, a bounded queue of
//! sealed ones for each consumer, and the cutting of what arrives into items.
//!
//! On the wire an item is its length, `u32` little endian, and its bytes.

use anyhow::{Context, bail};
use bytes::{BufMut, Bytes, BytesMut};
use tokio::{sync::mpsc, task::JoinHandle};

use crate::{Item, Sender, Sink, Spec, spec::MAX_SIZE};

/// Bytes at which a batch is sealed.
const BATCH: usize = 16 * 1024;
/// Batches that wait for one consumer.
const DEPTH: usize = 16;
/// Bytes of a length.
const LEN: usize = 4;

/// Gives the same batches to all consumers, and waits for the slowest.
#[derive(Debug)]
pub struct Fanout {
    open: BytesMut,
    batch: usize,
    queues: Vec<Queue>,
    /// Until all consumers are there: what takes their connections.
    arriving: Option<Arriving>,
}

/// Where one consumer's batches go.
pub type Queue = mpsc::Sender<Bytes>;

/// The task that takes the connections of all consumers.
pub type Arriving = JoinHandle<anyhow::Result<Vec<Queue>>>;

/// Batches that may wait for one consumer.
#[must_use]
pub fn depth(spec: &Spec) -> usize {
    spec.depth.unwrap_or(DEPTH).max(1)
}

impl Fanout {
    /// Waits with the first item until `arriving` is done.
    #[must_use]
    pub fn new(spec: &Spec, arriving: Arriving) -> Self {
        Self {
            open: BytesMut::new(),
            batch: spec.batch.unwrap_or(BATCH),
            queues: Vec::new(),
            arriving: Some(arriving),
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
        let len = LEN + item.len();
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

/// Cuts what arrives into items, without copying those that lie in one piece.
#[derive(Debug)]
pub struct Cutter {
    sink: Sink,
    /// The beginning of an item, with its length, whose rest has not come.
    partial: Vec<u8>,
}

impl Cutter {
    /// Takes items to `sink`.
    #[must_use]
    pub fn new(sink: Sink) -> Self {
        Self {
            sink,
            partial: Vec::new(),
        }
    }

    /// Takes the items of a piece; false if one is longer than any may be.
    #[must_use]
    pub fn feed(&mut self, mut piece: &[u8]) -> bool {
        while !self.partial.is_empty() {
            let wanted = match self.partial.first_chunk::<LEN>() {
                None => LEN,
                Some(len) => LEN + u32::from_le_bytes(*len) as usize,
            };
            if wanted > LEN + MAX_SIZE as usize {
                return false;
            }
            if self.partial.len() == wanted {
                self.sink.take(&self.partial[LEN..]);
                self.partial.clear();
                break;
            }
            if piece.is_empty() {
                return true;
            }
            let more = piece.len().min(wanted - self.partial.len());
            self.partial.reserve(wanted - self.partial.len());
            self.partial.extend_from_slice(&piece[..more]);
            piece = &piece[more..];
        }
        while let Some((len, rest)) = piece.split_first_chunk::<LEN>() {
            let len = u32::from_le_bytes(*len) as usize;
            let Some((item, rest)) = rest.split_at_checked(len) else {
                break;
            };
            self.sink.take(item);
            piece = rest;
        }
        self.partial.extend_from_slice(piece);
        true
    }

    /// Says why no more will come.
    pub fn fail(self, why: impl std::fmt::Display) {
        self.sink.fail(why);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{payload::Filler, protocol::Received, sink::Shared};

    #[test]
    fn items_are_cut_wherever_the_pieces_end() {
        for size in [16, 100, 5000] {
            let filler = Filler::new(size);
            let mut wire = BytesMut::new();
            for number in 0..20 {
                wire.put_u32_le(size);
                Item::new(number, 0, &filler).put(&mut wire);
            }
            for piece in [1, 3, 7, 104, 1400, wire.len()] {
                let (sink, counters) = Sink::new(Shared::new(size));
                let mut cutter = Cutter::new(sink);
                assert!(wire.chunks(piece).all(|piece| cutter.feed(piece)));
                let mut all = Received::default();
                counters.add_to(&mut all);
                assert_eq!((all.distinct(), all.corrupt), (20, 0), "{size} in {piece}");
            }
        }
    }

    #[test]
    fn a_length_is_bounded() {
        let (sink, _) = Sink::new(Shared::new(16));
        let mut cutter = Cutter::new(sink);
        let _ = cutter.feed(&u32::MAX.to_le_bytes());
        assert!(!cutter.feed(&[0]));
        assert!(cutter.partial.capacity() < 1000);
    }

    #[tokio::test]
    async fn a_batch_is_sealed_when_full_or_flushed() {
        let spec = Spec {
            consumers: 1,
            size: 100,
            batch: Some(300),
            ..Spec::default()
        };
        let (queue, mut batches) = mpsc::channel(10);
        let arriving = tokio::spawn(async move { Ok(vec![queue]) });
        let mut fanout = Fanout::new(&spec, arriving);
        let filler = Box::leak(Box::new(Filler::new(100)));
        for number in 0..5 {
            fanout.send(&Item::new(number, 0, filler)).await.unwrap();
        }
        fanout.flush().await.unwrap();
        fanout.flush().await.unwrap();
        drop(fanout);
        let mut lengths = Vec::new();
        while let Some(batch) = batches.recv().await {
            lengths.push(batch.len());
        }
        assert_eq!(lengths, [208, 208, 104]);
    }
}
