//! One subscription's way through the log: a cursor, its lag policy, its counters.
//!
//! A sender (over QUIC) and a local receiver (without) both pull frames from a [`Feed`].

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
};

use bytes::Bytes;
use rivermesh_proto::{Seq, batch, subscribe::Lag};
use tokio_util::sync::CancellationToken;

use super::{
    core::{Core, Sub, SubId},
    log::{Cursor, Pin, Read},
};

/// Bytes that one pull takes at most, if no single batch is larger: what a sender holds of the log
/// while its peer does not read.
const PULL_BYTES: usize = 128 * 1024;

/// What [`Feed::pull`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pull {
    /// Frames were put out.
    Frames,
    /// Nothing now; [`Feed::ready`] waits for more.
    Nothing,
    /// The stream has ended and everything of it was put out.
    Ended,
    /// The consumer fell behind and wants to be disconnected then.
    Lagged,
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Feed {
    core: Arc<Core>,
    sub: Arc<Sub>,
    id: SubId,
    cursor: Cursor,
    pin: Option<Pin>,
}

impl Feed {
    pub(crate) fn new(
        core: Arc<Core>,
        sub: Arc<Sub>,
        id: SubId,
        cursor: Cursor,
        pin: Option<Pin>,
    ) -> Self {
        Self {
            core,
            sub,
            id,
            cursor,
            pin,
        }
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The subscription.
    pub(crate) fn sub(&self) -> &Arc<Sub> {
        &self.sub
    }

    /// Cancelled when the consumer is no longer admitted.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.sub.cut
    }

    /// Puts out the frames after the cursor.
    pub(crate) fn pull(&mut self, out: &mut Vec<Bytes>) -> Pull {
        // Looked at before the log: what was sent before the end is then certainly seen.
        let closed = self.core.is_closed();
        let mut log = self.core.log();
        loop {
            match log.read(&mut self.cursor, PULL_BYTES, out) {
                Read::Frames { items, bytes } => {
                    let freed = self
                        .pin
                        .is_some_and(|pin| log.move_pin(pin, self.cursor.seq()));
                    drop(log);
                    if freed {
                        self.core.space.notify_waiters();
                    }
                    self.sub.items.fetch_add(items, Ordering::Relaxed);
                    self.sub.bytes.fetch_add(bytes, Ordering::Relaxed);
                    self.sub
                        .position
                        .store(self.cursor.seq(), Ordering::Relaxed);
                    self.core.count_sent(items);
                    return Pull::Frames;
                }
                Read::Lost { from, to } => {
                    self.cursor = match self.sub.lag {
                        Lag::Disconnect => return Pull::Lagged,
                        Lag::Newest => log.newest(),
                        _ => log.cursor(to),
                    };
                    let to = self.cursor.seq();
                    out.push(batch::gap(from, to));
                    self.sub.missed.fetch_add(to - from, Ordering::Relaxed);
                    self.core.count_missed(to - from);
                }
                Read::End if !out.is_empty() => return Pull::Frames,
                Read::End if closed => return Pull::Ended,
                Read::End => return Pull::Nothing,
            }
        }
    }

    /// Whether a pull now would have to seal the open batch.
    pub(crate) fn would_seal(&self) -> bool {
        self.core.log().is_open(self.position())
    }

    /// Waits until there is more to pull, or the stream has ended.
    pub(crate) async fn ready(&self) {
        let mut notified = pin!(self.core.data.notified());
        // From here on a notification is kept for us, so looking before waiting loses none.
        notified.as_mut().enable();
        if self.core.is_closed() || self.core.reaches(self.position()) {
            return;
        }
        notified.await;
    }

    fn position(&self) -> Seq {
        self.cursor.seq()
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Some(pin) = self.pin
            && self.core.log().unpin(pin)
        {
            self.core.space.notify_waiters();
        }
        self.core.remove(self.id);
    }
}
