use std::{collections::BTreeMap, convert::Infallible};

use bytes::{BufMut, Bytes};
use proptest::prelude::*;
use rivermesh_proto::{Seq, batch::Batch, limits};

use super::{Append, Bounds, Cursor, Limits, Log, Pin, Read, Retention};

mod filtered;
mod held;

fn append(log: &mut Log, item: &[u8]) -> Append {
    let done: Result<Append, Infallible> = log.append(
        || 7,
        |buf| {
            buf.put_slice(item);
            Ok(())
        },
        |_| Ok(()),
    );
    done.unwrap()
}

fn items(frames: &[Bytes]) -> Vec<(Seq, Vec<u8>)> {
    let mut all = Vec::new();
    for frame in frames {
        let batch = Batch::of_frame(frame).unwrap();
        let mut position = batch.start();
        while let Some((seq, item)) = batch.next(&mut position) {
            all.push((seq, item.to_vec()));
        }
    }
    all
}

const BOUNDS: Bounds = Bounds {
    log_bytes: 400,
    hold_bytes: 1000,
    batch_bytes: 100,
    filters: Limits {
        bytes: 100_000,
        evaluated: 100,
    },
    retention: Retention::ALL,
};

/// The item got this number, and nobody reads.
fn done(seq: Seq, wakes: bool) -> Append {
    Append::Done {
        seq,
        wakes,
        unwanted: true,
    }
}

#[test]
fn a_reader_at_the_end_gets_what_comes() {
    let mut log = Log::new(BOUNDS);
    let mut cursor = {
        let next = log.next();
        log.cursor(next)
    };
    let mut out = Vec::new();
    assert_eq!(log.read(&mut cursor, 1000, &mut out), Read::End);
    assert_eq!(append(&mut log, b"a"), done(0, true));
    assert_eq!(append(&mut log, b"b"), done(1, false));
    assert!(matches!(
        log.read(&mut cursor, 1000, &mut out),
        Read::Frames { items: 2, .. }
    ));
    assert_eq!(items(&out), vec![(0, b"a".to_vec()), (1, b"b".to_vec())]);
    assert_eq!(log.read(&mut cursor, 1000, &mut out), Read::End);
    assert_eq!(append(&mut log, b"c"), done(2, true));
}

#[test]
fn a_reader_that_begins_at_the_end_is_woken_by_the_next_item() {
    let mut log = Log::new(BOUNDS);
    append(&mut log, b"nobody has taken this yet");
    let next = log.next();
    let mut cursor = log.cursor(next);
    let mut out = Vec::new();
    assert_eq!(log.read(&mut cursor, 1000, &mut out), Read::End);
    assert!(matches!(
        append(&mut log, b"x"),
        Append::Done { wakes: true, .. }
    ));
}

#[test]
fn who_was_refused_is_told_only_when_there_is_room() {
    let mut log = Log::new(BOUNDS);
    let pins = [0, 0, 0].map(|seq| log.pin(seq, None));
    let mut sent = 0;
    while matches!(append(&mut log, &[7; 50]), Append::Done { .. }) {
        sent += 1;
    }
    // Another one is in the way.
    assert!(!log.move_pin(pins[0], sent));
    assert!(!log.unpin(pins[1]));
    assert!(log.move_pin(pins[2], sent));
    assert!(!log.move_pin(pins[2], sent), "told once");
    assert!(matches!(append(&mut log, &[7; 50]), Append::Done { seq, .. } if seq == sent));
}

#[test]
fn a_closed_log_takes_nothing_and_gives_what_it_has() {
    let mut log = Log::new(BOUNDS);
    append(&mut log, b"before");
    log.close();
    assert_eq!(append(&mut log, b"after"), Append::Closed);
    let (mut cursor, mut out) = (log.cursor(0), Vec::new());
    assert!(matches!(
        log.read(&mut cursor, 1000, &mut out),
        Read::Frames { items: 1, .. }
    ));
    assert_eq!(log.read(&mut cursor, 1000, &mut out), Read::End);
}

#[test]
fn a_failed_item_takes_no_number() {
    let mut log = Log::new(BOUNDS);
    assert_eq!(log.append(|| 0, |_| Err("no"), |_| Ok(())), Err("no"));
    assert_eq!(log.next(), 0);
    assert_eq!(append(&mut log, b"a"), done(0, true));
}

#[test]
fn one_batch_over_the_bound_is_still_delivered() {
    let mut log = Log::new(BOUNDS);
    let mut cursor = log.cursor(0);
    append(&mut log, &[1; 5000]);
    let mut out = Vec::new();
    assert!(matches!(
        log.read(&mut cursor, 1, &mut out),
        Read::Frames { items: 1, .. }
    ));
    append(&mut log, &[2; 5000]);
    out.clear();
    assert!(matches!(
        log.read(&mut cursor, 1, &mut out),
        Read::Frames { items: 1, .. }
    ));
    assert!(log.bytes() < 2 * 5100, "the first one has left");
}

#[test]
fn a_large_item_travels_alone() {
    let mut log = Log::new(Bounds {
        log_bytes: 8 << 20,
        batch_bytes: 16 * 1024,
        ..BOUNDS
    });
    let sizes = [15_000, limits::ITEM, 10, 15_000, 60_000, limits::ITEM, 7];
    for size in sizes {
        assert!(matches!(
            append(&mut log, &vec![1; size]),
            Append::Done { .. }
        ));
    }
    let (mut cursor, mut out) = (log.cursor(0), Vec::new());
    while let Read::Frames { .. } = log.read(&mut cursor, 1 << 20, &mut out) {}
    let found: Vec<usize> = items(&out).iter().map(|(_, item)| item.len()).collect();
    assert_eq!(found, sizes);
    for frame in &out {
        let count = Batch::of_frame(frame).unwrap().count();
        assert!(
            frame.len()
                <= if count > 1 {
                    limits::BATCH
                } else {
                    limits::FRAME
                }
        );
    }
}

#[test]
fn memory_is_used_again_and_never_under_a_reader() {
    let bounds = Bounds {
        log_bytes: 2 * 1024 * 1024,
        batch_bytes: 16 * 1024,
        ..BOUNDS
    };
    let mut log = Log::new(bounds);
    let item = |seq: Seq| vec![seq as u8; 300 + (seq % 100) as usize];
    let (mut held, mut places, mut out) = (Vec::new(), BTreeMap::new(), Vec::new());
    let mut cursor = log.cursor(0);
    for seq in 0..60_000 {
        append(&mut log, &item(seq));
        if seq % 40 == 0 {
            log.read(&mut cursor, 1, &mut out);
        }
        for frame in out.drain(..) {
            *places.entry(frame.as_ptr()).or_insert(0) += 1;
            // As the transport does: a few frames for a while, and some for long.
            if held.len() % 7 == 0 || seq > 59_000 {
                held.push(frame);
            } else {
                held.push(Bytes::new());
            }
        }
    }
    let again = places.values().filter(|times| **times > 1).count();
    assert!(again > 20, "{again} of {}", places.len());
    let held: Vec<Bytes> = held.into_iter().filter(|frame| !frame.is_empty()).collect();
    assert!(held.len() > 50);
    for (seq, bytes) in items(&held) {
        assert!(bytes == item(seq), "item {seq}");
    }
}

#[test]
fn a_pin_is_waited_for_and_tells_who_waits() {
    let mut log = Log::new(BOUNDS);
    let mut cursor = log.cursor(0);
    let pin = log.pin(0, None);
    let mut sent = 0;
    while append(&mut log, &[0; 40]) != Append::Full {
        sent += 1;
        assert!(sent < 100, "the log must fill");
    }
    let mut out = Vec::new();
    assert!(matches!(
        log.read(&mut cursor, 150, &mut out),
        Read::Frames { .. }
    ));
    assert!(log.move_pin(pin, cursor.seq()), "somebody was refused");
    assert!(!log.move_pin(pin, cursor.seq()), "nobody since");
    assert!(matches!(append(&mut log, &[0; 40]), Append::Done { seq, .. } if seq == sent));
    while append(&mut log, &[0; 40]) != Append::Full {}
    assert!(log.unpin(pin));
    assert!(matches!(append(&mut log, &[0; 40]), Append::Done { .. }));
}

#[derive(Clone, Debug)]
enum Op {
    Append(usize),
    Read {
        reader: usize,
        max_bytes: usize,
    },
    Join {
        reader: usize,
        back: u64,
        pinned: bool,
    },
    Leave {
        reader: usize,
    },
    Newest {
        reader: usize,
    },
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        8 => (0usize..200).prop_map(Op::Append),
        4 => (0usize..4, 1usize..500)
            .prop_map(|(reader, max_bytes)| Op::Read { reader, max_bytes }),
        1 => (0usize..4, 0u64..20, any::<bool>())
            .prop_map(|(reader, back, pinned)| Op::Join { reader, back, pinned }),
        1 => (0usize..4).prop_map(|reader| Op::Leave { reader }),
        1 => (0usize..4).prop_map(|reader| Op::Newest { reader }),
    ]
}

struct Reader {
    cursor: Cursor,
    pin: Option<Pin>,
}

proptest! {
    /// The ring with its cursors equals a list of all items that were ever sent: a read gives
    /// exactly what follows in that list, or an exact statement of what is gone.
    #[test]
    fn equals_a_naive_model(ops in prop::collection::vec(op(), 1..300)) {
        let mut log = Log::new(BOUNDS);
        let mut model: Vec<Vec<u8>> = Vec::new();
        let mut readers: BTreeMap<usize, Reader> = BTreeMap::new();
        for op in ops {
            match op {
                Op::Append(len) => {
                    let item = vec![model.len() as u8; len];
                    let pinned = readers.values().any(|r| r.pin.is_some());
                    match append(&mut log, &item) {
                        Append::Done { seq, .. } => {
                            prop_assert_eq!(seq, model.len() as u64);
                            model.push(item);
                        }
                        Append::Full => prop_assert!(pinned && log.bytes() >= BOUNDS.log_bytes),
                        Append::Closed => prop_assert!(false, "nobody closed the log"),
                        Append::Held => prop_assert!(false, "nothing is held"),
                    }
                }
                Op::Read { reader, max_bytes } => {
                    let Some(Reader { cursor, pin }) = readers.get_mut(&reader) else { continue };
                    let (from, mut out) = (cursor.seq(), Vec::new());
                    match log.read(cursor, max_bytes, &mut out) {
                        Read::End => prop_assert_eq!(from, model.len() as u64),
                        Read::Lost { from: lost, to } => {
                            prop_assert!(pin.is_none(), "a pinned reader loses nothing");
                            prop_assert!(lost == from && to > from && to == log.oldest());
                            *cursor = log.cursor(to);
                            prop_assert_eq!(cursor.seq(), to);
                        }
                        read @ (Read::Unsorted { .. }
                        | Read::Held { .. }
                        | Read::Newest { .. }
                        | Read::Passed) => prop_assert!(false, "nobody asked for {read:?}"),
                        Read::Frames { items: count, .. } => {
                            let got = items(&out);
                            prop_assert_eq!(got.len() as u64, count);
                            let to = from as usize + got.len();
                            let expected: Vec<_> =
                                (from..).zip(model[from as usize..to].iter().cloned()).collect();
                            prop_assert_eq!(got, expected);
                            prop_assert_eq!(cursor.seq(), to as u64);
                            if let Some(pin) = pin {
                                log.move_pin(*pin, cursor.seq());
                            }
                        }
                    }
                }
                Op::Join { reader, back, pinned } => {
                    let mut from = log.next().saturating_sub(back);
                    if pinned {
                        // A pin keeps what is there; it does not bring back what is gone.
                        log.newest();
                        from = from.max(log.oldest());
                    }
                    let cursor = log.cursor(from);
                    let pin = pinned.then(|| log.pin(cursor.seq(), None));
                    if let Some(Reader { pin: Some(pin), .. }) =
                        readers.insert(reader, Reader { cursor, pin })
                    {
                        log.unpin(pin);
                    }
                }
                Op::Leave { reader } => {
                    if let Some(Reader { pin: Some(pin), .. }) = readers.remove(&reader) {
                        log.unpin(pin);
                    }
                }
                Op::Newest { reader } => {
                    let Some(Reader { cursor, pin: None }) = readers.get_mut(&reader) else {
                        continue;
                    };
                    let newest = log.newest();
                    prop_assert!(newest.seq() >= log.oldest() && newest.seq() <= log.next());
                    *cursor = newest;
                }
            }
            prop_assert!(log.bytes() <= BOUNDS.log_bytes + 2 * (BOUNDS.batch_bytes + 250));
        }
    }
}
