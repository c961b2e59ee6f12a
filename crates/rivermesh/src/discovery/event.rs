//! What a program hears of the catalog.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    vec,
};

use futures::Stream;
use rivermesh_proto::catalog::{Change, Peer};
use tokio::sync::broadcast::{self, error::RecvError};

/// Something happened to a peer. The local node itself gives no events.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A node is listed that was not.
    Joined(Arc<Peer>),
    /// A listed node says something new of itself, or was unreachable and is live again.
    Updated(Arc<Peer>),
    /// A node is not listed any more: it departed, or was unreachable for too long.
    Left(Arc<Peer>),
    /// A listed node is not thought to be running any more.
    Unreachable(Arc<Peer>),
    /// The subscriber was too slow: so many events before this one are lost to it. The catalog
    /// itself is complete.
    Lagged(u64),
}

impl Event {
    /// The event for a change, where it is worth one.
    pub(super) fn of(change: &Change) -> Option<Self> {
        if change.peer().is_local() {
            return None;
        }
        Some(match change {
            Change::Joined(peer) => Self::Joined(Arc::clone(peer)),
            Change::Updated(peer) => Self::Updated(Arc::clone(peer)),
            Change::Unreachable(peer) => Self::Unreachable(Arc::clone(peer)),
            Change::Left(peer) => Self::Left(Arc::clone(peer)),
            _ => return None,
        })
    }

    /// The peer it happened to, as it is now or was last.
    #[must_use]
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        match self {
            Self::Joined(peer)
            | Self::Updated(peer)
            | Self::Left(peer)
            | Self::Unreachable(peer) => Some(peer),
            Self::Lagged(_) => None,
        }
    }
}

/// First the nodes that are listed at the moment of subscription ([`Event::Joined`], or
/// [`Event::Unreachable`] for those that are), then what happens from then on, in the order in which
/// it happens: nothing is left out or told twice in between. Ends when the node is gone.
pub struct Events {
    listed: vec::IntoIter<Event>,
    next: Pin<Box<dyn Future<Output = Step> + Send>>,
}

type Step = (Option<Event>, broadcast::Receiver<Event>);

impl std::fmt::Debug for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

impl Events {
    /// `listed` and `receiver` are of one moment.
    pub(super) fn new<'a>(
        listed: impl Iterator<Item = &'a Arc<Peer>>,
        receiver: broadcast::Receiver<Event>,
    ) -> Self {
        let listed = listed.filter(|peer| !peer.is_local()).map(|peer| {
            let peer = Arc::clone(peer);
            if peer.is_live() {
                Event::Joined(peer)
            } else {
                Event::Unreachable(peer)
            }
        });
        Self {
            listed: listed.collect::<Vec<_>>().into_iter(),
            next: Box::pin(step(receiver)),
        }
    }

    /// The next event; `None` when the node is gone. Cancelling loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Events {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Event>> {
        if let Some(event) = self.listed.next() {
            return Poll::Ready(Some(event));
        }
        let (event, receiver) = std::task::ready!(self.next.as_mut().poll(cx));
        self.next = Box::pin(step(receiver));
        Poll::Ready(event)
    }
}

async fn step(mut receiver: broadcast::Receiver<Event>) -> Step {
    let event = match receiver.recv().await {
        Ok(event) => Some(event),
        Err(RecvError::Lagged(missed)) => Some(Event::Lagged(missed)),
        Err(RecvError::Closed) => None,
    };
    (event, receiver)
}
