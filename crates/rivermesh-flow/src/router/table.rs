//! Which outputs want an item. A plain structure.

use std::{
    collections::HashMap,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
};

use super::{Filter, OutputId};

/// Outputs by what they want. `Q` is what items are pushed to.
#[derive(Debug)]
pub(super) struct Table<T, K, Q> {
    keyed: HashMap<K, Vec<Target<T, K, Q>>>,
    scanned: Vec<Target<T, K, Q>>,
    places: HashMap<OutputId, Place<K, Q>>,
}

/// Where an output stands.
#[derive(Debug)]
struct Place<K, Q> {
    /// Under which keys, perhaps none; `None` if it is scanned.
    keys: Option<Vec<K>>,
    queue: Q,
}

/// An output as the table knows it; one that wants several keys stands under each.
#[derive(Debug)]
pub(super) struct Target<T, K, Q> {
    pub(super) id: OutputId,
    pub(super) queue: Q,
    filter: Filter<T, K>,
}

/// A predicate panicked; what it said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Panicked(pub(super) String);

impl<T, K: Hash + Eq + Clone, Q: Clone> Table<T, K, Q> {
    pub(super) fn new() -> Self {
        Self {
            keyed: HashMap::new(),
            scanned: Vec::new(),
            places: HashMap::new(),
        }
    }

    /// Adds an output, in place of one with the same id.
    pub(super) fn add(&mut self, id: OutputId, filter: Filter<T, K>, queue: Q) {
        self.remove(id);
        let keys = filter.wanted().map(<[K]>::to_vec);
        for key in keys.iter().flatten() {
            let (filter, queue) = (filter.clone(), queue.clone());
            let target = Target { id, queue, filter };
            self.keyed.entry(key.clone()).or_default().push(target);
        }
        if keys.is_none() {
            let queue = queue.clone();
            self.scanned.push(Target { id, queue, filter });
        }
        self.places.insert(id, Place { keys, queue });
    }

    /// Takes an output out and gives what items were pushed to; nothing if it is not here.
    pub(super) fn remove(&mut self, id: OutputId) -> Option<Q> {
        let place = self.places.remove(&id)?;
        match place.keys {
            None => take(&mut self.scanned, id),
            Some(keys) => {
                for key in keys {
                    if let Some(targets) = self.keyed.get_mut(&key) {
                        take(targets, id);
                        if targets.is_empty() {
                            self.keyed.remove(&key);
                        }
                    }
                }
            }
        }
        Some(place.queue)
    }

    /// Calls `found` for each output that wants the item.
    pub(super) fn find<'a>(
        &'a self,
        key: &K,
        item: &T,
        mut found: impl FnMut(&'a Target<T, K, Q>, Result<(), Panicked>),
    ) {
        let keyed = self.keyed.get(key).into_iter().flatten();
        for target in keyed.chain(&self.scanned) {
            let Some(when) = target.filter.when() else {
                found(target, Ok(()));
                continue;
            };
            // What the predicate may have broken is its own, and it is not called again.
            match catch_unwind(AssertUnwindSafe(|| when(key, item))) {
                Ok(true) => found(target, Ok(())),
                Ok(false) => {}
                Err(panic) => found(target, Err(Panicked(said(&*panic)))),
            }
        }
    }
}

impl<T, K, Q> Table<T, K, Q> {
    /// What all outputs are pushed to.
    pub(super) fn queues(&self) -> impl Iterator<Item = &Q> {
        self.places.values().map(|place| &place.queue)
    }
}

fn take<T, K, Q>(targets: &mut Vec<Target<T, K, Q>>, id: OutputId) {
    if let Some(at) = targets.iter().position(|target| target.id == id) {
        targets.swap_remove(at);
    }
}

/// The text of a panic.
pub(super) fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("a panic without text").to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Add(u64, Option<Vec<u8>>, u8),
        Remove(u64),
        Find(u8, u8),
    }

    fn op() -> impl Strategy<Value = Op> {
        let keys = prop::option::of(prop::collection::vec(0_u8..4, 0..3));
        prop_oneof![
            (0_u64..8, keys, 0_u8..6).prop_map(|(id, keys, least)| Op::Add(id, keys, least)),
            (0_u64..8).prop_map(Op::Remove),
            (0_u8..4, 0_u8..6).prop_map(|(key, item)| Op::Find(key, item)),
        ]
    }

    proptest! {
        #[test]
        fn equals_asking_every_output(ops in prop::collection::vec(op(), 1..60)) {
            let mut table = Table::new();
            let mut model: HashMap<u64, (Option<Vec<u8>>, u8)> = HashMap::new();
            for op in ops {
                match op {
                    Op::Add(id, keys, least) => {
                        let filter = keys.clone().map_or_else(Filter::all, Filter::keys);
                        let filter = filter.and_item(move |item: &u8| *item >= least);
                        table.add(OutputId(id), filter, id);
                        model.insert(id, (keys, least));
                    }
                    Op::Remove(id) => {
                        let found = table.remove(OutputId(id));
                        prop_assert_eq!(found, model.remove(&id).map(|_| id));
                    }
                    Op::Find(key, item) => {
                        let mut found = Vec::new();
                        table.find(&key, &item, |target, _| found.push(target.queue));
                        found.sort_unstable();
                        let wants = |keys: &Option<Vec<u8>>, least: u8| {
                            keys.as_ref().is_none_or(|keys| keys.contains(&key)) && item >= least
                        };
                        let mut expected: Vec<u64> = model
                            .iter()
                            .filter(|(_, (keys, least))| wants(keys, *least))
                            .map(|(id, _)| *id)
                            .collect();
                        expected.sort_unstable();
                        prop_assert_eq!(found, expected);
                    }
                }
            }
        }
    }

    #[test]
    fn a_predicate_that_panics_is_told() {
        let mut table = Table::new();
        table.add(OutputId(1), Filter::<u8>::item(|_| panic!("no")), 1);
        table.add(OutputId(2), Filter::all(), 2);
        let mut found = Vec::new();
        table.find(&(), &7, |target, outcome| {
            found.push((target.queue, outcome));
        });
        assert_eq!(found, [(1, Err(Panicked("no".into()))), (2, Ok(()))]);
    }
}
