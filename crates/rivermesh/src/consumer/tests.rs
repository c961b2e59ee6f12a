//! The handle over an inbox that is filled by hand: the same arrivals, taken in different ways.

use std::sync::Arc;

use futures::FutureExt;
use proptest::prelude::*;
use rivermesh_proto::{
    Epoch, Seq, StreamName,
    batch::{self, Builder},
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Batch, Consumer, Event, LeaveReason, Status,
    handle::Acking,
    inbox::{self, Inbox, Message, Source},
    wanted::Wanted,
};
use crate::{Datum, SecretKey};

const ROOM: u32 = 1024 * 1024;

fn consumer<T: Datum>(room: u32) -> (Inbox, Consumer<T>) {
    let (inbox, outlet) = inbox::new(room);
    let (_, status) = watch::channel(Status::default());
    let (want, _) = watch::channel(Wanted::default());
    let name = StreamName::new("test").unwrap();
    let cancel = CancellationToken::new();
    let consumer = Consumer::new(
        (name, false),
        outlet,
        want,
        status,
        Arc::default(),
        cancel,
        Acking::default(),
    );
    (inbox, consumer)
}

fn source() -> Arc<Source> {
    Arc::new(Source {
        producer: SecretKey::from_bytes(&[1; 32]).public(),
        stream: StreamName::new("test").unwrap(),
        epoch: Epoch(7),
        schema: None,
        commits: None,
        redelivers: 0,
        is_again: false,
    })
}

fn batch(first: Seq, items: &[Vec<u8>]) -> batch::Batch {
    let mut open = Builder::new(1024);
    for item in items {
        let pushed: Result<(), ()> = open.push(|buf| {
            buf.extend_from_slice(item);
            Ok(())
        });
        pushed.unwrap();
    }
    batch::Batch::of_frame(&open.seal(first, 99).unwrap()).unwrap()
}

/// Something that arrives.
#[derive(Clone, Debug)]
enum Arrival {
    Batch(Vec<Vec<u8>>),
    Missed(u64),
    Left,
}

fn arrival() -> impl Strategy<Value = Arrival> {
    let text = "[a-z]{0,3}".prop_map(String::into_bytes);
    let item = prop_oneof![4 => text, 1 => Just(vec![0xff])];
    prop_oneof![
        4 => prop::collection::vec(item, 1..6).prop_map(Arrival::Batch),
        1 => (1_u64..9).prop_map(Arrival::Missed),
        1 => Just(Arrival::Left),
    ]
}

/// What a program sees of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Item(Seq, String),
    Undecodable(Seq),
    Missed(Seq, Seq),
    Left,
}

/// What must be seen, worked out from what arrives alone.
fn expected(arrivals: &[Arrival]) -> Vec<Seen> {
    let (mut seen, mut next) = (Vec::new(), 0);
    for arrival in arrivals {
        match arrival {
            Arrival::Batch(items) => {
                for item in items {
                    seen.push(match String::from_utf8(item.clone()) {
                        Ok(text) => Seen::Item(next, text),
                        Err(_) => Seen::Undecodable(next),
                    });
                    next += 1;
                }
            }
            Arrival::Missed(count) => {
                seen.push(Seen::Missed(next, next + count));
                next += count;
            }
            Arrival::Left => seen.push(Seen::Left),
        }
    }
    seen
}

fn fill(inbox: &Inbox, arrivals: &[Arrival]) {
    let (source, mut next) = (source(), 0);
    for arrival in arrivals {
        let source = Arc::clone(&source);
        let put = match arrival {
            Arrival::Batch(items) => {
                let batch = batch(next, items);
                next = batch.end();
                inbox.batch(source, batch).now_or_never()
            }
            Arrival::Missed(count) => {
                let (from, to) = (next, next + count);
                next = to;
                inbox
                    .message(Message::Missed { source, from, to })
                    .now_or_never()
            }
            Arrival::Left => {
                let (producer, epoch) = (source.producer, source.epoch);
                let reason = LeaveReason::Gone;
                inbox
                    .message(Message::Left {
                        producer,
                        epoch,
                        reason,
                    })
                    .now_or_never()
            }
        };
        put.unwrap().unwrap();
    }
}

fn see<T: std::fmt::Debug>(event: Event<T>, item: impl FnOnce(T, Seq)) -> Option<Seen> {
    Some(match event {
        Event::Item(delivery) => {
            assert_eq!((delivery.epoch, delivery.sent_at_us), (Epoch(7), 99));
            item(delivery.item, delivery.seq);
            return None;
        }
        Event::Undecodable { seq, .. } => Seen::Undecodable(seq),
        Event::Missed { from, to, .. } => Seen::Missed(from, to),
        Event::Left { .. } => Seen::Left,
        other => panic!("{other:?}"),
    })
}

/// All items of a batch in three ways, which must agree.
fn unpack(batch: &Batch<String>, first: Seq, seen: &mut Vec<Seen>) {
    assert_eq!(batch.payloads().len(), batch.len());
    assert_eq!(batch.iter().count(), batch.len());
    let views = batch.views().map(Result::ok);
    let made = batch.iter().map(Result::ok);
    let zipped = batch.payloads().zip(views).zip(made);
    for (index, (((seq, payload), view), made)) in zipped.enumerate() {
        assert_eq!(seq, first + index as u64);
        assert_eq!(view, made.as_deref());
        seen.push(match made {
            Some(text) => {
                assert_eq!(payload.as_slice(), text.as_bytes());
                Seen::Item(seq, text)
            }
            None => Seen::Undecodable(seq),
        });
    }
}

proptest! {
    #[test]
    fn batches_and_items_tell_the_same(
        arrivals in prop::collection::vec(arrival(), 0..20),
        whole in prop::collection::vec(any::<bool>(), 1..10),
    ) {
        let (inbox, mut consumer) = consumer::<String>(ROOM);
        fill(&inbox, &arrivals);
        drop(inbox);
        let mut seen = Vec::new();
        for whole in whole.iter().cycle() {
            if *whole {
                let Some(event) = consumer.next_batch_event().now_or_never().unwrap() else {
                    break;
                };
                let other = see(event, |batch, first| unpack(&batch, first, &mut seen));
                seen.extend(other);
            } else {
                let Some(event) = consumer.next_event().now_or_never().unwrap() else {
                    break;
                };
                let other = see(event, |text, seq| seen.push(Seen::Item(seq, text)));
                seen.extend(other);
            }
        }
        let expected = expected(&arrivals);
        let missed: u64 = expected.iter().map(|seen| match seen {
            Seen::Missed(from, to) => to - from,
            _ => 0,
        }).sum();
        prop_assert_eq!(consumer.stats().missed, missed);
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn many_at_once_are_those_one_by_one(
        arrivals in prop::collection::vec(arrival(), 0..20),
        most in prop::collection::vec(1_usize..7, 1..10),
    ) {
        let (inbox, mut consumer) = consumer::<String>(ROOM);
        fill(&inbox, &arrivals);
        drop(inbox);
        let mut taken = Vec::new();
        for most in most.iter().cycle() {
            let before = taken.len();
            let got = consumer.recv_many(&mut taken, *most).now_or_never().unwrap();
            prop_assert_eq!(taken.len(), before + got);
            prop_assert!(got <= *most);
            if got == 0 {
                break;
            }
        }
        let expected: Vec<String> = expected(&arrivals).into_iter().filter_map(|seen| match seen {
            Seen::Item(_, text) => Some(text),
            _ => None,
        }).collect();
        prop_assert_eq!(consumer.stats().items, expected.len() as u64);
        prop_assert_eq!(taken, expected);
    }
}

#[test]
fn a_batch_that_is_held_keeps_its_room() {
    // Each batch takes more than half of it.
    let (inbox, mut consumer) = consumer::<String>(1000);
    let items = [vec![b'x'; 600]];
    let first = inbox.batch(source(), batch(0, &items)).now_or_never();
    first.unwrap().unwrap();
    let held = consumer.recv_batch().now_or_never().unwrap().unwrap();
    let second = inbox.batch(source(), batch(1, &items));
    assert!(second.now_or_never().is_none());
    drop(held);
    let second = inbox.batch(source(), batch(1, &items)).now_or_never();
    second.unwrap().unwrap();
}

#[test]
fn the_rest_of_a_batch_is_a_batch() {
    let (inbox, mut consumer) = consumer::<String>(ROOM);
    let items = ["a", "b", "c"].map(|text| text.as_bytes().to_vec());
    let put = inbox.batch(source(), batch(5, &items)).now_or_never();
    put.unwrap().unwrap();
    assert_eq!(consumer.try_recv().unwrap(), "a");
    let rest = consumer.recv_batch().now_or_never().unwrap().unwrap();
    let seqs: Vec<Seq> = rest.payloads().map(|(seq, _)| seq).collect();
    assert_eq!((rest.len(), seqs), (2, vec![6, 7]));
    assert!(consumer.recv_batch().now_or_never().is_none());
}
