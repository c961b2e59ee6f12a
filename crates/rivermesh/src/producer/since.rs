//! Where a consumer begins that asks by time, as far as that lies on disk alone.

use rivermesh_proto::{
    Seq,
    batch::Batch,
    catalog::Peer,
    subscribe::{Start, Subscribe},
};
use rivermesh_store::{Read, ReadError, Reader};
use tokio::task::spawn_blocking;
use tracing::warn;

use super::core::{Core, now_us};

impl Core {
    /// Makes a start by time one by number where the log in memory does not reach back as far and the
    /// one on disk may. That reads some batches of it, so not for a peer that is not let in.
    pub(crate) async fn resolve(&self, peer: &Peer, ask: &mut Subscribe) {
        let at_us = match ask.start {
            Start::Since { at_us } => at_us,
            Start::Ago { us } => now_us().saturating_sub(us),
            _ => return,
        };
        // With a retention, what is kept for those who come later is in memory.
        let Some(disk) = self.disk().filter(|_| self.settings.retention.is_none()) else {
            return;
        };
        if self.log().reaches_back(at_us) || self.entitled(peer, ask.credential.as_ref()).is_err() {
            return;
        }
        let reader = disk.reader().clone();
        match spawn_blocking(move || search(&reader, at_us)).await {
            Ok(Ok(seq)) => ask.start = Start::At { seq },
            Ok(Err(error)) => warn!(stream = %self.name, %error, "the log on disk cannot be read"),
            Err(panic) => warn!(stream = %self.name, %panic, "reading the log on disk failed"),
        }
    }
}

/// The first item of the last batch on disk that was begun before this time: it may have gone on until
/// then. Of the first batch, where none was. Takes the batches' times to rise.
fn search(reader: &Reader, at_us: u64) -> Result<Seq, ReadError> {
    let (mut low, mut high) = (reader.first(), reader.next());
    let mut from = low;
    while low < high {
        let middle = low + (high - low) / 2;
        match batch_at(reader, middle, high)? {
            Some(batch) if batch.sent_at_us() < at_us => {
                from = batch.first();
                low = batch.end();
            }
            Some(batch) => high = batch.first().min(middle),
            None => high = middle,
        }
    }
    Ok(from)
}

/// The batch that holds an item, or the first one behind it that is there and begins before `end`.
fn batch_at(reader: &Reader, mut seq: Seq, end: Seq) -> Result<Option<Batch>, ReadError> {
    while seq < end {
        match reader.read(seq, 1)? {
            Read::Frames { frames, next } => match frames.first().and_then(Batch::of_frame) {
                Some(batch) => return Ok(Some(batch)),
                None => seq = next,
            },
            Read::Gone { range, .. } => seq = range.end,
            Read::End => break,
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
