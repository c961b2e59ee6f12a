//! The tasks that write gossip to one peer and read gossip from it.
//!
//! Each side sends on a stream of its own. The worker never waits for these tasks: it drops what a
//! full queue does not take. Gossip is redundant, and comparing catalogs heals what is lost.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rivermesh_proto::{code::Code, limits, wire::StreamKind};
use tokio::{
    sync::{Mutex, mpsc, oneshot},
    time::{Instant, sleep, timeout},
};
use tracing::debug;

use super::{
    screen::{self, Screened},
    shared::Shared,
    worker::Input,
};
use crate::net::{Link, ReadError, Reader, Use, WriteError};

/// Messages waiting for one peer; at most 3.3 MiB of them, and a tenth of that where entries have the
/// usual size.
pub(super) const QUEUE: usize = 256;
/// How long to wait until a peer has taken the end of a stream.
const LINGER: Duration = Duration::from_secs(5);

/// The sending side towards one peer. Dropping it ends the stream after what is queued.
#[derive(Debug)]
pub(super) struct Outgoing {
    pub(super) queue: mpsc::Sender<Bytes>,
    pub(super) link: usize,
    pub(super) used_at: Instant,
    /// Resolves when the writer has ended; well only if the peer has all of it.
    pub(super) ended: oneshot::Receiver<()>,
}

/// Writes what is queued for a peer, then ends the stream and waits until the peer has it all.
pub(super) async fn write(
    shared: Arc<Shared>,
    link: Use,
    mut queue: mpsc::Receiver<Bytes>,
    ended: oneshot::Sender<()>,
) {
    let peer = link.peer();
    match write_all(&shared, &link, &mut queue).await {
        Ok(true) => {
            let _ = ended.send(());
        }
        Ok(false) => debug!(peer = %peer.fmt_short(), "a peer did not take all gossip"),
        Err(error) => debug!(peer = %peer.fmt_short(), %error, "gossip to a peer ended"),
    }
}

/// True when the peer has taken all of it.
async fn write_all(
    shared: &Shared,
    link: &Link,
    queue: &mut mpsc::Receiver<Bytes>,
) -> Result<bool, WriteError> {
    let mut writer = link.open_uni(StreamKind::Gossip).await?;
    while let Some(first) = queue.recv().await {
        let mut batch = vec![first];
        while batch.len() < 32
            && let Ok(next) = queue.try_recv()
        {
            batch.push(next);
        }
        for message in &batch {
            shared.meters.gossip_sent(message);
        }
        writer.frames(&mut batch).await?;
    }
    writer.finish();
    Ok(timeout(LINGER, writer.stopped()).await.unwrap_or(false))
}

/// Reads gossip from a peer for as long as it keeps to the rules, no faster than its budget allows.
pub(super) async fn read(
    shared: Arc<Shared>,
    link: Arc<Link>,
    mut reader: Reader,
    topic: [u8; 32],
    budget: Arc<Mutex<Budget>>,
    inputs: mpsc::Sender<Input>,
) {
    loop {
        let screened = match reader.body(limits::GOSSIP).await {
            Ok(Some(body)) => {
                shared.meters.gossip_received.increment(1);
                shared
                    .meters
                    .gossip_received_bytes
                    .increment(body.len() as u64);
                screen::screen(&body, topic)
            }
            Ok(None) => return,
            Err(ReadError::Message(error)) => Err(error),
            Err(_) => return,
        };
        let screened: Screened = match screened {
            Ok(screened) => screened,
            Err(error) => {
                debug!(peer = %link.peer().fmt_short(), %error, "a peer broke the gossip protocol");
                link.close(Code::Malformed);
                return;
            }
        };
        {
            // Further streams of the same peer wait here, too.
            let mut budget = budget.lock().await;
            let wait = budget.take(screened.cost, Instant::now());
            if !wait.is_zero() {
                sleep(wait).await;
            }
        }
        let link = Arc::clone(&link);
        if inputs
            .send(Input::Gossip(link, Box::new(screened)))
            .await
            .is_err()
        {
            return;
        }
    }
}

/// What one peer may still send: a token bucket that can be overdrawn by one message.
#[derive(Debug)]
pub(super) struct Budget {
    tokens: f64,
    rate: f64,
    burst: f64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(rate: u32, burst: u32, now: Instant) -> Self {
        let burst = f64::from(burst);
        Self {
            tokens: burst,
            rate: f64::from(rate),
            burst,
            at: now,
        }
    }

    /// Takes what a message costs; gives how long to wait before the next one may be read.
    fn take(&mut self, cost: u32, now: Instant) -> Duration {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        self.tokens = (self.tokens + passed * self.rate).min(self.burst) - f64::from(cost);
        Duration::try_from_secs_f64(-self.tokens / self.rate).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_budget_slows_down_and_recovers() {
        let start = Instant::now();
        let mut budget = Budget::new(10, 20, start);
        for _ in 0..20 {
            assert_eq!(budget.take(1, start), Duration::ZERO);
        }
        assert_eq!(budget.take(5, start), Duration::from_millis(500));
        let later = start + Duration::from_secs(60);
        assert_eq!(budget.take(20, later), Duration::ZERO);
        assert_eq!(budget.take(1, later), Duration::from_millis(100));
    }
}
