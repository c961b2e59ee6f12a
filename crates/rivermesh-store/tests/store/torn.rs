//! A tail that was being written: the newest segment, cut anywhere.

use std::{
    fs::File,
    path::{Path, PathBuf},
};

use rand::{RngExt, SeedableRng, rngs::StdRng};
use rivermesh_store::{Cause, Persist};

use crate::support::{append, open, segments, small, walk};

#[test]
fn whole_batches_before_the_cut_are_there_and_writing_goes_on() {
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    for round in 0..100 {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open(dir.path(), small());
        store.persist(Persist::Synced).unwrap();
        // What must not be lost: items, and bytes of the segment that is cut.
        let (mut synced, mut safe) = (0, size(dir.path()));
        let batches = rng.random_range(1..40);
        for _ in 0..batches {
            append(&mut store, 0, &[rng.random_range(1..8)]);
            if rng.random_ratio(1, 8) {
                store.persist(Persist::Synced).unwrap();
                (synced, safe) = (store.next(), size(dir.path()));
            }
        }
        let granted = store.granted();
        drop(store);
        let last = segments(dir.path()).pop().unwrap();
        let file = File::options().write(true).open(&last).unwrap();
        let len = file.metadata().unwrap().len();
        let kept = rng.random_range(0..len);
        file.set_len(kept).unwrap();
        if rng.random() {
            // What a crash of the machine leaves: the length is there, and the bytes are not.
            file.set_len(len).unwrap();
        }
        let told = file.metadata().unwrap().len();
        drop(file);

        let case = format!("seed {seed}, round {round}: {kept} of {len} bytes");
        let is_first = segments(dir.path()).len() == 1;
        let (mut store, found) =
            match rivermesh_store::Store::open(dir.path(), &crate::support::identity(7), small()) {
                Ok(opened) => opened,
                // The one segment there is lost its head: nothing says which numbers were used.
                Err(rivermesh_store::OpenError::Damaged { .. }) if is_first && kept < 512 => {
                    continue;
                }
                Err(error) => panic!("{case}: {error}"),
            };
        let walked = walk(&store.reader(), found.first, 1, |_| 0);
        assert!(
            found.corrupt.is_empty() && walked.gone_for(Cause::Corrupt).is_empty(),
            "{case}"
        );
        assert_eq!(
            walked.items,
            (0..found.stored).collect::<Vec<_>>(),
            "{case}"
        );
        let left = std::fs::metadata(&last).map_or(0, |file| file.len());
        assert_eq!(
            found.torn.map_or(0, |torn| torn.bytes),
            told - left,
            "{case}"
        );
        let (segment, safe) = safe;
        // A segment begins with a sync of its own.
        if kept >= if segment == last { safe } else { 512 } {
            assert!(
                found.stored >= synced && found.next >= granted,
                "{case}: {found:?}"
            );
        }
        store.persist(Persist::Synced).unwrap();
        append(&mut store, 1, &[3, 3]);
        let next = store.next();
        store.close().unwrap();
        let (store, again) = open(dir.path(), small());
        assert_eq!(
            (again.next, again.torn, again.damage.len()),
            (next, None, 0),
            "{case}"
        );
        let salt = |seq| u64::from(seq >= found.next);
        walk(&store.reader(), 0, 1 << 20, salt);
    }
}

/// A process that is killed between creating a file and writing to it leaves an empty one.
#[test]
fn an_empty_newest_segment_is_no_damage() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), small());
    append(&mut store, 0, &[3]);
    store.commit("billing", 2).unwrap();
    store.close().unwrap();
    let last = segments(dir.path()).pop().unwrap();
    let number: u64 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    let empty = dir.path().join(format!("{:020}.seg", number + 1));
    File::create(&empty).unwrap();
    let (store, found) = open(dir.path(), small());
    assert!(found.damage.is_empty() && found.commits_intact, "{found:?}");
    assert_eq!(
        (found.stored, found.next, found.commits["billing"]),
        (3, 3, 2)
    );
    assert_eq!(found.torn.map(|torn| torn.bytes), Some(0));
    assert!(!empty.exists());
    drop(store);
    // And where it is the very first.
    for segment in segments(dir.path()) {
        std::fs::remove_file(segment).unwrap();
    }
    File::create(dir.path().join(format!("{:020}.seg", 1))).unwrap();
    let (mut store, found) = open(dir.path(), small());
    assert!(found.damage.is_empty() && found.commits_intact, "{found:?}");
    assert_eq!((found.stored, found.next), (0, 0));
    append(&mut store, 0, &[3]);
    store.close().unwrap();
    let (_, found) = open(dir.path(), small());
    assert_eq!((found.stored, found.torn), (3, None));
}

/// The newest segment, and its bytes.
fn size(path: &Path) -> (PathBuf, u64) {
    let last = segments(path).pop().unwrap();
    let len = std::fs::metadata(&last).unwrap().len();
    (last, len)
}
