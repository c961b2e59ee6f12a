//! The task per remote consumer: writes what its feed gives, bounded by QUIC's flow control alone.

use std::{future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use bytes::Bytes;
use rivermesh_proto::{batch, code::Code, filter::FilterSource, subscribe::Refusal};
use tokio::{sync::watch, time::timeout};
use tracing::debug;

use super::{
    core::Sub,
    feed::{Feed, Pull},
};
use crate::net::{Use, Writer};

/// Writes a subscription until it ends, one way or the other. `drain` bounds how long the consumer
/// may take to read the rest when the stream has ended.
///
/// `changes` has the filter that the consumer last asked for.
pub(super) async fn run(
    mut feed: Feed,
    mut changes: watch::Receiver<Option<Change>>,
    mut writer: Writer,
    link: Use,
    drain: Duration,
) {
    let cut = feed.cut().clone();
    let sub = Arc::clone(feed.sub());
    let mut stopped = pin!(writer.stopped());
    let mut frames: Vec<Bytes> = Vec::new();
    loop {
        frames.clear();
        if feed.would_seal() {
            // Whoever is ready to run goes first: the program that is sending, and the connection
            // with what was written before. So batches and packets fill up under load, and without
            // load there is nobody to wait for.
            tokio::task::yield_now().await;
        }
        let pulled = match take(&mut changes) {
            Some(change) => refilter(&mut feed, &change, &mut frames),
            None => feed.pull(&mut frames),
        };
        let last = match pulled {
            Pull::Frames => None,
            Pull::Behind { to } => {
                tokio::select! {
                    biased;
                    () = cut.cancelled() => break writer.reset(Code::Revoked),
                    _ = &mut stopped => break,
                    () = feed.fetch(to, &mut frames) => {
                        if frames.is_empty() {
                            // It waits for acknowledgements, or is another member's.
                            continue;
                        }
                        None
                    }
                }
            }
            Pull::Nothing => {
                tokio::select! {
                    biased;
                    () = cut.cancelled() => break writer.reset(Code::Revoked),
                    _ = &mut stopped => break,
                    Ok(()) = changes.changed() => {
                        changes.mark_changed();
                        continue;
                    }
                    () = feed.ready() => continue,
                }
            }
            Pull::Ended => Some(batch::end(Code::Closed.number())),
            Pull::Lagged => Some(batch::end(Code::Lagged.number())),
            Pull::Refused(refusal) => Some(refused(&refusal)),
        };
        let is_last = last.is_some();
        frames.extend(last);
        tokio::select! {
            biased;
            () = cut.cancelled() => break writer.reset(Code::Revoked),
            () = over(&sub) => break writer.reset(Code::Revoked),
            written = writer.frames(&mut frames) => {
                if let Err(error) = written {
                    debug!(peer = %link.peer().fmt_short(), %error, "a consumer is gone");
                    break;
                }
            }
        }
        if is_last {
            writer.finish();
            // A new future: the one above may have been made before `finish`.
            let _ = timeout(drain, writer.stopped()).await;
            break;
        }
    }
}

/// Ready where the consumer's lease is over whenever somebody looks: before each part of what is
/// being written, not when the lease ends, which the stream's worker sees to.
async fn over(sub: &Sub) {
    poll_fn(|_| {
        if sub.lease.is_over() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
}

/// A filter that a consumer has changed to.
#[derive(Clone, Debug)]
pub(super) struct Change {
    /// Its number, for the answer.
    pub(super) change: u32,
    pub(super) filter: Option<FilterSource>,
}

fn take(changes: &mut watch::Receiver<Option<Change>>) -> Option<Change> {
    // An error means that the consumer will ask for nothing more.
    if !changes.has_changed().unwrap_or(false) {
        return None;
    }
    changes.borrow_and_update().clone()
}

fn refilter(feed: &mut Feed, asked: &Change, frames: &mut Vec<Bytes>) -> Pull {
    match feed.refilter(asked.filter.as_ref(), frames) {
        Ok(from) => {
            frames.push(batch::filter(asked.change, from));
            Pull::Frames
        }
        Err(refusal) => Pull::Refused(refusal),
    }
}

fn refused(refusal: &Refusal) -> Bytes {
    // What a refusal is made of is within its limits; without words the consumer asks anew.
    batch::refused(refusal).unwrap_or_else(|_| batch::end(Code::Internal.number()))
}
