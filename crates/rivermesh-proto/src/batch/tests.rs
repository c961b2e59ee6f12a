use std::convert::Infallible;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use super::*;

fn put(item: &[u8]) -> impl FnOnce(&mut BytesMut) -> Result<(), Infallible> {
    move |buf| {
        buf.put_slice(item);
        Ok(())
    }
}

fn seal(items: &[Vec<u8>], first: Seq) -> Bytes {
    let mut builder = Builder::new(1024);
    for item in items {
        builder.push(put(item)).unwrap();
    }
    builder.seal(first, 99).unwrap()
}

fn read(frame: &Bytes) -> Result<Frame, FrameError> {
    let header = Header::parse(frame[..HEADER].try_into().unwrap())?;
    assert_eq!(header.len, frame.len() - HEADER);
    Frame::parse(header.kind, frame.slice(HEADER..))
}

fn items(batch: &Batch) -> Vec<(Seq, Vec<u8>)> {
    let mut position = batch.start();
    std::iter::from_fn(|| {
        batch
            .next(&mut position)
            .map(|(seq, item)| (seq, item.to_vec()))
    })
    .collect()
}

#[test]
fn golden_bytes() {
    let frame = seal(&[b"ab".to_vec(), Vec::new(), vec![7; 130]], 0x0102);
    let mut expected = vec![1, 156, 0, 0, 0];
    expected.extend([2, 1, 0, 0, 0, 0, 0, 0]);
    expected.extend([3, 0, 0, 0]);
    expected.extend([99, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([2, b'a', b'b', 0, 130, 1]);
    expected.extend([7; 130]);
    assert_eq!(expected.len() - HEADER, 156);
    assert_eq!(&frame[..], &expected[..]);
    assert_eq!(
        &gap(1, 258)[..],
        &[
            3, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 0, 0, 0, 0, 0, 0
        ]
    );
    assert_eq!(&end(0x102)[..], &[4, 4, 0, 0, 0, 2, 1, 0, 0]);
    let thin = thinned(&frame, 0x0100..0x0182, picks(&frame, |seq| seq != 0x0103)).unwrap();
    let mut expected = vec![2, 164, 0, 0, 0];
    expected.extend([0, 1, 0, 0, 0, 0, 0, 0]);
    expected.extend([0x82, 1, 0, 0, 0, 0, 0, 0]);
    expected.extend([2, 0, 0, 0]);
    expected.extend([99, 0, 0, 0, 0, 0, 0, 0]);
    expected.extend([2, 2, b'a', b'b', 1, 130, 1]);
    expected.extend([7; 130]);
    expected[1] = (expected.len() - HEADER) as u8;
    assert_eq!(&thin[..], &expected[..]);
    let mut expected = vec![2, 28, 0, 0, 0];
    expected.extend([5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    expected.extend([0; 12]);
    assert_eq!(&filtered(5..256)[..], &expected[..]);
    assert_eq!(
        &filter(0x0102, 0x0304)[..],
        &[5, 12, 0, 0, 0, 2, 1, 0, 0, 4, 3, 0, 0, 0, 0, 0, 0]
    );
    let full = refused(&Refusal::Full { max: 300 }).unwrap();
    assert_eq!(&full[..], &[6, 3, 0, 0, 0, 2, 0xac, 2]);
}

#[test]
fn what_a_filter_holds_for_is_told_between_the_items() {
    let mut sequence = Sequence::at(10);
    let frame = read(&filter(7, 10)).unwrap();
    assert_eq!(
        frame,
        Frame::Filter {
            change: 7,
            from: 10
        }
    );
    sequence.accept(&frame).unwrap();
    sequence.accept(&read(&filtered(10..20)).unwrap()).unwrap();
    assert!(sequence.accept(&frame).is_err(), "it goes back");
    let refusal = Refusal::NotAdmitted;
    let frame = read(&refused(&refusal).unwrap()).unwrap();
    sequence.accept(&frame).unwrap();
    assert_eq!(frame, Frame::Refused(refusal));
    assert_eq!(sequence.next(), 20);
    assert!(Header::parse([6, 0, 0, 0, 0]).is_err());
    assert!(Header::parse([6, 1, 64, 0, 0]).is_err(), "over 16 KiB");
    assert!(Frame::parse(Kind::Refused, Bytes::from_static(&[99])).is_err());
}

/// Where the items of a batch are whose numbers are wanted.
fn picks(frame: &Bytes, wanted: impl Fn(Seq) -> bool) -> std::vec::IntoIter<Pick> {
    let batch = Batch::of_frame(frame).unwrap();
    let mut position = batch.start();
    let mut picks = Vec::new();
    loop {
        let offset = position.offset();
        match batch.next(&mut position) {
            Some((seq, _)) if wanted(seq) => picks.push(Pick { seq, offset }),
            Some(_) => {}
            None => return picks.into_iter(),
        }
    }
}

#[test]
fn a_builder_knows_where_the_next_item_begins() {
    let mut builder = Builder::new(1024);
    let mut offsets = Vec::new();
    for item in [&b"a"[..], &[7; 300], b""] {
        offsets.push(builder.offset());
        builder.push(put(item)).unwrap();
    }
    let frame = builder.seal(4, 9).unwrap();
    let found: Vec<usize> = picks(&frame, |_| true).map(|pick| pick.offset).collect();
    assert_eq!(found, offsets);
}

#[test]
fn lengths_of_any_width_follow_each_other() {
    let lengths = [
        0, 127, 128, 127, 16_383, 16_384, 128, 300_000, 16_383, 0, 200,
    ];
    let wanted: Vec<Vec<u8>> = lengths.iter().map(|len| vec![*len as u8; *len]).collect();
    let frame = seal(&wanted, 7);
    let got = items(&Batch::of_frame(&frame).unwrap());
    let wanted: Vec<(Seq, Vec<u8>)> = (7..).zip(wanted).collect();
    assert!(got == wanted);
    // A failed item leaves nothing of the room that was left for its length.
    let mut builder = Builder::new(1024);
    builder.push(put(&[1; 300])).unwrap();
    let failed: Result<(), &str> = builder.push(|_| Err("no"));
    failed.unwrap_err();
    builder.push(put(b"x")).unwrap();
    let got = items(&Batch::of_frame(&builder.seal(0, 0).unwrap()).unwrap());
    assert_eq!(got, [(0, vec![1; 300]), (1, b"x".to_vec())]);
}

#[test]
fn a_builder_uses_the_memory_of_frames_that_nobody_wants() {
    let fill = |builder: &mut Builder| {
        builder.push(put(&[7; 900])).unwrap();
        builder.seal(0, 0).unwrap()
    };
    let mut builder = Builder::reusing(1024, 1);
    let first = fill(&mut builder);
    let (at, held) = (first.as_ptr(), first.clone());
    builder.give_back(first);
    let second = fill(&mut builder);
    assert_ne!(second.as_ptr(), at, "somebody has it");
    assert!(!held.is_unique(), "nor is it forgotten");
    drop(held);
    let third = fill(&mut builder);
    assert_eq!(third.as_ptr(), at);
    assert_eq!(
        items(&Batch::of_frame(&third).unwrap()),
        [(0, vec![7; 900])]
    );
    // What has grown for a large item is not kept.
    builder.push(put(&[7; 5000])).unwrap();
    let large = builder.seal(0, 0).unwrap();
    let held = large.clone();
    let after = fill(&mut builder);
    builder.give_back(large);
    assert!(
        held.is_unique(),
        "neither by itself nor by what came after it"
    );
    drop((second, after));
}

#[test]
fn a_builder_can_put_its_last_item_into_the_next_batch() {
    let mut builder = Builder::new(64);
    builder.push(put(b"one")).unwrap();
    let offset = builder.offset();
    assert!(
        builder.seal_before(HEADER + 20, 0, 0).is_none(),
        "the only one"
    );
    builder.push(put(&[7; 300])).unwrap();
    let first = Batch::of_frame(&builder.seal_before(offset, 5, 1).unwrap()).unwrap();
    assert_eq!(items(&first), vec![(5, b"one".to_vec())]);
    builder.push(put(b"three")).unwrap();
    let second = Batch::of_frame(&builder.seal(6, 2).unwrap()).unwrap();
    assert_eq!(
        items(&second),
        vec![(6, vec![7; 300]), (7, b"three".to_vec())]
    );
    assert_eq!((first.sent_at_us(), second.sent_at_us()), (1, 2));
}

#[test]
fn picks_that_cannot_be_are_refused() {
    let frame = seal(&[vec![1], vec![2]], 10);
    let at = |seq, offset| vec![Pick { seq, offset }];
    let thin = |range, picks: Vec<Pick>| thinned(&frame, range, picks.into_iter());
    assert!(thin(10..12, at(10, HEADER + 20)).is_some());
    assert!(thin(10..12, at(9, HEADER + 20)).is_none());
    assert!(thin(10..12, at(12, HEADER + 20)).is_none());
    assert!(thin(10..12, at(10, 1000)).is_none());
    assert!(thin(10..10, Vec::new()).is_none());
    let twice = [at(10, HEADER + 20), at(10, HEADER + 20)].concat();
    assert!(thin(10..12, twice).is_none());
}

/// Of a batch that is whole, and of one that was thinned out itself.
#[test]
fn items_are_cut_out_and_redelivered() {
    let whole = seal(&[vec![1], vec![2; 300], vec![3], vec![4]], 10);
    let thin = thinned(&whole, 10..14, picks(&whole, |seq| seq != 12)).unwrap();
    for frame in [&whole, &thin] {
        let batch = Batch::of_frame(frame).unwrap();
        let mut position = batch.start();
        let picks: Vec<Pick> = std::iter::from_fn(|| batch.next_pick(&mut position))
            .map(|(pick, _)| pick)
            .collect();
        let (head, last) = (picks[..2].to_vec(), *picks.last().unwrap());
        let cut = read(&thinned(frame, 10..12, head.into_iter()).unwrap()).unwrap();
        let Frame::Batch(cut) = cut else {
            panic!("{cut:?}");
        };
        assert_eq!(items(&cut), vec![(10, vec![1]), (11, vec![2; 300])]);
        assert_eq!((cut.end(), cut.sent_at_us()), (12, 99));
        let again = redelivered(frame, [picks[0], last].into_iter()).unwrap();
        assert_eq!(again[0], 7);
        let mut sequence = Sequence::at(77);
        sequence.accept(&read(&again).unwrap()).unwrap();
        assert_eq!(sequence.next(), 77, "it stands outside of the order");
        let Frame::Redelivered(again) = read(&again).unwrap() else {
            panic!("{again:?}");
        };
        assert_eq!(items(&again), vec![(10, vec![1]), (13, vec![4])]);
        assert!(redelivered(frame, std::iter::empty()).is_none());
    }
    let empty = filtered(5..6);
    let empty = Frame::parse(Kind::Redelivered, empty.slice(HEADER..));
    assert_eq!(empty, Err(FrameError::Empty));
}

#[test]
fn malformed_thinned_batches_are_refused() {
    let parse = |words: (u64, u64, u32), items: &[u8]| {
        let mut body = BytesMut::new();
        body.put_u64_le(words.0);
        body.put_u64_le(words.1);
        body.put_u32_le(words.2);
        body.put_u64_le(0);
        body.put_slice(items);
        Frame::parse(Kind::Thinned, body.freeze())
    };
    assert!(parse((5, 9, 1), &[3, 1, 7]).is_ok());
    assert_eq!(parse((5, 5, 0), &[]), Err(FrameError::Empty));
    assert_eq!(parse((5, 4, 0), &[]), Err(FrameError::Empty));
    let beyond = Err(FrameError::OutOfRange { index: 0 });
    assert_eq!(parse((5, 9, 1), &[4, 1, 7]), beyond);
    assert_eq!(
        parse((5, 7, 3), &[0, 0, 0, 0, 0, 0]),
        Err(FrameError::OutOfRange { index: 2 })
    );
    let bad = Err(FrameError::Item { index: 0 });
    assert_eq!(parse((5, 9, 1), &[0x80, 0, 1, 7]), bad, "not the shortest");
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 0];
    assert_eq!(parse((5, 9, 1), &most), bad, "the number overflows");
    let more = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2, 0];
    assert_eq!(parse((0, 9, 1), &more), bad);
    assert!(
        parse(
            (0, u64::MAX, 1),
            &most[..10].iter().copied().chain([0]).collect::<Vec<_>>()
        )
        .is_err()
    );
    assert_eq!(
        parse((5, 9, u32::MAX), &[]),
        bad,
        "no memory is taken for items"
    );
    assert_eq!(
        parse((5, 9, 0), &[1]),
        Err(FrameError::TrailingBytes { extra: 1 })
    );
    assert!(Header::parse([2, 27, 0, 0, 0]).is_err());
}

#[test]
fn hostile_headers_are_refused_before_memory_is_taken() {
    assert_eq!(
        Header::parse([9, 0, 0, 0, 0]),
        Err(FrameError::UnknownKind(9))
    );
    assert_eq!(
        Header::parse([1, 0xff, 0xff, 0xff, 0xff]),
        Err(FrameError::Length {
            kind: Kind::Batch,
            got: 0xffff_ffff
        })
    );
    assert!(Header::parse([1, 0, 0, 0, 0]).is_err());
    assert!(Header::parse([3, 17, 0, 0, 0]).is_err());
}

#[test]
fn a_failed_item_leaves_the_batch_as_it_was() {
    let mut builder = Builder::new(64);
    builder.push(put(b"one")).unwrap();
    let failed: Result<(), &str> = builder.push(|buf| {
        buf.put_slice(&[1; 500]);
        Err("no")
    });
    assert_eq!(failed, Err("no"));
    builder.push(put(b"two")).unwrap();
    let batch = Batch::of_frame(&builder.seal(5, 0).unwrap()).unwrap();
    assert_eq!(
        items(&batch),
        vec![(5, b"one".to_vec()), (6, b"two".to_vec())]
    );
    assert!(builder.seal(7, 0).is_none());
}

#[test]
fn a_panicking_encode_leaves_the_batch_as_it_was() {
    let mut builder = Builder::new(64);
    builder.push(put(b"one")).unwrap();
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _: Result<(), Infallible> = builder.push(|buf| {
            buf.put_slice(b"half an item");
            panic!("on purpose")
        });
    }));
    assert!(panicked.is_err());
    let batch = Batch::of_frame(&builder.seal(0, 0).unwrap()).unwrap();
    assert_eq!(items(&batch), vec![(0, b"one".to_vec())]);
}

#[test]
fn a_failed_first_item_leaves_no_header_behind() {
    let mut builder = Builder::new(64);
    let failed: Result<(), &str> = builder.push(|_| Err("no"));
    assert_eq!(failed, Err("no"));
    assert!(builder.is_empty() && builder.bytes() == 0);
    builder.push(put(b"x")).unwrap();
    assert!(Batch::of_frame(&builder.seal(0, 0).unwrap()).is_some());
}

#[test]
fn small_batches_share_a_block() {
    let mut builder = Builder::new(64 * 1024);
    let frames: Vec<Bytes> = (0..100)
        .map(|seq| {
            builder.push(put(b"small")).unwrap();
            builder.seal(seq, 0).unwrap()
        })
        .collect();
    let first = frames[0].as_ptr() as usize;
    let last = frames[99].as_ptr() as usize;
    assert_eq!(last - first, 99 * frames[0].len());
}

#[test]
fn sequence_refuses_holes_and_repetition() {
    let mut sequence = Sequence::at(10);
    let batch = read(&seal(&[vec![1], vec![2]], 10)).unwrap();
    sequence.accept(&batch).unwrap();
    assert_eq!(sequence.next(), 12);
    assert_eq!(
        sequence.accept(&batch),
        Err(FrameError::OutOfSequence {
            expected: 12,
            got: 10
        })
    );
    sequence.accept(&Frame::Gap { from: 12, to: 20 }).unwrap();
    assert!(sequence.accept(&Frame::Gap { from: 21, to: 22 }).is_err());
    assert_eq!(sequence.next(), 20);
}

#[test]
fn overflowing_ranges_are_refused() {
    let frame = seal(&[vec![1], vec![2]], u64::MAX - 1);
    assert_eq!(read(&frame), Err(FrameError::Overflow));
}

#[test]
fn only_the_shortest_length_is_valid() {
    let mut frame = BytesMut::from(&seal(&[vec![1]], 0)[..]);
    // Length 1 written as two bytes.
    frame.truncate(HEADER + 20);
    frame.extend_from_slice(&[0x81, 0x00, 1]);
    assert_eq!(
        Frame::parse(Kind::Batch, frame.freeze().slice(HEADER..)),
        Err(FrameError::Item { index: 0 })
    );
}

proptest! {
    #[test]
    fn round_trip(
        items_in in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..50),
        first in 0..u64::MAX / 2,
        from in 0usize..60,
    ) {
        let frame = seal(&items_in, first);
        let Frame::Batch(batch) = read(&frame).unwrap() else { panic!("not a batch") };
        let expected: Vec<_> = (first..).zip(items_in.iter().cloned()).collect();
        prop_assert_eq!(&items(&batch), &expected);
        let rest = batch.frame_from(first + from as u64);
        match rest {
            None => prop_assert!(from >= items_in.len()),
            Some(rest) => {
                let rest = Batch::of_frame(&rest).unwrap();
                prop_assert_eq!(items(&rest), expected[from..].to_vec());
                prop_assert_eq!(rest.sent_at_us(), 99);
            }
        }
    }

    /// What is picked comes out with its number, whatever the range around it; the rest is filtered.
    #[test]
    fn thinned_round_trip(
        items_in in prop::collection::vec(
            (prop::collection::vec(any::<u8>(), 0..300), any::<bool>()), 1..50),
        first in 300..u64::MAX / 2,
        around in (0u64..300, 0u64..300),
    ) {
        let all: Vec<_> = items_in.iter().map(|(item, _)| item.clone()).collect();
        let frame = seal(&all, first);
        let range = first - around.0..first + all.len() as u64 + around.1;
        let wanted = |seq| items_in[(seq - first) as usize].1;
        let thin = thinned(&frame, range.clone(), picks(&frame, wanted)).unwrap();
        let Frame::Batch(batch) = read(&thin).unwrap() else { panic!("not a batch") };
        let expected: Vec<_> = (first..).zip(all).filter(|(seq, _)| wanted(*seq)).collect();
        prop_assert_eq!(u64::from(batch.count()), expected.len() as u64);
        prop_assert_eq!(batch.filtered(), range.end - range.start - expected.len() as u64);
        prop_assert_eq!(batch.first()..batch.end(), range);
        prop_assert_eq!(items(&batch), expected);
        prop_assert_eq!(batch.sent_at_us(), 99);
        let body = thin.slice(HEADER..);
        for cut in 0..body.len() {
            prop_assert!(Frame::parse(Kind::Thinned, body.slice(..cut)).is_err());
        }
    }

    #[test]
    fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
        for kind in [Kind::Batch, Kind::Thinned, Kind::Gap, Kind::End, Kind::Filter, Kind::Refused, Kind::Redelivered] {
            if let Ok(Frame::Batch(batch) | Frame::Redelivered(batch)) = Frame::parse(kind, Bytes::from(body.clone())) {
                prop_assert_eq!(items(&batch).len(), batch.count() as usize);
            }
        }
    }

    #[test]
    fn cut_frames_are_refused(cut in 0usize..100) {
        let frame = seal(&[vec![1; 40], vec![2; 40]], 3);
        let body = frame.slice(HEADER..);
        prop_assume!(cut < body.len());
        prop_assert!(Frame::parse(Kind::Batch, body.slice(..cut)).is_err());
    }
}
