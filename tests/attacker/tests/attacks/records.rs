//! Records that lie about time: from the future, from before a departure, from before a return.

use iroh::{SecretKey, endpoint::Connection};
use rivermesh_attacker::{arena::Arena, victim::Settings};
use rivermesh_proto::{
    NetworkId,
    code::Code,
    entry::{Departure, Entry, SignedRecord, Suspicion},
};
use rivermesh_tests::{
    raw::{self, Attacker, Claim, closed_with, entry_of, gossip},
    recorder::now_us,
};

use crate::arena;

/// Microseconds of an hour.
const HOUR: u64 = 3_600_000_000;

/// Brings records to the victim by gossip, and waits until it has judged them.
async fn spread(arena: &mut Arena, connection: &Connection, records: &[SignedRecord]) {
    let network = arena.network().to_owned();
    // Messages of one stream are judged in order: once the last is listed, all have been.
    let marker = SecretKey::generate();
    let last = entry_of(&marker, &network).sign(&marker).unwrap();
    let mut send = gossip(connection).await;
    for record in records.iter().chain([&last]) {
        let message = raw::broadcast(&network, record.as_bytes());
        send.write_all(&message).await.unwrap();
    }
    arena.lists(marker.public()).await;
    raw::delivered(send).await;
}

async fn join(arena: &Arena) -> (Attacker, Connection) {
    let attacker = Attacker::new().await;
    let connection = attacker
        .join(arena.addr().clone(), arena.network(), Vec::new())
        .await;
    (attacker, connection)
}

/// Revisions that are not of this time, each an entry of a key of its own.
fn odd(network: &str) -> Vec<(SecretKey, SignedRecord)> {
    let now = now_us();
    let revisions = [
        u64::MAX,
        u64::MAX - 1,
        i64::MAX as u64,
        i64::MAX as u64 + 1,
        now + 25 * HOUR,
        now.saturating_sub(100 * HOUR),
        1,
        0,
    ];
    let sign = |revision| {
        let secret = SecretKey::generate();
        let entry = Entry {
            revision,
            ..entry_of(&secret, network)
        };
        let record = entry.sign(&secret).unwrap();
        (secret, record)
    };
    revisions.map(sign).into()
}

/// No clock of a peer moves anything here: a revision beyond a day ahead, or too old, is not taken, by
/// gossip, by a sync or in a handshake.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_out_of_time_is_not_taken() {
    let mut arena = arena(Settings::default()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let odd = odd(&network);
    let records: Vec<_> = odd.iter().map(|(_, record)| record.clone()).collect();
    let (attacker, connection) = join(&arena).await;
    spread(&mut arena, &connection, &records).await;
    let asked = arena.during(raw::push(&connection, &records)).await;
    assert_eq!(asked, Ok(records.len()), "it did not look at them");
    arena
        .during(async {
            for (secret, record) in &odd {
                let bind = ([127, 0, 0, 1], 0).into();
                let liar = Attacker::with(secret.clone(), bind).await;
                let claim = Claim {
                    record: record.as_bytes().clone(),
                    instance: 1,
                };
                let joined = liar.join_as(addr.clone(), &network, claim).await;
                assert_eq!(closed_with(&joined.unwrap()).await, Code::Protocol);
            }
        })
        .await;
    for (secret, _) in &odd {
        assert!(arena.seen(secret.public()).await.is_none());
    }
    // Nor is anybody taken for dead at a revision that he never had.
    let bystander = SecretKey::generate();
    let lives = entry_of(&bystander, &network).sign(&bystander).unwrap();
    spread(&mut arena, &connection, &[lives]).await;
    let suspicions = [u64::MAX, now_us() + HOUR].map(|revision| {
        let suspicion = Suspicion {
            network: NetworkId::of(&network),
            node: bystander.public(),
            revision,
            reporter: attacker.endpoint().id(),
        };
        suspicion.sign(attacker.secret()).unwrap()
    });
    spread(&mut arena, &connection, &suspicions).await;
    assert!(arena.seen(bystander.public()).await.unwrap().live);
    arena.finish().await;
}

/// A node that has left stays away, whoever brings its entry, and by which way.
#[tokio::test(flavor = "multi_thread")]
async fn the_departed_do_not_come_back() {
    let mut arena = arena(Settings::default()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let (_attacker, connection) = join(&arena).await;
    let ghost = SecretKey::generate();
    let entry = entry_of(&ghost, &network);
    let lives = entry.sign(&ghost).unwrap();
    spread(&mut arena, &connection, std::slice::from_ref(&lives)).await;
    assert!(arena.seen(ghost.public()).await.is_some());
    let departure = departure(&ghost, &network, entry.revision + 1);
    spread(&mut arena, &connection, &[departure]).await;
    assert!(arena.seen(ghost.public()).await.is_none());
    // By gossip, by a sync, and in person.
    spread(&mut arena, &connection, std::slice::from_ref(&lives)).await;
    assert!(arena.seen(ghost.public()).await.is_none());
    let pushed = arena.during(raw::push(&connection, std::slice::from_ref(&lives)));
    assert_eq!(pushed.await, Ok(0), "it asked for what it had buried");
    assert!(arena.seen(ghost.public()).await.is_none());
    let risen = Attacker::with(ghost.clone(), ([127, 0, 0, 1], 0).into()).await;
    let claim = Claim {
        record: lives.as_bytes().clone(),
        instance: 1,
    };
    let joined = risen.join_as(addr, &network, claim).await.unwrap();
    let (_, reply) =
        raw::subscribe(&joined, &raw::request(rivermesh_attacker::victim::GUARDED)).await;
    assert!(
        matches!(reply, rivermesh_proto::subscribe::Reply::Refused(_)),
        "{reply:?}"
    );
    assert!(arena.seen(ghost.public()).await.is_none());
    arena.finish().await;
}

fn departure(secret: &SecretKey, network: &str, revision: u64) -> SignedRecord {
    let departure = Departure {
        network: NetworkId::of(network),
        node: secret.public(),
        revision,
    };
    departure.sign(secret).unwrap()
}

/// A goodbye of a former life does not take away a node that has come back.
#[tokio::test(flavor = "multi_thread")]
async fn an_old_goodbye_removes_nobody() {
    let mut arena = arena(Settings::default()).await;
    let network = arena.network().to_owned();
    let (_attacker, connection) = join(&arena).await;
    let node = SecretKey::generate();
    let first = entry_of(&node, &network);
    let goodbye = departure(&node, &network, first.revision + 1);
    let back = Entry {
        revision: first.revision + 2,
        instance: 2,
        ..first.clone()
    };
    let back = back.sign(&node).unwrap();
    let lives = [first.sign(&node).unwrap(), goodbye.clone(), back];
    spread(&mut arena, &connection, &lives).await;
    let seen = arena.seen(node.public()).await.unwrap();
    assert_eq!(seen.revision, first.revision + 2);
    spread(&mut arena, &connection, std::slice::from_ref(&goodbye)).await;
    let pushed = arena.during(raw::push(&connection, &[goodbye])).await;
    assert_eq!(pushed, Ok(0), "it asked for what is older");
    let seen = arena.seen(node.public()).await.unwrap();
    assert!(seen.live && seen.revision == first.revision + 2, "{seen:?}");
    // Nor one that was kept back until the node was here again.
    let other = SecretKey::generate();
    let entry = entry_of(&other, &network);
    let goodbye = departure(&other, &network, entry.revision - 1);
    let lives = entry.sign(&other).unwrap();
    spread(&mut arena, &connection, &[lives, goodbye]).await;
    let seen = arena.seen(other.public()).await.unwrap();
    assert!(seen.live && seen.revision == entry.revision, "{seen:?}");
    arena.finish().await;
}
