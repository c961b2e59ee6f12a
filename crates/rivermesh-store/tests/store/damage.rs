//! Flipped bits, anywhere: told, never wrong, never a panic, and reading goes on behind them.

use std::{
    fs::File,
    io::{Read as _, Seek, SeekFrom, Write},
    ops::Range,
    path::Path,
};

use rand::{Rng, RngExt, SeedableRng, rngs::StdRng};
use rivermesh_store::{Cause, OpenError, Persist, Store};

use crate::support::{append, files, identity, open, segments, small, walk};

/// A store of some segments, closed in order, with what it holds.
fn build(path: &Path, rng: &mut StdRng) -> u64 {
    let (mut store, _) = open(path, small());
    for round in 0..rng.random_range(10..60) {
        append(
            &mut store,
            0,
            &[rng.random_range(1..8), rng.random_range(1..8)],
        );
        store.commit("billing", round).unwrap();
        if rng.random_ratio(1, 8) {
            store.persist(Persist::Synced).unwrap();
        }
    }
    let next = store.next();
    store.close().unwrap();
    next
}

fn flip(path: &Path, at: u64, mask: u8) {
    let mut file = File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.seek(SeekFrom::Start(at)).unwrap();
    file.read_exact(&mut byte).unwrap();
    file.seek(SeekFrom::Start(at)).unwrap();
    file.write_all(&[byte[0] ^ mask]).unwrap();
}

fn is_covered(seq: u64, ranges: &[Range<u64>]) -> bool {
    ranges.iter().any(|range| range.contains(&seq))
}

/// Opens a damaged store, and holds what it says against what is read.
fn judge(path: &Path, next: u64, case: &str) {
    let (mut store, found) = match Store::open(path, &identity(7), small()) {
        Ok(opened) => opened,
        Err(OpenError::Damaged { .. } | OpenError::Version { .. }) => return,
        Err(error) => panic!("{case}: {error}"),
    };
    assert!(
        found.next >= next || found.torn.is_some(),
        "{case}: {found:?}"
    );
    let walked = walk(&store.reader(), 0, 1 << 20, |_| 0);
    let lost = walked.gone_for(Cause::Corrupt);
    for seq in 0..next {
        let is_there = walked.items.binary_search(&seq).is_ok();
        let is_told = is_covered(seq, &found.corrupt)
            || found.torn.is_some() && seq >= found.stored
            || seq < found.first && !found.damage.is_empty();
        assert!(
            is_there || is_told,
            "{case}: item {seq} is missing in silence, {found:?}"
        );
        assert!(
            !(is_there && is_covered(seq, &found.corrupt)),
            "{case}: item {seq} is not corrupt"
        );
        let is_read =
            is_there || is_covered(seq, &lost) || seq >= found.stored || seq < found.first;
        assert!(
            is_read,
            "{case}: item {seq} is gone, and not as corrupt, {:?}",
            walked.gone
        );
    }
    if found.commits_intact && found.torn.is_none() {
        assert!(found.commits.contains_key("billing"), "{case}");
    }
    store.persist(Persist::Synced).unwrap();
    let begin = store.next();
    append(&mut store, 1, &[5]);
    let behind = walk(&store.reader(), begin, 1, |_| 1);
    assert_eq!(behind.items.len(), 5, "{case}");
}

#[test]
fn a_flipped_bit_anywhere_is_told() {
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut found = 0;
    for round in 0..150 {
        let dir = tempfile::tempdir().unwrap();
        let next = build(dir.path(), &mut rng);
        let all = files(dir.path());
        let file = &all[rng.random_range(0..all.len())];
        let len = std::fs::metadata(file).unwrap().len();
        if len == 0 {
            continue;
        }
        let (at, bit) = (rng.random_range(0..len), rng.random_range(0..8));
        flip(file, at, 1 << bit);
        let name = file.file_name().unwrap().display();
        judge(
            dir.path(),
            next,
            &format!("seed {seed}, round {round}: {name}, byte {at}, bit {bit}"),
        );
        found += 1;
    }
    assert!(found > 75);
}

#[test]
fn every_byte_of_a_small_store_may_be_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), small());
    append(&mut store, 0, &[2, 2]);
    store.commit("billing", 2).unwrap();
    store.close().unwrap();
    let whole: Vec<_> = files(dir.path())
        .into_iter()
        .map(|path| (std::fs::read(&path).unwrap(), path))
        .collect();
    for (bytes, path) in &whole {
        for at in 0..bytes.len() {
            let copy = tempfile::tempdir().unwrap();
            for (bytes, path) in &whole {
                std::fs::write(copy.path().join(path.file_name().unwrap()), bytes).unwrap();
            }
            let name = path.file_name().unwrap();
            flip(&copy.path().join(name), at as u64, 0x41);
            judge(copy.path(), 4, &format!("{}, byte {at}", name.display()));
        }
    }
}

#[test]
fn much_damage_is_told_as_well() {
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    for round in 0..50 {
        let dir = tempfile::tempdir().unwrap();
        let next = build(dir.path(), &mut rng);
        for _ in 0..rng.random_range(1..6) {
            let all = segments(dir.path());
            let file = &all[rng.random_range(0..all.len())];
            let mut bytes = std::fs::read(file).unwrap();
            let begin = rng.random_range(0..bytes.len());
            let end = rng.random_range(begin..bytes.len()) + 1;
            match rng.random_range(0..3) {
                0 => rng.fill_bytes(&mut bytes[begin..end]),
                1 => bytes[begin..end].fill(0),
                // Records from elsewhere, whole as they are.
                _ => bytes.copy_within(0..end - begin, begin),
            }
            std::fs::write(file, bytes).unwrap();
        }
        judge(dir.path(), next, &format!("seed {seed}, round {round}"));
    }
}

#[test]
fn damage_that_comes_while_the_store_is_open_is_told_to_its_reader() {
    let seed = rand::random();
    let mut rng = StdRng::seed_from_u64(seed);
    let mut corrupt = 0;
    for round in 0..200 {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open(dir.path(), small());
        append(&mut store, 0, &[4; 30]);
        let all = segments(dir.path());
        let file = &all[rng.random_range(0..all.len())];
        let at = rng.random_range(0..std::fs::metadata(file).unwrap().len());
        flip(file, at, 1 << rng.random_range(0..8));
        let walked = walk(&store.reader(), 0, 1, |_| 0);
        let lost: u64 = walked
            .gone
            .iter()
            .map(|(range, _)| range.end - range.start)
            .sum();
        assert_eq!(
            walked.items.len() as u64 + lost,
            120,
            "seed {seed}, round {round}"
        );
        assert!(
            lost <= 4,
            "seed {seed}, round {round}: one bit took {lost} items"
        );
        assert_eq!(walked.gone_for(Cause::Corrupt).len(), walked.gone.len());
        corrupt += walked.gone.len();
    }
    assert!(corrupt > 50, "only {corrupt} of 200 flips hit a batch");
}

#[test]
fn records_within_items_are_not_taken_for_records() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path(), small());
    append(&mut store, 0, &[3]);
    // An item whose bytes are the store's own segment, and damage to the record that holds it.
    let own = std::fs::read(&segments(dir.path())[0]).unwrap();
    let mut builder = rivermesh_proto::batch::Builder::new(1024);
    for shift in 0..8 {
        let put = |out: &mut bytes::BytesMut| {
            out.extend_from_slice(&vec![0; shift]);
            out.extend_from_slice(&own);
            Ok::<_, ()>(())
        };
        builder.push(put).unwrap();
    }
    let frame = builder.seal(3, 0).unwrap();
    store
        .append(&[rivermesh_store::Sealed {
            first: 3,
            end: 11,
            frame,
        }])
        .unwrap();
    let at = own.len() as u64 + 20;
    append(&mut store, 0, &[2]);
    store.close().unwrap();
    flip(&segments(dir.path())[0], at, 1);
    let (store, found) = open(dir.path(), small());
    assert_eq!(found.corrupt, vec![3..11; 1]);
    let walked = walk(&store.reader(), 0, 1, |_| 0);
    assert_eq!(walked.items, [0, 1, 2, 11, 12]);
}
