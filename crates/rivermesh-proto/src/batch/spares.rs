//! Memory of frames that are not wanted any more, for further ones.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// Frames, the last of each block, whose blocks are used again as soon as nobody else has a part of
/// them: the transport keeps what it sends until that is acknowledged.
#[derive(Debug)]
pub(super) struct Spares {
    frames: VecDeque<Bytes>,
    most: usize,
}

impl Spares {
    /// Keeps at most so many blocks.
    pub(super) fn new(most: usize) -> Self {
        Self {
            frames: VecDeque::new(),
            most,
        }
    }

    /// Keeps a frame's block; the oldest goes where there are too many. Frames are to come in the
    /// order in which they were cut.
    pub(super) fn put(&mut self, frame: Bytes) {
        if self.most == 0 {
            return;
        }
        match self.frames.back_mut() {
            // The frame before it in the same block would keep the block from being free. Should the
            // two only happen to lie side by side, that block is not used again, no more.
            Some(last) if last.as_ptr_range().end == frame.as_ptr() => *last = frame,
            _ => {
                if self.frames.len() == self.most {
                    self.frames.pop_front();
                }
                self.frames.push_back(frame);
            }
        }
    }

    /// A block of at least `bytes` that nobody has a part of.
    pub(super) fn take(&mut self, bytes: usize) -> Option<BytesMut> {
        let free = self.frames.iter().position(Bytes::is_unique)?;
        let frame = self.frames.remove(free)?;
        let mut memory = frame.try_into_mut().ok()?;
        memory.clear();
        memory.try_reclaim(bytes).then_some(memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A block cut into frames of 100 bytes.
    fn block() -> Vec<Bytes> {
        let mut memory = BytesMut::zeroed(400);
        (0..4).map(|_| memory.split_to(100).freeze()).collect()
    }

    #[test]
    fn a_block_is_free_when_nobody_has_a_frame_of_it() {
        let mut spares = Spares::new(2);
        let frames = block();
        let held = frames[1].clone();
        let at = frames[0].as_ptr();
        for frame in frames {
            assert!(spares.take(1).is_none());
            spares.put(frame);
        }
        assert!(spares.take(1).is_none());
        drop(held);
        let memory = spares.take(400).unwrap();
        assert_eq!((memory.as_ptr(), memory.len()), (at, 0));
        assert!(memory.capacity() >= 400);
        assert!(spares.take(1).is_none());
    }

    #[test]
    fn one_that_is_held_does_not_keep_others_from_being_used() {
        let mut spares = Spares::new(3);
        let (first, second) = (block(), block());
        let held = first[3].clone();
        first.into_iter().for_each(|frame| spares.put(frame));
        second.into_iter().for_each(|frame| spares.put(frame));
        assert!(spares.take(400).is_some());
        assert!(spares.take(400).is_none());
        drop(held);
        assert!(spares.take(400).is_some());
    }

    #[test]
    fn blocks_are_bounded_and_none_too_small_is_given() {
        let mut spares = Spares::new(2);
        // All are there before the first is let go, so no two have the same memory.
        let blocks = [block(), block(), block()];
        blocks
            .into_iter()
            .flatten()
            .for_each(|frame| spares.put(frame));
        assert_eq!(spares.frames.len(), 2);
        assert!(spares.take(10_000).is_none());
        assert_eq!(spares.frames.len(), 1);
        let mut none = Spares::new(0);
        block().into_iter().for_each(|frame| none.put(frame));
        assert!(none.frames.is_empty());
    }
}
