//! Peers that are slow to say who they are, and peers that say that they are somebody else.

use std::time::Duration;

use iroh::SecretKey;
use rivermesh_attacker::victim::{DOWN, Settings};
use rivermesh_proto::code::Code;
use rivermesh_tests::{
    cluster::DEADLINE,
    raw::{Attacker, Claim, closed_with, entry_of},
    recorder::Recorder,
    wait::eventually,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::arena;

/// Connections that say nothing, or next to nothing.
const SLOW: usize = 200;
/// Handshakes at once from one address, by default.
const PLACES: usize = 128;

/// Opens connections, half of which say nothing and half a byte now and then; gives the codes that
/// they are closed with. `between` runs while they are open.
async fn slow(addr: rivermesh::EndpointAddr, between: impl Future<Output = ()>) -> Vec<Code> {
    let attacker = Attacker::new().await;
    let mut open = JoinSet::new();
    for n in 0..SLOW {
        let connection = attacker.connect(addr.clone()).await;
        open.spawn(async move {
            let (mut send, _recv) = connection.open_bi().await.unwrap();
            let dribble = async {
                send.write_all(&[200, 0, 0, 0]).await.ok()?;
                if n % 2 == 0 {
                    return None::<()>;
                }
                loop {
                    sleep(Duration::from_millis(100)).await;
                    send.write_all(&[0]).await.ok()?;
                }
            };
            let (code, _) = tokio::join!(closed_with(&connection), dribble);
            code
        });
    }
    between.await;
    open.join_all().await
}

/// The oldest of the silent give way, so they hold nobody up; those that are left are closed when
/// their time is over, however busy they look.
#[tokio::test(flavor = "multi_thread")]
async fn slow_handshakes_keep_nobody_out() {
    let mut arena = arena(Settings::default()).await;
    let addr = arena.addr().clone();
    let newcomer = arena.newcomer();
    let newcomer = newcomer.await;
    let between = async {
        let consumer = newcomer
            .consumer::<bytes::Bytes>()
            .stream(DOWN)
            .build()
            .unwrap();
        let mut recorder = Recorder::of(consumer, "newcomer");
        recorder.until("an item", |r| r.items() > 0).await;
    };
    // The newcomer's connection to the victim is made anew in the midst of it.
    newcomer.disconnect(arena.id());
    let codes = arena.during(slow(addr, between)).await;
    let gone = codes.iter().filter(|code| **code == Code::Busy).count();
    let late = codes.iter().filter(|code| **code == Code::Timeout).count();
    assert!(gone >= SLOW - PLACES, "{gone} gave way");
    assert_eq!(gone + late, SLOW, "{codes:?}");
    newcomer.shutdown().await;
    arena.finish().await;
}

/// The same where the limit is lifted: none gives way, so the test above sees the limit at work.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_limit_slow_handshakes_hold_their_places() {
    let mut arena = arena(Settings {
        max_handshakes: Some(10_000),
        ..Settings::default()
    })
    .await;
    let addr = arena.addr().clone();
    let codes = arena.during(slow(addr, async {})).await;
    assert_eq!(codes, [Code::Timeout; SLOW]);
    arena.finish().await;
}

/// The entry in a handshake is the peer's own: neither another's as it was signed, nor one with
/// another's name on it.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_joins_with_the_entry_of_another() {
    let mut arena = arena(Settings::default()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let other = SecretKey::generate();
    let stolen = entry_of(&other, &network).sign(&other).unwrap();
    let attack = async {
        let attacker = Attacker::new().await;
        let own = attacker.claim(&network, |_| {});
        let mut forged = stolen.as_bytes().to_vec();
        forged[..64].copy_from_slice(&own.record[..64]);
        let elsewhere = attacker.claim("another network", |_| {});
        for (record, code) in [
            (stolen.as_bytes().clone(), Code::Protocol),
            (forged.into(), Code::Protocol),
            (elsewhere.record, Code::Unauthorized),
            (b"nothing".to_vec().into(), Code::Malformed),
        ] {
            let claim = Claim {
                record,
                instance: 1,
            };
            let joined = attacker.join_as(addr.clone(), &network, claim).await;
            assert_eq!(closed_with(&joined.unwrap()).await, code);
        }
        // With its own it does.
        let joined = attacker.join_as(addr, &network, own).await.unwrap();
        (attacker, joined)
    };
    let (attacker, _joined) = arena.during(attack).await;
    arena.lists(attacker.endpoint().id()).await;
    assert!(arena.seen(other.public()).await.is_none());
    let honest = arena.honest().clone();
    eventually(DEADLINE, || honest.catalog().len() == 3).await;
    timeout(DEADLINE, attacker.endpoint().close())
        .await
        .unwrap();
    arena.finish().await;
}
