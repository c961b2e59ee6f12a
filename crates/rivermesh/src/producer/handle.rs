//! The handle that a program holds: what it is, and what can be asked of its stream.
//!
//! | file | story |
//! | --- | --- |
//! | `send` | sending an item, with and without waiting, and until the disk has it |
//! | `sink` | waiting until an item can be sent; the handle as a `Sink` |
//! | `errors` | why an item was not sent, or not saved |

mod errors;
mod send;
mod sink;

use std::{
    fmt,
    sync::{Arc, atomic::AtomicUsize},
};

use rivermesh_proto::{Epoch, StreamName};
use tokio::sync::watch;

pub use self::errors::{SaveError, SendError, TrySendError};
use self::sink::SinkState;
use super::{
    core::Core,
    named::Behind,
    registry::Producers,
    status::{Stats, Status, Subscriber},
};
use crate::{Condition, Datum, admission::Verifier};

/// Sends the items of one stream.
///
/// Clones send to the same stream; the stream ends when the last of them is dropped: consumers get
/// what the log still holds, then the end. Items of all clones are one sequence.
pub struct Producer<T: Datum> {
    inner: Arc<Handle<T>>,
    /// Bytes sent by this handle since it last let others run.
    turn: AtomicUsize,
    sink: SinkState<T>,
}

/// What all clones of a producer share.
pub(crate) struct Handle<T> {
    pub(super) core: Arc<Core>,
    pub(super) producers: Producers,
    pub(super) undelivered: Option<tokio::sync::mpsc::Sender<T>>,
}

impl<T> Drop for Handle<T> {
    fn drop(&mut self) {
        self.core.close();
        self.producers.remove(&self.core);
    }
}

impl<T: Datum> Producer<T> {
    pub(super) fn new(inner: Arc<Handle<T>>) -> Self {
        Self {
            inner,
            turn: AtomicUsize::new(0),
            sink: SinkState::default(),
        }
    }

    fn core(&self) -> &Core {
        &self.inner.core
    }

    /// The stream's name.
    pub fn stream(&self) -> &StreamName {
        &self.core().name
    }

    /// The number that names this life of the stream.
    pub fn epoch(&self) -> Epoch {
        self.core().epoch
    }

    /// The stream's state, as a watch that can be waited on.
    pub fn status(&self) -> watch::Receiver<Status> {
        self.core().watch_status()
    }

    /// Whether items are taken now.
    pub fn is_online(&self) -> bool {
        self.core().is_online()
    }

    /// Waits until items are taken: the condition of `online_when` is met. Resolves also when the
    /// stream has ended, so that a send after it tells so.
    pub async fn online(&self) {
        // An error would mean that the core is gone, and `self` holds it.
        let _ = self
            .status()
            .wait_for(|status| status.online || status.closed)
            .await;
    }

    /// Waits until items are not taken.
    pub async fn offline(&self) {
        let _ = self.status().wait_for(|status| !status.online).await;
    }

    /// Whether a condition on the connected consumers is met now.
    pub fn meets(&self, condition: &Condition) -> bool {
        condition.is_met(self.status().borrow().peers.iter().map(|peer| &**peer))
    }

    /// Waits until a condition on the connected consumers is met, or the stream has ended.
    pub async fn when(&self, condition: Condition) {
        let met = |status: &Status| {
            status.closed || condition.is_met(status.peers.iter().map(|peer| &**peer))
        };
        let _ = self.status().wait_for(met).await;
    }

    /// Asks consumers for a ticket that this verifier accepts from now on, or for none; those
    /// included that are subscribed, which are cut within a second if they have shown none.
    pub fn require_ticket(&self, verifier: Option<Verifier>) {
        self.core().require_ticket(verifier);
    }

    /// Asks all requirements about the consumers again, because what they look at has changed. This
    /// happens by itself when a peer's entry or round-trip time changes.
    pub fn review(&self) {
        self.core().changed.notify_one();
    }

    /// The consumers that are subscribed now.
    pub fn consumers(&self) -> Vec<Subscriber> {
        self.core().subscribers()
    }

    /// How far behind the consumers with a name are, those included that are away. In the order of
    /// their names. The gauge `rivermesh_named_lag_items` is brought up to date by this, and once a
    /// second by itself.
    pub fn named(&self) -> Vec<Behind> {
        self.core().names.behind(self.core())
    }

    /// Forgets a consumer's name, or a group's, and everything that it has not acknowledged: the way
    /// out when one that will never come back keeps the log full. Who has the name is cut, and begins
    /// anew. False where the name is not known.
    pub fn forget(&self, name: &str) -> bool {
        self.core().forget(name)
    }

    /// Counters since the stream began.
    pub fn stats(&self) -> Stats {
        self.core().stats()
    }

    /// Ends the stream for all clones: consumers get what the log still holds, then the end.
    pub fn close(&self) {
        self.core().close();
        self.inner.producers.remove(&self.inner.core);
    }
}

impl<T: Datum> Clone for Producer<T> {
    fn clone(&self) -> Self {
        Self::new(Arc::clone(&self.inner))
    }
}

impl<T: Datum> fmt::Debug for Producer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer")
            .field("stream", &self.core().name)
            .field("epoch", &self.core().epoch)
            .field("online", &self.is_online())
            .finish()
    }
}
