//! More than anybody needs: entries of nodes that do not exist, and gossip.

use std::time::Duration;

use iroh::SecretKey;
use rivermesh_attacker::victim::{DOWN, Settings};
use rivermesh_proto::{entry::SignedRecord, limits};
use rivermesh_tests::{
    cluster::DEADLINE,
    raw::{self, Attacker, entry_of, gossip},
    recorder::Recorder,
};
use tokio::time::{Instant, timeout, timeout_at};

use crate::arena;

/// Entries of nodes that do not exist, signed by keys of their own.
async fn sybils(network: &str, count: usize) -> Vec<SignedRecord> {
    let network = network.to_owned();
    let sign = move || {
        let one = |_| {
            let secret = SecretKey::generate();
            // They promise to be heard of again in an hour, so that they stay for three.
            let entry = rivermesh_proto::entry::Entry {
                refresh_s: 3600,
                ..entry_of(&secret, &network)
            };
            entry.sign(&secret).unwrap()
        };
        (0..count).map(one).collect()
    };
    tokio::task::spawn_blocking(sign).await.unwrap()
}

/// A catalog is bounded; a node that comes in person is listed even when the catalog is full of
/// those who never did.
#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_thousand_sybils_take_no_place_of_those_who_come() {
    let mut arena = arena(Settings::default()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    // Signed before anybody joins: a busy machine takes long for that, and a connection that is not used
    // is closed.
    let records = sybils(&network, 100_000).await;
    let attack = async {
        let mut pushed = 0;
        for records in records.chunks(20_000) {
            let attacker = Attacker::new().await;
            let connection = attacker.join(addr.clone(), &network, Vec::new()).await;
            pushed += raw::push(&connection, records).await.unwrap();
        }
        pushed
    };
    assert_eq!(arena.during(attack).await, 100_000);
    let report = arena.report().await;
    assert_eq!(report.catalog, limits::CATALOG);
    let newcomer = arena.newcomer().await;
    let consume = async {
        let consumer = newcomer.consumer::<bytes::Bytes>().stream(DOWN);
        let mut recorder = Recorder::of(consumer.build().unwrap(), "newcomer");
        recorder.until("an item", |r| r.items() > 0).await;
    };
    arena.during(consume).await;
    arena.lists(newcomer.id()).await;
    newcomer.shutdown().await;
    arena.finish().await;
}

/// The same attack, smaller, on a catalog that is smaller still, and on one that has room for all of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_capacity_is_what_bounds_the_catalog() {
    for (capacity, listed) in [(500, 500), (limits::CATALOG, 2003)] {
        let mut arena = arena(Settings {
            capacity: Some(capacity),
            ..Settings::default()
        })
        .await;
        let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
        let records = sybils(&network, 2000).await;
        let attack = async {
            let attacker = Attacker::new().await;
            let connection = attacker.join(addr, &network, Vec::new()).await;
            raw::push(&connection, &records).await.unwrap();
            (attacker, connection)
        };
        let _held = arena.during(attack).await;
        assert_eq!(arena.report().await.catalog, listed);
        arena.finish().await;
    }
}

/// Messages of a flood.
const MESSAGES: usize = 8000;
/// Streams that it comes on at once.
const STREAMS: usize = 4;

/// Floods the victim with gossip until it has taken all or the time is over; gives how many
/// messages it took, and how long that went on.
async fn flood(
    addr: rivermesh::EndpointAddr,
    network: &str,
    within: Duration,
) -> (usize, Duration) {
    let attacker = Attacker::new().await;
    let connection = attacker.join(addr, network, Vec::new()).await;
    // As large as gossip may be, so that little fits into the transport's windows.
    let large = attacker.entry(network, |entry| {
        entry.tags = (0..42).map(|n| format!("{n:064}")).collect();
    });
    let record = large.sign(attacker.secret()).unwrap();
    let message = raw::broadcast(network, record.as_bytes());
    assert!(message.len() > 2800, "{}", message.len());
    let start = Instant::now();
    let deadline = start + within;
    let mut streams = Vec::new();
    for _ in 0..STREAMS {
        let (mut send, message) = (gossip(&connection).await, message.clone());
        streams.push(tokio::spawn(async move {
            let mut sent = 0;
            while sent < MESSAGES / STREAMS {
                match timeout_at(deadline, send.write_all(&message)).await {
                    Ok(Ok(())) => sent += 1,
                    Ok(Err(error)) => panic!("closed after {sent}: {error}"),
                    Err(_) => break,
                }
            }
            (sent, send)
        }));
    }
    let mut sent = 0;
    let mut held = Vec::new();
    for stream in streams {
        let (some, send) = stream.await.unwrap();
        sent += some;
        held.push(send);
    }
    (sent, start.elapsed())
}

/// Gossip beyond a peer's budget is not read, over however many streams it comes.
#[tokio::test(flavor = "multi_thread")]
async fn gossip_is_read_no_faster_than_its_budget() {
    let (rate, burst) = (100, 500);
    let mut arena = arena(Settings {
        gossip: Some((rate, burst)),
        ..Settings::default()
    })
    .await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let within = Duration::from_secs(3);
    let (sent, took) = arena.during(flood(addr, &network, within)).await;
    // What the windows of the streams hold counts as sent.
    let windows = STREAMS * (512 << 10) / 2800;
    let budget = f64::from(burst) + f64::from(rate) * took.as_secs_f64();
    let most = budget as usize + windows + 16 * STREAMS;
    assert!(sent < most, "{sent} of {most} in {took:?}");
    assert!(most < MESSAGES, "too long to see anything: {took:?}");
    arena.finish().await;
}

/// The same where the budget is lifted: all of it is read.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_budget_all_gossip_is_read() {
    let mut arena = arena(Settings {
        gossip: Some((u32::MAX, u32::MAX)),
        ..Settings::default()
    })
    .await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attack = flood(addr, &network, DEADLINE);
    let (sent, _) = timeout(DEADLINE * 2, arena.during(attack)).await.unwrap();
    assert_eq!(sent, MESSAGES);
    arena.finish().await;
}
