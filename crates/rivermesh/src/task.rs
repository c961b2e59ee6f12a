//! Owned tasks: every task of a node is tracked, cancelled by a token, and its panic is noticed.

use std::{any::Any, future::Future, panic::AssertUnwindSafe};

use futures::FutureExt;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::error;

/// The tasks of one node, or of one part of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    token: CancellationToken,
}

impl Tasks {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Tasks of a part: they end with the whole, and can be ended before it.
    pub(crate) fn part(&self) -> Self {
        Self {
            tracker: self.tracker.clone(),
            token: self.token.child_token(),
        }
    }

    /// Cancelled when the tasks must end.
    pub(crate) fn token(&self) -> &CancellationToken {
        &self.token
    }

    /// Runs `future` until it ends or these tasks are cancelled. A panic ends these tasks, so that
    /// nothing waits for the part that died, and is logged and counted.
    pub(crate) fn spawn<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let token = self.token.clone();
        self.tracker.spawn(async move {
            let guarded = AssertUnwindSafe(future).catch_unwind();
            let outcome = token.run_until_cancelled(guarded).await;
            if let Some(Err(panic)) = outcome {
                report(name, &*panic);
                token.cancel();
            }
        });
    }

    /// Runs `future` to its end even when these tasks are cancelled: it must end by itself then.
    pub(crate) fn spawn_last<F>(&self, name: &'static str, future: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tracker.spawn(async move {
            if let Err(panic) = AssertUnwindSafe(future).catch_unwind().await {
                report(name, &*panic);
            }
        });
    }

    /// Cancels all tasks without waiting for them.
    pub(crate) fn cancel(&self) {
        self.token.cancel();
    }

    /// Waits until all tasks of the whole node have ended. They must be cancelled, or end by
    /// themselves.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

fn report(name: &'static str, panic: &(dyn Any + Send)) {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("not a text");
    error!(
        task = name,
        panic = text,
        "a task panicked; the part of the node it served is ended"
    );
    metrics::counter!("rivermesh_task_panics_total", "task" => name).increment(1);
}

#[cfg(test)]
mod tests {
    use super::Tasks;

    #[tokio::test]
    async fn a_panic_ends_the_part_and_not_the_whole() {
        let tasks = Tasks::new();
        let part = tasks.part();
        part.spawn("waits", std::future::pending());
        part.spawn("panics", async { panic!("on purpose") });
        part.token().cancelled().await;
        assert!(!tasks.token().is_cancelled());
        tasks.cancel();
        tasks.ended().await;
    }
}
