//! The one task of a produced stream: reviews its subscriptions whenever the catalog, an RTT or
//! the subscriptions themselves change, and so keeps admission and `online` true.

use std::sync::Arc;

use rivermesh_proto::catalog::Snapshot;
use tokio::sync::watch;

use super::core::Core;

/// Runs until the stream has ended.
pub(super) async fn run(core: Arc<Core>, mut catalog: watch::Receiver<Snapshot>) {
    loop {
        let snapshot = catalog.borrow_and_update().clone();
        core.review(&snapshot);
        if core.is_closed() && core.is_deserted() {
            return;
        }
        tokio::select! {
            () = core.changed.notified() => {}
            changed = catalog.changed() => if changed.is_err() { return },
        }
    }
}
