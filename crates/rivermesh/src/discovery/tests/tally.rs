//! A recorder of metrics that tests can read.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use metrics::{
    Counter, Gauge, Histogram, Key, KeyName, Metadata, Recorder, SharedString, Unit,
    with_local_recorder,
};

/// Counts for all nodes that were made under it together. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<HashMap<String, Arc<AtomicU64>>>>);

impl Tally {
    /// Lets the metrics that are looked up in `make` count here.
    pub(super) fn over<T>(&self, make: impl FnOnce() -> T) -> T {
        with_local_recorder(self, make)
    }

    /// A counter's value: by name, or by name and the labels' values, with slashes in between.
    pub(super) fn get(&self, name: &str) -> u64 {
        let counters = self.0.lock().unwrap();
        let counter = counters.get(name);
        counter
            .unwrap_or_else(|| panic!("no counter {name} among {:?}", counters.keys()))
            .load(Relaxed)
    }
}

impl Recorder for Tally {
    fn describe_counter(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        let name = key.labels().fold(key.name().to_owned(), |name, label| {
            format!("{name}/{}", label.value())
        });
        let mut counters = self.0.lock().unwrap();
        Counter::from_arc(Arc::clone(counters.entry(name).or_default()))
    }

    fn register_gauge(&self, _: &Key, _: &Metadata<'_>) -> Gauge {
        Gauge::noop()
    }

    fn register_histogram(&self, _: &Key, _: &Metadata<'_>) -> Histogram {
        Histogram::noop()
    }
}
