//! The one task of a produced stream: reviews its subscriptions whenever the catalog, an RTT or
//! the subscriptions themselves change, a ticket ends or is revoked, and so keeps admission and `online`
//! true; lets go what is too old to be kept; and, when the stream has ended, sees to it that no consumer
//! keeps its log for ever.

use std::{sync::Arc, time::Duration};

use rivermesh_proto::catalog::Snapshot;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until},
};

use super::core::{Core, TEND};
use crate::admission;

/// A review looks at all subscriptions. While many come or go, the next one waits for so many times
/// what the last one took, so that a thousand admissions do not cost a million looks; but for no
/// longer than [`LONGEST_REST`].
const REST: u32 = 10;
const LONGEST_REST: Duration = Duration::from_millis(20);
/// The shortest time that a timer can wait: below it, reviews cost nothing that matters.
const SHORTEST_REST: Duration = Duration::from_millis(1);

/// Runs until the stream has ended and nobody is subscribed any more. `drain` is how long a
/// consumer may take nothing of a stream that has ended.
pub(super) async fn run(core: Arc<Core>, mut catalog: watch::Receiver<Snapshot>, drain: Duration) {
    let mut places = Vec::new();
    let mut look = None;
    let mut tend = core.is_retained().then(|| Instant::now() + TEND);
    let mut named = None;
    let mut revoked = core.desk.changes();
    loop {
        let snapshot = catalog.borrow_and_update().clone();
        let begun = Instant::now();
        core.review(&snapshot);
        let rest = (begun.elapsed() * REST).min(LONGEST_REST);
        if core.is_closed() {
            if core.is_deserted() {
                return core.names.close();
            }
            let now = Instant::now();
            if look.is_none_or(|look| look <= now) {
                places = core.cut_stalled(&places);
                look = Some(now + drain);
            }
        }
        if rest >= SHORTEST_REST {
            sleep(rest).await;
        }
        if named.is_none_or(|due| due <= Instant::now()) {
            named = core.review_named().map(|after| Instant::now() + after);
        }
        // A lease may end sooner than the monotonic clock tells, which the sleep goes by.
        let lease = core.next_lease().map(|left| left.min(admission::LOOK));
        tokio::select! {
            () = core.changed.notified() => {}
            () = sleep_until(tend.unwrap_or_else(Instant::now)), if tend.is_some() => {
                core.tend();
                tend = Some(Instant::now() + TEND);
                continue;
            }
            () = sleep_until(named.unwrap_or_else(Instant::now)), if named.is_some() => {}
            () = sleep_until(look.unwrap_or_else(Instant::now)), if look.is_some() => {}
            () = sleep(lease.unwrap_or_default()), if lease.is_some() => {}
            Ok(()) = revoked.changed() => {}
            changed = catalog.changed() => if changed.is_err() { return },
        }
    }
}
