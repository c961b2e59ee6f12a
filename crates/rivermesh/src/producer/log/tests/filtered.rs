//! The log with filters, against a list of all items.

use std::{convert::Infallible, pin::pin, task::Context};

use rivermesh_proto::{
    batch::{self, Frame, HEADER, Header, Pick, Sequence},
    filter::{Filter, GroupId, Plan},
    schema::Schema,
};

use super::*;
use crate::producer::{groups::Full, log::Outlook};

const FILTERS: [&str; 7] = [
    "a == 0",
    "a == 1",
    "a in [1, 2]",
    "a > 1",
    "a >= 0",
    "a == 2 && long",
    "a == 9",
];

fn plan(source: &str) -> Plan {
    let filter = Filter::parse(source).unwrap();
    filter.check(&Schema::Json).unwrap()
}

#[derive(Clone, Copy, Debug)]
struct Item {
    a: u8,
    long: bool,
}

impl Item {
    fn json(self, seq: usize) -> serde_json::Value {
        let pad = "x".repeat(if self.long { 90 } else { 0 });
        serde_json::json!({ "a": self.a, "long": self.long, "seq": seq, "pad": pad })
    }

    /// What the filters say, by hand.
    fn is_for(self, filter: Option<usize>) -> bool {
        match filter {
            None | Some(4) => true,
            Some(0) => self.a == 0,
            Some(1) => self.a == 1,
            Some(2) => self.a == 1 || self.a == 2,
            Some(3) => self.a > 1,
            Some(5) => self.a == 2 && self.long,
            _ => false,
        }
    }
}

fn put(log: &mut Log, item: Item, seq: usize) -> Append {
    let json = item.json(seq);
    let done: Result<Append, Infallible> = log.append(
        || 7,
        |buf| {
            buf.put_slice(json.to_string().as_bytes());
            Ok(())
        },
        |set| {
            set.evaluate(&json, None).unwrap();
            Ok(())
        },
    );
    done.unwrap()
}

/// A reader as a feed is one, and what it knows of each number.
struct Reader {
    cursor: Cursor,
    pin: Option<Pin>,
    filter: Option<usize>,
    group: Option<GroupId>,
    sequence: Sequence,
}

impl Reader {
    fn join(log: &mut Log, from: Seq, pinned: bool, filter: Option<usize>) -> Self {
        let plan = filter.map(|filter| plan(FILTERS[filter]));
        let group = log.enter(plan.as_ref()).unwrap();
        let cursor = log.cursor(from);
        Self {
            pin: pinned.then(|| log.pin(cursor.seq(), group)),
            sequence: Sequence::at(cursor.seq()),
            cursor,
            filter,
            group,
        }
    }

    fn leave(self, log: &mut Log) {
        if let Some(pin) = self.pin {
            log.unpin(pin);
        }
        log.leave(self.group);
    }

    fn refilter(&mut self, log: &mut Log, filter: Option<usize>, out: &mut Vec<Bytes>) {
        let plan = filter.map(|filter| plan(FILTERS[filter]));
        let group = log.enter(plan.as_ref()).unwrap();
        if let Some(old) = self.group {
            log.settle(&mut self.cursor, old);
        }
        Log::tell(&mut self.cursor, out);
        log.leave(self.group);
        if let Some(pin) = self.pin {
            log.move_pin(pin, self.cursor.seq());
            log.turn_pin(pin, group);
        }
        (self.filter, self.group) = (filter, group);
    }

    /// One read; what of it is not a frame is returned.
    fn read(&mut self, log: &mut Log, max_bytes: usize, out: &mut Vec<Bytes>) -> Read {
        let read = match self.group {
            None => log.read(&mut self.cursor, max_bytes, out),
            Some(group) => log.read_group(&mut self.cursor, group, max_bytes, out),
        };
        match &read {
            Read::Unsorted { frame, from } => self.sort(frame, *from, out),
            Read::Lost { from, to } => {
                Log::tell(&mut self.cursor, out);
                out.push(batch::gap(*from, *to));
                self.cursor = log.cursor(*to);
            }
            _ => {}
        }
        if let Some(pin) = self.pin {
            log.move_pin(pin, self.cursor.seq());
        }
        read
    }

    fn sort(&mut self, frame: &Bytes, from: Seq, out: &mut Vec<Bytes>) {
        let batch = Batch::of_frame(frame).unwrap();
        let mut picks = Vec::new();
        let mut position = batch.start();
        loop {
            let offset = position.offset();
            let Some((seq, data)) = batch.next(&mut position) else {
                break;
            };
            let json: serde_json::Value = serde_json::from_slice(data).unwrap();
            let item = Item {
                a: json["a"].as_u64().unwrap() as u8,
                long: json["long"].as_bool().unwrap(),
            };
            if seq >= from && item.is_for(self.filter) {
                picks.push(Pick { seq, offset });
            }
        }
        if !picks.is_empty() {
            let range = self.cursor.told()..batch.end();
            out.push(batch::thinned(frame, range, picks.into_iter()).unwrap());
            self.cursor.put_out();
        }
    }

    /// Every number is said to be received, left out or gone, once and rightly.
    fn check(&mut self, frames: &[Bytes], all: &[Item]) {
        for bytes in frames {
            let header = Header::parse(*bytes.first_chunk().unwrap()).unwrap();
            let frame = Frame::parse(header.kind, bytes.slice(HEADER..)).unwrap();
            self.sequence.accept(&frame).unwrap();
            let Frame::Batch(batch) = frame else { continue };
            let mut items = items(std::slice::from_ref(bytes)).into_iter().peekable();
            for seq in batch.first()..batch.end() {
                let item = all[seq as usize];
                let received = items.next_if(|(found, _)| *found == seq);
                assert_eq!(received.is_some(), item.is_for(self.filter), "{seq}");
                if let Some((_, data)) = received {
                    let json = item.json(seq as usize).to_string();
                    assert_eq!(data, json.as_bytes());
                }
            }
            assert!(items.next().is_none());
        }
        assert_eq!(self.sequence.next(), self.cursor.told());
    }
}

#[derive(Clone, Debug)]
enum Op {
    Append(u8, bool),
    Read {
        reader: usize,
        max_bytes: usize,
    },
    Join {
        reader: usize,
        back: u64,
        pinned: bool,
        filter: Option<usize>,
    },
    Leave(usize),
    Refilter(usize, Option<usize>),
    Newest(usize),
}

const READERS: usize = 5;

fn op() -> impl Strategy<Value = Op> {
    let filter = || prop::option::weighted(0.85, 0..FILTERS.len());
    prop_oneof![
        12 => (0u8..3, any::<bool>()).prop_map(|(a, long)| Op::Append(a, long)),
        6 => (0..READERS, 1usize..500)
            .prop_map(|(reader, max_bytes)| Op::Read { reader, max_bytes }),
        2 => (0..READERS, 0u64..20, prop::bool::weighted(0.3), filter())
            .prop_map(|(reader, back, pinned, filter)| Op::Join { reader, back, pinned, filter }),
        1 => (0..READERS).prop_map(Op::Leave),
        2 => (0..READERS, filter()).prop_map(|(reader, filter)| Op::Refilter(reader, filter)),
        1 => (0..READERS).prop_map(Op::Newest),
    ]
}

/// The log, all items that were ever sent, and the readers.
struct Bench {
    log: Log,
    all: Vec<Item>,
    readers: BTreeMap<usize, Reader>,
}

impl Bench {
    fn append(&mut self, item: Item) {
        let waited_for = |reader: &Reader| {
            let pending = &self.all[reader.cursor.seq() as usize..];
            reader.pin.is_some() && !pending.is_empty()
        };
        match put(&mut self.log, item, self.all.len()) {
            Append::Done { seq, unwanted, .. } => {
                assert_eq!(seq, self.all.len() as u64);
                self.all.push(item);
                let wanted = self.readers.values().any(|r| item.is_for(r.filter));
                assert_eq!(unwanted, !wanted);
            }
            Append::Held => panic!("nothing is held"),
            Append::Full => {
                // Somebody is waited for, and not for what his filter leaves out.
                let blocking = self.readers.values().filter(|r| waited_for(r));
                let for_him = |r: &Reader| {
                    let sorted = r.group.map_or(0, |group| self.log.groups.since(group));
                    let pending = (r.cursor.seq()..).zip(&self.all[r.cursor.seq() as usize..]);
                    let mut pending = pending;
                    pending.any(|(seq, item)| seq < sorted || item.is_for(r.filter))
                };
                assert!(blocking.into_iter().any(for_him));
            }
            Append::Closed => panic!("nobody closed the log"),
        }
    }

    fn read(&mut self, reader: usize, max_bytes: usize) {
        let Some(reader) = self.readers.get_mut(&reader) else {
            return;
        };
        let (from, mut out) = (reader.cursor.seq(), Vec::new());
        let oldest = self.log.oldest();
        let sorted = reader.group.map_or(0, |group| self.log.groups.since(group));
        match reader.read(&mut self.log, max_bytes, &mut out) {
            Read::Lost { from: lost, to } => {
                assert!(reader.pin.is_none(), "a pinned reader loses nothing");
                assert!(lost == from && to > from && to <= self.log.oldest());
                if reader.group.is_some() && from >= sorted {
                    // It ends with an item that it was to get, and does not reach into the ring.
                    assert!(self.all[to as usize - 1].is_for(reader.filter));
                }
            }
            Read::End => {
                let rest = &self.all[from as usize..];
                assert!(!rest.iter().any(|item| item.is_for(reader.filter)));
                if let Some(group) = reader.group {
                    let untold = reader.cursor.told() < self.log.next();
                    let expected = if untold {
                        Outlook::Untold
                    } else {
                        Outlook::Nothing
                    };
                    assert_eq!(self.log.outlook(&reader.cursor, group), expected);
                }
                if max_bytes.is_multiple_of(2) {
                    Log::tell(&mut reader.cursor, &mut out);
                    assert_eq!(reader.cursor.told(), self.all.len() as u64);
                }
            }
            Read::Frames { items, bytes } => {
                assert!(items > 0, "a read that gives nothing would go on for ever");
                assert!(from >= oldest || reader.group.is_some());
                assert_eq!(bytes as usize, out.iter().map(Bytes::len).sum::<usize>());
            }
            Read::Unsorted { .. } => assert!(from < sorted),
            Read::Held { .. } | Read::Newest { .. } | Read::Passed => panic!("nobody asked for it"),
        }
        reader.check(&out, &self.all);
    }

    fn join(&mut self, number: usize, back: u64, pinned: bool, filter: Option<usize>) {
        let mut from = self.log.next().saturating_sub(back);
        if pinned {
            // A pin keeps what is there; it does not bring back what is gone.
            self.log.newest();
            from = from.max(self.log.oldest());
        }
        let reader = Reader::join(&mut self.log, from, pinned, filter);
        if let Some(old) = self.readers.insert(number, reader) {
            old.leave(&mut self.log);
        }
    }

    fn run(&mut self, op: &Op) {
        match *op {
            Op::Append(a, long) => self.append(Item { a, long }),
            Op::Read { reader, max_bytes } => self.read(reader, max_bytes),
            Op::Join {
                reader,
                back,
                pinned,
                filter,
            } => self.join(reader, back, pinned, filter),
            Op::Leave(reader) => {
                if let Some(reader) = self.readers.remove(&reader) {
                    reader.leave(&mut self.log);
                }
            }
            Op::Refilter(reader, filter) => {
                if let Some(reader) = self.readers.get_mut(&reader) {
                    let (old, mut out) = (reader.filter, Vec::new());
                    reader.refilter(&mut self.log, filter, &mut out);
                    // What it puts out belongs to the old filter.
                    let new = std::mem::replace(&mut reader.filter, old);
                    reader.check(&out, &self.all);
                    reader.filter = new;
                }
            }
            Op::Newest(reader) => {
                if let Some(reader) = self.readers.get_mut(&reader)
                    && reader.pin.is_none()
                {
                    let mut out = Vec::new();
                    Log::tell(&mut reader.cursor, &mut out);
                    let from = reader.cursor.seq();
                    let newest = self.log.newest();
                    if newest.seq() > from {
                        out.push(batch::gap(from, newest.seq()));
                        reader.cursor = newest;
                    }
                    reader.check(&out, &self.all);
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// What each reader is told is what a list of all items and the filters say.
    #[test]
    fn equals_a_naive_model(ops in prop::collection::vec(op(), 1..300)) {
        let mut bench = Bench {
            log: Log::new(BOUNDS),
            all: Vec::new(),
            readers: BTreeMap::new(),
        };
        for op in &ops {
            bench.run(op);
            let most = BOUNDS.log_bytes + 2 * (BOUNDS.batch_bytes + 2000);
            prop_assert!(bench.log.bytes() <= most, "{} bytes", bench.log.bytes());
        }
        // In the end everybody comes to the last item, whatever he has missed.
        for number in 0..READERS {
            let end = bench.all.len() as u64;
            for _ in 0..ops.len() + 10 {
                bench.read(number, 2);
            }
            if let Some(reader) = bench.readers.remove(&number) {
                prop_assert_eq!(reader.cursor.told(), end);
                reader.leave(&mut bench.log);
            }
        }
        prop_assert_eq!(bench.log.filters(), 0);
        prop_assert!(bench.log.groups.is_empty());
    }
}

const ZERO: Item = Item { a: 0, long: false };
const ONE: Item = Item { a: 1, long: false };

#[test]
fn only_those_are_woken_for_whom_there_is_something() {
    let mut log = Log::new(Bounds {
        log_bytes: 10_000,
        batch_bytes: 1000,
        ..BOUNDS
    });
    let mut cursor = log.cursor(0);
    let zero = log.enter(Some(&plan("a == 0"))).unwrap().unwrap();
    let one = log.enter(Some(&plan("a == 1"))).unwrap().unwrap();
    let (bells, mut out) = ([zero, one].map(|group| log.bell(group)), Vec::new());
    let mut cx = Context::from_waker(std::task::Waker::noop());
    for (n, item) in [ZERO, ONE, ZERO].into_iter().enumerate() {
        let mut rung = bells.each_ref().map(|bell| Box::pin(bell.notified()));
        rung.iter_mut()
            .for_each(|bell| assert!(!bell.as_mut().enable()));
        assert!(matches!(put(&mut log, item, n), Append::Done { .. }));
        let rung = rung.map(|mut bell| pin!(bell.as_mut()).poll(&mut cx).is_ready());
        assert_eq!(rung, [item.a == 0, item.a == 1], "item {n}");
        if n == 0 {
            // Once it was told, it is told again only when it has looked.
            let read = log.read_group(&mut cursor, zero, 1000, &mut out);
            assert!(matches!(read, Read::Frames { items: 1, .. }));
        }
    }
    assert_eq!(log.outlook(&cursor, zero), Outlook::More);
    let mut again = Box::pin(bells[0].notified());
    again.as_mut().enable();
    put(&mut log, ZERO, 3);
    assert!(again.as_mut().poll(&mut cx).is_pending(), "told already");
}

#[test]
fn readers_of_one_filter_share_its_frames_and_a_frame_of_all_is_the_batch() {
    let mut log = Log::new(BOUNDS);
    let mut readers: Vec<_> = (0..3)
        .map(|_| Reader::join(&mut log, 0, false, Some(0)))
        .collect();
    let read = |reader: &mut Reader, log: &mut Log| {
        let mut out = Vec::new();
        reader.read(log, 1000, &mut out);
        out
    };
    for (n, item) in [ZERO, ONE, ZERO].into_iter().enumerate() {
        put(&mut log, item, n);
    }
    let mixed: Vec<_> = readers.iter_mut().map(|r| read(r, &mut log)).collect();
    assert_eq!(mixed[0].len(), 1);
    assert!(
        mixed
            .iter()
            .all(|frames| frames[0].as_ptr() == mixed[0][0].as_ptr())
    );
    put(&mut log, ZERO, 3);
    let whole: Vec<_> = readers.iter_mut().map(|r| read(r, &mut log)).collect();
    assert_eq!(whole[0].len(), 1);
    assert_eq!(whole[0][0][0], 1, "a batch of the first kind");
    assert!(
        whole
            .iter()
            .all(|frames| frames[0].as_ptr() == whole[0][0].as_ptr())
    );
}

#[test]
fn filters_are_bounded_together() {
    let limits = Limits {
        bytes: 3 * plan("a == 10").memory(),
        evaluated: 1,
    };
    let mut log = Log::new(Bounds {
        filters: limits,
        ..BOUNDS
    });
    let mut enter = |source: &str| log.enter(Some(&plan(source)));
    enter("a > 1").unwrap();
    assert_eq!(enter("a > 2"), Err(Full), "one is evaluated already");
    enter("1 < a").unwrap();
    let kept = enter("a == 10").unwrap();
    assert_eq!(
        enter("a in [10, 11, 12, 13, 14, 15, 16, 17, 18]"),
        Err(Full)
    );
    enter("a == 11").unwrap();
    assert_eq!(enter("a == 12"), Err(Full));
    assert!(enter("a == 10").is_ok(), "it is there");
    log.leave(kept);
    assert_eq!(
        log.enter(Some(&plan("a == 12"))),
        Err(Full),
        "another has it"
    );
    log.leave(kept);
    assert!(log.enter(Some(&plan("a == 12"))).is_ok());
}

#[test]
fn matches_count_as_bytes_and_end_a_batch() {
    let mut log = Log::new(Bounds {
        log_bytes: 1 << 20,
        batch_bytes: 64 * 1024,
        ..BOUNDS
    });
    let groups: Vec<_> = (0..90)
        .map(|n| {
            log.enter(Some(&plan(&format!("a != {}", 100 + n))))
                .unwrap()
        })
        .collect();
    let before = log.bytes();
    put(&mut log, ZERO, 0);
    assert!(log.bytes() - before > 90 * 12);
    let sealed = |log: &Log| log.sealed.len();
    for n in 1..100 {
        put(&mut log, ZERO, n);
    }
    assert!(sealed(&log) > 0, "9,000 matches");
    assert!(groups.iter().all(|group| log.waiting(0, *group) == 100));
    for n in 100..2000 {
        put(&mut log, ZERO, n);
    }
    assert!(log.bytes() < (1 << 20) + 200 * 1024, "{}", log.bytes());
    assert!(log.oldest() > 0);
}
