//! The side output: where an operator puts the items that its main output cannot take.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures::Stream;

use crate::queue::{Full, Push, Queue};

/// A bounded side output and the end that an operator writes to.
///
/// Under [`Full::Block`] the operator takes no input while the side is full, so somebody must read
/// both. Under [`Full::Detach`] the side ends when it is full. What does not fit is dropped and
/// counted in [`SideOutput::lost`].
pub fn side<T>(capacity: usize, full: Full) -> (Side<T>, SideOutput<T>) {
    let queue = Arc::new(Queue::new(capacity, full));
    let output = SideOutput {
        queue: Arc::clone(&queue),
    };
    (Side { queue: Some(queue) }, output)
}

/// The end of a side output that an operator writes to. Made by [`side`].
///
/// Memory: `capacity` items.
#[derive(Debug)]
pub struct Side<T> {
    queue: Option<Arc<Queue<T>>>,
}

/// A side output as a stream. Made by [`side`]. It ends with the operator's input.
///
/// If a wait for an item is cancelled, nothing is lost. Dropping it does not hold the operator up.
#[derive(Debug)]
pub struct SideOutput<T> {
    queue: Arc<Queue<T>>,
}

impl<T> Side<T> {
    /// A side that nobody reads: what goes there is only counted by the operator.
    pub(crate) fn none() -> Self {
        Self { queue: None }
    }

    /// Ready when `put` has room or never will.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.queue {
            Some(queue) => queue.poll_room(cx),
            None => Poll::Ready(()),
        }
    }

    /// One item after `poll_room` was ready always fits, unless the side has been cut off.
    pub(crate) fn put(&self, item: T) {
        if let Some(queue) = &self.queue
            && let Push::Full(_) | Push::Detached(_) | Push::Closed(_) = queue.push(item)
        {
            queue.count_lost();
        }
    }
}

impl<T> Drop for Side<T> {
    fn drop(&mut self) {
        if let Some(queue) = &self.queue {
            queue.finish();
        }
    }
}

impl<T> SideOutput<T> {
    /// Items that were dropped because the side was full or had been cut off.
    pub fn lost(&self) -> u64 {
        self.queue.counts().skipped
    }
}

impl<T> Stream for SideOutput<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        self.queue.poll_pop(cx)
    }
}

impl<T> Drop for SideOutput<T> {
    fn drop(&mut self) {
        self.queue.close();
    }
}
