use std::time::Duration;

use proptest::prelude::*;

use super::{
    fixture::{run, run_in_steps},
    message::ITEMS,
    *,
};
use crate::{
    catalog::{BUCKETS, Config, Lost, Source},
    entry::fixture::{WALL, departure, entry, id, key, network, plain, suspicion},
};

fn at(seconds: u64) -> Clock {
    Clock {
        mono: Duration::from_secs(1000 + seconds),
        wall_us: WALL + seconds * 1_000_000,
    }
}

fn catalog(n: u16) -> Catalog {
    let mut catalog = Catalog::new(id(n), network(), Config::default());
    catalog.announce(entry(n, 1), at(0)).unwrap();
    catalog
}

fn tell(catalog: &mut Catalog, record: SignedRecord) {
    catalog.admit(record, Source::Gossip, at(0)).unwrap();
}

fn ids(catalog: &Catalog) -> Vec<(NodeId, u64)> {
    let peers = catalog.view().iter();
    peers.map(|peer| (peer.id(), peer.revision())).collect()
}

#[test]
fn equal_catalogs_exchange_two_short_messages() {
    let (mut a, mut b) = (catalog(1), catalog(2));
    run(&mut a, &mut b, at(0)).unwrap();
    assert_eq!(a.digest(), b.digest());
    let ran = run(&mut a, &mut b, at(0)).unwrap();
    assert!(matches!(
        &ran.messages[..],
        [Message::Open { .. }, Message::Same]
    ));
    assert!(ran.bytes() < 24, "{} bytes", ran.bytes());
}

#[test]
fn the_cost_follows_the_difference() {
    let (mut a, mut b) = (catalog(1), catalog(2));
    for n in 10..410 {
        tell(&mut a, entry(n, 1));
        tell(&mut b, entry(n, 1));
    }
    run(&mut a, &mut b, at(0)).unwrap();
    tell(&mut a, entry(10, 2));
    tell(&mut b, entry(11, 2));
    let ran = run(&mut a, &mut b, at(0)).unwrap();
    assert_eq!(ran.changes.len(), 2);
    assert_eq!(a.digest(), b.digest());
    assert!(ran.messages.len() <= 5);
    assert!(ran.bytes() < 3500, "{} bytes", ran.bytes());
}

#[test]
fn a_newcomer_learns_everything_and_is_learned_of() {
    let (mut old, mut new) = (catalog(1), catalog(2));
    for n in 10..1500 {
        tell(&mut old, entry(n, 1));
    }
    tell(&mut old, departure(9, 1));
    let ran = run(&mut new, &mut old, at(0)).unwrap();
    let pages = ran.messages.iter().map(|m| m.encode().len());
    assert!(pages.max() <= Some(limits::SYNC_PAGE));
    assert!(ran.messages.len() > 6, "more than one page");
    assert_eq!(ran.changes.len(), 1490 + 2);
    assert_eq!(ids(&old), ids(&new));
    assert_eq!(old.digest(), new.digest());
    assert!(new.admit(entry(9, 1), Source::Gossip, at(0)).is_err());
    // And the other way round, where the initiator has to push the pages.
    let mut third = catalog(3);
    let ran = run(&mut new, &mut third, at(0)).unwrap();
    assert_eq!(ran.changes.len(), 1492 + 1);
    assert_eq!(ids(&new), ids(&third));
    assert_eq!(new.digest(), third.digest());
}

#[test]
fn long_lists_travel_in_pages() {
    let count = u16::try_from(ITEMS + 100).unwrap();
    let (mut a, mut b) = (catalog(1), catalog(2));
    for n in 10..10 + count {
        tell(&mut a, departure(n, 1));
    }
    let ran = run(&mut a, &mut b, at(0)).unwrap();
    let has_more = ran.messages.iter().any(|m| matches!(m, Message::More));
    assert!(has_more);
    assert_eq!(a.digest(), b.digest());
    assert_eq!(b.tombstones().0, usize::from(count));
}

#[test]
fn a_restarted_node_is_shown_what_is_known_of_it() {
    // Listed, departed, evicted, and evicted so long ago that the digest does not count it.
    for (case, seconds) in [(0, 1), (1, 1), (2, 111), (3, 300)] {
        for initiates in [true, false] {
            let mut other = catalog(2);
            if case == 1 {
                tell(&mut other, departure(1, 50));
            } else {
                tell(&mut other, entry(1, 50));
            }
            other.tick(at(seconds.min(50)));
            other.tick(at(seconds));
            other.tick(at(seconds));
            let mut restarted = catalog(1);
            let ran = if initiates {
                let ran = run(&mut restarted, &mut other, at(seconds)).unwrap();
                ran.refute[0]
            } else {
                let ran = run(&mut other, &mut restarted, at(seconds)).unwrap();
                ran.refute[1]
            };
            assert_eq!(ran, Some(WALL + 50), "case {case}, initiates: {initiates}");
        }
    }
}

#[test]
fn a_suspected_node_is_told_of_together_with_the_suspicion() {
    let (mut a, mut b) = (catalog(1), catalog(2));
    tell(&mut a, entry(3, 1));
    let Lost { suspicion, .. } = a.unreachable(&id(3), at(1)).unwrap();
    run(&mut a, &mut b, at(1)).unwrap();
    assert_eq!(b.view().get(&id(3)), None, "not yet signed, so not told");
    a.announce(suspicion.sign(&key(1)).unwrap(), at(1)).unwrap();
    run(&mut b, &mut a, at(1)).unwrap();
    assert!(!b.view().get(&id(3)).unwrap().is_live());
}

#[test]
fn what_was_dropped_is_not_told_to_others() {
    let (mut a, mut b) = (catalog(1), catalog(2));
    tell(&mut a, entry(3, 1));
    a.unreachable(&id(3), at(1)).unwrap();
    a.tick(at(61));
    run(&mut a, &mut b, at(61)).unwrap();
    run(&mut b, &mut a, at(61)).unwrap();
    assert_eq!(b.view().get(&id(3)), None);
}

#[test]
fn newcomers_do_not_hand_on_a_dead_node_for_ever() {
    let mut teller = catalog(1);
    tell(&mut teller, entry(99, 1));
    let mut hops = 0;
    for n in 2..30 {
        let now = at(u64::from(n - 1) * 10);
        let mut next = catalog(n);
        run(&mut next, &mut teller, now).unwrap();
        if next.view().get(&id(99)).is_some() {
            hops += 1;
        }
        teller = next;
    }
    assert_eq!(hops, 4, "the entry stands for 50 s in all");
}

#[test]
fn a_bad_record_ends_the_sync() {
    let mut a = catalog(1);
    let mut bytes = entry(3, 1).as_bytes().to_vec();
    bytes[0] ^= 1;
    let forged = SignedRecord::copy_from_slice(&bytes).unwrap();
    let foreign = crate::entry::Entry {
        network: crate::NetworkId::of("other"),
        ..plain(3, WALL)
    };
    for record in [forged, foreign.sign(&key(3)).unwrap()] {
        let mut initiator = listing(&a);
        let delta = Message::Delta {
            records: vec![Carried { age_s: 0, record }],
            want: vec![],
            last: true,
        };
        assert!(matches!(
            initiator.handle(&delta.encode(), &mut a, at(0)),
            Err(SyncError::BadRecord(_))
        ));
        // And nothing goes on after it.
        assert!(initiator.handle(&delta.encode(), &mut a, at(0)).is_err());
    }
    assert_eq!(a.view().len(), 1);
}

/// An initiator that has listed all it knows.
fn listing(catalog: &Catalog) -> Initiator {
    let (mut initiator, _) = Initiator::start(id(2), catalog);
    let sums = Message::Buckets(Sums(Box::new([7; BUCKETS])));
    let mut scratch = Catalog::new(id(1), network(), Config::default());
    scratch.announce(entry(1, 1), at(0)).unwrap();
    let output = initiator.handle(&sums.encode(), &mut scratch, at(0));
    assert!(matches!(
        output.unwrap().send,
        Some(Message::Have { last: true, .. })
    ));
    initiator
}

#[test]
fn messages_out_of_turn_are_refused() {
    let mut a = catalog(1);
    let all = [
        Message::Open { total: 1, count: 1 },
        Message::Same,
        Message::Buckets(Sums(Box::new([0; BUCKETS]))),
        have(vec![], true),
        Message::More,
        delta(vec![], true),
        push(true),
        push(false),
    ];
    for message in &all {
        let bytes = message.encode();
        let first = Initiator::start(id(2), &a).0.handle(&bytes, &mut a, at(0));
        let expected = matches!(message, Message::Same | Message::Buckets(_));
        assert_eq!(first.is_ok(), expected, "initiator, first: {message:?}");
        let listed = listing(&a).handle(&bytes, &mut a, at(0));
        let expected = matches!(message, Message::Delta { .. });
        assert_eq!(listed.is_ok(), expected, "initiator, listed: {message:?}");
        let first = Responder::new(id(2)).handle(&bytes, &mut a, at(0));
        let expected = matches!(message, Message::Open { .. });
        assert_eq!(first.is_ok(), expected, "responder, first: {message:?}");
        let opened = opened(&mut a).handle(&bytes, &mut a, at(0));
        let expected = matches!(message, Message::Have { .. });
        assert_eq!(opened.is_ok(), expected, "responder, opened: {message:?}");
    }
}

fn opened(catalog: &mut Catalog) -> Responder {
    let mut responder = Responder::new(id(2));
    let open = Message::Open { total: 1, count: 1 };
    responder.handle(&open.encode(), catalog, at(0)).unwrap();
    responder
}

fn have(items: Vec<([u8; 32], u64)>, last: bool) -> Message {
    let buckets = [0xff; 32];
    Message::Have {
        buckets,
        items,
        last,
    }
}

fn delta(want: Vec<[u8; 32]>, last: bool) -> Message {
    Message::Delta {
        records: vec![],
        want,
        last,
    }
}

fn push(more: bool) -> Message {
    Message::Push {
        records: vec![],
        more,
    }
}

#[test]
fn a_peer_that_makes_no_progress_is_refused() {
    let mut a = catalog(1);
    let mut hear = |message: Message| {
        let mut initiator = listing(&a);
        initiator.handle(&message.encode(), &mut a, at(0))
    };
    assert!(hear(delta(vec![], false)).is_err(), "an empty delta");
    assert!(
        hear(delta(vec![[1; 32]; 2], true)).is_err(),
        "2 of 1 wanted"
    );
    assert!(hear(delta(vec![[1; 32]], true)).is_ok());
    let mut hear = |messages: &[Message]| {
        let mut responder = opened(&mut a);
        let results = messages.iter().map(|message| {
            let output = responder.handle(&message.encode(), &mut a, at(0));
            output.map(drop)
        });
        results.collect::<Result<(), _>>()
    };
    let item = |byte| ([byte; 32], 1);
    assert!(hear(&[have(vec![], false)]).is_err(), "an empty page");
    assert!(hear(&[have(vec![item(1), item(1)], true)]).is_err());
    assert!(hear(&[have(vec![item(1)], false), have(vec![item(1)], true)]).is_err());
    assert!(hear(&[have(vec![item(1)], false), have(vec![item(2)], true)]).is_ok());
    assert!(hear(&[have(vec![], true), push(true)]).is_err());
    assert!(hear(&[have(vec![], true), push(false)]).is_ok());
    assert!(hear(&[have(vec![], true), push(false), push(false)]).is_err());
    let elsewhere = Message::Have {
        buckets: [0; 32],
        items: vec![item(1)],
        last: true,
    };
    assert!(hear(&[elsewhere]).is_err(), "outside of the buckets");
    let pages: Vec<_> = (1..9).map(|byte| have(vec![item(byte)], false)).collect();
    assert!(hear(&pages[..3]).is_ok());
    assert!(hear(&pages).is_err(), "more pages than a catalog has");
}

#[test]
fn what_a_peer_may_send_in_one_sync_is_bounded() {
    let mut a = catalog(1);
    let mut initiator = listing(&a);
    // Known records make no change, and are no fault.
    let record = entry(1, 1);
    let message = Message::Delta {
        records: vec![Carried { age_s: 0, record }],
        want: vec![],
        last: false,
    };
    let bytes = message.encode();
    let taken = (0..)
        .take_while(|_| initiator.handle(&bytes, &mut a, at(0)).is_ok())
        .count();
    assert_eq!(taken, MESSAGES - 1);
    assert!(matches!(
        Message::decode(&vec![0; limits::SYNC_PAGE + 1]),
        Err(SyncError::TooLarge { .. })
    ));
}

#[test]
fn bytes_that_are_no_message_end_the_sync() {
    let mut a = catalog(1);
    let mut responder = opened(&mut a);
    assert!(responder.handle(&[9], &mut a, at(0)).is_err());
    assert!(matches!(
        responder.handle(&have(vec![], true).encode(), &mut a, at(0)),
        Err(SyncError::Unexpected("the sync is over"))
    ));
    let (mut initiator, _) = Initiator::start(id(2), &a);
    assert!(initiator.handle(&[9], &mut a, at(0)).is_err());
    assert!(matches!(
        initiator.handle(&Message::Same.encode(), &mut a, at(0)),
        Err(SyncError::Unexpected("the sync is over"))
    ));
}

#[test]
fn lengths_that_are_claimed_take_no_memory() {
    // A `Have` with a list of 4 billion, a `Push` likewise, and a list over the limit.
    let mut have = vec![3];
    have.extend_from_slice(&[0xff; 32]);
    have.extend_from_slice(&[0xff, 0xff, 0xff, 0xff, 0x0f]);
    assert!(Message::decode(&have).is_err());
    assert!(Message::decode(&[6, 0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    let over = Message::Delta {
        records: vec![],
        want: vec![[0; 32]; super::message::WANTS + 1],
        last: true,
    };
    assert!(Message::decode(&over.encode()).is_err());
}

// The bytes of another implementation must be these; a change of any is a change of the protocol.
#[test]
fn golden_bytes() {
    let mut sums = [0; BUCKETS];
    sums[1] = 0x0102_0304_0506_0708;
    let carried = || {
        let record = suspicion(1, 1, 2);
        vec![Carried { age_s: 300, record }]
    };
    let mut buckets = [0; 32];
    buckets[0] = 2;
    let messages = [
        Message::Open {
            total: u64::MAX,
            count: 300,
        },
        Message::Same,
        Message::Buckets(Sums(Box::new(sums))),
        Message::Have {
            buckets,
            items: vec![([1; 32], 5)],
            last: true,
        },
        Message::More,
        Message::Delta {
            records: carried(),
            want: vec![[2; 32]],
            last: false,
        },
        Message::Push {
            records: carried(),
            more: true,
        },
    ];
    let mut text = String::new();
    for message in messages {
        let bytes = message.encode();
        assert_eq!(Message::decode(&bytes).unwrap(), message);
        for len in 0..bytes.len() {
            assert!(Message::decode(&bytes[..len]).is_err(), "{len} bytes");
        }
        assert!(Message::decode(&[&bytes[..], &[0]].concat()).is_err());
        let shown = if bytes.len() > 1000 {
            format!("blake3 {}", blake3::hash(&bytes))
        } else {
            data_encoding::HEXLOWER.encode(&bytes)
        };
        text.push_str(&shown);
        text.push('\n');
    }
    assert_eq!(text, include_str!("golden.txt"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn a_sync_makes_two_catalogs_equal_from_either_side(
        a in prop::collection::vec((10..30_u16, 1..9_u64), 0..30),
        b in prop::collection::vec((10..30_u16, 1..9_u64), 0..30),
    ) {
        let fill = |n: u16, said: &[(u16, u64)]| {
            let mut catalog = catalog(n);
            for (n, revision) in said {
                let record = if *revision == 4 { departure(*n, 4) } else { entry(*n, *revision) };
                let _ = catalog.admit(record, Source::Gossip, at(0));
            }
            catalog
        };
        let (mut a1, mut b1) = (fill(1, &a), fill(2, &b));
        let (mut a2, mut b2) = (fill(1, &a), fill(2, &b));
        run(&mut a1, &mut b1, at(0)).unwrap();
        run(&mut b2, &mut a2, at(0)).unwrap();
        let (mut a3, mut b3) = (fill(1, &a), fill(2, &b));
        run_in_steps(&mut a3, &mut b3, at(0)).unwrap();
        prop_assert_eq!(ids(&a3), ids(&a1));
        prop_assert_eq!(a3.digest(), a1.digest());
        prop_assert_eq!(b3.digest(), a1.digest());
        prop_assert_eq!(ids(&a1), ids(&b1));
        prop_assert_eq!(a1.digest(), b1.digest());
        prop_assert_eq!(ids(&a1), ids(&a2));
        prop_assert_eq!(ids(&a2), ids(&b2));
        prop_assert_eq!(a1.digest(), a2.digest());
    }

    #[test]
    fn arbitrary_bytes_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        kind in 0..7_u8,
    ) {
        let bytes = [&[kind][..], &bytes].concat();
        let mut a = catalog(1);
        let _ = listing(&a).handle(&bytes, &mut a, at(0));
        let _ = opened(&mut a).handle(&bytes, &mut a, at(0));
    }
}
