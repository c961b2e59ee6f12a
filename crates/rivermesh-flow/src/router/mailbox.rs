//! How a router hears of outputs that come and go, without a lock on the path of items.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    task::Context,
};

use futures::task::AtomicWaker;

use super::{Filter, OutputId, core::Core};

/// Something that a router must do.
pub(super) enum Letter<T, K> {
    Attach(Arc<Core<T>>, Filter<T, K>),
    Detach,
}

type Letters<T, K> = HashMap<OutputId, Letter<T, K>>;

/// A router's mailbox. At most one letter for each output: it is bounded by what bounds outputs.
pub(super) struct Mailbox<T, K> {
    /// Nothing after the router has ended.
    letters: Mutex<Option<Letters<T, K>>>,
    /// There are letters, or the router shall stop: looked at for each item, without the lock.
    news: AtomicBool,
    stop: AtomicBool,
    router: AtomicWaker,
}

impl<T, K> Default for Mailbox<T, K> {
    fn default() -> Self {
        Self {
            letters: Mutex::new(Some(HashMap::new())),
            news: AtomicBool::new(false),
            stop: AtomicBool::new(false),
            router: AtomicWaker::new(),
        }
    }
}

impl<T, K> Mailbox<T, K> {
    fn lock(&self) -> MutexGuard<'_, Option<Letters<T, K>>> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn attach(&self, core: &Arc<Core<T>>, filter: Filter<T, K>) {
        let letter = Letter::Attach(Arc::clone(core), filter);
        if let Some(letters) = &mut *self.lock() {
            letters.insert(core.id(), letter);
        }
        self.ring();
    }

    pub(super) fn detach(&self, id: OutputId) {
        let mut unheard = None;
        if let Some(letters) = &mut *self.lock() {
            // If the router has not heard of the output, it need not hear of it at all.
            unheard = letters.insert(id, Letter::Detach);
            if let Some(Letter::Attach(..)) = unheard {
                letters.remove(&id);
            }
        }
        drop(unheard);
        self.ring();
    }

    /// The router has ended: letters are thrown away from now on.
    pub(super) fn close(&self) {
        let letters = self.lock().take();
        drop(letters);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.lock().is_none()
    }

    /// The router shall pull no more.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.ring();
    }

    fn ring(&self) {
        self.news.store(true, Ordering::Release);
        self.router.wake();
    }

    /// Called by the router before it looks, so that no news is overlooked.
    pub(super) fn register(&self, cx: &Context<'_>) {
        self.router.register(cx.waker());
    }

    /// Whether there is news since the last `take`.
    pub(super) fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    pub(super) fn take(&self) -> Letters<T, K> {
        self.news.store(false, Ordering::Release);
        self.lock().as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Acquire)
    }
}
