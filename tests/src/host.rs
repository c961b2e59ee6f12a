//! A runtime of its own for a node, which can be frozen: the node then is silent, as behind a dead
//! network, but its process does not end.

use std::{future::Future, sync::mpsc, thread};

use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

/// A thread with a runtime. Dropping it stops the runtime and everything on it at once: for the
/// peers of its nodes that is like a killed process, without a word.
#[derive(Debug)]
pub struct Host {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Holds a host still until it is dropped.
#[derive(Debug)]
#[must_use = "the host goes on when this is dropped"]
pub struct Frozen(#[expect(dead_code, reason = "held for its drop")] mpsc::Sender<()>);

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    /// A new host.
    ///
    /// # Panics
    /// When the system gives no thread.
    #[must_use]
    pub fn new() -> Self {
        let (handle, handles) = mpsc::channel();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => panic!("no runtime: {error}"),
            };
            let _ = handle.send(runtime.handle().clone());
            let _ = runtime.block_on(stopped);
            runtime.shutdown_background();
        });
        let Ok(handle) = handles.recv() else {
            panic!("the host's thread has no runtime");
        };
        Self {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Runs a future there.
    ///
    /// # Panics
    /// When it panics.
    pub async fn run<F>(&self, future: F) -> F::Output
    where
        F: Future<Output: Send> + Send + 'static,
    {
        match self.handle.spawn(future).await {
            Ok(output) => output,
            Err(error) => panic!("on another host: {error}"),
        }
    }

    /// Holds the host still: from the moment this resolves, nothing runs there.
    ///
    /// # Panics
    /// When the host is gone.
    pub async fn freeze(&self) -> Frozen {
        let (thaw, thawed) = mpsc::channel();
        let (still, stands_still) = oneshot::channel();
        self.handle.spawn(async move {
            let _ = still.send(());
            let _ = thawed.recv();
        });
        assert!(stands_still.await.is_ok(), "the host is gone");
        Frozen(thaw)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
