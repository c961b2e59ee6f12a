//! The loop that pulls from the input and pushes to the outputs.

use std::{
    future::poll_fn,
    hash::Hash,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures::{FutureExt, Stream};
use tokio_util::sync::CancellationToken;

use super::{
    End, Outcome, OutputId, Stats,
    core::{Core, Feed},
    mailbox::{Letter, Mailbox},
    table::{Panicked, Table, said},
};
use crate::{operator::Input, queue::Push};

/// How many items are routed before other tasks get their turn.
const BURST: usize = 64;

/// Written by the router's task alone.
#[derive(Debug, Default)]
pub(super) struct Counters {
    items: AtomicU64,
    unwanted: AtomicU64,
    deliveries: AtomicU64,
}

impl Counters {
    pub(super) fn get(&self) -> Stats {
        Stats {
            items: self.items.load(Ordering::Relaxed),
            unwanted: self.unwanted.load(Ordering::Relaxed),
            deliveries: self.deliveries.load(Ordering::Relaxed),
        }
    }

    fn count(&self, deliveries: u64) {
        self.items.fetch_add(1, Ordering::Relaxed);
        if deliveries == 0 {
            self.unwanted.fetch_add(1, Ordering::Relaxed);
        } else {
            self.deliveries.fetch_add(deliveries, Ordering::Relaxed);
        }
    }
}

pub(super) struct Task<S: Stream, K, FK> {
    input: Input<S>,
    key: FK,
    table: Table<S::Item, K, Target<S::Item>>,
    mailbox: Arc<Mailbox<S::Item, K>>,
    counters: Arc<Counters>,
    blocked: Vec<Blocked<S::Item>>,
    /// Outputs that turned out to be gone, while the table could not be changed.
    gone: Vec<OutputId>,
}

/// Where items of an output go.
struct Target<T> {
    core: Arc<Core<T>>,
    feed: Feed<T>,
}

impl<T> Clone for Target<T> {
    fn clone(&self) -> Self {
        Self {
            core: Arc::clone(&self.core),
            feed: Arc::clone(&self.feed),
        }
    }
}

/// An item for which a blocking output has no room.
struct Blocked<T> {
    id: OutputId,
    feed: Feed<T>,
    item: T,
    /// The output has been detached; this is the last that it gets.
    last: bool,
}

/// Runs a router to its end.
pub(super) async fn run<S, K, FK>(mut task: Task<S, K, FK>, token: &CancellationToken) -> End
where
    S: Stream,
    S::Item: Clone,
    K: Hash + Eq + Clone,
    FK: Fn(&S::Item) -> K,
{
    let routing = AssertUnwindSafe(poll_fn(|cx| task.poll(cx))).catch_unwind();
    match token.run_until_cancelled(routing).await {
        Some(Ok(end)) => end,
        Some(Err(panic)) => {
            let said = said(&*panic);
            tracing::error!(panic = said, "the input of a router panicked");
            End::Panicked(said)
        }
        None => End::Stopped,
    }
}

impl<S, K, FK> Task<S, K, FK>
where
    S: Stream,
    S::Item: Clone,
    K: Hash + Eq + Clone,
    FK: Fn(&S::Item) -> K,
{
    pub(super) fn new(
        input: S,
        key: FK,
        mailbox: Arc<Mailbox<S::Item, K>>,
        counters: Arc<Counters>,
    ) -> Self {
        Self {
            input: Input::new(input),
            key,
            table: Table::new(),
            mailbox,
            counters,
            blocked: Vec::new(),
            gone: Vec::new(),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        self.mailbox.register(cx);
        for _ in 0..BURST {
            if self.mailbox.has_news() {
                self.read_letters();
            }
            if !self.blocked.is_empty() && self.poll_blocked(cx).is_pending() {
                return Poll::Pending;
            }
            if self.mailbox.is_stopped() {
                return Poll::Ready(End::Stopped);
            }
            match self.input.poll_next(cx) {
                Poll::Ready(Some(item)) => self.route(item),
                Poll::Ready(None) => return Poll::Ready(End::Input),
                Poll::Pending => return Poll::Pending,
            }
        }
        // The input is always ready: let the outputs run.
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn read_letters(&mut self) {
        for (id, letter) in self.mailbox.take() {
            match letter {
                Letter::Attach(core, filter) => {
                    if let Some(feed) = core.add_feed() {
                        self.table.add(id, filter, Target { core, feed });
                    }
                }
                Letter::Detach => self.remove(id),
            }
        }
    }

    /// The output gets no more from here, but for what it blocks.
    fn remove(&mut self, id: OutputId) {
        let Some(target) = self.table.remove(id) else {
            return;
        };
        match self.blocked.iter_mut().find(|blocked| blocked.id == id) {
            Some(blocked) => blocked.last = true,
            None => target.feed.finish(),
        }
    }

    /// Gives an item to all that want it; it is cloned for all but the last.
    fn route(&mut self, item: S::Item) {
        let key = (self.key)(&item);
        let (blocked, gone) = (&mut self.blocked, &mut self.gone);
        let mut deliveries = 0;
        let mut last: Option<(OutputId, &Feed<S::Item>)> = None;
        self.table.find(&key, &item, |target, wanted| match wanted {
            Ok(()) => {
                if let Some((id, feed)) = last.replace((target.id, &target.queue.feed)) {
                    deliveries += deliver(id, feed, item.clone(), blocked, gone);
                }
            }
            Err(Panicked(said)) => {
                target.queue.core.end_with(Outcome::Panicked(said));
                gone.push(target.id);
            }
        });
        if let Some((id, feed)) = last {
            deliveries += deliver(id, feed, item, blocked, gone);
        }
        self.counters.count(deliveries);
        while let Some(id) = self.gone.pop() {
            self.remove(id);
        }
    }

    /// Tries again what had no room. Pending while there is something left.
    fn poll_blocked(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut at = 0;
        while let Some(blocked) = self.blocked.get(at) {
            if blocked.feed.poll_room(cx).is_pending() {
                at += 1;
                continue;
            }
            let blocked = self.blocked.swap_remove(at);
            // This router is the feed's only writer, so only the output itself can be gone.
            if !matches!(blocked.feed.push(blocked.item), Push::Done) {
                blocked.feed.count_lost();
            }
            if blocked.last {
                blocked.feed.finish();
            }
        }
        if self.blocked.is_empty() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

/// Pushes an item to an output. Gives 1 if the output accounts for it, even if it was skipped.
fn deliver<T>(
    id: OutputId,
    feed: &Feed<T>,
    item: T,
    blocked: &mut Vec<Blocked<T>>,
    gone: &mut Vec<OutputId>,
) -> u64 {
    match feed.push(item) {
        Push::Done | Push::Skipped(_) => 1,
        Push::Full(item) => {
            let feed = Arc::clone(feed);
            let last = false;
            blocked.push(Blocked {
                id,
                feed,
                item,
                last,
            });
            1
        }
        Push::Detached(_) => {
            feed.count_lost();
            gone.push(id);
            1
        }
        Push::Closed(_) => {
            gone.push(id);
            0
        }
    }
}

/// The outputs get what is queued for them, and then no more from here.
impl<S: Stream, K, FK> Drop for Task<S, K, FK> {
    fn drop(&mut self) {
        self.mailbox.close();
        for blocked in &self.blocked {
            blocked.feed.count_lost();
            blocked.feed.finish();
        }
        for target in self.table.queues() {
            target.feed.finish();
        }
    }
}
