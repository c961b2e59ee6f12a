//! What is looked at again and again while a stream runs: who is still admitted, whether it is online,
//! what the log lets go; and what is told of it all.

use std::sync::{Arc, atomic::Ordering};

use rivermesh_proto::catalog::Snapshot;

use super::{Core, Sub, SubId, now_us};
use crate::producer::{
    disk::Disk,
    status::{Stats, Status, Subscriber},
};

impl Core {
    /// Takes a subscription out.
    pub(crate) fn remove(&self, id: SubId) {
        let mut subs = self.subs();
        subs.remove(id);
        self.active.store(subs.len(), Ordering::Release);
        drop(subs);
        self.changed.notify_one();
    }

    /// Cuts the consumers that have taken nothing since `before`, and gives where all stand now.
    pub(crate) fn cut_stalled(&self, before: &[(SubId, u64)]) -> Vec<(SubId, u64)> {
        let subs = self.subs();
        for (id, position) in before {
            if let Some(sub) = subs.get(*id)
                && sub.position.load(Ordering::Relaxed) == *position
            {
                sub.cut.cancel();
            }
        }
        let places = subs
            .iter()
            .map(|(id, sub)| (id, sub.position.load(Ordering::Relaxed)));
        places.collect()
    }

    /// Looks at all subscriptions again: cuts those that no longer meet the requirement or are no
    /// longer entitled, and finds out whether the stream is online.
    pub(crate) fn review(&self, snapshot: &Snapshot) {
        let subs: Vec<Arc<Sub>> = self.subs().values().cloned().collect();
        let mut peers = Vec::with_capacity(subs.len());
        let gate = self.gate();
        for sub in &subs {
            if !sub.is_entitled(gate.as_deref()) {
                sub.cut.cancel();
            }
            // A peer that has left the catalog but not the connection is judged no more.
            match snapshot.get(&sub.peer) {
                Some(peer) if !self.admits(peer) => sub.cut.cancel(),
                Some(peer) if sub.counts() => peers.push(Arc::clone(peer)),
                _ => {}
            }
        }
        let consumers = subs.iter().filter(|sub| sub.counts()).count();
        let closed = self.is_closed();
        let met = self
            .settings
            .online_when
            .is_met(peers.iter().map(|peer| &**peer));
        let online = met && !closed;
        self.online.store(online, Ordering::Release);
        if self.is_closed() {
            // Closed while this was worked out: closing has the last word.
            self.online.store(false, Ordering::Release);
        }
        self.status.send_if_modified(|status| {
            let now = Status {
                online: online && !status.closed,
                consumers,
                peers,
                ..*status
            };
            let changed = now != *status;
            *status = now;
            changed
        });
    }

    pub(crate) fn subscribers(&self) -> Vec<Subscriber> {
        let subs: Vec<Arc<Sub>> = self.subs().values().cloned().collect();
        let log = self.log();
        subs.iter()
            .filter(|sub| sub.counts())
            .map(|sub| Subscriber::of(sub, &log))
            .collect()
    }

    /// Whether the log is to be [tended](Self::tend).
    pub(crate) fn is_retained(&self) -> bool {
        self.settings.retention.is_some()
    }

    /// Lets go what the log is not to keep any more, and ends batches that have been open for long,
    /// so that the time of a batch tells about when its items were sent.
    pub(crate) fn tend(&self) {
        let now_us = now_us();
        let mut log = self.log();
        log.end_batch();
        if log.trim(now_us) {
            self.space.notify_waiters();
        }
    }

    pub(crate) fn stats(&self) -> Stats {
        let (duplicates, duplicates_forgotten) = self.duplicates.count();
        let log = self.log();
        let (keys, key_bytes, keys_forgotten) = log.keys();
        Stats {
            items: log.next(),
            oldest: log.oldest(),
            log_bytes: log.bytes(),
            disk_bytes: self.disk.as_ref().map_or(0, Disk::bytes),
            filters: log.filters(),
            keys,
            key_bytes,
            keys_forgotten,
            duplicates,
            duplicates_forgotten,
            undelivered: self.undelivered.load(Ordering::Relaxed),
            undelivered_lost: self.undelivered_lost.load(Ordering::Relaxed),
        }
    }
}
