//! The task of an output: takes items from its feeds, in turn, and sends them to the sink.

use std::{
    error::Error,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, PoisonError, Weak, atomic::Ordering},
    task::{Context, Poll, ready},
};

use futures::{FutureExt, Sink};

use super::{
    Outcome,
    core::{Core, Feed},
    output::Owner,
    table::said,
};

/// How many items are sent before other tasks get their turn.
const BURST: usize = 64;

/// Runs an output to its end.
pub(super) async fn run<T, Si>(core: Arc<Core<T>>, sink: Si, owner: Weak<dyn Owner>)
where
    Si: Sink<T>,
    Si::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let sending = async {
        let mut task = Task::new(&core, sink);
        std::future::poll_fn(|cx| task.poll(cx)).await
    };
    // What a panic leaves behind in the sink is dropped with it.
    let guarded = AssertUnwindSafe(sending).catch_unwind();
    let outcome = match core.token.run_until_cancelled(guarded).await {
        Some(Ok(outcome)) => outcome,
        Some(Err(panic)) => Outcome::Panicked(said(&*panic)),
        None => {
            let mut verdict = core.verdict.lock().unwrap_or_else(PoisonError::into_inner);
            verdict.take().unwrap_or(Outcome::Aborted)
        }
    };
    if let Outcome::Failed(_) | Outcome::Panicked(_) | Outcome::Lagged = outcome {
        tracing::warn!(output = %core.id(), %outcome, "an output has ended");
    }
    core.end(outcome);
    if let Some(owner) = owner.upgrade() {
        owner.unfeed(core.id());
    }
}

/// What the task of an output owns.
struct Task<'a, T, Si> {
    core: &'a Core<T>,
    sink: Pin<Box<Si>>,
    feeds: Vec<Feed<T>>,
    /// Where to look next, so that each feed gets its turn.
    turn: usize,
    /// The sink has items that it has not been asked to flush.
    dirty: bool,
}

impl<'a, T, Si> Task<'a, T, Si>
where
    Si: Sink<T>,
    Si::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn new(core: &'a Core<T>, sink: Si) -> Self {
        Self {
            core,
            sink: Box::pin(sink),
            feeds: Vec::new(),
            turn: 0,
            dirty: false,
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Outcome> {
        match self.poll_sending(cx) {
            Poll::Ready(Ok(outcome)) => Poll::Ready(outcome),
            Poll::Ready(Err(error)) => Poll::Ready(Outcome::Failed(error.into().into())),
            Poll::Pending => Poll::Pending,
        }
    }

    fn poll_sending(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outcome, Si::Error>> {
        self.core.task.register(cx.waker());
        for _ in 0..BURST {
            // Looked at before the feeds: once it is said, no feed is added.
            let finishing = self.core.finishing();
            if self.core.changed.swap(false, Ordering::AcqRel) {
                self.feeds = self.core.lock().feeds.clone();
            }
            match self.poll_feeds(cx) {
                Next::Item(at) => {
                    ready!(self.sink.as_mut().poll_ready(cx))?;
                    self.send(at, cx)?;
                }
                Next::Lagged => return Poll::Ready(Ok(Outcome::Lagged)),
                Next::Nothing => {
                    if let Some(outcome) = finishing.filter(|_| self.feeds.is_empty()) {
                        ready!(self.sink.as_mut().poll_close(cx))?;
                        return Poll::Ready(Ok(outcome));
                    }
                    if !self.dirty {
                        return Poll::Pending;
                    }
                    ready!(self.sink.as_mut().poll_flush(cx))?;
                    self.dirty = false;
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Which feed has an item, in turn. Registers for all that have none.
    fn poll_feeds(&mut self, cx: &mut Context<'_>) -> Next {
        let mut left = self.feeds.len();
        while left > 0 {
            self.turn %= self.feeds.len().max(1);
            let Some(feed) = self.feeds.get(self.turn) else {
                break;
            };
            match feed.poll_any(cx) {
                Poll::Ready(Some(())) => return Next::Item(self.turn),
                Poll::Ready(None) if feed.is_detached() => return Next::Lagged,
                Poll::Ready(None) => {
                    let feed = self.feeds.swap_remove(self.turn);
                    self.core.retire(&feed);
                }
                Poll::Pending => self.turn += 1,
            }
            left -= 1;
        }
        Next::Nothing
    }

    fn send(&mut self, at: usize, cx: &mut Context<'_>) -> Result<(), Si::Error> {
        let Some(feed) = self.feeds.get(at) else {
            return Ok(());
        };
        // Only this task takes items out, so one that was there is still, or a newer one.
        if let Poll::Ready(Some(item)) = feed.poll_pop(cx) {
            self.dirty = true;
            self.sink.as_mut().start_send(item)?;
            self.core.sent.fetch_add(1, Ordering::AcqRel);
        }
        self.turn += 1;
        Ok(())
    }
}

enum Next {
    /// The feed of this number has an item.
    Item(usize),
    /// The output was too slow.
    Lagged,
    Nothing,
}
