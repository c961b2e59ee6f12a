//! Writing a batch.

use bytes::{BufMut, Bytes, BytesMut};

use super::{BATCH_WORDS, HEADER, items::Words};
use crate::Seq;

/// The open batch: items are encoded straight into the frame that will be sent.
///
/// Frames are cut from blocks of memory one after the other, so that a small batch costs its own
/// size and not that of a buffer.
#[derive(Debug)]
pub struct Builder {
    buf: BytesMut,
    /// Where the last whole item ends: what lies behind it was left by an `encode` that panicked.
    end: usize,
    count: u32,
    block: usize,
}

impl Builder {
    /// A builder that takes memory in blocks of this many bytes.
    #[must_use]
    pub fn new(block: usize) -> Self {
        Self {
            buf: BytesMut::new(),
            end: 0,
            count: 0,
            block,
        }
    }

    /// Whether no item is in the open batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Items in the open batch.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the open batch's frame so far.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.end
    }

    /// Where in the frame the next item will begin, its length included.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.end.max(HEADER + BATCH_WORDS)
    }

    /// Encodes one item into the open batch.
    ///
    /// # Errors
    /// Hands on the error of `encode`; the batch is then as it was before.
    #[inline]
    pub fn push<E>(
        &mut self,
        encode: impl FnOnce(&mut BytesMut) -> Result<(), E>,
    ) -> Result<(), E> {
        let before = self.end;
        self.buf.truncate(before);
        if before == 0 {
            if self.buf.capacity() < HEADER + BATCH_WORDS + 256 {
                self.buf.reserve(self.block);
            }
            self.buf.put_bytes(0, HEADER + BATCH_WORDS);
        }
        let prefix = self.buf.len();
        // Most items are below 128 bytes: one byte is left for the length, more is made only then.
        self.buf.put_u8(0);
        if let Err(error) = encode(&mut self.buf) {
            self.buf.truncate(before);
            return Err(error);
        }
        let len = self.buf.len() - prefix - 1;
        if len < 0x80 {
            self.buf[prefix] = len as u8;
        } else {
            self.widen(prefix, len);
        }
        self.end = self.buf.len();
        self.count += 1;
        Ok(())
    }

    /// Makes room for a length prefix of more than one byte, and writes it.
    fn widen(&mut self, prefix: usize, len: usize) {
        let mut bytes = [0; 10];
        let mut width = 0;
        let mut rest = len as u64;
        while rest >= 0x80 {
            bytes[width] = rest as u8 | 0x80;
            rest >>= 7;
            width += 1;
        }
        bytes[width] = rest as u8;
        width += 1;
        self.buf.put_bytes(0, width - 1);
        self.buf
            .copy_within(prefix + 1..prefix + 1 + len, prefix + width);
        self.buf[prefix..prefix + width].copy_from_slice(&bytes[..width]);
    }

    /// Ends the open batch before its last item, which began at `offset`, and gives its frame; the
    /// last item is then the first of a new one. `None` where it is the only one already.
    pub fn seal_before(&mut self, offset: usize, first: Seq, sent_at_us: u64) -> Option<Bytes> {
        if self.count < 2 {
            return None;
        }
        self.buf.truncate(self.end);
        let last = self.buf.split_off(offset);
        (self.end, self.count) = (offset, self.count - 1);
        let frame = self.seal(first, sent_at_us);
        self.buf
            .reserve((HEADER + BATCH_WORDS + last.len()).max(self.block));
        self.buf.put_bytes(0, HEADER + BATCH_WORDS);
        self.buf.put_slice(&last);
        (self.end, self.count) = (self.buf.len(), 1);
        frame
    }

    /// Ends the open batch and gives its frame; `None` where it is empty.
    pub fn seal(&mut self, first: Seq, sent_at_us: u64) -> Option<Bytes> {
        if self.count == 0 {
            return None;
        }
        let count = std::mem::take(&mut self.count);
        self.buf.truncate(std::mem::take(&mut self.end));
        let mut frame = self.buf.split();
        let items = frame.len() - HEADER - BATCH_WORDS;
        Words {
            first,
            count,
            sent_at_us,
        }
        .write(&mut frame, items);
        Some(frame.freeze())
    }
}
