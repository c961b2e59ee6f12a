//! Looking for a time on disk, against looking at every batch.

use std::ops::Range;

use proptest::prelude::*;
use rivermesh_proto::{Epoch, Fingerprint, StreamName, batch::Builder};
use rivermesh_store::{Config, Identity, Sealed, Store};

use super::*;

fn sealed(range: &Range<Seq>, at_us: u64) -> Sealed {
    let mut builder = Builder::new(4096);
    for _ in range.clone() {
        let put = |buf: &mut bytes::BytesMut| {
            buf.extend_from_slice(&[7; 300]);
            Ok::<(), std::convert::Infallible>(())
        };
        builder.push(put).unwrap();
    }
    Sealed {
        first: range.start,
        end: range.end,
        frame: builder.seal(range.start, at_us).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn a_time_is_found(
        batches in prop::collection::vec((1u64..20, 0u64..3), 0..60),
        disk_bytes in prop_oneof![Just(1u64 << 30), Just(64 << 10)],
        flips in prop::collection::vec(any::<prop::sample::Index>(), 0..3),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let identity = Identity {
            name: StreamName::new("weather").unwrap(),
            fingerprint: Fingerprint([0; 8]),
            epoch: Epoch(1),
        };
        let config = Config::default().disk_bytes(disk_bytes).index_bytes(1024);
        let (mut store, _) = Store::open(dir.path(), &identity, config).unwrap();
        let (mut next, mut time, mut all) = (0, 10, Vec::new());
        for (count, later) in batches {
            time += later;
            let range = next..next + count;
            store.append(&[sealed(&range, time)]).unwrap();
            all.push((range, time));
            next += count;
        }
        let reader = store.reader();
        for flip in flips {
            let files = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path());
            let files: Vec<_> = files.filter(|path| path.extension().is_some()).collect();
            let Some(path) = files.first() else { break };
            let mut bytes = std::fs::read(path).unwrap();
            let place = flip.index(bytes.len());
            bytes[place] ^= 1;
            std::fs::write(path, bytes).unwrap();
        }
        let is_there = |first: Seq| matches!(
            reader.read(first, 1), Ok(Read::Frames { .. })
        );
        all.retain(|(range, _)| is_there(range.start));
        for at_us in 9..=time + 1 {
            let before = all.iter().rev().find(|(_, begun)| *begun < at_us);
            let expected = before.map_or(reader.first(), |(range, _)| range.start);
            prop_assert_eq!(search(&reader, at_us).unwrap(), expected, "{} {:?}", at_us, all);
        }
    }
}
