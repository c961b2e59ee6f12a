//! Batches whose bytes follow from their numbers, and a judge of what is read back.

use std::{
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

use bytes::{BufMut, Bytes};
use rivermesh_proto::{Epoch, Fingerprint, Seq, StreamName, batch};
use rivermesh_store::{Cause, Config, Identity, Read, Reader, Recovered, Sealed, Store};

/// Small segments, so that a few batches fill some.
pub(crate) fn small() -> Config {
    Config::default()
        .segment_bytes(4 << 10)
        .index_bytes(1 << 10)
}

pub(crate) fn identity(epoch: u64) -> Identity {
    Identity {
        name: StreamName::new("weather/JFK").unwrap(),
        fingerprint: Fingerprint([1, 2, 3, 4, 5, 6, 7, 8]),
        epoch: Epoch(epoch),
    }
}

pub(crate) fn open(path: &Path, config: Config) -> (Store, Recovered) {
    Store::open(path, &identity(7), config).unwrap()
}

/// What the item of a number must be, when its life has this salt: 0 to 299 bytes.
pub(crate) fn payload(salt: u64, seq: Seq) -> Vec<u8> {
    let mut hasher = blake3::Hasher::new();
    hasher
        .update(&salt.to_le_bytes())
        .update(&seq.to_le_bytes());
    let mut reader = hasher.finalize_xof();
    let mut len = [0; 2];
    reader.fill(&mut len);
    let mut bytes = vec![0; usize::from(u16::from_le_bytes(len)) % 300];
    reader.fill(&mut bytes);
    bytes
}

/// A batch of some items.
pub(crate) fn sealed(salt: u64, range: Range<Seq>) -> Sealed {
    let mut builder = batch::Builder::new(1024);
    for seq in range.clone() {
        let put = |out: &mut bytes::BytesMut| {
            out.put_slice(&payload(salt, seq));
            Ok::<_, ()>(())
        };
        builder.push(put).unwrap();
    }
    Sealed {
        first: range.start,
        end: range.end,
        frame: builder.seal(range.start, 1_000).unwrap(),
    }
}

/// Appends batches of these sizes.
pub(crate) fn append(store: &mut Store, salt: u64, sizes: &[u64]) {
    let mut next = store.next();
    let mut batches = Vec::new();
    for size in sizes {
        batches.push(sealed(salt, next..next + size));
        next += size;
    }
    store.append(&batches).unwrap();
}

/// What a walk from one number to the end has found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Walked {
    /// Items that were there.
    pub(crate) items: Vec<Seq>,
    pub(crate) gone: Vec<(Range<Seq>, Cause)>,
}

impl Walked {
    pub(crate) fn gone_for(&self, cause: Cause) -> Vec<Range<Seq>> {
        let of_cause = self.gone.iter().filter(|(_, why)| *why == cause);
        of_cause.map(|(range, _)| range.clone()).collect()
    }
}

/// Reads from `from` to the end. Panics where bytes are wrong, or numbers come twice, are left out
/// or go back. `salt` says which salt the item of a number has.
pub(crate) fn walk(reader: &Reader, from: Seq, max: usize, salt: impl Fn(Seq) -> u64) -> Walked {
    let (mut at, mut walked) = (from, Walked::default());
    loop {
        match reader.read(at, max).unwrap() {
            Read::End => break,
            Read::Gone { range, cause } => {
                assert_eq!(range.start, at, "a gap begins elsewhere");
                assert!(range.end > at, "an empty gap");
                at = range.end;
                walked.gone.push((range, cause));
            }
            Read::Frames { frames, next } => {
                let begin = at;
                for frame in &frames {
                    at = check(frame, at, &salt, &mut walked.items);
                }
                assert!(
                    at == next && at > begin,
                    "the frames end at {at}, said {next}"
                );
            }
        }
    }
    assert_eq!(at, reader.next().max(from));
    walked
}

/// Checks a frame that must hold `at`, and gives where it ends.
fn check(frame: &Bytes, at: Seq, salt: impl Fn(Seq) -> u64, items: &mut Vec<Seq>) -> Seq {
    let batch = batch::Batch::of_frame(frame).expect("a frame that was appended");
    assert!(
        (batch.first()..batch.end()).contains(&at),
        "{batch:?} at {at}"
    );
    let mut position = batch.start();
    while let Some((seq, item)) = batch.next(&mut position) {
        assert!(
            item == payload(salt(seq), seq),
            "item {seq} has wrong bytes"
        );
        if seq >= at {
            items.push(seq);
        }
    }
    batch.end()
}

/// All files of a store, in order.
pub(crate) fn files(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

pub(crate) fn segments(path: &Path) -> Vec<PathBuf> {
    let is_segment = |path: &PathBuf| path.extension().is_some_and(|end| end == "seg");
    files(path).into_iter().filter(is_segment).collect()
}

/// Says to a test of this binary that it is a child, and where its store lies.
pub(crate) const CHILD: &str = "RIVERMESH_STORE_CHILD";

/// This binary again, to run one test as a child; behind the words of a command that are given.
pub(crate) fn again(before: &[&str], test: &str, store: &Path) -> Command {
    let this = std::env::current_exe().unwrap();
    let this = this.to_str().unwrap();
    let mut words = before.to_vec();
    words.extend([this, "--exact", test, "--nocapture", "--test-threads=1"]);
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).env(CHILD, store);
    command
}

/// Where the store of this child lies; `None` in an ordinary run of the tests.
pub(crate) fn child() -> Option<PathBuf> {
    std::env::var_os(CHILD).map(PathBuf::from)
}
