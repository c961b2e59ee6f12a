//! The task per remote consumer: writes what its feed gives, bounded by QUIC's flow control alone.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use rivermesh_proto::{batch, code::Code};
use tokio::time::timeout;
use tracing::debug;

use super::feed::{Feed, Pull};
use crate::net::{Use, Writer};

/// Writes a subscription until it ends, one way or the other. `drain` bounds how long the consumer
/// may take to read the rest when the stream has ended.
pub(super) async fn run(mut feed: Feed, mut writer: Writer, link: Use, drain: Duration) {
    let cut = feed.cut().clone();
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
        let last = match feed.pull(&mut frames) {
            Pull::Frames => None,
            Pull::Nothing => {
                tokio::select! {
                    biased;
                    () = cut.cancelled() => break writer.reset(Code::Revoked),
                    () = &mut stopped => break,
                    () = feed.ready() => continue,
                }
            }
            Pull::Ended => Some(Code::Closed),
            Pull::Lagged => Some(Code::Lagged),
        };
        if let Some(code) = last {
            frames.push(batch::end(code.number()));
        }
        tokio::select! {
            biased;
            () = cut.cancelled() => break writer.reset(Code::Revoked),
            written = writer.frames(&mut frames) => {
                if let Err(error) = written {
                    debug!(peer = %link.peer().fmt_short(), %error, "a consumer is gone");
                    break;
                }
            }
        }
        if last.is_some() {
            writer.finish();
            // A new future: the one above may have been made before `finish`.
            let _ = timeout(drain, writer.stopped()).await;
            break;
        }
    }
}
