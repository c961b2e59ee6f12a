//! The handle that a program holds.

use std::{
    fmt,
    ops::Range,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::Stream;
use rivermesh_proto::{Epoch, NodeId, Seq, StreamName};
use thiserror::Error;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use super::{
    batch::Batch,
    commit::{Auto, CommitError},
    event::{Delivery, Event},
    events::Events,
    inbox::Message,
    status::{Followed, Roster, Stats, Status},
    taken::Name,
    wanted::{self, FilterError, Wanted},
};
use crate::{Condition, Datum};

/// Receives the items of one stream from all its producers, late ones included.
///
/// Use it as a [`Stream`] of items, or take [`events`](Consumer::events) to learn besides where
/// items come from and what was missed. Items of one producer come in order.
///
/// Dropping it ends its subscriptions.
pub struct Consumer<T: Datum> {
    stream: StreamName,
    /// Whether it takes all streams of a pattern.
    takes_many: bool,
    inbox: mpsc::Receiver<Message>,
    /// The batch that is being handed out.
    current: Option<Batch<T>>,
    want: watch::Sender<Wanted>,
    stats: Stats,
    status: watch::Receiver<Status>,
    roster: Arc<Roster>,
    cancel: CancellationToken,
    acking: Acking,
    item: std::marker::PhantomData<fn() -> T>,
}

/// What a consumer with a name has besides.
#[derive(Debug, Default)]
pub(super) struct Acking {
    pub(super) is_named: bool,
    /// What was handed out and is to be committed by itself.
    pub(super) auto: Option<Auto>,
    /// Nobody else on this node has the name for as long as the consumer is there.
    #[expect(dead_code, reason = "held for its drop")]
    pub(super) name: Option<Name>,
}

/// What came out of the inbox.
enum Arrived<T, E> {
    Batch(Batch<T>),
    Event(Event<E>),
}

/// There is no item now.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum TryRecvError {
    /// None has arrived yet.
    #[error("no item has arrived yet")]
    Empty,
    /// None will arrive any more: the node has shut down.
    #[error("the node has shut down")]
    Closed,
}

impl<T: Datum> Consumer<T> {
    pub(super) fn new(
        (stream, takes_many): (StreamName, bool),
        inbox: mpsc::Receiver<Message>,
        want: watch::Sender<Wanted>,
        status: watch::Receiver<Status>,
        roster: Arc<Roster>,
        cancel: CancellationToken,
        acking: Acking,
    ) -> Self {
        Self {
            stream,
            takes_many,
            inbox,
            current: None,
            want,
            stats: Stats::default(),
            status,
            roster,
            cancel,
            acking,
            item: std::marker::PhantomData,
        }
    }

    /// The next item; `None` when the node has shut down and everything that had arrived was taken.
    ///
    /// If this is cancelled, no item is lost.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            match self.next_event().await? {
                Event::Item(delivery) => return Some(delivery.item),
                event => self.pass_over(&event),
            }
        }
    }

    /// The next item, if one has arrived.
    ///
    /// # Errors
    /// When none has arrived yet, or none will.
    pub fn try_recv(&mut self) -> Result<T, TryRecvError> {
        loop {
            match self.poll_event(&mut Context::from_waker(std::task::Waker::noop())) {
                Poll::Ready(Some(Event::Item(delivery))) => return Ok(delivery.item),
                Poll::Ready(Some(event)) => self.pass_over(&event),
                Poll::Ready(None) => return Err(TryRecvError::Closed),
                Poll::Pending => return Err(TryRecvError::Empty),
            }
        }
    }

    /// Waits for an item, then puts it and those that arrived with it into `items`, at most `max`.
    /// Gives their number: 0 only if `max` is 0 or the node has shut down. Costs no wake-up and no
    /// queue operation per item; [`recv_batch`](Consumer::recv_batch) saves making the items, too.
    ///
    /// If this is cancelled, no item is lost.
    pub async fn recv_many(&mut self, items: &mut Vec<T>, max: usize) -> usize {
        if max == 0 {
            return 0;
        }
        let Some(first) = self.recv().await else {
            return 0;
        };
        items.push(first);
        let mut count = 1;
        while count < max
            && let Some(event) = self.decode_next()
        {
            match event {
                Event::Item(delivery) => {
                    items.push(delivery.item);
                    count += 1;
                }
                event => self.pass_over(&event),
            }
        }
        count
    }

    /// The next batch: all items that arrived together and were not taken yet. `None` when the node
    /// has shut down and everything that had arrived was taken.
    ///
    /// The quickest way to take many small items: none of them costs a wake-up, an allocation or a
    /// reference count. Whether items can be decoded shows when they are looked at; in
    /// [`stats`](Consumer::stats) all of them count as handed over.
    ///
    /// If this is cancelled, no item is lost.
    pub async fn recv_batch(&mut self) -> Option<Batch<T>> {
        loop {
            if let Event::Item(delivery) = self.next_batch_event().await? {
                return Some(delivery.item);
            }
        }
    }

    /// The next batch or event, in the order of [`next_event`](Consumer::next_event), with which it
    /// may be mixed; `None` when the node has shut down and everything that had arrived was taken.
    ///
    /// A batch comes as [`Event::Item`] with the number of its first item. What a filter left out
    /// around its items is told by the batch ([`Batch::range`]), and by [`Event::Filtered`] only
    /// where nothing is left. Never gives [`Event::Undecodable`].
    ///
    /// If this is cancelled, nothing is lost.
    pub async fn next_batch_event(&mut self) -> Option<Event<Batch<T>>> {
        std::future::poll_fn(|cx| self.poll_batch(cx)).await
    }

    /// The next item or event; `None` when the node has shut down and everything that had arrived
    /// was taken.
    ///
    /// If this is cancelled, nothing is lost.
    pub async fn next_event(&mut self) -> Option<Event<T>> {
        std::future::poll_fn(|cx| self.poll_event(cx)).await
    }

    /// Items and events as a stream.
    pub fn events(self) -> Events<T> {
        Events::new(self)
    }

    /// Changes the filter, or with `None` takes all items. The subscriptions stay: each producer
    /// goes over to the new filter at some item and says at which ([`Event::FilterChanged`]), so
    /// that every item is held against the old filter or the new one. What is on its way was chosen
    /// by the old one.
    ///
    /// Of several changes in quick succession a producer may see the last alone. A producer that
    /// refuses the filter is left ([`Event::Refused`] and
    /// [`LeaveReason::Refused`](super::LeaveReason::Refused)), and asked again when another filter
    /// is set.
    ///
    /// # Errors
    /// When the filter is none, or does not fit the consumer's type; the old one holds then.
    pub fn set_filter<'a>(&self, source: impl Into<Option<&'a str>>) -> Result<(), FilterError> {
        let filter = match source.into() {
            // The type had a schema when the consumer was made, and keeps it.
            Some(source) => Some(wanted::read(source, T::schema().ok().flatten().as_deref())?),
            None => None,
        };
        self.want.send_modify(|wanted| {
            wanted.change = wanted.change.wrapping_add(1);
            wanted.filter = filter.map(Arc::new);
        });
        Ok(())
    }

    /// The filter that was set last; `None` for all items.
    pub fn filter(&self) -> Option<String> {
        let wanted = self.want.borrow();
        wanted.filter.as_ref().map(|source| source.to_string())
    }

    /// Says that the program has done with a producer's item `seq` and everything that the producer sent
    /// before it; in a group, with those that came to this consumer. See
    /// [`Delivery::commit`], which serves consumers of many streams.
    ///
    /// # Errors
    /// When the consumer has no name, does not follow the producer or more than one of its streams, or has
    /// not received the item.
    pub fn commit_up_to(&self, producer: NodeId, seq: Seq) -> Result<(), CommitError> {
        if !self.acking.is_named {
            return Err(CommitError::NotNamed);
        }
        let commits = self.roster.commits(&producer);
        let commits = commits.ok_or(CommitError::NotFollowed)?;
        commits.commit(0, seq.saturating_add(1))
    }

    /// The stream's name, or the pattern that the names of its streams follow.
    pub fn stream(&self) -> &StreamName {
        &self.stream
    }

    /// The consumer's state, as a watch that can be waited on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// Whether the condition of `online_when` is met.
    pub fn is_online(&self) -> bool {
        self.status.borrow().online
    }

    /// Waits until the condition of `online_when` is met, or the node has shut down.
    pub async fn online(&self) {
        // An error means that the worker has ended; then the status says closed already.
        let _ = self
            .status()
            .wait_for(|status| status.online || status.closed)
            .await;
    }

    /// Waits until the condition of `online_when` is not met.
    pub async fn offline(&self) {
        let _ = self.status().wait_for(|status| !status.online).await;
    }

    /// Whether a condition on the followed producers is met now.
    pub fn meets(&self, condition: &Condition) -> bool {
        condition.is_met(self.status.borrow().producers.iter().map(|peer| &**peer))
    }

    /// Waits until a condition on the followed producers is met, or the node has shut down.
    pub async fn when(&self, condition: Condition) {
        let met = |status: &Status| {
            status.closed || condition.is_met(status.producers.iter().map(|peer| &**peer))
        };
        let _ = self.status().wait_for(met).await;
    }

    /// The producers that are followed now.
    pub fn producers(&self) -> Vec<Followed> {
        self.roster.show()
    }

    /// Counters since the consumer was made.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    pub(super) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<T>>> {
        if let Some(auto) = &mut self.acking.auto {
            auto.commit();
        }
        loop {
            if let Some(event) = self.decode_next() {
                return Poll::Ready(Some(event));
            }
            match ready!(self.poll_message(cx)) {
                Some(Arrived::Batch(batch)) => self.current = Some(batch),
                Some(Arrived::Event(event)) => return Poll::Ready(Some(event)),
                None => return Poll::Ready(None),
            }
        }
    }

    fn poll_batch(&mut self, cx: &mut Context<'_>) -> Poll<Option<Event<Batch<T>>>> {
        if let Some(auto) = &mut self.acking.auto {
            auto.commit();
        }
        loop {
            let mut batch = match self.current.take() {
                Some(batch) => batch,
                None => match ready!(self.poll_message(cx)) {
                    Some(Arrived::Batch(batch)) => batch,
                    Some(Arrived::Event(event)) => return Poll::Ready(Some(event)),
                    None => return Poll::Ready(None),
                },
            };
            // One whose last item has just been taken is only thrown away with the next call.
            if let Some(seq) = batch.first() {
                let (items, range) = (batch.len() as u64, batch.range());
                self.stats.items += items;
                if !batch.is_again() {
                    let left_out = range.end - range.start - items;
                    self.stats.filtered = self.stats.filtered.saturating_add(left_out);
                }
                let ack = batch.ack(range.start, range.end);
                if let Some(auto) = &mut self.acking.auto {
                    auto.push(ack.clone());
                }
                return Poll::Ready(Some(Event::Item(Delivery {
                    producer: batch.producer(),
                    stream: self.takes_many.then(|| batch.stream().clone()),
                    epoch: batch.epoch(),
                    seq,
                    sent_at_us: batch.sent_at_us(),
                    redelivered: batch.redelivered(),
                    ack,
                    item: batch,
                })));
            }
            if let Some(filtered) = batch.pass_filtered() {
                let (producer, epoch) = (batch.producer(), batch.epoch());
                return Poll::Ready(Some(self.filtered(producer, epoch, filtered)));
            }
        }
    }

    fn poll_message<E>(&mut self, cx: &mut Context<'_>) -> Poll<Option<Arrived<T, E>>> {
        let message = ready!(self.inbox.poll_recv(cx));
        Poll::Ready(message.map(|message| match message {
            Message::Batch {
                source,
                batch,
                held,
            } => Arrived::Batch(Batch::new(source, batch, held)),
            Message::Missed { source, from, to } => {
                // What a producer says was missed may be as much as it likes.
                self.stats.missed = self.stats.missed.saturating_add(to - from);
                Arrived::Event(Event::Missed {
                    producer: source.producer,
                    epoch: source.epoch,
                    from,
                    to,
                })
            }
            Message::FilterChanged { source, seq } => Arrived::Event(Event::FilterChanged {
                producer: source.producer,
                epoch: source.epoch,
                seq,
            }),
            Message::Reset { producer, old, new } => {
                Arrived::Event(Event::Reset { producer, old, new })
            }
            Message::Joined {
                producer,
                stream,
                epoch,
                seq,
            } => Arrived::Event(Event::Joined {
                producer,
                stream,
                epoch,
                seq,
            }),
            Message::Left {
                producer,
                epoch,
                reason,
            } => Arrived::Event(Event::Left {
                producer,
                epoch,
                reason,
            }),
            Message::Refused {
                producer,
                stream,
                error,
            } => Arrived::Event(Event::Refused {
                producer,
                stream,
                error,
            }),
        }))
    }

    /// The next item of the batch at hand; `None` where there is none.
    #[inline]
    fn decode_next(&mut self) -> Option<Event<T>> {
        let current = self.current.as_mut()?;
        if let Some(filtered) = current.pass_filtered() {
            let (producer, epoch) = (current.producer(), current.epoch());
            return Some(self.filtered(producer, epoch, filtered));
        }
        let (producer, epoch) = (current.producer(), current.epoch());
        let sent_at_us = current.sent_at_us();
        let stream = self.takes_many.then(|| current.stream().clone());
        let redelivers = current.redelivers();
        let Some((seq, payload)) = current.pop() else {
            self.current = None;
            return None;
        };
        let decoded = T::decode(payload);
        let ack = current.ack(seq, seq + 1);
        Some(match decoded {
            Ok(item) => {
                self.stats.items += 1;
                if let Some(auto) = &mut self.acking.auto {
                    auto.push(ack.clone());
                }
                Event::Item(Delivery {
                    item,
                    producer,
                    stream,
                    epoch,
                    seq,
                    sent_at_us,
                    redelivered: seq < redelivers,
                    ack,
                })
            }
            Err(error) => {
                self.stats.undecodable += 1;
                // It would come again for ever; in a group it is nobody's else either.
                let _ = ack.commit_if_shared();
                Event::Undecodable {
                    producer,
                    epoch,
                    seq,
                    error,
                }
            }
        })
    }

    #[cold]
    fn filtered<E>(&mut self, producer: NodeId, epoch: Epoch, numbers: Range<Seq>) -> Event<E> {
        let (from, to) = (numbers.start, numbers.end);
        self.stats.filtered = self.stats.filtered.saturating_add(to - from);
        Event::Filtered {
            producer,
            epoch,
            from,
            to,
        }
    }

    /// An event that a program which only takes items does not see.
    fn pass_over(&self, event: &Event<T>) {
        if let Event::Undecodable {
            producer,
            seq,
            error,
            ..
        } = event
            && self.stats.undecodable.is_power_of_two()
        {
            let (stream, producer) = (&self.stream, producer.fmt_short());
            let count = self.stats.undecodable;
            warn!(%stream, %producer, seq, %error, count, "an item cannot be decoded; skipped");
        }
    }
}

impl<T: Datum> Unpin for Consumer<T> {}

/// The items alone; what was missed is in [`Consumer::stats`].
impl<T: Datum> Stream for Consumer<T> {
    type Item = T;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<T>> {
        let this = self.get_mut();
        loop {
            match ready!(this.poll_event(cx)) {
                Some(Event::Item(delivery)) => return Poll::Ready(Some(delivery.item)),
                Some(event) => this.pass_over(&event),
                None => return Poll::Ready(None),
            }
        }
    }
}

impl<T: Datum> Drop for Consumer<T> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl<T: Datum> fmt::Debug for Consumer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer")
            .field("stream", &self.stream)
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
