//! The order of a subscription's frames.

use super::{Frame, FrameError};
use crate::Seq;

/// Holds the frames of one subscription to their order: each must begin where the last one ended.
#[derive(Clone, Copy, Debug)]
pub struct Sequence {
    next: Seq,
}

impl Sequence {
    /// A sequence that begins at `next`.
    #[must_use]
    pub fn at(next: Seq) -> Self {
        Self { next }
    }

    /// The sequence number that the next frame must begin at.
    #[must_use]
    pub fn next(&self) -> Seq {
        self.next
    }

    /// Takes a frame, or refuses it because it leaves a hole or goes back.
    ///
    /// # Errors
    /// [`FrameError::OutOfSequence`]; the sequence has not moved then.
    pub fn accept(&mut self, frame: &Frame) -> Result<(), FrameError> {
        let (from, to) = match frame {
            Frame::Batch(batch) => (batch.first(), batch.end()),
            Frame::Gap { from, to } => (*from, *to),
            // Neither speaks for a number; where a filter begins is where the next frame does.
            Frame::Filter { from, .. } => (*from, *from),
            // What is redelivered stands outside of the order.
            Frame::End { .. } | Frame::Refused(_) | Frame::Redelivered(_) => return Ok(()),
        };
        if from != self.next {
            return Err(FrameError::OutOfSequence {
                expected: self.next,
                got: from,
            });
        }
        self.next = to;
        Ok(())
    }
}
