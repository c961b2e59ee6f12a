//! Where an adapter puts what a consumer receives.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

use crate::{
    clock,
    latency::Latency,
    payload::{self, Filler, PROBE},
    protocol::Received,
    tally::Tally,
};

/// What one consumer shows to the process's control. A cache line of its own: consumers that run
/// on different cores must not slow each other.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Counters {
    items: AtomicU64,
    duplicates: AtomicU64,
    disordered: AtomicU64,
    corrupt: AtomicU64,
    present: AtomicBool,
    ended: AtomicBool,
    /// Why it ended, if it did.
    why: Mutex<Option<String>>,
    latency: Mutex<Option<Latency>>,
}

/// The time in which latencies are recorded, and what all consumers know.
#[derive(Debug)]
pub(crate) struct Shared {
    filler: Filler,
    from_ns: AtomicU64,
    to_ns: AtomicU64,
}

impl Shared {
    pub(crate) fn new(size: u32) -> Arc<Self> {
        Arc::new(Self {
            filler: Filler::new(size),
            from_ns: AtomicU64::new(u64::MAX),
            to_ns: AtomicU64::new(u64::MAX),
        })
    }

    pub(crate) fn record(&self, from_ns: u64, to_ns: u64) {
        self.to_ns.store(to_ns, Relaxed);
        self.from_ns.store(from_ns, Relaxed);
    }
}

impl Counters {
    pub(crate) fn add_to(&self, all: &mut Received) {
        all.items += self.items.load(Relaxed);
        all.duplicates += self.duplicates.load(Relaxed);
        all.disordered += self.disordered.load(Relaxed);
        all.corrupt += self.corrupt.load(Relaxed);
        all.present += u32::from(self.present.load(Relaxed));
        all.ended += u32::from(self.ended.load(Relaxed));
    }

    pub(crate) fn take_latency(&self, all: &mut Latency) {
        let mut latency = self.latency.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(latency) = latency.take() {
            all.merge(&latency.counts());
        }
    }

    pub(crate) fn why(&self) -> Option<String> {
        let why = self.why.lock().unwrap_or_else(PoisonError::into_inner);
        why.clone()
    }
}

/// Counts and checks what one consumer receives. Dropping it tells that the consumer has ended,
/// which fails the run.
#[derive(Debug)]
pub struct Sink {
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    tally: Tally,
}

impl Sink {
    pub(crate) fn new(shared: Arc<Shared>) -> (Self, Arc<Counters>) {
        let counters = Arc::new(Counters::default());
        let sink = Self {
            shared,
            counters: Arc::clone(&counters),
            tally: Tally::default(),
        };
        (sink, counters)
    }

    /// Takes an item that was received just now.
    #[inline]
    pub fn take(&mut self, item: &[u8]) {
        let Some(seen) = payload::check(item, &self.shared.filler) else {
            self.counters.corrupt.fetch_add(1, Relaxed);
            return;
        };
        if seen.number & PROBE != 0 {
            self.counters.present.store(true, Relaxed);
            return;
        }
        self.tally.see(seen.number);
        if seen.due_ns != 0 {
            self.time(seen.due_ns);
        }
        let counters = &*self.counters;
        counters.items.store(self.tally.items(), Relaxed);
        // Those rarely change, but storing them costs less than asking whether they did.
        let (duplicates, disordered) = (self.tally.duplicates(), self.tally.disordered());
        counters.duplicates.store(duplicates, Relaxed);
        counters.disordered.store(disordered, Relaxed);
    }

    fn time(&self, due_ns: u64) {
        let (from, to) = (&self.shared.from_ns, &self.shared.to_ns);
        if due_ns < from.load(Relaxed) || due_ns >= to.load(Relaxed) {
            return;
        }
        let now_ns = clock::now_ns();
        let latency = &self.counters.latency;
        let mut latency = latency.lock().unwrap_or_else(PoisonError::into_inner);
        latency
            .get_or_insert_with(Latency::default)
            .record(due_ns, now_ns);
    }

    /// Says why the consumer has ended.
    pub fn fail(self, why: impl std::fmt::Display) {
        let mut slot = self
            .counters
            .why
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *slot = Some(why.to_string());
    }
}

impl Drop for Sink {
    fn drop(&mut self) {
        self.counters.ended.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Item;

    #[test]
    fn probes_and_corrupt_items_are_no_deliveries() {
        let filler = Filler::new(32);
        let (mut sink, counters) = Sink::new(Shared::new(32));
        sink.take(&Item::new(PROBE, 0, &filler).vec());
        sink.take(&Item::new(0, 0, &filler).vec());
        sink.take(&[0; 31]);
        sink.take(&Item::new(2, 0, &filler).vec());
        let mut all = Received::default();
        counters.add_to(&mut all);
        assert_eq!((all.items, all.distinct(), all.corrupt), (2, 2, 1));
        assert_eq!((all.present, all.ended), (1, 0));
        sink.fail("gone");
        counters.add_to(&mut all);
        assert_eq!((all.ended, counters.why().as_deref()), (1, Some("gone")));
    }

    #[test]
    fn only_items_due_in_the_window_are_timed() {
        let filler = Filler::new(32);
        let shared = Shared::new(32);
        let (mut sink, counters) = Sink::new(Arc::clone(&shared));
        let now = clock::now_ns();
        sink.take(&Item::new(0, now, &filler).vec());
        shared.record(now, now + 10);
        for (number, due) in [(1, now - 1), (2, now), (3, now + 9), (4, now + 10), (5, 0)] {
            sink.take(&Item::new(number, due, &filler).vec());
        }
        let mut latency = Latency::default();
        counters.take_latency(&mut latency);
        assert_eq!(latency.quantiles().unwrap().count, 2);
    }
}
