//! Items and events as a stream.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;

use super::{Consumer, Event};
use crate::Datum;

/// A consumer's items and events as a stream. Made by [`Consumer::events`].
#[derive(Debug)]
pub struct Events<T: Datum>(Consumer<T>);

impl<T: Datum> Events<T> {
    pub(super) fn new(consumer: Consumer<T>) -> Self {
        Self(consumer)
    }

    /// The consumer, for its status and counters.
    pub fn consumer(&self) -> &Consumer<T> {
        &self.0
    }

    /// The consumer itself again.
    pub fn into_consumer(self) -> Consumer<T> {
        self.0
    }
}

impl<T: Datum> Stream for Events<T> {
    type Item = Event<T>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event<T>>> {
        self.get_mut().0.poll_event(cx)
    }
}
