//! The consuming end: cuts the stream into items.

use std::array;

use bytes::Bytes;
use harness::Sink;
use iroh::endpoint::RecvStream;

/// Packets' payloads that are taken in one go.
const CHUNKS: usize = 64;
/// Bytes of the largest item.
const MAX: usize = harness::spec::MAX_SIZE as usize;

pub(crate) async fn run(mut stream: RecvStream, sink: Sink) {
    let mut chunks: [Bytes; CHUNKS] = array::from_fn(|_| Bytes::new());
    let mut cutter = Cutter {
        sink,
        partial: Vec::new(),
    };
    let why = loop {
        match stream.read_many_chunks(&mut chunks).await {
            Ok(Some(count)) => {
                let mut whole = true;
                for chunk in &mut chunks[..count] {
                    whole &= cutter.feed(&std::mem::take(chunk));
                }
                if !whole {
                    break "an item is too large".to_owned();
                }
            }
            Ok(None) => break "the stream ended".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    cutter.sink.fail(why);
}

/// Cuts chunks into items without copying those that lie in one chunk.
struct Cutter {
    sink: Sink,
    /// The beginning of an item, with its length, whose rest has not come.
    partial: Vec<u8>,
}

impl Cutter {
    /// Takes the items of a chunk; false if one is longer than any may be.
    fn feed(&mut self, mut chunk: &[u8]) -> bool {
        while !self.partial.is_empty() {
            let wanted = match self.partial.first_chunk::<4>() {
                None => 4,
                Some(len) => 4 + u32::from_le_bytes(*len) as usize,
            };
            if wanted > 4 + MAX {
                return false;
            }
            if self.partial.len() == wanted && wanted >= 4 {
                self.sink.take(&self.partial[4..]);
                self.partial.clear();
                break;
            }
            if chunk.is_empty() {
                return true;
            }
            let more = chunk.len().min(wanted - self.partial.len());
            self.partial.reserve(wanted - self.partial.len());
            self.partial.extend_from_slice(&chunk[..more]);
            chunk = &chunk[more..];
        }
        while let Some((len, rest)) = chunk.split_first_chunk::<4>() {
            let len = u32::from_le_bytes(*len) as usize;
            let Some((item, rest)) = rest.split_at_checked(len) else {
                break;
            };
            self.sink.take(item);
            chunk = rest;
        }
        self.partial.extend_from_slice(chunk);
        true
    }
}
