//! Waiting until an item can be sent; and a producer as a [`Sink`], which is that wait as a poll.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

use futures::Sink;

use super::{Producer, SendError};
use crate::{Datum, producer::core::Core};

/// Waits until a send is worth trying: the stream is online and has room, or has ended.
pub(super) async fn ready_to_send(core: Arc<Core>) {
    let mut status = core.watch_status();
    loop {
        if status
            .wait_for(|status| status.online || status.closed)
            .await
            .is_err()
        {
            return;
        }
        let mut space = pin!(core.space.notified());
        // From here on a notification is kept for us, so looking before waiting loses none.
        space.as_mut().enable();
        if core.is_closed() || core.has_room() {
            return;
        }
        tokio::select! {
            () = space => {}
            _ = status.wait_for(|status| !status.online) => {}
        }
    }
}

type Ready = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What a producer used as a [`Sink`] remembers between polls.
pub(super) struct SinkState<T> {
    /// Only ever reached through a unique reference; the mutex is there because it makes the
    /// producer `Sync`, and is never locked.
    ready: Mutex<Option<Ready>>,
    /// An item that `start_send` took and that could not be sent since, because another handle
    /// was quicker.
    pending: Option<T>,
}

impl<T> Default for SinkState<T> {
    fn default() -> Self {
        Self {
            ready: Mutex::new(None),
            pending: None,
        }
    }
}

impl<T: Datum> Unpin for Producer<T> {}

impl<T: Datum> Producer<T> {
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        loop {
            if let Some(item) = self.sink.pending.take()
                && let Err(error) = self.try_send(item)
            {
                self.sink.pending = Some(error.waits()?);
            }
            let slot = self.sink.ready.get_mut();
            let slot = slot.unwrap_or_else(PoisonError::into_inner);
            let core = &self.inner.core;
            if self.sink.pending.is_none()
                && (core.is_closed() || core.is_online() && core.has_room())
            {
                *slot = None;
                return Poll::Ready(Ok(()));
            }
            let ready = slot.get_or_insert_with(|| Box::pin(ready_to_send(Arc::clone(core))));
            ready!(ready.as_mut().poll(cx));
            *slot = None;
        }
    }
}

/// `poll_ready` waits while the stream is offline or full. `poll_flush` waits until what was taken
/// is in the log; it does not wait for consumers.
impl<T: Datum> Sink<T> for Producer<T> {
    type Error = SendError<T>;

    fn poll_ready(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let this = self.get_mut();
        // As in `send`: a sink that never waits must not starve its thread.
        let mut budget = pin!(tokio::task::coop::consume_budget());
        ready!(budget.as_mut().poll(cx));
        this.poll_room(cx)
    }

    fn start_send(self: Pin<&mut Self>, item: T) -> Result<(), SendError<T>> {
        let this = self.get_mut();
        if let Err(error) = this.try_send(item) {
            this.sink.pending = Some(error.waits()?);
        }
        Ok(())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        let this = self.get_mut();
        if this.sink.pending.is_none() {
            return Poll::Ready(Ok(()));
        }
        this.poll_room(cx)
    }

    fn poll_close(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SendError<T>>> {
        self.poll_flush(cx)
    }
}
