//! Reading what the ring holds no more: from disk, without the stream's lock.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use rivermesh_proto::{
    Seq,
    batch::{self, Batch},
};
use rivermesh_store::{Read, ReadError, Reader};
use tokio::{task::spawn_blocking, time::sleep};
use tracing::warn;

use super::{Feed, Log, PULL_BYTES, Taken, Wanted};

/// How long to wait before a file is read again that could not be read.
const RETRY: Duration = Duration::from_secs(1);

impl Feed {
    /// Puts out what comes next from disk, where it lies up to `to` at least. What the disk does not
    /// have, because it was let go, is corrupt, or was never stored, is a gap.
    ///
    /// If this is cancelled, nothing was put out.
    pub(crate) async fn fetch(&mut self, to: Seq, out: &mut Vec<Bytes>) {
        if let Some(holding) = &self.holding
            && holding.is_member()
        {
            return holding.fetch().await;
        }
        let core = Arc::clone(&self.core);
        let Some(disk) = core.disk() else { return };
        let found = read(disk.reader(), self.cursor.seq(), core.name.as_str()).await;
        if self.holding.is_some() {
            let mut frames = Vec::new();
            self.take_up(found, to, &mut frames, &mut Taken::default());
            if let Some(holding) = &mut self.holding {
                holding.push(frames);
            }
            return;
        }
        let told = self.cursor.told();
        let mut taken = Taken::default();
        self.take_up(found, to, out, &mut taken);
        self.account(told, taken);
    }

    /// Puts out what was found on disk where the cursor stands.
    pub(in crate::producer) fn take_up(
        &mut self,
        found: Found,
        to: Seq,
        out: &mut Vec<Bytes>,
        taken: &mut Taken,
    ) {
        let from = self.cursor.seq();
        match found {
            Found::Batches(batches) => {
                for (frame, batch) in batches {
                    self.pass(&frame, &batch, out, taken);
                }
                if out.is_empty() {
                    // A filter has left out all of it, and the consumer is not to wait for long.
                    Log::tell(&mut self.cursor, out);
                }
            }
            Found::Gone { upto } => {
                Log::tell(&mut self.cursor, out);
                // The ring has what the disk knows nothing of: nothing, but for a fault.
                let upto = upto.unwrap_or(to);
                out.push(batch::gap(from, upto));
                taken.missed += upto - from;
                self.cursor = self.core.log().place(upto, upto);
            }
        }
    }

    /// Puts out what a batch has for the consumer.
    fn pass(&mut self, frame: &Bytes, batch: &Batch, out: &mut Vec<Bytes>, taken: &mut Taken) {
        let from = self.cursor.seq();
        if self.filter.is_some() {
            self.cursor = self.core.log().place(batch.end(), self.cursor.told());
            self.sort(frame, Wanted::From(from), out, taken);
            return;
        }
        Log::tell(&mut self.cursor, out);
        let rest = if from > batch.first() {
            batch.frame_from(from)
        } else {
            Some(frame.clone())
        };
        if let Some(rest) = rest {
            taken.items += batch.end() - from;
            taken.bytes += rest.len() as u64;
            out.push(rest);
            self.cursor = self.core.log().place(batch.end(), batch.end());
        }
    }
}

/// What the disk has.
pub(in crate::producer) enum Found {
    Batches(Vec<(Bytes, Batch)>),
    /// Nothing up to here; `None` where it has never heard of the item.
    Gone {
        upto: Option<Seq>,
    },
}

/// Reads until that can be done: a file that cannot be opened now may be later, and what is on disk is
/// not to be told as missed for it.
pub(in crate::producer) async fn read(reader: &Reader, from: Seq, stream: &str) -> Found {
    loop {
        let reader = reader.clone();
        match spawn_blocking(move || look(&reader, from)).await {
            Ok(Ok(found)) => return found,
            Ok(Err(error)) => warn!(stream, %error, "the log on disk cannot be read"),
            Err(panic) => warn!(stream, %panic, "reading the log on disk failed"),
        }
        sleep(RETRY).await;
    }
}

fn look(reader: &Reader, from: Seq) -> Result<Found, ReadError> {
    Ok(match reader.read(from, PULL_BYTES)? {
        Read::Frames { frames, .. } => {
            let batches: Option<Vec<_>> = frames
                .into_iter()
                .map(|frame| Batch::of_frame(&frame).map(|batch| (frame, batch)))
                .collect();
            match batches {
                Some(batches) => Found::Batches(batches),
                // Intact, and no batch: of a version that is to come.
                None => Found::Gone { upto: None },
            }
        }
        Read::Gone { range, .. } => Found::Gone {
            upto: Some(range.end),
        },
        Read::End => Found::Gone { upto: None },
    })
}
