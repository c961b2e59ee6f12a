//! Where the attackers' tasks run: not among those of the honest.

use std::{io, pin::Pin, process::Command};

use tokio::runtime::{Builder, Runtime};
use tokio_util::context::RuntimeExt;

use crate::figures;

/// A runtime for attackers. In truth an attacker has a machine of its own. So that figures do not tell what
/// its computing takes from the honest on this one, its threads run while figures are taken only where a
/// core has nothing else to do.
#[derive(Debug)]
pub(crate) struct Attackers(Option<Runtime>);

impl Attackers {
    pub(crate) fn new() -> io::Result<Self> {
        let mut builder = Builder::new_multi_thread();
        builder.enable_all().thread_name("attackers");
        if figures::is_measuring() {
            builder.on_thread_start(give_way);
        }
        builder.build().map(Some).map(Self)
    }

    /// Has what the attack spawns run here; the attack itself is polled where it stands.
    pub(crate) fn wrap<'a, T: 'a>(
        &self,
        attack: impl Future<Output = T> + 'a,
    ) -> Pin<Box<dyn Future<Output = T> + 'a>> {
        match &self.0 {
            Some(runtime) => Box::pin(runtime.wrap(attack)),
            None => Box::pin(attack),
        }
    }
}

/// Has this thread run only where nobody else wants to. Where that fails the figures are worse, and nothing
/// else is.
fn give_way() {
    let thread = rustix::thread::gettid().as_raw_nonzero();
    let mut change = Command::new("chrt");
    let _ = change
        .args(["--idle", "--pid", "0", &thread.to_string()])
        .status();
}

impl Drop for Attackers {
    fn drop(&mut self) {
        // A runtime that waits for its threads may not be dropped by a task.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
