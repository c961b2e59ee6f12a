//! What happens when time passes.

use std::time::Duration;

use super::{Catalog, Change, Clock};

impl Catalog {
    /// Lets what is due at `now` happen: silent nodes become unreachable, unreachable ones are
    /// removed, tombstones cease to count or go.
    pub fn tick(&mut self, now: Clock) -> Vec<Change> {
        let mut changes = Vec::new();
        while let Some(&(due, node)) = self.due.first() {
            if due > now.mono {
                break;
            }
            let lost = self
                .slots
                .get(&node)
                .is_some_and(|slot| slot.lost.is_some());
            changes.extend(if lost {
                self.evict(&node, now)
            } else {
                let peer = self.set_lost(&node, Some(now.mono));
                peer.map(Change::Unreachable)
            });
        }
        while let Some((node, revision)) = self.tombstones.cease(now.mono) {
            self.digest.remove(&node, revision);
        }
        self.trim_tombstones(now);
        changes
    }

    /// When [`Catalog::tick`] is to be called next, on the monotonic clock; `None` if nothing is
    /// due ever. A tombstone's end is not a reason to call it, any later call will do.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Duration> {
        let slot = self.due.first().map(|(due, _)| *due);
        let tombstone = self.tombstones.next();
        slot.into_iter().chain(tombstone).min()
    }
}
