//! Entries that name the address of somebody who has nothing to do with it: each node that dials
//! sends packets there.

use std::{collections::HashSet, net::SocketAddr};

use iroh::SecretKey;
use rivermesh_attacker::{
    bait,
    victim::{Appetite, Settings},
};
use rivermesh_proto::entry::{Entry, SignedRecord};
use rivermesh_tests::{
    cluster::DEADLINE,
    raw::{self, Attacker, entry_of},
};
use tokio::{
    net::UdpSocket,
    time::{Instant, timeout, timeout_at},
};

use crate::arena;

/// Nodes that do not exist and are all at one address.
const NODES: usize = 48;
/// Dials in flight that the victim allows itself.
const DIALS: usize = 4;
/// How long a dial takes by default, when nobody answers.
const DIAL_S: u64 = 5;

fn nowhere(network: &str, bystander: SocketAddr) -> Vec<SignedRecord> {
    let one = |n: usize| {
        let secret = SecretKey::generate();
        let entry = Entry {
            addrs: vec![iroh::TransportAddr::Ip(bystander)],
            streams: vec![bait::advert(n as u64)],
            ..entry_of(&secret, network)
        };
        entry.sign(&secret).unwrap()
    };
    (0..NODES).map(one).collect()
}

/// What came to the bystander.
#[derive(Debug, Default)]
struct Heard {
    bytes: usize,
    /// The connections that were begun: the destination's connection id of each first packet (RFC
    /// 9000, section 17.2).
    connections: HashSet<Vec<u8>>,
}

impl Heard {
    /// Listens to what the victim sends; the honest peer may send packets there, too.
    async fn listen(
        &mut self,
        (socket, victim): (&UdpSocket, SocketAddr),
        until: Instant,
        connections: usize,
    ) {
        let mut packet = vec![0; 1 << 16];
        while self.connections.len() < connections {
            let Ok(received) = timeout_at(until, socket.recv_from(&mut packet)).await else {
                return;
            };
            let (len, from) = received.unwrap();
            if from != victim {
                continue;
            }
            self.bytes += len;
            let packet = &packet[..len];
            if let [first, _, _, _, _, id, rest @ ..] = packet
                && first & 0x80 != 0
                && rest.len() >= usize::from(*id)
            {
                self.connections.insert(rest[..usize::from(*id)].to_vec());
            }
        }
    }
}

async fn attack(dials: Option<usize>, wanted: usize) -> (Heard, u64) {
    let mut arena = arena(Settings {
        max_dials: dials,
        bait: Appetite::Reads,
        ..Settings::default()
    })
    .await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let victim = addr.ip_addrs().next().copied().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let records = nowhere(&network, socket.local_addr().unwrap());
    let mut heard = Heard::default();
    let start = Instant::now();
    let attack = Box::pin(async {
        let attacker = Attacker::new().await;
        let connection = attacker.join(addr, &network, Vec::new()).await;
        raw::push(&connection, &records).await.unwrap();
        heard
            .listen((&socket, victim), start + DEADLINE, wanted)
            .await;
        // What comes beyond that, if anything does.
        heard
            .listen(
                (&socket, victim),
                Instant::now() + DEADLINE / 15,
                usize::MAX,
            )
            .await;
    });
    timeout(DEADLINE * 2, arena.during(attack)).await.unwrap();
    let took = start.elapsed().as_secs();
    arena.finish().await;
    (heard, took)
}

/// A node dials a few at a time, so what it can be made to send to a third party is bounded, however
/// many entries name it.
#[tokio::test(flavor = "multi_thread")]
async fn a_third_party_hears_of_few_dials() {
    let (heard, took) = Box::pin(attack(Some(DIALS), DIALS)).await;
    let rounds = took / DIAL_S + 1;
    let most = DIALS * rounds as usize;
    let connections = heard.connections.len();
    assert!(
        connections >= DIALS,
        "the victim was not made to dial: {heard:?}"
    );
    assert!(
        connections <= most,
        "{connections} of {most} dials in {took} s"
    );
    // Each repeats its first packet as RFC 9002, section 6.2, says: after 1, 3, 7 s.
    let per_dial = heard.bytes / connections;
    assert!(per_dial < 32 << 10, "{per_dial} bytes a dial");
}

/// The same with the limit lifted: all of them are dialed at once.
#[tokio::test(flavor = "multi_thread")]
async fn without_the_limit_a_third_party_hears_of_all() {
    let (heard, took) = Box::pin(attack(Some(10_000), NODES)).await;
    let connections = heard.connections.len();
    assert!(connections >= NODES, "{connections} in {took} s");
}
