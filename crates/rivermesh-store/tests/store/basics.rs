//! What holds when nothing goes wrong, and the errors that say what is not done.

use rivermesh_proto::{Epoch, Fingerprint, StreamName};
use rivermesh_store::{Cause, Config, Identity, OpenError, Persist, Read, Store, WriteError};

use crate::support::{append, identity, open, sealed, segments, small, walk};

#[test]
fn the_same_epoch_and_numbers_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, found) = open(dir.path(), small());
    assert_eq!((found.epoch, found.next, found.stored), (Epoch(7), 0, 0));
    append(&mut store, 0, &[3, 1, 40]);
    store.commit("billing", 3).unwrap();
    store.close().unwrap();

    let asked = identity(99);
    let (store, found) = Store::open(dir.path(), &asked, small()).unwrap();
    assert_eq!((store.epoch(), found.epoch), (Epoch(7), Epoch(7)));
    assert_eq!((found.first, found.stored, found.next), (0, 44, 44));
    assert_eq!(found.commits["billing"], 3);
    assert!(found.commits_intact && found.torn.is_none() && found.damage.is_empty());
    let walked = walk(&store.reader(), 0, 200, |_| 0);
    assert_eq!((walked.items.len(), walked.gone.len()), (44, 0));
}

#[test]
fn a_store_is_opened_once() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(dir.path(), small());
    let again = Store::open(dir.path(), &identity(7), small());
    assert!(matches!(again, Err(OpenError::Locked(_))));
    drop(store);
    open(dir.path(), small());
}

#[test]
fn a_store_holds_one_stream_of_one_shape() {
    let dir = tempfile::tempdir().unwrap();
    open(dir.path(), small()).0.close().unwrap();
    let name = Identity {
        name: StreamName::new("weather/LGA").unwrap(),
        ..identity(7)
    };
    let shape = Identity {
        fingerprint: Fingerprint([0; 8]),
        ..identity(7)
    };
    for asked in [name, shape] {
        let refused = Store::open(dir.path(), &asked, small());
        assert!(matches!(refused, Err(OpenError::Other { .. })));
    }
}

#[test]
fn batches_are_held_to_their_order() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), small());
    append(&mut store, 0, &[5]);
    for range in [4..6, 6..7] {
        let refused = store.append(&[sealed(0, 5..6), sealed(0, range)]);
        assert!(matches!(
            refused,
            Ok(()) | Err(WriteError::OutOfOrder { .. })
        ));
        assert!(refused.is_ok() == (store.next() > 5), "a part was stored");
    }
    assert_eq!(store.next(), 7);
    walk(&store.reader(), 0, 1, |_| 0);
}

#[test]
fn the_disk_is_bounded_and_what_is_held_stays() {
    let dir = tempfile::tempdir().unwrap();
    let config = small().disk_bytes(32 << 10);
    let (mut store, _) = open(dir.path(), config);
    let reader = store.reader();
    for _ in 0..100 {
        append(&mut store, 0, &[10]);
        assert!(store.bytes() <= config.disk_bytes);
    }
    let first = store.first();
    assert!(first > 0 && first < 1000);
    let walked = walk(&reader, 0, 4000, |_| 0);
    assert_eq!(walked.gone, [(0..first, Cause::Trimmed)]);
    assert_eq!(walked.items, (first..1000).collect::<Vec<_>>());

    store.hold(first + 1);
    let refused = loop {
        let batch = sealed(0, store.next()..store.next() + 10);
        if let Err(error) = store.append(&[batch]) {
            break error;
        }
    };
    assert!(matches!(refused, WriteError::Full { .. }));
    assert_eq!(store.first(), first);
    let before = segments(dir.path()).len();
    store.hold(store.next());
    append(&mut store, 0, &[10]);
    assert!(store.first() > first && segments(dir.path()).len() <= before);
}

#[test]
fn numbers_are_granted_by_a_sync_and_skipped_after_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), small());
    assert_eq!(store.granted(), 0);
    store.persist(Persist::Synced).unwrap();
    let granted = store.granted();
    assert!(granted > 0);
    // Some were given out and never stored; then the process dies.
    append(&mut store, 0, &[2]);
    drop(store);
    let (mut store, found) = open(dir.path(), small());
    assert_eq!((found.stored, found.next), (2, granted));
    store.persist(Persist::Synced).unwrap();
    append(&mut store, 0, &[2]);
    let walked = walk(&store.reader(), 0, 1, |_| 0);
    assert_eq!(walked.gone, [(2..granted, Cause::Unsaved)]);
    store.close().unwrap();
    let (_, found) = open(dir.path(), small());
    assert_eq!((found.stored, found.next), (granted + 2, granted + 2));
    assert!(found.corrupt.is_empty());
}

#[test]
fn leases_keep_up_with_a_stream_that_is_synced_now_and_then() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), Config::default());
    store.persist(Persist::Synced).unwrap();
    let mut syncs = 0;
    for _ in 0..2_000 {
        // Whoever gives out numbers stops at what is granted.
        if store.granted() < store.next() + 100 {
            store.persist(Persist::Synced).unwrap();
            syncs += 1;
            assert!(store.granted() >= store.next() + 100);
        }
        append(&mut store, 0, &[100]);
    }
    assert!(syncs < 30, "{syncs} syncs for 200,000 items");
}

#[test]
fn positions_outlive_their_segments() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), small());
    store.commit("billing", 1).unwrap();
    store.commit("audit", 2).unwrap();
    append(&mut store, 0, &[1; 100]);
    store.forget("audit");
    append(&mut store, 0, &[1; 100]);
    store.trim(store.next()).unwrap();
    assert_eq!(segments(dir.path()).len(), 1);
    drop(store);
    let (store, found) = open(dir.path(), small());
    assert_eq!(Vec::from_iter(found.commits), [("billing".to_owned(), 1)]);
    assert!(found.commits_intact);
    assert_eq!(
        store.reader().read(0, 1).unwrap(),
        Read::Gone {
            range: 0..found.first,
            cause: Cause::Trimmed,
        }
    );
}

#[test]
fn names_are_bounded() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), small().names(2));
    store.commit("a", 1).unwrap();
    store.commit("b", 1).unwrap();
    assert!(matches!(
        store.commit("c", 1),
        Err(WriteError::Names { limit: 2 })
    ));
    store.commit("a", 2).unwrap();
    store.forget("b");
    store.commit("c", 1).unwrap();
    for name in ["", &"x".repeat(129)] {
        assert!(matches!(
            store.commit(name, 1),
            Err(WriteError::Name { .. })
        ));
    }
}

#[test]
fn segments_with_commits_alone_do_not_pile_up() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), small());
    for seq in 0..2_000 {
        store.commit("billing", seq).unwrap();
        store.persist(Persist::Buffered).unwrap();
    }
    assert!(segments(dir.path()).len() <= 2);
    drop(store);
    assert_eq!(open(dir.path(), small()).1.commits["billing"], 1_999);
}

#[test]
fn segments_that_somebody_deleted_are_no_reason_to_use_numbers_again() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), small());
    for _ in 0..20 {
        append(&mut store, 0, &[5]);
    }
    store.close().unwrap();
    let all = segments(dir.path());
    std::fs::remove_file(&all[1]).unwrap();
    let (store, found) = open(dir.path(), small());
    assert_eq!((found.stored, found.next), (100, 100));
    let walked = walk(&store.reader(), 0, 1, |_| 0);
    assert_eq!(walked.gone_for(Cause::Corrupt), found.corrupt);
    assert_eq!(found.corrupt.len(), 1);
    drop(store);
    for segment in segments(dir.path()) {
        std::fs::remove_file(segment).unwrap();
    }
    let (_, found) = Store::open(dir.path(), &identity(8), small()).unwrap();
    assert_eq!((found.epoch, found.next), (Epoch(8), 0));
}
