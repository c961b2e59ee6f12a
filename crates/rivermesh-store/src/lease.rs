//! Which sequence numbers may be given out.
//!
//! An item may reach a consumer before it is on disk, or without ever being asked to be. If the
//! process dies then, the number must not be given to another item: (producer, epoch, number) names
//! an item for ever. So the store writes down, ahead of use, below which number all may have been
//! used, and after a crash the numbers go on from there. What lies between the last item that is on
//! disk and that number is a gap that is told.
//!
//! The lead grows with the rate: it is twice what came since the last sync, and falls by half from one
//! sync to the next at most. So a slow stream skips few numbers after a crash, and a fast one seldom
//! syncs for a lease.

use rivermesh_proto::Seq;

/// The smallest lead.
const LEAST: u64 = 256;
/// The largest lead.
const MOST: u64 = 1 << 20;

/// See the module.
#[derive(Debug)]
pub(crate) struct Lease {
    /// What the newest record says.
    written: Seq,
    /// What the newest record that was synced says.
    granted: Seq,
    ahead: u64,
    /// Where the items ended at the last sync.
    end: Seq,
}

impl Lease {
    /// Nothing is granted beyond `next` yet.
    pub(crate) fn at(next: Seq) -> Self {
        Self {
            written: next,
            granted: next,
            ahead: LEAST,
            end: next,
        }
    }

    /// Numbers below this may be given out.
    pub(crate) fn granted(&self) -> Seq {
        self.granted
    }

    /// Whether a record has been written that a sync would make count.
    pub(crate) fn is_waiting(&self) -> bool {
        self.written > self.granted
    }

    /// What is to be written down when the items end at `end`, if anything.
    pub(crate) fn wanted(&self, end: Seq) -> Option<Seq> {
        let ahead = self.ahead(end, self.ahead);
        // While most of the lead is left: what is raised too late gives short leases, for ever.
        (end + ahead / 4 * 3 > self.written).then_some(end + ahead)
    }

    /// What a segment begins with when the items end at `end`: its records are read without those
    /// of earlier segments.
    pub(crate) fn renewed(&self, end: Seq) -> Seq {
        self.wanted(end).unwrap_or(self.written)
    }

    pub(crate) fn wrote(&mut self, lease: Seq) {
        self.written = lease;
    }

    /// Everything that was written is synced, and the items end at `end`.
    pub(crate) fn synced(&mut self, end: Seq) {
        self.granted = self.written;
        self.ahead = self.ahead(end, self.ahead / 2);
        self.end = end;
    }

    fn ahead(&self, end: Seq, least: u64) -> u64 {
        let since = end.saturating_sub(self.end);
        since.saturating_mul(2).max(least).clamp(LEAST, MOST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lease_counts_when_it_is_synced_and_its_lead_grows_with_the_rate() {
        let mut lease = Lease::at(100);
        assert_eq!(lease.granted(), 100);
        let wanted = lease.wanted(100).unwrap();
        assert_eq!(wanted, 100 + LEAST);
        lease.wrote(wanted);
        assert_eq!((lease.granted(), lease.is_waiting()), (100, true));
        lease.synced(100);
        assert_eq!((lease.granted(), lease.is_waiting()), (wanted, false));
        assert_eq!(lease.wanted(100), None);
        // 10,000 items with one sync: twice as many are leased after it.
        lease.synced(10_100);
        assert_eq!(lease.wanted(10_100), Some(30_100));
        lease.wrote(30_100);
        // A stream that has become slow skips few after a while.
        for _ in 0..10 {
            lease.synced(10_101);
        }
        assert_eq!(lease.wanted(30_000), Some(30_000 + 2 * (30_000 - 10_101)));
        lease.synced(30_000);
        for _ in 0..10 {
            lease.synced(30_001);
        }
        assert_eq!(lease.wanted(30_001), Some(30_001 + LEAST));
        lease.wrote(lease.renewed(30_001));
        assert_eq!(lease.wanted(30_001), None);
    }
}
