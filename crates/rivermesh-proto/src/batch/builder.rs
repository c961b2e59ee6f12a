//! Writing a batch.

use bytes::{BufMut, Bytes, BytesMut};

use super::{BATCH_WORDS, FIRST, HEADER, items::Words, spares::Spares};
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
    /// Memory of earlier frames.
    spares: Spares,
    /// Bytes of the last frame: the next one will most likely be like it.
    last: usize,
    /// Bytes that the length of the last item took: most likely the next one's does as well.
    width: usize,
}

impl Builder {
    /// A builder that takes memory in blocks of this many bytes.
    #[must_use]
    pub fn new(block: usize) -> Self {
        Self::reusing(block, 0)
    }

    /// The same, which keeps at most so many blocks of frames that were [given
    /// back](Self::give_back). A block may have grown to twice its size.
    #[must_use]
    pub fn reusing(block: usize, blocks: usize) -> Self {
        Self {
            buf: BytesMut::new(),
            end: 0,
            count: 0,
            block,
            spares: Spares::new(blocks),
            last: 0,
            width: 1,
        }
    }

    /// Whether no item is in the open batch.
    #[must_use]
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Items in the open batch.
    #[must_use]
    #[inline]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Bytes of the open batch's frame so far.
    #[must_use]
    #[inline]
    pub fn bytes(&self) -> usize {
        self.end
    }

    /// Where in the frame the next item will begin, its length included.
    #[must_use]
    #[inline]
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
            // A frame that reaches the end of its block is copied into another.
            let likely = self.last.min(self.block).max(FIRST + 256);
            if self.buf.capacity() < likely {
                self.begin_block(self.block);
            }
            self.buf.put_bytes(0, HEADER + BATCH_WORDS);
        }
        let prefix = self.buf.len();
        // Room for a length as wide as the last one's: an item is moved only where it is not.
        match self.width {
            1 => self.buf.put_u8(0),
            2 => self.buf.put_u16(0),
            width => self.buf.put_bytes(0, width),
        }
        if let Err(error) = encode(&mut self.buf) {
            self.buf.truncate(before);
            return Err(error);
        }
        let len = self.buf.len() - prefix - self.width;
        match self.width {
            1 if len < 0x80 => self.buf[prefix] = len as u8,
            2 if (0x80..0x4000).contains(&len) => {
                let bytes = [len as u8 | 0x80, (len >> 7) as u8];
                self.buf[prefix..prefix + 2].copy_from_slice(&bytes);
            }
            _ => self.put_len(prefix, len),
        }
        self.end = self.buf.len();
        self.count += 1;
        Ok(())
    }

    /// Writes any length before the item that lies behind the room for it, and moves the item where
    /// that is not as wide.
    fn put_len(&mut self, prefix: usize, len: usize) {
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
        let from = prefix + std::mem::replace(&mut self.width, width);
        let to = prefix + width;
        if to != from {
            self.buf.put_bytes(0, to.saturating_sub(from));
            self.buf.copy_within(from..from + len, to);
            self.buf.truncate(to + len);
        }
        self.buf[prefix..to].copy_from_slice(&bytes[..width]);
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
        self.begin_block((HEADER + BATCH_WORDS + last.len()).max(self.block));
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
        self.last = frame.len();
        if self.last > self.block {
            // No small frame is to hold on to what has grown for a large one.
            self.buf = BytesMut::new();
        }
        let items = frame.len() - HEADER - BATCH_WORDS;
        Words {
            first,
            count,
            sent_at_us,
        }
        .write(&mut frame, items);
        Some(frame.freeze())
    }

    /// Gives back a frame that is not wanted any more. When nobody has anything of its block either,
    /// the block serves for further frames. An allocator that is left to it may return the memory to
    /// the system, and takes it anew page by page.
    pub fn give_back(&mut self, frame: Bytes) {
        if frame.len() <= self.block {
            self.spares.put(frame);
        }
    }

    /// Goes over to another block of at least `bytes`. Nothing may be in the buffer.
    fn begin_block(&mut self, bytes: usize) {
        match self.spares.take(bytes) {
            Some(memory) => self.buf = memory,
            None => self.buf.reserve(bytes),
        }
    }
}
