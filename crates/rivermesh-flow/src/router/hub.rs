//! Who owns outputs: creates them, tells the routers, and ends them.

use std::{
    collections::HashMap,
    error::Error,
    future::Future,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use futures::Sink;
use thiserror::Error as ThisError;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    Config, Filter, Output, OutputId,
    core::{Core, Finish},
    mailbox::Mailbox,
    output::Owner,
    sender,
};

/// How many outputs a router or supervisor has at once, unless it is told otherwise.
pub(super) const MAX_OUTPUTS: usize = 65_536;

/// An output cannot be attached; nothing has changed.
#[derive(Clone, Copy, Debug, ThisError, PartialEq, Eq)]
#[non_exhaustive]
pub enum AttachError {
    /// The router or supervisor has ended. Use another.
    #[error("it has ended")]
    Ended,
    /// There are as many outputs as there may be. Try again when one has ended.
    #[error("there are {0} outputs already")]
    Full(usize),
}

pub(super) struct Hub<T, K> {
    max_outputs: usize,
    state: Mutex<State<T, K>>,
    tracker: TaskTracker,
    token: CancellationToken,
}

/// Not locked on the path of an item.
struct State<T, K> {
    routers: Vec<Weak<Mailbox<T, K>>>,
    outputs: HashMap<OutputId, Owned<T, K>>,
    ended: bool,
}

struct Owned<T, K> {
    core: Arc<Core<T>>,
    filter: Filter<T, K>,
}

impl<T, K> Hub<T, K> {
    pub(super) fn new(max_outputs: usize) -> Arc<Self> {
        Arc::new(Self {
            max_outputs,
            state: Mutex::new(State {
                routers: Vec::new(),
                outputs: HashMap::new(),
                ended: false,
            }),
            tracker: TaskTracker::new(),
            token: CancellationToken::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, State<T, K>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cancelled when everything that this owns must end.
    pub(super) fn token(&self) -> &CancellationToken {
        &self.token
    }

    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(task);
    }

    pub(super) fn cancel(&self) {
        self.lock().ended = true;
        self.token.cancel();
    }

    /// No router feeds the outputs any more, and none can be added: they end once they are empty.
    pub(super) fn finish(&self) {
        let mut state = self.lock();
        state.ended = true;
        for owned in state.outputs.values() {
            owned.core.finish(Finish::Ended);
        }
    }

    /// Waits `within` this time until all tasks have ended, and then ends them.
    pub(super) async fn drain(&self, within: Duration) {
        self.tracker.close();
        if tokio::time::timeout(within, self.tracker.wait())
            .await
            .is_err()
        {
            self.cancel();
            self.tracker.wait().await;
        }
    }
}

impl<T: Send + 'static, K: Clone + Send + Sync + 'static> Hub<T, K> {
    /// A router that is told of all outputs, those that are here already too.
    pub(super) fn add_router(&self, mailbox: &Arc<Mailbox<T, K>>) {
        let mut state = self.lock();
        state
            .routers
            .retain(|router| router.upgrade().is_some_and(|router| !router.is_closed()));
        for owned in state.outputs.values() {
            mailbox.attach(&owned.core, owned.filter.clone());
        }
        state.routers.push(Arc::downgrade(mailbox));
    }

    pub(super) fn attach<Si>(
        self: &Arc<Self>,
        filter: Filter<T, K>,
        sink: Si,
        config: Config,
    ) -> Result<Output<T>, AttachError>
    where
        Si: Sink<T> + Send + 'static,
        Si::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let core = Arc::new(Core::new(config, self.token.child_token()));
        let mut state = self.lock();
        if state.ended {
            return Err(AttachError::Ended);
        }
        if state.outputs.len() >= self.max_outputs {
            return Err(AttachError::Full(self.max_outputs));
        }
        for router in state.routers.iter().filter_map(Weak::upgrade) {
            router.attach(&core, filter.clone());
        }
        let owned = Owned {
            core: Arc::clone(&core),
            filter,
        };
        state.outputs.insert(core.id(), owned);
        // Under the lock, so that the output cannot end before it stands in the list.
        let owner: Weak<dyn Owner> = Arc::downgrade(&(Arc::clone(self) as Arc<dyn Owner>));
        self.tracker
            .spawn(sender::run(Arc::clone(&core), sink, Weak::clone(&owner)));
        drop(state);
        Ok(Output::new(core, owner))
    }

    pub(super) fn outputs(self: &Arc<Self>) -> Vec<Output<T>> {
        let owner: Weak<dyn Owner> = Arc::downgrade(&(Arc::clone(self) as Arc<dyn Owner>));
        let state = self.lock();
        let cores = state.outputs.values().map(|owned| Arc::clone(&owned.core));
        cores
            .map(|core| Output::new(core, Weak::clone(&owner)))
            .collect()
    }
}

impl<T: Send + 'static, K: Clone + Send + Sync + 'static> Owner for Hub<T, K> {
    fn unfeed(&self, id: OutputId) {
        let mut state = self.lock();
        let owned = state.outputs.remove(&id);
        for router in state.routers.iter().filter_map(Weak::upgrade) {
            router.detach(id);
        }
        drop(state);
        // The filter's code is the program's, and must not run under the lock.
        drop(owned);
    }
}
