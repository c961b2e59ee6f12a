//! Outputs that many routers feed.

use std::{
    error::Error,
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use futures::{Sink, Stream};

use super::{
    AttachError, Config, Filter, Outcome, Output, OutputId, Router,
    hub::{self, Hub},
};

/// Creates outputs on request, tells all its routers about each, and owns their lives.
///
/// An output gets the items of every router that it wants, of those too that begin later. Items of
/// one router come in order; those of different routers as they come. Each pair of a router and an
/// output has a queue of its own, so routers share no lock. An output outlives the routers: it
/// ends when it is detached, fails, or the supervisor is drained or dropped.
///
/// Clones are handles of the same supervisor; it ends with the last of them.
///
/// Memory: for each router that of its outputs as in [`Router`], at most `max_outputs` of them. Cancelling a
/// wait changes nothing; dropping the last handle drops and counts what the outputs have queued.
pub struct Supervisor<T, K = ()> {
    inner: Arc<Inner<T, K>>,
}

struct Inner<T, K> {
    hub: Arc<Hub<T, K>>,
    routers: Mutex<Vec<Router<T, K>>>,
}

impl<T, K> Drop for Inner<T, K> {
    fn drop(&mut self) {
        self.hub.cancel();
    }
}

impl<T, K> Supervisor<T, K>
where
    T: Clone + Send + 'static,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    /// A supervisor without routers, for at most 65,536 outputs.
    pub fn new() -> Self {
        Self::with_max_outputs(hub::MAX_OUTPUTS)
    }

    /// A supervisor for at most so many outputs at once.
    pub fn with_max_outputs(max_outputs: usize) -> Self {
        let inner = Inner {
            hub: Hub::new(max_outputs),
            routers: Mutex::new(Vec::new()),
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// Starts a router that feeds all outputs, those that are there already too. The supervisor
    /// keeps it until its input ends. Must be called in a tokio runtime.
    pub fn route<S, FK>(&self, input: S, key: FK) -> Router<T, K>
    where
        S: Stream<Item = T> + Send + 'static,
        FK: Fn(&T) -> K + Send + 'static,
    {
        let router = Router::spawn_keyed(input, key);
        self.inner.hub.add_router(&router.inner.mailbox);
        let mut routers = self.lock();
        routers.retain(|router| router.inner.end.borrow().is_none());
        routers.push(router.clone());
        router
    }

    /// Creates an output and tells all routers about it. Must be called in a tokio runtime.
    ///
    /// # Errors
    /// When the supervisor has been drained, or has too many outputs. The sink is dropped.
    pub fn create<Si>(
        &self,
        filter: Filter<T, K>,
        sink: Si,
        config: Config,
    ) -> Result<Output<T>, AttachError>
    where
        Si: Sink<T> + Send + 'static,
        Si::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        self.inner.hub.attach(filter, sink, config)
    }

    /// The outputs that have not ended.
    pub fn outputs(&self) -> Vec<Output<T>> {
        self.inner.hub.outputs()
    }

    /// The routers whose input has not ended.
    pub fn routers(&self) -> Vec<Router<T, K>> {
        let mut routers = self.lock();
        routers.retain(|router| router.inner.end.borrow().is_none());
        routers.clone()
    }

    /// Ends gracefully: the routers pull no more, the outputs finish what is queued for them `within`
    /// this time, and what is left is dropped (each output has counted it).
    ///
    /// If this is cancelled, the routers have been told to stop; call it again to wait for the
    /// outputs.
    pub async fn drain(&self, within: Duration) -> Vec<(OutputId, Outcome)> {
        let outputs = self.outputs();
        let routers = self.lock().clone();
        for router in &routers {
            router.inner.mailbox.stop();
        }
        let hub = &self.inner.hub;
        let finish = async {
            for router in &routers {
                router.ended().await;
            }
            hub.finish();
        };
        let began = tokio::time::Instant::now();
        // A router may be held up by an output that blocks.
        if tokio::time::timeout(within, finish).await.is_err() {
            hub.cancel();
        }
        hub.drain(within.saturating_sub(began.elapsed())).await;
        Output::outcomes(outputs).await
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Router<T, K>>> {
        let routers = self.inner.routers.lock();
        routers.unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T, K> Default for Supervisor<T, K>
where
    T: Clone + Send + 'static,
    K: Hash + Eq + Clone + Send + Sync + 'static,
{
    fn default() -> Self {
        Self::new()
    }
}

impl<T, K> Clone for Supervisor<T, K> {
    fn clone(&self) -> Self {
        Self {
            inner: Arc::clone(&self.inner),
        }
    }
}

impl<T, K> fmt::Debug for Supervisor<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Supervisor").finish_non_exhaustive()
    }
}
