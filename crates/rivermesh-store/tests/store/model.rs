//! Random sequences of operations, held against a naive model.

use std::{collections::BTreeMap, path::Path};

use proptest::prelude::*;
use rivermesh_store::{Cause, Config, Persist, Store};

use crate::support::{open, sealed, walk};

#[derive(Clone, Debug)]
enum Op {
    Append(Vec<u64>),
    Persist(Persist),
    /// Trims before this part, in 256ths, of what is there.
    Trim(u8),
    Hold(Option<u8>),
    Commit(u8, u8),
    Forget(u8),
    /// Opens anew, after a close, or after what a crash of the process leaves.
    Reopen {
        closes: bool,
    },
    Read(u8, u16),
}

fn op() -> impl Strategy<Value = Op> {
    let sizes = prop::collection::vec(1..20u64, 1..5);
    prop_oneof![
        8 => sizes.prop_map(Op::Append),
        2 => prop_oneof![Just(Persist::Buffered), Just(Persist::Synced)].prop_map(Op::Persist),
        1 => any::<u8>().prop_map(Op::Trim),
        1 => prop::option::of(any::<u8>()).prop_map(Op::Hold),
        2 => (0..4u8, any::<u8>()).prop_map(|(name, part)| Op::Commit(name, part)),
        1 => (0..4u8).prop_map(Op::Forget),
        2 => any::<bool>().prop_map(|closes| Op::Reopen { closes }),
        3 => (any::<u8>(), any::<u16>()).prop_map(|(part, max)| Op::Read(part, max)),
    ]
}

/// What a store must hold.
#[derive(Debug, Default)]
struct Model {
    /// Items that were appended, each with the salt of its life.
    items: BTreeMap<u64, u64>,
    first: u64,
    next: u64,
    salt: u64,
    commits: BTreeMap<String, u64>,
    /// As they are on disk.
    saved: BTreeMap<String, u64>,
    hold: Option<u64>,
}

impl Model {
    fn part(&self, part: u8) -> u64 {
        self.first + (self.next - self.first) * u64::from(part) / 255
    }

    fn salt(&self, seq: u64) -> u64 {
        self.items.get(&seq).copied().unwrap_or(u64::MAX)
    }

    /// The store may have let go of old items, by whole segments, none that it was to keep.
    fn let_go(&mut self, store: &Store, before: u64) {
        let first = store.first();
        assert!(first >= self.first, "items have come back");
        assert!(
            first == self.first || first <= before,
            "{first} was to be kept, as {before}"
        );
        self.first = first;
        self.items.retain(|&seq, _| seq >= first);
    }

    fn check(&self, store: &Store, from: u64, max: usize) {
        let walked = walk(&store.reader(), from, max, |seq| self.salt(seq));
        let items: Vec<u64> = self.items.range(from..).map(|(&seq, _)| seq).collect();
        assert_eq!(walked.items, items);
        let trimmed = walked.gone_for(Cause::Trimmed);
        assert!(trimmed.is_empty() || trimmed == vec![from..self.first; 1]);
        assert!(walked.gone_for(Cause::Corrupt).is_empty());
    }
}

fn step(store: Store, model: &mut Model, path: &Path, config: Config, op: Op) -> Store {
    let mut store = store;
    match op {
        Op::Append(sizes) => {
            let mut batches = Vec::new();
            let mut next = model.next;
            for size in sizes {
                batches.push(sealed(model.salt, next..next + size));
                next += size;
            }
            let hold = model.hold.unwrap_or(u64::MAX);
            let done = store.append(&batches);
            model.let_go(&store, hold.min(model.next));
            match done {
                Ok(()) => {
                    model
                        .items
                        .extend((model.next..next).map(|seq| (seq, model.salt)));
                    model.next = next;
                    model.saved = model.commits.clone();
                }
                // Nothing else goes wrong here.
                Err(_) => assert!(hold < model.next),
            }
        }
        Op::Persist(level) => {
            store.persist(level).unwrap();
            model.saved = model.commits.clone();
            if level == Persist::Synced {
                assert!(store.granted() > model.next);
            }
        }
        Op::Trim(part) => {
            let before = model.part(part);
            store.trim(before).unwrap();
            model.let_go(&store, before);
        }
        Op::Hold(part) => {
            model.hold = part.map(|part| model.part(part));
            store.hold(model.hold.unwrap_or(u64::MAX));
        }
        Op::Commit(name, part) => {
            let (name, seq) = (format!("name {name}"), model.part(part));
            store.commit(&name, seq).unwrap();
            model.commits.insert(name, seq);
        }
        Op::Forget(name) => {
            let name = format!("name {name}");
            store.forget(&name);
            model.commits.remove(&name);
        }
        Op::Reopen { closes } => store = reopen(store, model, path, config, closes),
        Op::Read(part, max) => model.check(&store, model.part(part), usize::from(max)),
    }
    assert_eq!((store.first(), store.next()), (model.first, model.next));
    assert_eq!(store.commits(), &model.commits);
    store
}

fn reopen(store: Store, model: &mut Model, path: &Path, config: Config, closes: bool) -> Store {
    let granted = store.granted();
    if closes {
        store.close().unwrap();
        model.saved = model.commits.clone();
    } else {
        drop(store);
    }
    let (mut store, found) = open(path, config);
    assert!(found.corrupt.is_empty() && found.damage.is_empty() && found.torn.is_none());
    assert!(found.commits_intact);
    assert_eq!(found.commits, model.saved);
    let least = if closes {
        model.next
    } else {
        model.next.max(granted)
    };
    assert!(
        found.next >= least,
        "{} is used again, of {least}",
        found.next
    );
    model.commits = model.saved.clone();
    model.next = found.next;
    model.first = found.first;
    model.items.retain(|&seq, _| seq >= found.first);
    model.salt += 1;
    model.hold = None;
    store.persist(Persist::Synced).unwrap();
    store
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn a_store_is_what_the_model_says(ops in prop::collection::vec(op(), 1..80)) {
        let dir = tempfile::tempdir().unwrap();
        let config = Config::default()
            .segment_bytes(4 << 10)
            .index_bytes(1 << 10)
            .disk_bytes(40 << 10);
        let (mut store, _) = open(dir.path(), config);
        let mut model = Model::default();
        for op in ops {
            store = step(store, &mut model, dir.path(), config, op);
        }
        model.check(&store, 0, 1 << 20);
    }
}
