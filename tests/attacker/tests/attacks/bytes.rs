//! Lengths that claim too much, bytes after the end, and what is small to send and large to read.

use ::bytes::BytesMut;
use iroh::{SecretKey, endpoint::SendStream};
use rivermesh_attacker::{
    arena::MEMORY,
    bait,
    victim::{Appetite, GUARDED, Settings},
};
use rivermesh_proto::{
    Epoch,
    batch::Builder,
    code::Code,
    entry::SignedRecord,
    filter::FilterSource,
    subscribe::{Accepted, Lag, Refusal, Reply, Subscribe},
    ticket::Credential,
    wire::StreamKind,
};
use rivermesh_tests::{
    cluster::DEADLINE,
    raw::{self, Attacker, closed_with, entry_of, gossip, message, open, request, reset_with},
};
use tokio::time::timeout;

use crate::arena;

/// What a flood writes if nobody stops it.
const FLOOD: u64 = 2 * MEMORY;

/// Writes zeros until the other side stops it; gives how many bytes it took. Panics when it takes them all.
async fn flood(send: &mut SendStream) -> u64 {
    let zeros = vec![0; 1 << 16];
    let mut written = 0;
    while written < FLOOD {
        let step = timeout(DEADLINE, send.write_all(&zeros)).await;
        if step.expect("neither taken nor refused").is_err() {
            return written;
        }
        written += zeros.len() as u64;
    }
    panic!("it takes all of {FLOOD} bytes");
}

/// Whatever a length prefix says, no memory is taken for it, and what follows it is not read.
#[tokio::test(flavor = "multi_thread")]
async fn a_length_prefix_takes_no_memory() {
    let mut arena = arena(Settings::default()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let huge = [0xff; 4];
    arena
        .during(async {
            let attacker = Attacker::new().await;
            for prefix in [huge, 257u32.to_le_bytes()] {
                let connection = attacker.connect(addr.clone()).await;
                let (mut send, _recv) = connection.open_bi().await.unwrap();
                send.write_all(&prefix).await.unwrap();
                assert!(flood(&mut send).await < MEMORY);
                assert_eq!(closed_with(&connection).await, Code::TooLarge);
            }
            let connection = attacker.join(addr.clone(), &network, Vec::new()).await;
            for prefix in [huge, ((16 << 10) + 1u32).to_le_bytes()] {
                let (mut send, mut recv) = open(&connection, StreamKind::Subscribe, &prefix).await;
                assert!(flood(&mut send).await < MEMORY);
                assert_eq!(reset_with(&mut recv).await, Code::BadFrame);
            }
            let (mut send, _recv) = open(&connection, StreamKind::Sync, &huge).await;
            assert!(flood(&mut send).await < MEMORY);
            assert!(connection.close_reason().is_none());
            let mut send = gossip(&connection).await;
            send.write_all(&huge).await.unwrap();
            assert!(flood(&mut send).await < MEMORY);
            assert_eq!(closed_with(&connection).await, Code::Malformed);
        })
        .await;
    arena.finish().await;
}

/// A message that goes on after its end is none, wherever it comes.
#[tokio::test(flavor = "multi_thread")]
async fn trailing_bytes_are_refused() {
    let mut arena = arena(Settings::default()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    arena
        .during(async {
            let attacker = Attacker::new().await;
            let connection = attacker.join(addr.clone(), &network, Vec::new()).await;
            let whole = request(GUARDED).encode().unwrap();
            let (_, reply) = raw::subscribe(&connection, &request(GUARDED)).await;
            assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
            let longer = raw::prefixed(&[&whole[4..], &[0]].concat());
            let (_send, mut recv) = open(&connection, StreamKind::Subscribe, &longer).await;
            assert_eq!(reset_with(&mut recv).await, Code::BadFrame);
            // A record that its own key has signed as it is.
            let record = stretched(attacker.secret(), &network);
            assert!(record.verify().is_err());
            let mut send = gossip(&connection).await;
            for _ in 0..3 {
                let message = raw::broadcast(&network, record.as_bytes());
                // It may be closed before the third is written.
                let _ = send.write_all(&message).await;
            }
            assert_eq!(closed_with(&connection).await, Code::Malformed);
            // And a gossip message.
            let connection = attacker.join(addr, &network, Vec::new()).await;
            let mut send = gossip(&connection).await;
            let message = raw::broadcast(&network, b"anything");
            let longer = raw::prefixed(&[&message[4..], &[0]].concat());
            send.write_all(&longer).await.unwrap();
            assert_eq!(closed_with(&connection).await, Code::Malformed);
        })
        .await;
    arena.finish().await;
}

/// An entry with a byte after its end, under a signature that fits.
fn stretched(secret: &SecretKey, network: &str) -> SignedRecord {
    let plain = entry_of(secret, network).sign(secret).unwrap();
    let body = [&plain.as_bytes()[64..], &[0]].concat();
    let signed = [&b"rivermesh/1 entry\0"[..], &body].concat();
    let signature = secret.sign(&signed).to_bytes();
    SignedRecord::decode([&signature[..], &body].concat().into()).unwrap()
}

/// Requests that are small and would be dear: nested, repeated, claiming lengths.
#[tokio::test(flavor = "multi_thread")]
async fn decode_bombs_are_refused() {
    let mut arena = arena(Settings::default()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    arena
        .during(async {
            let attacker = Attacker::new().await;
            let connection = attacker.join(addr.clone(), &network, Vec::new()).await;
            for filter in [
                "(".repeat(4096),
                "!".repeat(4096),
                "[".repeat(4096),
                format!("{}a{}", "(".repeat(2000), ")".repeat(2000)),
                format!("a.glob(\"{}\")", "*a".repeat(2000)),
                format!("a == 1{}", " || a == 1".repeat(400)),
            ] {
                let filter = FilterSource::new(&filter).unwrap();
                let ask = Subscribe {
                    filter: Some(filter.clone()),
                    ..request(GUARDED)
                };
                let (_, reply) = raw::subscribe(&connection, &ask).await;
                assert!(
                    matches!(reply, Reply::Refused(Refusal::Filter { .. })),
                    "{filter:?}: {reply:?}"
                );
            }
            // A page of a sync that claims four thousand million records: of what `Push` carries.
            for body in [
                &[6, 0xff, 0xff, 0xff, 0xff, 0x0f][..],
                &[3, 0xff, 0xff, 0xff, 0xff, 0x0f],
            ] {
                let attacker = Attacker::new().await;
                let connection = attacker.join(addr.clone(), &network, Vec::new()).await;
                let bytes = raw::prefixed(body);
                let (_send, _recv) = open(&connection, StreamKind::Sync, &bytes).await;
                assert_eq!(closed_with(&connection).await, Code::Protocol);
            }
        })
        .await;
    arena.finish().await;
}

/// Items that claim to be long lists are not taken for such.
#[tokio::test(flavor = "multi_thread")]
async fn items_that_claim_lengths_are_no_items() {
    let mut arena = arena(Settings {
        bait: Appetite::Reads,
        ..Settings::default()
    })
    .await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let most = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    let claims = [
        most.to_vec(),
        [&[0][..], &most].concat(),
        [&[0, 1][..], &most].concat(),
        vec![0x80; 10],
        Vec::new(),
    ];
    let bombs = claims.len() as u64;
    let attack = async {
        let attacker = Attacker::new().await;
        let streams = vec![bait::advert(7)];
        let connection = attacker.join(addr, &network, streams).await;
        let (mut send, mut recv) = serve(&connection, 7).await;
        let mut builder = Builder::new(1 << 16);
        for claim in claims {
            let push = |buf: &mut BytesMut| -> Result<(), std::convert::Infallible> {
                buf.extend_from_slice(&claim);
                Ok(())
            };
            builder.push(push).unwrap();
        }
        let frame = builder.seal(0, 0).unwrap();
        send.write_all(&frame).await.unwrap();
        // Ready, and nothing after it: the subscription holds.
        message(&mut recv).await;
        (connection, send, recv)
    };
    let held = arena.during(attack).await;
    let report = arena
        .reports(|report| report.bait.undecodable == bombs)
        .await;
    assert_eq!(report.bait.items, 0);
    drop(held);
    arena.finish().await;
}

/// Accepts the subscription that the victim opens, as the beginning of this epoch.
pub(crate) async fn serve(connection: &iroh::endpoint::Connection, epoch: u64) -> raw::Pair {
    serve_showing(connection, epoch, None).await
}

/// The same, and shows what is to entitle it.
pub(crate) async fn serve_showing(
    connection: &iroh::endpoint::Connection,
    epoch: u64,
    credential: Option<Credential>,
) -> raw::Pair {
    loop {
        let opened = timeout(DEADLINE, connection.accept_bi()).await;
        let (mut send, mut recv) = opened.expect("a stream in time").unwrap();
        let mut kind = [0; 1];
        if recv.read_exact(&mut kind).await.is_err() || kind != [StreamKind::Subscribe.byte()] {
            continue;
        }
        Subscribe::decode(&message(&mut recv).await).unwrap();
        let accepted = Reply::Accepted(Accepted {
            epoch: Epoch(epoch),
            start: 0,
            lag: Lag::Skip,
            thinned: 0,
            schema: None,
            redelivers: 0,
            credential,
        });
        send.write_all(&accepted.encode().unwrap()).await.unwrap();
        return (send, recv);
    }
}
