//! Frames that wait for room.

use bytes::{BufMut, Bytes};
use proptest::prelude::*;
use rivermesh_proto::{
    Seq,
    batch::{Batch, Builder, Pick, thinned},
};

use crate::producer::named::stage::Stage;

/// A frame of items whose only byte is their number, thinned out by a mask.
fn frame(first: Seq, count: u64, mask: u32) -> Bytes {
    let mut builder = Builder::new(1024);
    for seq in first..first + count {
        let put = |buf: &mut bytes::BytesMut| {
            buf.put_u8(seq as u8);
            Ok::<(), std::convert::Infallible>(())
        };
        builder.push(put).unwrap();
    }
    let whole = builder.seal(first, 7).unwrap();
    if mask == u32::MAX {
        return whole;
    }
    let batch = Batch::of_frame(&whole).unwrap();
    let mut position = batch.start();
    let picks: Vec<Pick> = std::iter::from_fn(|| batch.next_pick(&mut position))
        .map(|(pick, _)| pick)
        .filter(|pick| mask >> (pick.seq % 32) & 1 == 1)
        .collect();
    thinned(&whole, first..first + count, picks.into_iter()).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever the rooms, what comes out is what went in, in order, and speaks for all numbers.
    #[test]
    fn a_stage_gives_all_it_got(
        frames in prop::collection::vec((1u64..20, prop_oneof![Just(u32::MAX), any::<u32>()]), 1..6),
        rooms in prop::collection::vec(0u64..9, 1..200),
    ) {
        let mut stage = Stage::new(10);
        let (mut next, mut expected) = (10, Vec::new());
        for (count, mask) in &frames {
            stage.push([frame(next, *count, *mask)]);
            expected.extend((next..next + count).filter(|seq| mask >> (seq % 32) & 1 == 1));
            next += count;
        }
        let (mut got, mut told) = (Vec::new(), 10);
        for room in rooms.into_iter().chain([u64::MAX]) {
            let mut out = Vec::new();
            let released = stage.release(room, &mut out);
            prop_assert!(released.count() <= room);
            let noted: Vec<Seq> = released.items.iter().cloned().flatten().collect();
            let before = got.len();
            for frame in out {
                let batch = Batch::of_frame(&frame).unwrap();
                prop_assert_eq!(batch.first(), told);
                told = batch.end();
                let mut position = batch.start();
                while let Some((seq, item)) = batch.next(&mut position) {
                    prop_assert_eq!(item, &[seq as u8]);
                    got.push(seq);
                }
            }
            prop_assert_eq!(&got[before..], &noted[..]);
            prop_assert_eq!(stage.told(), told);
        }
        prop_assert!(stage.is_empty());
        prop_assert_eq!(told, next);
        prop_assert_eq!(got, expected);
    }
}
