//! A process that sleeps while rights end.

use std::time::Duration;

use bytes::Bytes;
use iroh::SecretKey;
use rivermesh::{
    Consumer, Event, Node,
    admission::{Authority, Grant, Right},
    consumer::LeaveReason,
};
use rivermesh_attacker::victim::{GUARDED, Settings};
use rivermesh_tests::{cluster::DEADLINE, recorder::now_us, wait::eventually};
use tokio::{task::JoinSet, time::timeout};

use crate::arena;

/// Consumers that are served by the same ticket at the same time, so that one of many senders would
/// be the first to run.
const CONSUMERS: usize = 6;
/// How long the ticket lasts.
const LASTS: Duration = Duration::from_secs(3);
/// How long before its end the process begins to send, and is stopped.
const SENDS: Duration = Duration::from_millis(1000);
const STOPS: Duration = Duration::from_millis(600);
/// How often the process is stopped, and how often that is tried, because a busy machine may be late.
const ROUNDS: u32 = 3;
const TRIES: u32 = 10;

/// What one consumer saw until it was cut: items, and the time that the last one was sent at.
async fn last(mut consumer: Consumer<Bytes>) -> (u64, u64) {
    let (mut items, mut last_us) = (0, 0);
    let mut cut = false;
    loop {
        let event = timeout(DEADLINE, consumer.next_event()).await;
        match event.expect("not cut").expect("still a consumer") {
            Event::Item(item) => {
                assert!(!cut, "an item after the end");
                let stamp = item.item.first_chunk().expect("a time");
                last_us = u64::from_le_bytes(*stamp).max(last_us);
                items += 1;
            }
            Event::Left { reason, .. } => {
                assert_eq!(reason, LeaveReason::Revoked);
                cut = true;
            }
            // It asks again, and the ticket is over.
            Event::Refused { .. } if cut => return (items, last_us),
            _ => {}
        }
    }
}

/// The producer's process stands still while the ticket of its consumers ends. When it goes on, the
/// program sends at once; nothing of that goes to them.
#[tokio::test(flavor = "multi_thread")]
async fn who_wakes_up_looks_before_it_sends() {
    let key = SecretKey::generate();
    let mut arena = arena(Settings {
        authority: Some(key.public()),
        ..Settings::default()
    })
    .await;
    let authority = Authority::new(arena.network(), key);
    let node = arena.newcomer().await;
    arena.lists(node.id()).await;
    let mut rounds = 0;
    for _ in 0..TRIES {
        arena.exchange(200).await;
        rounds += u32::from(round(&mut arena, &authority, &node).await);
        if rounds == ROUNDS {
            break;
        }
    }
    assert!(
        rounds > 0,
        "never suspended in time: the machine is too busy"
    );
    node.shutdown().await;
    arena.finish().await;
}

/// One suspension. False where it came too late to show anything.
async fn round(
    arena: &mut rivermesh_attacker::arena::Arena,
    authority: &Authority,
    node: &Node,
) -> bool {
    let grant = Grant::new(node.id(), GUARDED, [Right::Consume]).lasting(LASTS);
    let ticket = authority.issue(&grant).unwrap();
    let end_us = ticket.terms().expires_s * 1_000_000;
    let mut consumers = JoinSet::new();
    for _ in 0..CONSUMERS {
        let consumer = node.consumer::<Bytes>().stream(GUARDED).ticket(&ticket);
        consumers.spawn(last(consumer.build().unwrap()));
    }
    // All are served: a report is answered by the process itself.
    let mut served = false;
    while !served && now_us() < end_us {
        served = arena.report().await.guarded.len() == CONSUMERS;
    }
    let comes = |before: Duration| {
        let at_us = end_us - u64::try_from(before.as_micros()).unwrap();
        eventually(DEADLINE, move || now_us() >= at_us)
    };
    comes(SENDS).await;
    arena.stream(end_us).await;
    comes(STOPS).await;
    let suspended = arena.suspend().await;
    let in_time = served && now_us() < end_us;
    comes(Duration::ZERO).await;
    drop(suspended);
    let saw = timeout(DEADLINE, consumers.join_all()).await.expect("cut");
    arena.reports(|report| report.streamed_us > end_us).await;
    if !in_time {
        return false;
    }
    for (items, last_us) in saw {
        assert!(items > 0, "nothing was sent at all");
        let late = last_us.saturating_sub(end_us);
        assert_eq!(late, 0, "sent {late} us after the end of the ticket");
    }
    true
}
