//! A disk without room: an error to the writer, reading goes on, writing works again.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
};

use rivermesh_store::{Config, Persist, Store, WriteError};

use crate::support::{again, append, child, identity, open, sealed, segments, small, walk};

/// A file system of 1 MiB in the child's own namespace; works without rights where the system lets
/// users have namespaces.
const MOUNT: &str = r#"mount -t tmpfs -o size=1m none "$RIVERMESH_STORE_CHILD" && exec "$0" "$@""#;

/// No file may be over 32 KiB (of 512 bytes each), and the signal of it is let be.
const LIMIT: &str = r#"trap "" XFSZ; ulimit -f 64; exec "$0" "$@""#;

fn run(before: &[&str], test: &str) {
    let dir = tempfile::tempdir().unwrap();
    let output = again(before, test, dir.path()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}\n{errors}");
    assert!(
        text.contains("@done"),
        "the child did nothing: {text}\n{errors}"
    );
}

#[test]
fn a_full_disk_is_an_error_to_the_writer_and_reads_go_on() {
    let dir = tempfile::tempdir().unwrap();
    let mount = r#"mount -t tmpfs none "$0""#;
    let may_mount = Command::new("unshare")
        .args(["-rm", "sh", "-c", mount])
        .arg(dir.path())
        .output()
        .is_ok_and(|output| output.status.success());
    if !may_mount {
        // `a_file_that_may_not_grow` stands for it here.
        eprintln!("this system lets nobody mount a file system");
        return;
    }
    run(
        &["unshare", "-rm", "sh", "-c", MOUNT],
        "full::on_a_small_disk",
    );
}

#[test]
fn a_file_that_may_not_grow_is_an_error_to_the_writer_and_reads_go_on() {
    run(&["sh", "-c", LIMIT], "full::with_small_files");
}

/// Appends until that fails.
fn fill(store: &mut Store) -> WriteError {
    loop {
        let next = store.next();
        let batches = [sealed(0, next..next + 20), sealed(0, next + 20..next + 21)];
        if let Err(error) = store.append(&batches) {
            assert_eq!(store.next(), next, "a part of it was stored");
            return error;
        }
    }
}

fn all_is_there(store: &Store) {
    let next = store.next();
    let walked = walk(&store.reader(), 0, 10_000, |_| 0);
    assert_eq!(walked.items, (0..next).collect::<Vec<_>>());
}

#[test]
fn on_a_small_disk() {
    let Some(dir) = child() else { return };
    let path = dir.join("store");
    let ballast = dir.join("ballast");
    let config = Config::default().segment_bytes(64 << 10);
    let (mut store, _) = open(&path, config);
    append(&mut store, 0, &[20]);
    store.commit("billing", 5).unwrap();
    store.persist(Persist::Synced).unwrap();
    fs::write(&ballast, vec![1; 512 << 10]).unwrap();
    for left in [384, 256, 128] {
        let before = store.next();
        for _ in 0..3 {
            let error = fill(&mut store);
            assert!(matches!(error, WriteError::Io(_)), "{error}");
            all_is_there(&store);
        }
        assert!(
            store.next() > before,
            "the disk was full from the beginning"
        );
        File::options()
            .write(true)
            .open(&ballast)
            .unwrap()
            .set_len(left << 10)
            .unwrap();
        append(&mut store, 0, &[20, 20]);
        store.persist(Persist::Synced).unwrap();
        all_is_there(&store);
    }
    fill(&mut store);
    let stored = store.next();
    drop(store);

    // Opening what lies on a full disk, and reading it, needs no room.
    let (mut store, found) = open(&path, config);
    assert_eq!(
        (found.stored, found.torn, found.commits["billing"]),
        (stored, None, 5)
    );
    let walked = walk(&store.reader(), 0, 10_000, |_| 0);
    assert_eq!(walked.items, (0..stored).collect::<Vec<_>>());
    assert!(store.persist(Persist::Synced).is_err());
    assert_eq!(
        store.granted(),
        store.next(),
        "numbers were granted that nothing says"
    );
    store.trim(stored / 2).unwrap();
    store.persist(Persist::Synced).unwrap();
    append(&mut store, 0, &[20]);
    store.persist(Persist::Synced).unwrap();
    println!("@done");
}

#[test]
fn with_small_files() {
    let Some(path) = child() else { return };
    fill_small_files(&path);
    println!("@done");
}

fn fill_small_files(path: &Path) {
    let (mut store, _) = open(path, Config::default());
    let error = fill(&mut store);
    assert!(matches!(error, WriteError::Io(_)), "{error}");
    assert!(store.next() > 100);
    fill(&mut store);
    all_is_there(&store);
    let next = store.next();
    drop(store);
    // Where files may be small alone, small segments still fit.
    let (mut store, found) = Store::open(path, &identity(7), small()).unwrap();
    assert_eq!((found.stored, found.torn), (next, None));
    for _ in 0..50 {
        append(&mut store, 0, &[20]);
    }
    store.persist(Persist::Synced).unwrap();
    assert!(segments(path).len() > 2);
}
