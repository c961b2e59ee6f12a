//! Subscriptions of one stream, against a list of all its items: every start, with and without a
//! filter, with every kind of retention, conflating or not, and each lag policy.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use proptest::prelude::*;
use rivermesh_proto::{
    Epoch, NetworkId, Seq, StreamName,
    batch::{Frame, HEADER, Header, Sequence},
    filter::FilterSource,
    subscribe::{Accepted, Lag, LagSet, Refusal, Start, Subscribe, Superseded},
};
use serde::{Deserialize, Serialize};

use super::{
    core::{Core, Settings},
    feed::{Feed, Pull},
    groups::Limits,
    log::{Append, Retention},
    named, pick,
};
use crate::{Condition, Datum, Filters, Key, SecretKey, task::Tasks};

mod lease;
mod table;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
#[datum(name = "things", key = "kind", crate = "crate")]
struct Thing {
    kind: Option<u8>,
    n: u64,
    pad: String,
}

const FILTERS: [&str; 3] = ["pad.contains('xxx')", "kind == 1", "n >= 30"];
const EPOCH: Epoch = Epoch(7);

impl Thing {
    fn is_for(&self, filter: Option<usize>) -> bool {
        match filter {
            None => true,
            Some(0) => !self.pad.is_empty(),
            Some(1) => self.kind == Some(1),
            Some(_) => self.n >= 30,
        }
    }
}

fn source(filter: usize) -> FilterSource {
    FilterSource::new(FILTERS[filter]).unwrap()
}

fn core(retention: Option<Retention>) -> Arc<Core> {
    let settings = Settings {
        log_bytes: 600,
        batch_bytes: 100,
        item_bytes: 10_000,
        filters: Limits {
            bytes: 1 << 20,
            evaluated: 100,
        },
        retention,
        dedup: None,
        max_consumers: 100,
        allow_lag: LagSet::ALL,
        require: Vec::new(),
        online_when: Condition::always(),
        named: None,
        verifier: None,
        credential: crate::admission::Source::None,
    };
    let name = StreamName::new("things").unwrap();
    let schema = Thing::schema().unwrap().unwrap();
    let select = (
        pick::select::<Thing> as pick::Select,
        named::key_of::<Thing> as named::KeyOf,
    );
    Arc::new(Core::new(
        name,
        EPOCH,
        schema,
        select,
        settings,
        (crate::admission::Desk::new(NetworkId::of("things")), None),
        Tasks::new(),
    ))
}

/// What became of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Received,
    LeftOut,
    Missed,
}

/// A subscription, and what it was told.
struct Reader {
    feed: Feed,
    ask: Subscribe,
    filter: Option<usize>,
    accepted: Accepted,
    sequence: Sequence,
    fates: BTreeMap<Seq, Fate>,
    /// The numbers up to here may be left out because they are superseded.
    thinned: Seq,
}

/// A stream, all that was ever sent on it with when, and its readers.
struct Bench {
    core: Arc<Core>,
    retention: Retention,
    all: Vec<(Thing, u64)>,
    now_us: u64,
    readers: BTreeMap<usize, Reader>,
}

impl Bench {
    fn new(retention: Retention) -> Self {
        Self {
            core: core(Some(retention)),
            retention,
            all: Vec::new(),
            now_us: 1_000,
            readers: BTreeMap::new(),
        }
    }

    fn append(&mut self, kind: Option<u8>, long: bool) {
        let thing = Thing {
            kind,
            n: self.all.len() as u64,
            pad: "x".repeat(if long { 40 } else { 0 }),
        };
        let now_us = self.now_us;
        let mut log = self.core.log();
        if log.is_keyed() {
            log.key(thing.key().as_ref().map(Key::as_bytes));
        }
        let encode = |buf: &mut _| thing.encode(&mut crate::Encoder::new(buf, 10_000));
        let evaluate = |set: &mut _| thing.show(Filters::all(set));
        let done = log.append(|| now_us, encode, evaluate).unwrap();
        drop(log);
        match done {
            Append::Done { seq, .. } => {
                assert_eq!(seq, thing.n);
                self.all.push((thing, self.now_us));
            }
            Append::Full => {
                let blocking = self.readers.values().any(|r| r.ask.lag == Lag::Block);
                assert!(blocking, "nobody is in the way");
            }
            Append::Held => panic!("nobody has a name"),
            Append::Closed => panic!("nobody closed the stream"),
        }
    }

    /// Whether there is a newer item with the same key.
    fn is_superseded(&self, seq: Seq) -> bool {
        let kind = self.all[seq as usize].0.kind;
        let newer = self.all[seq as usize + 1..].iter();
        kind.is_some() && newer.into_iter().any(|(thing, _)| thing.kind == kind)
    }

    /// The first item that is kept for who comes now, beside newest ones of keys.
    fn floor(&self) -> Seq {
        let mut log = self.core.log();
        let (floor, next) = (log.floor(self.now_us), self.all.len() as Seq);
        let Retention {
            items, bytes, age, ..
        } = self.retention;
        assert!(floor >= log.oldest() && next - floor <= items);
        let pinned = self.readers.values().any(|r| r.ask.lag == Lag::Block);
        let least = log.oldest().max(next.saturating_sub(items));
        if bytes == usize::MAX && (age.is_none() || !pinned) {
            assert_eq!(floor, least);
        }
        assert!(floor >= least);
        if let Some(age) = age {
            let oldest_us = u128::from(self.now_us).saturating_sub(age.as_micros());
            let is_young = |(_, sent): &(Thing, u64)| u128::from(*sent) >= oldest_us;
            assert!(self.all[floor as usize..].iter().all(is_young));
            assert!(pinned || self.all[log.oldest() as usize..].iter().all(is_young));
        }
        floor
    }

    fn join(&mut self, number: usize, ask: Subscribe, filter: Option<usize>) {
        self.readers.remove(&number);
        let floor = self.floor();
        let plan = self.core.plan(ask.filter.as_ref()).unwrap();
        let node = SecretKey::from_bytes(&[1; 32]).public();
        let entered = self.core.enter((node, None), &ask, plan, self.now_us);
        let (feed, accepted) = match entered {
            Ok(entered) => entered,
            Err(Refusal::NotCompacted) => {
                assert!(ask.start == Start::LastPerKey && !self.retention.newest_per_key);
                return;
            }
            Err(refusal) => panic!("{refusal:?}"),
        };
        self.check_start(&ask, &accepted, floor);
        let reader = Reader {
            feed,
            ask,
            filter,
            sequence: Sequence::at(accepted.start),
            fates: BTreeMap::new(),
            thinned: accepted.thinned,
            accepted,
        };
        self.readers.insert(number, reader);
    }

    fn check_start(&self, ask: &Subscribe, accepted: &Accepted, floor: Seq) {
        let (start, next) = (accepted.start, self.all.len() as Seq);
        let compacted = self.retention.newest_per_key;
        assert!(start <= next);
        let since = |at_us: u64| {
            let first = self.all.iter().position(|(_, sent)| *sent >= at_us);
            let first = first.map_or(next, |first| first as Seq);
            assert!(start <= first.max(floor), "{start} is behind {first}");
            if !compacted {
                assert!(start >= floor);
            }
        };
        match ask.start {
            Start::Latest => assert_eq!((start, accepted.thinned), (next, 0)),
            Start::Earliest if compacted => assert!(start <= floor),
            Start::Earliest => assert_eq!((start, accepted.thinned), (floor, 0)),
            Start::At { seq } => assert_eq!(start, seq.min(next)),
            Start::Since { at_us } => since(at_us),
            Start::Ago { us } => since(self.now_us.saturating_sub(us)),
            Start::LastPerKey => assert_eq!(accepted.thinned, next),
            Start::Resume { next: from, .. } | Start::Rest { next: from, .. } => {
                assert_eq!(start, from);
            }
        }
    }

    fn read(&mut self, number: usize) -> bool {
        let Some(mut reader) = self.readers.remove(&number) else {
            return false;
        };
        let before = reader.sequence.next();
        let behind = {
            let log = self.core.log();
            reader.ask.superseded == Superseded::LeaveOut && log.next() > before
        };
        if behind {
            reader.thinned = reader.thinned.max(self.all.len() as Seq);
        }
        let mut frames = Vec::new();
        let pull = reader.feed.pull(&mut frames);
        // Reading seals the open batch, which may make the ring move on.
        let oldest = self.core.log().oldest();
        self.check(&mut reader, &frames, oldest);
        let moved = reader.sequence.next() > before;
        assert_eq!(moved, !frames.is_empty());
        match pull {
            Pull::Frames => assert!(moved),
            Pull::Nothing => {}
            Pull::Lagged => {
                assert_eq!(reader.ask.lag, Lag::Disconnect);
                assert!(reader.sequence.next() < oldest);
                return false;
            }
            Pull::Behind { .. } | Pull::Ended | Pull::Refused(_) => panic!("{pull:?}"),
        }
        self.readers.insert(number, reader);
        moved
    }

    /// Each number is told once, and rightly.
    fn check(&self, reader: &mut Reader, frames: &[Bytes], oldest: Seq) {
        for bytes in frames {
            let header = Header::parse(*bytes.first_chunk().unwrap()).unwrap();
            let frame = Frame::parse(header.kind, bytes.slice(HEADER..)).unwrap();
            reader.sequence.accept(&frame).unwrap();
            match frame {
                Frame::Gap { from, to } => {
                    for seq in from..to {
                        reader.fates.insert(seq, Fate::Missed);
                        self.check_missed(reader, seq, oldest);
                    }
                }
                Frame::Batch(batch) => {
                    let mut items = BTreeMap::new();
                    let mut position = batch.start();
                    while let Some((seq, data)) = batch.next(&mut position) {
                        let payload = crate::Payload::new(batch.body(), data, None);
                        items.insert(seq, Thing::decode(payload).unwrap());
                    }
                    for seq in batch.first()..batch.end() {
                        let (fate, found) = match items.remove(&seq) {
                            Some(found) => (Fate::Received, Some(found)),
                            None => (Fate::LeftOut, None),
                        };
                        reader.fates.insert(seq, fate);
                        self.check_fate(reader, seq, found.as_ref(), oldest);
                    }
                    assert!(items.is_empty());
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn check_missed(&self, reader: &Reader, seq: Seq, oldest: Seq) {
        assert_ne!(reader.ask.lag, Lag::Block, "a pinned reader loses nothing");
        let is_at = matches!(reader.ask.start, Start::At { seq: from } if seq >= from);
        let skips = reader.ask.lag == Lag::Newest;
        assert!(seq < oldest || is_at || skips, "{seq} is there");
        let held = self.retention.newest_per_key && self.all[seq as usize].0.kind.is_some();
        if held && seq < reader.thinned && !skips {
            assert!(self.is_superseded(seq), "{seq} is kept");
        }
    }

    fn check_fate(&self, reader: &Reader, seq: Seq, found: Option<&Thing>, oldest: Seq) {
        let (thing, _) = &self.all[seq as usize];
        let wanted = thing.is_for(reader.filter);
        match found {
            Some(found) => {
                assert_eq!(found, thing);
                assert!(wanted, "{seq} is not for this reader");
                if seq < reader.accepted.thinned {
                    assert!(!self.is_superseded(seq), "{seq} is superseded");
                }
            }
            None if !wanted => {}
            None => {
                assert!(seq < reader.thinned, "{seq} was left out");
                // One without a key is not promised to who begins with what is kept.
                let unkept = thing.kind.is_none() && seq < reader.accepted.thinned && seq < oldest;
                assert!(unkept || self.is_superseded(seq), "{seq} is the newest");
            }
        }
    }

    /// In the end each reader has come to the end, and who gets newest items has the newest.
    fn finish(mut self) {
        let next = self.all.len() as Seq;
        for number in 0..READERS {
            while self.read(number) {}
            let Some(reader) = self.readers.remove(&number) else {
                continue;
            };
            if reader.filter.is_none() {
                assert_eq!(reader.sequence.next(), next);
            }
            let numbers = reader.fates.keys().copied();
            assert!(numbers.eq(reader.accepted.start..reader.sequence.next()));
            for (seq, fate) in &reader.fates {
                let newest = self.all[*seq as usize].0.kind.is_some() && !self.is_superseded(*seq);
                let promised = self.retention.newest_per_key && *seq < reader.thinned;
                if newest && promised && self.all[*seq as usize].0.is_for(reader.filter) {
                    let skipped = *fate == Fate::Missed && reader.ask.lag == Lag::Newest;
                    assert!(*fate == Fate::Received || skipped, "{seq}: {fate:?}");
                }
            }
        }
        let stats = self.core.stats();
        assert_eq!((stats.filters, stats.keys_forgotten), (0, 0));
        assert_eq!(self.core.log().is_keyed(), self.retention.newest_per_key);
    }
}

#[derive(Clone, Debug)]
enum Op {
    Append(Option<u8>, bool),
    Wait(u64),
    Tend,
    Read(usize),
    Join {
        reader: usize,
        start: u8,
        back: u64,
        lag: Lag,
        filter: Option<usize>,
        superseded: Superseded,
    },
    Leave(usize),
}

const READERS: usize = 4;

fn op() -> impl Strategy<Value = Op> {
    let kind = prop::option::weighted(0.9, 0u8..5);
    let lags = prop::sample::select(vec![Lag::Skip, Lag::Newest, Lag::Disconnect, Lag::Block]);
    let superseded = prop::sample::select(vec![Superseded::Send, Superseded::LeaveOut]);
    prop_oneof![
        14 => (kind, any::<bool>()).prop_map(|(kind, long)| Op::Append(kind, long)),
        2 => (0u64..200).prop_map(Op::Wait),
        1 => Just(Op::Tend),
        4 => (0..READERS).prop_map(Op::Read),
        2 => (
            0..READERS,
            0u8..8,
            0u64..40,
            lags,
            prop::option::of(0..FILTERS.len()),
            superseded,
        )
            .prop_map(|(reader, start, back, lag, filter, superseded)| Op::Join {
                reader,
                start,
                back,
                lag,
                filter,
                superseded,
            }),
        1 => (0..READERS).prop_map(Op::Leave),
    ]
}

fn retention() -> impl Strategy<Value = Retention> {
    (
        prop::option::of(0u64..15),
        prop::option::of(0usize..500),
        prop::option::of(50u64..500),
        any::<bool>(),
    )
        .prop_map(|(items, bytes, age_us, newest_per_key)| Retention {
            items: items.unwrap_or(u64::MAX),
            bytes: bytes.unwrap_or(usize::MAX),
            age: age_us.map(std::time::Duration::from_micros),
            newest_per_key,
            ..Retention::ALL
        })
}

impl Bench {
    fn run(&mut self, op: &Op) {
        match *op {
            Op::Append(kind, long) => self.append(kind, long),
            Op::Wait(us) => self.now_us += us,
            Op::Tend => {
                let mut log = self.core.log();
                log.end_batch();
                log.trim(self.now_us);
            }
            Op::Read(reader) => {
                self.read(reader);
            }
            Op::Leave(reader) => drop(self.readers.remove(&reader)),
            Op::Join {
                reader,
                start,
                back,
                lag,
                filter,
                superseded,
            } => {
                let next = self.all.len() as Seq;
                let from = next.saturating_sub(back);
                let resumed = self.readers.get(&reader).filter(|old| old.filter == filter);
                let start = match (start, resumed) {
                    (0, _) => Start::Latest,
                    (1, _) => Start::Earliest,
                    (2, _) => Start::At { seq: from },
                    (3, _) => Start::Since {
                        at_us: self.now_us.saturating_sub(back * 30),
                    },
                    (4, _) => Start::Ago { us: back * 30 },
                    (5, _) => Start::LastPerKey,
                    // A connection that broke.
                    (6, Some(old)) => Start::Rest {
                        epoch: EPOCH,
                        next: old.sequence.next(),
                        until: old.accepted.thinned,
                    },
                    _ => Start::Resume {
                        epoch: EPOCH,
                        next: from,
                    },
                };
                // A pin keeps what is there; it does not bring back what is gone.
                let lag = match start {
                    Start::Resume { .. } | Start::Rest { .. } | Start::At { .. }
                        if lag == Lag::Block =>
                    {
                        Lag::Skip
                    }
                    _ => lag,
                };
                let ask = Subscribe {
                    stream: self.core.name.clone(),
                    fingerprint: None,
                    start,
                    lag,
                    filter: filter.map(source),
                    superseded,
                    named: None,
                    credential: None,
                };
                self.join(reader, ask, filter);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// What each reader is told is what a list of all items, with their keys and times, says.
    #[test]
    fn equals_a_naive_model(
        retention in retention(),
        ops in prop::collection::vec(op(), 1..250),
    ) {
        let mut bench = Bench::new(retention);
        for op in &ops {
            bench.run(op);
        }
        bench.finish();
    }
}
