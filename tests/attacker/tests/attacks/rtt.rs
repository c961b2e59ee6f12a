//! Peers that are far and would be taken for near.

use std::{net::SocketAddr, time::Duration};

use iroh::{EndpointAddr, SecretKey, TransportAddr, endpoint::Connection};
use rivermesh_attacker::{
    proxy::Proxy,
    victim::{GUARDED, Settings},
};
use rivermesh_proto::{
    code::Code,
    subscribe::{Refusal, Reply, Update},
};
use rivermesh_tests::{
    cluster::DEADLINE,
    raw::{self, Attacker, request, reset_with},
};
use tokio::time::{Instant, sleep};

use crate::arena;

/// The bound that the victim holds its consumers to, in milliseconds.
const BOUND_MS: u64 = 100;
/// Far beyond it, one way.
const FAR: Duration = Duration::from_millis(120);

fn bounded(rtt_ms: u64) -> Settings {
    Settings {
        rtt_ms: Some(rtt_ms),
        rtt_interval_ms: Some(50),
        ..Settings::default()
    }
}

/// A proxy to the victim, and an attacker that reaches the victim through it alone.
async fn behind(addr: &EndpointAddr, one_way: Duration) -> (Proxy, Attacker, EndpointAddr) {
    let victim = addr.ip_addrs().next().copied().unwrap();
    let proxy = Proxy::new(victim, one_way).await;
    let bind = SocketAddr::from(([0, 0, 0, 0, 0, 0, 0, 1], 0));
    let attacker = Attacker::with(SecretKey::generate(), bind).await;
    let there = TransportAddr::Ip(proxy.addr());
    let addr = EndpointAddr::from_parts(addr.id, [there]);
    (proxy, attacker, addr)
}

/// Asks for the guarded stream again and again, until it is accepted or the time is over.
async fn insist(connection: &Connection, within: Duration) -> Option<raw::Pair> {
    let end = Instant::now() + within;
    while Instant::now() < end {
        let (mut pair, reply) = raw::subscribe(connection, &request(GUARDED)).await;
        match reply {
            Reply::Accepted(_) => {
                let ready = Update::Ready.encode().unwrap();
                pair.0.write_all(&ready).await.unwrap();
                return Some(pair);
            }
            Reply::Refused(Refusal::NotAdmitted) => sleep(Duration::from_millis(20)).await,
            Reply::Refused(other) => panic!("{other}"),
        }
    }
    None
}

/// A far peer is not admitted: not before anything is known of it, and not when it is known.
#[tokio::test(flavor = "multi_thread")]
async fn a_far_peer_is_never_near() {
    let mut arena = arena(bounded(BOUND_MS)).await;
    let network = arena.network().to_owned();
    let (_proxy, attacker, there) = behind(arena.addr(), FAR).await;
    let attack = async {
        let connection = attacker.join(there, &network, Vec::new()).await;
        let admitted = insist(&connection, Duration::from_secs(3)).await.is_some();
        (admitted, connection)
    };
    let (admitted, _connection) = arena.during(attack).await;
    assert!(!admitted);
    let seen = arena.seen(attacker.endpoint().id()).await.unwrap();
    assert!(seen.rtt_us > Some(BOUND_MS * 1000), "{seen:?}");
    arena.finish().await;
}

/// The same with a bound that it keeps to: admitted, so the test above sees the bound at work.
#[tokio::test(flavor = "multi_thread")]
async fn within_a_wider_bound_it_is_admitted() {
    let mut arena = arena(bounded(BOUND_MS * 20)).await;
    let network = arena.network().to_owned();
    let (_proxy, attacker, there) = behind(arena.addr(), FAR).await;
    let attack = async {
        let connection = attacker.join(there, &network, Vec::new()).await;
        let admitted = insist(&connection, DEADLINE).await.is_some();
        (admitted, connection)
    };
    let (admitted, _connection) = arena.during(attack).await;
    assert!(admitted);
    arena.finish().await;
}

/// A peer that was near once, and was admitted for that, is cut when it is not any more.
#[tokio::test(flavor = "multi_thread")]
async fn having_been_near_does_not_last() {
    let mut arena = arena(bounded(BOUND_MS)).await;
    let network = arena.network().to_owned();
    let (proxy, attacker, there) = behind(arena.addr(), Duration::ZERO).await;
    let attack = async {
        let connection = attacker.join(there, &network, Vec::new()).await;
        let (_send, mut recv) = insist(&connection, DEADLINE).await.expect("not admitted");
        proxy.delay(FAR);
        // What is asked for keeps packets flowing, as an attacker would that wants to be measured.
        let asks = async {
            while connection.close_reason().is_none() {
                let _ = raw::subscribe(&connection, &request("nowhere")).await;
            }
        };
        tokio::select! {
            code = reset_with(&mut recv) => code,
            () = asks => panic!("the connection is closed"),
        }
    };
    assert_eq!(arena.during(attack).await, Code::Revoked);
    arena.finish().await;
}
