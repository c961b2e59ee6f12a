//! A thousand clients that come, subscribe and vanish, and come again.

use iroh::SecretKey;
use rivermesh_attacker::victim::{GUARDED, Settings};
use rivermesh_proto::subscribe::{Reply, Update};
use rivermesh_tests::{
    cluster::DEADLINE,
    raw::{self, Attacker, request},
};
use tokio::task::JoinSet;

use crate::arena;

/// Clients that come.
const CLIENTS: usize = 1000;
/// Of them at the same time.
const AT_ONCE: usize = 25;

/// Joins and subscribes as this client; an error where the victim has no room.
async fn come(
    addr: rivermesh::EndpointAddr,
    network: &str,
    secret: SecretKey,
    life: u64,
) -> Result<(Attacker, raw::Pair), String> {
    let attacker = Attacker::with(secret, ([127, 0, 0, 1], 0).into()).await;
    let claim = attacker.claim(network, |entry| entry.instance = life);
    let connection = attacker.join_as(addr, network, claim).await?;
    let bytes = request(GUARDED).encode().map_err(|e| e.to_string())?;
    let (mut send, mut recv) = connection.open_bi().await.map_err(|e| e.to_string())?;
    let first = [&[3][..], &bytes].concat();
    send.write_all(&first).await.map_err(|e| e.to_string())?;
    let reply = raw::try_message(&mut recv).await?;
    let reply = Reply::decode(&reply).map_err(|e| e.to_string())?;
    assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
    let ready = Update::Ready.encode().map_err(|e| e.to_string())?;
    send.write_all(&ready).await.map_err(|e| e.to_string())?;
    Ok((attacker, (send, recv)))
}

/// Clients that vanish without a word and come back as a new process leave nothing behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_clients_come_and_go_and_leave_nothing() {
    let mut arena = arena(Settings::default()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attack = async {
        let secrets: Vec<_> = (0..AT_ONCE).map(|_| SecretKey::generate()).collect();
        let mut came = 0;
        let mut before = Vec::new();
        for life in 0..(CLIENTS / AT_ONCE) as u64 {
            let mut wave = JoinSet::new();
            for secret in &secrets {
                let (addr, network, secret) = (addr.clone(), network.clone(), secret.clone());
                wave.spawn(async move {
                    // Again and again, as one does that is refused.
                    let mut refused = Vec::new();
                    while refused.len() < 10 {
                        let again = come(addr.clone(), &network, secret.clone(), life).await;
                        match again {
                            Ok(held) => return held,
                            Err(error) => refused.push(error),
                        }
                    }
                    panic!("refused ten times: {refused:?}");
                });
            }
            let held = wave.join_all().await;
            came += held.len();
            // Those of the last life are still there when the next one comes, then they go without
            // a word.
            before = held;
        }
        drop(before);
        came
    };
    let came = arena.during(attack).await;
    assert_eq!(came, CLIENTS);
    arena.reports(|report| report.guarded.is_empty()).await;
    let report = arena.report().await;
    assert!(report.catalog <= AT_ONCE + 2, "{report:?}");
    arena.finish().await;
}

/// No more connections are held than the limit says, though all come at once, and those that are
/// there go on. With the limit lifted all are held. One place is the honest peer's.
#[tokio::test(flavor = "multi_thread")]
async fn the_limit_of_connections_is_held() {
    for (limit, held) in [(Some(10), 9), (None, AT_ONCE)] {
        let mut arena = arena(Settings {
            max_connections: limit,
            ..Settings::default()
        })
        .await;
        let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
        let attack = async {
            let mut wave = JoinSet::new();
            for _ in 0..AT_ONCE {
                let (addr, network) = (addr.clone(), network.clone());
                wave.spawn(async move { come(addr, &network, SecretKey::generate(), 1).await });
            }
            let came = tokio::time::timeout(DEADLINE, wave.join_all())
                .await
                .unwrap();
            came.into_iter().flatten().collect::<Vec<_>>()
        };
        let came = arena.during(attack).await;
        let report = arena
            .reports(|report| report.guarded.len() == came.len())
            .await;
        assert_eq!(came.len(), held, "{limit:?}: {report:?}");
        arena.finish().await;
    }
}
