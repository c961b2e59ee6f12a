//! What an operator is, and the adaptor that runs one over a stream.
//!
//! An operator is a plain state machine: items and the time go in, outputs come out. It reads no
//! clock and waits for nothing, so it can be tested by itself. [`Operated`] gives it the input,
//! tokio's clock and a timer.

use std::{
    fmt,
    future::Future,
    pin::Pin,
    task::{Context, Poll},
};

use futures::Stream;
use tokio::time::{Instant, Sleep};

use crate::stats::{Published, Reader, Stats};

/// How many items without an output are taken before other tasks get their turn; also how many
/// items are handled with one reading of the clock.
const BURST: usize = 32;

/// A state machine over items: the part of an operator that needs no I/O.
///
/// The caller pulls until there is no output, then pushes one item if `poll_ready` allows it, and
/// so on. `now` never goes back.
pub trait Operator<T> {
    /// What comes out.
    type Out;

    /// Called once, before anything else.
    fn start(&mut self, now: Instant) {
        let _ = now;
    }

    /// Takes an item.
    fn push(&mut self, item: T, now: Instant);

    /// The next output, if there is one now.
    fn pull(&mut self) -> Option<Self::Out>;

    /// The input has ended: what can still come out must come with the following pulls.
    fn end(&mut self);

    /// Whether an item may be pushed. Pending while there is no room; what makes room wakes the
    /// task, or is at the deadline.
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let _ = cx;
        Poll::Ready(())
    }

    /// When `tick` must be called, unless that changes before.
    fn deadline(&self) -> Option<Instant> {
        None
    }

    /// The deadline has come, or there was another reason to look.
    fn tick(&mut self, now: Instant) {
        let _ = now;
    }

    /// Whether `now` matters to `push`. If not, the caller need not read the clock for it.
    fn uses_clock(&self) -> bool {
        true
    }

    /// Where all items went until now.
    fn stats(&self) -> Stats;
}

/// An operator that runs over a stream. Made by [`FlowExt`](crate::FlowExt).
///
/// It takes input only when it is asked for output and has none, so a slow reader slows the input.
/// If a wait for an output is cancelled, nothing is lost. Dropping it drops what it buffers, and
/// counts that as dropped.
///
/// The input is kept in a box, made once.
pub struct Operated<S: Stream, O> {
    input: Input<S>,
    operator: O,
    /// The clock as it was read last; nothing before the first poll.
    now: Option<Instant>,
    alarm: Alarm,
    published: Published,
}

impl<S: Stream, O: Operator<S::Item>> Operated<S, O> {
    pub(crate) fn new(input: S, operator: O) -> Self {
        Self {
            input: Input::new(input),
            operator,
            now: None,
            alarm: Alarm::default(),
            published: Published::default(),
        }
    }

    /// The counters, which can be read while the operator runs elsewhere.
    pub fn stats(&self) -> Reader {
        self.published.reader()
    }

    /// The state machine.
    pub fn operator(&self) -> &O {
        &self.operator
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<Option<O::Out>> {
        let mut left = BURST;
        let mut now = match self.now {
            Some(now) if !self.operator.uses_clock() => now,
            _ => self.read_clock(),
        };
        loop {
            if self.operator.deadline().is_some_and(|at| at <= now) {
                self.operator.tick(now);
            }
            if let Some(output) = self.operator.pull() {
                return Poll::Ready(Some(output));
            }
            if self.input.is_done() {
                return Poll::Ready(None);
            }
            if left == 0 {
                // The input is always ready, and nothing comes of it: let other tasks run.
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            let ready = self.operator.poll_ready(cx);
            let item = match ready {
                Poll::Ready(()) => self.input.poll_next(cx),
                Poll::Pending => Poll::Pending,
            };
            match item {
                Poll::Ready(Some(item)) => self.operator.push(item, now),
                Poll::Ready(None) => self.operator.end(),
                Poll::Pending => match self.operator.deadline() {
                    Some(at) if self.alarm.poll(at, cx).is_ready() => now = self.read_clock(),
                    _ => return Poll::Pending,
                },
            }
            left -= 1;
        }
    }

    fn read_clock(&mut self) -> Instant {
        let now = Instant::now();
        if self.now.replace(now).is_none() {
            self.operator.start(now);
        }
        now
    }
}

impl<S: Stream, O> Unpin for Operated<S, O> {}

impl<S: Stream, O: Operator<S::Item>> Stream for Operated<S, O> {
    type Item = O::Out;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<O::Out>> {
        let this = self.get_mut();
        let output = this.poll_output(cx);
        this.published.publish(&this.operator.stats());
        output
    }
}

impl<S: Stream, O: fmt::Debug> fmt::Debug for Operated<S, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Operated")
            .field("operator", &self.operator)
            .finish_non_exhaustive()
    }
}

/// A stream that is not polled after its end, in a box so that an adaptor can be moved.
pub(crate) struct Input<S>(Option<Pin<Box<S>>>);

impl<S: Stream> Input<S> {
    pub(crate) fn new(stream: S) -> Self {
        Self(Some(Box::pin(stream)))
    }

    pub(crate) fn is_done(&self) -> bool {
        self.0.is_none()
    }

    /// The next item. At the end the stream is dropped, so that its sender learns of it.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<S::Item>> {
        let Some(stream) = &mut self.0 else {
            return Poll::Ready(None);
        };
        let item = stream.as_mut().poll_next(cx);
        if let Poll::Ready(None) = item {
            self.0 = None;
        }
        item
    }
}

/// A timer that is only moved when it must be: setting tokio's timer costs a lock.
#[derive(Debug, Default)]
pub(crate) struct Alarm(Option<Pin<Box<Sleep>>>);

impl Alarm {
    /// Ready at `at`, and perhaps before, if it stood at an earlier time.
    pub(crate) fn poll(&mut self, at: Instant, cx: &mut Context<'_>) -> Poll<()> {
        let sleep = match &mut self.0 {
            Some(sleep) => {
                if sleep.is_elapsed() || sleep.deadline() > at {
                    sleep.as_mut().reset(at);
                }
                sleep
            }
            none => none.insert(Box::pin(tokio::time::sleep_until(at))),
        };
        sleep.as_mut().poll(cx)
    }
}
