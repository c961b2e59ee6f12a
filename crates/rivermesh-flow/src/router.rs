//! One input to many outputs that come and go.
//!
//! A [`Router`] pulls from its input always, also when nobody listens, and pushes each item to the
//! outputs whose [`Filter`] wants it. An output is any [`Sink`] with a bounded queue
//! before it and a task of its own, so one that is slow, fails or panics takes nothing with it. A
//! [`Supervisor`] has many routers and feeds one output from all of them.
//!
//! | module | story |
//! | --- | --- |
//! | `filter`, `table` | who wants an item: an index for keys, a list for the rest |
//! | `task` | the loop that pulls and pushes |
//! | `mailbox` | how a router hears of outputs that come and go |
//! | `output`, `core`, `sender` | a sink with its queues and its task |
//! | `hub` | who owns outputs |
//! | `supervisor` | outputs that many routers feed |

mod core;
mod filter;
mod hub;
mod mailbox;
mod output;
mod sender;
mod supervisor;
mod table;
mod task;

use std::{fmt, hash::Hash, sync::Arc, time::Duration};

use futures::{Sink, Stream};
use tokio::sync::watch;

pub use self::{
    filter::Filter,
    hub::AttachError,
    output::{Config, Outcome, Output, OutputId},
    supervisor::Supervisor,
};
use self::{hub::Hub, mailbox::Mailbox, task::Counters};

/// How a router has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The input has ended, and everything from it is with the outputs.
    Input,
    /// It was drained, or dropped.
    Stopped,
    /// The input or the key function panicked; this is what it said.
    Panicked(String),
}

/// Counters of a router.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Items that came from the input.
    pub items: u64,
    /// Those of them that no output wanted.
    pub unwanted: u64,
    /// How often an item was given to an output.
    pub deliveries: u64,
}

/// Pulls from one input and pushes to outputs that are attached and detached while it runs.
///
/// It runs in a task of its own until its input ends, it is drained, or its last handle is dropped;
/// then its outputs end too. After the input has ended, outputs still get what is queued for them.
///
/// Memory: per output that of its queue ([`Config`]) and a table entry, and one item for each
/// output that blocks. An item is cloned for each output but the last that wants it: put large
/// ones into an [`Arc`]. Cancelling a wait for its end changes nothing; dropping the last handle ends
/// it, and what its outputs have queued is dropped and counted.
pub struct Router<T, K = ()> {
    inner: Arc<Inner<T, K>>,
}

struct Inner<T, K> {
    /// The outputs of this router alone.
    hub: Arc<Hub<T, K>>,
    mailbox: Arc<Mailbox<T, K>>,
    counters: Arc<Counters>,
    end: watch::Receiver<Option<End>>,
}

impl<T, K> Drop for Inner<T, K> {
    fn drop(&mut self) {
        self.hub.cancel();
    }
}

impl<T: Clone + Send + 'static> Router<T, ()> {
    /// Starts a router without keys. Must be called in a tokio runtime.
    pub fn spawn<S>(input: S) -> Self
    where
        S: Stream<Item = T> + Send + 'static,
    {
        Self::spawn_keyed(input, |_| ())
    }
}

impl<T, K> Router<T, K>
where
    T: Clone + Send + 'static,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// Starts a router that knows each item's key, so that an item finds the outputs which want
    /// that key without asking the others. Must be called in a tokio runtime.
    pub fn spawn_keyed<S, FK>(input: S, key: FK) -> Self
    where
        S: Stream<Item = T> + Send + 'static,
        FK: Fn(&T) -> K + Send + 'static,
    {
        Self::start(input, key, Hub::new(hub::MAX_OUTPUTS))
    }

    fn start<S, FK>(input: S, key: FK, hub: Arc<Hub<T, K>>) -> Self
    where
        S: Stream<Item = T> + Send + 'static,
        FK: Fn(&T) -> K + Send + 'static,
    {
        let mailbox = Arc::new(Mailbox::default());
        let counters = Arc::new(Counters::default());
        let (ended, end) = watch::channel(None);
        hub.add_router(&mailbox);
        let task = task::Task::new(input, key, Arc::clone(&mailbox), Arc::clone(&counters));
        let owner = Arc::clone(&hub);
        hub.spawn(async move {
            let end = task::run(task, owner.token()).await;
            // Attaching fails from now on, and outputs end after what is queued for them.
            owner.finish();
            ended.send_replace(Some(end));
        });
        let inner = Inner {
            hub,
            mailbox,
            counters,
            end,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Attaches an output. It gets what is pulled after the router has heard of it, which is soon.
    ///
    /// # Errors
    /// When the router has ended, or has too many outputs. The sink is dropped.
    pub fn attach<Si>(
        &self,
        filter: Filter<T, K>,
        sink: Si,
        config: Config,
    ) -> Result<Output<T>, AttachError>
    where
        Si: Sink<T> + Send + 'static,
        Si::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.inner.hub.attach(filter, sink, config)
    }

    /// The outputs that are attached to this router and have not ended.
    pub fn outputs(&self) -> Vec<Output<T>> {
        self.inner.hub.outputs()
    }

    /// The counters now.
    pub fn stats(&self) -> Stats {
        self.inner.counters.get()
    }

    /// Waits until the router has ended. Its outputs may still be busy.
    pub async fn ended(&self) -> End {
        let mut end = self.inner.end.clone();
        let ended = end.wait_for(Option::is_some).await;
        // The task sends before it drops its end, unless the runtime is shut down.
        ended
            .ok()
            .and_then(|end| end.clone())
            .unwrap_or(End::Stopped)
    }

    /// Ends gracefully: pulls no more, lets the outputs finish what is queued for them `within` this
    /// time, then drops what is left (each output has counted it).
    ///
    /// If this is cancelled, the router has stopped, and its outputs go on finishing.
    pub async fn drain(&self, within: Duration) -> Vec<(OutputId, Outcome)> {
        let outputs = self.outputs();
        self.inner.mailbox.stop();
        self.inner.hub.drain(within).await;
        Output::outcomes(outputs).await
    }
}

impl<T, K> Clone for Router<T, K> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T, K> fmt::Debug for Router<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router")
            .field("stats", &self.inner.counters.get())
            .field("end", &*self.inner.end.borrow())
            .finish_non_exhaustive()
    }
}
