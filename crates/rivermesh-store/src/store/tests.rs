//! What a disk does that cannot be had in a test: a sync that fails.

use bytes::Bytes;
use rivermesh_proto::{Epoch, Fingerprint, StreamName};

use super::*;
use crate::{Cause, Read};

fn identity() -> Identity {
    Identity {
        name: StreamName::new("weather").unwrap(),
        fingerprint: Fingerprint([0; 8]),
        epoch: Epoch(1),
    }
}

fn sealed(range: std::ops::Range<Seq>) -> Sealed {
    Sealed {
        first: range.start,
        end: range.end,
        frame: Bytes::from(format!("items {range:?}")),
    }
}

fn append(store: &mut Store, count: u64) {
    for _ in 0..count {
        let next = store.next();
        store.append(&[sealed(next..next + 2)]).unwrap();
    }
}

fn fail_syncs(store: &mut Store, count: u32) {
    store.active.as_mut().unwrap().failing = count;
}

/// Everything up to `end` reads back; gives what does not.
fn check(store: &Store, end: Seq) -> Vec<std::ops::Range<Seq>> {
    let (mut at, mut gone) = (0, Vec::new());
    while at < end {
        match store.reader().read(at, 1).unwrap() {
            Read::Frames { frames, next } => {
                assert_eq!(frames, [sealed(at..next).frame]);
                at = next;
            }
            Read::Gone { range, cause } => {
                assert_eq!(cause, Cause::Corrupt);
                at = range.end;
                gone.push(range);
            }
            Read::End => panic!("the end at {at}"),
        }
    }
    gone
}

#[test]
fn after_a_sync_that_failed_everything_since_is_written_anew() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), &identity(), Config::default()).unwrap();
    append(&mut store, 3);
    store.persist(Persist::Synced).unwrap();
    append(&mut store, 3);
    store.commit("billing", 4).unwrap();
    fail_syncs(&mut store, 1);
    let granted = store.granted();
    assert!(store.persist(Persist::Synced).is_err());
    assert_eq!(store.granted(), granted);
    // It stays readable, and the next sync is of a new segment.
    assert!(check(&store, 12).is_empty());
    let before = store.number;
    store.persist(Persist::Synced).unwrap();
    assert_eq!(store.number, before + 1);
    append(&mut store, 3);
    assert!(check(&store, 18).is_empty());
    store.close().unwrap();
    let (store, found) = Store::open(dir.path(), &identity(), Config::default()).unwrap();
    assert!(
        found.corrupt.is_empty() && found.damage.is_empty(),
        "{found:?}"
    );
    assert_eq!((found.next, found.commits["billing"]), (18, 4));
    assert!(check(&store, 18).is_empty());
}

#[test]
fn what_the_disk_forgot_after_a_failed_sync_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), &identity(), Config::default()).unwrap();
    append(&mut store, 3);
    store.persist(Persist::Synced).unwrap();
    let at = store.active.as_ref().unwrap().len + 70;
    append(&mut store, 3);
    fail_syncs(&mut store, 1);
    assert!(store.persist(Persist::Synced).is_err());
    let path = store.shared.folder.segment(store.number);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at as usize] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    store.persist(Persist::Synced).unwrap();
    assert_eq!(check(&store, 12), vec![6..8; 1]);
    drop(store);
    let (store, found) = Store::open(dir.path(), &identity(), Config::default()).unwrap();
    assert_eq!(found.corrupt, vec![6..8; 1]);
    assert_eq!(check(&store, 12), vec![6..8; 1]);
}

#[test]
fn copies_that_could_not_be_cut_off_are_read_once() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = Store::open(dir.path(), &identity(), Config::default()).unwrap();
    append(&mut store, 3);
    store.persist(Persist::Synced).unwrap();
    append(&mut store, 3);
    fail_syncs(&mut store, 1);
    assert!(store.persist(Persist::Synced).is_err());
    let path = store.shared.folder.segment(store.number);
    let uncut = std::fs::read(&path).unwrap();
    store.persist(Persist::Synced).unwrap();
    append(&mut store, 1);
    drop(store);
    std::fs::write(&path, uncut).unwrap();
    let (store, found) = Store::open(dir.path(), &identity(), Config::default()).unwrap();
    assert!(
        found.corrupt.is_empty() && found.damage.is_empty(),
        "{found:?}"
    );
    assert_eq!(found.stored, 14);
    assert!(check(&store, 14).is_empty());
}

#[test]
fn a_segment_is_not_left_before_it_is_synced() {
    let dir = tempfile::tempdir().unwrap();
    let config = Config::default().segment_bytes(4096);
    let (mut store, _) = Store::open(dir.path(), &identity(), config).unwrap();
    append(&mut store, 1);
    while store.active.as_ref().unwrap().len < 4096 {
        append(&mut store, 1);
    }
    fail_syncs(&mut store, 1);
    let next = store.next();
    assert!(store.append(&[sealed(next..next + 2)]).is_err());
    assert_eq!(store.next(), next);
    append(&mut store, 2);
    assert!(check(&store, next + 4).is_empty());
}
