//! What a consumer says on its side of a subscription.

use std::{convert::Infallible, sync::Arc};

use rivermesh_proto::{limits, subscribe::Update};
use tokio::sync::watch;

use super::{
    commit::{self, Commits},
    wanted::Wanted,
};
use crate::{admission::Purse, net::Writer};

/// Tells a producer that we know where we begin, because from here on what is not received is missed;
/// and then of each change of the filter, of what is done with, and of each newer ticket.
pub(super) async fn speak(
    writer: &mut Writer,
    mut changes: watch::Receiver<Wanted>,
    commits: Option<Arc<Commits>>,
    mut purse: Purse,
) -> Infallible {
    let mut update = Update::Ready;
    loop {
        // An error is seen by who reads.
        if writer.message(&update, limits::CONTROL).await.is_err() {
            return std::future::pending().await;
        }
        update = tokio::select! {
            changed = changes.changed() => {
                if changed.is_err() {
                    // The consumer is gone, and so are we in a moment.
                    return std::future::pending().await;
                }
                let wanted = changes.borrow_and_update().clone();
                Update::Filter {
                    change: wanted.change,
                    filter: wanted.filter.as_deref().cloned(),
                }
            }
            update = commit::next(commits.as_ref()) => update,
            credential = purse.renewed() => Update::Credential(credential),
        };
    }
}
