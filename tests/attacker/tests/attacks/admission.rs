//! Who may consume: rights that end, and names that are guessed.

use std::time::Duration;

use iroh::endpoint::SendStream;
use rivermesh_attacker::victim::{GUARDED, Settings};
use rivermesh_proto::{
    Fingerprint, StreamName,
    code::Code,
    filter::FilterSource,
    subscribe::{Lag, Refusal, Reply, Subscribe, Update},
};
use rivermesh_tests::{
    cluster::DEADLINE,
    raw::{self, Attacker, Claim, gossip, request, reset_with},
};
use tokio::time::{Instant, timeout};

use crate::arena;

const TAG: &str = "vip";

fn guarded() -> Settings {
    Settings {
        tag: Some(TAG.to_owned()),
        ..Settings::default()
    }
}

/// A right that ends is taken from whoever does not read, and an older entry does not bring it
/// back.
#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_is_removed_ends_the_subscription() {
    let mut arena = arena(guarded()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attacker = Attacker::new().await;
    let entitled = attacker.entry(&network, |entry| entry.tags = [TAG.to_owned()].into());
    let record = entitled.sign(attacker.secret()).unwrap();
    let claim = Claim {
        record: record.as_bytes().clone(),
        instance: 1,
    };
    let join = attacker.join_as(addr.clone(), &network, claim.clone());
    let connection = join.await.unwrap();
    let ((mut send, mut recv), reply) = raw::subscribe(&connection, &request(GUARDED)).await;
    assert!(matches!(reply, Reply::Accepted(_)), "{reply:?}");
    send.write_all(&Update::Ready.encode().unwrap())
        .await
        .unwrap();
    let id = attacker.endpoint().id();
    arena.reports(|report| report.guarded == [id]).await;
    // More than the windows hold, so that the producer's side waits for the attacker to read.
    arena.guarded(2000).await;
    // Somebody tells that the right is gone; the attacker itself does not.
    let plain = rivermesh_proto::entry::Entry {
        revision: entitled.revision + 1,
        tags: Default::default(),
        ..entitled
    };
    let news = plain.sign(attacker.secret()).unwrap();
    let other = Attacker::new().await;
    let link = other.join(addr.clone(), &network, Vec::new()).await;
    let mut gossip = gossip(&link).await;
    let told = raw::broadcast(&network, news.as_bytes());
    gossip.write_all(&told).await.unwrap();
    arena.reports(|report| report.guarded.is_empty()).await;
    given_up(&send).await;
    assert_eq!(reset_with(&mut recv).await, Code::Revoked);
    // Not with what it was entitled by, on this connection or another one.
    let refused = Reply::Refused(Refusal::NotAdmitted);
    assert_eq!(
        raw::subscribe(&connection, &request(GUARDED)).await.1,
        refused
    );
    let again = attacker.join_as(addr, &network, claim).await.unwrap();
    assert_eq!(raw::subscribe(&again, &request(GUARDED)).await.1, refused);
    assert!(arena.seen(id).await.unwrap().tags.is_empty());
    arena.finish().await;
}

/// Waits until the victim serves a subscription no more, without reading anything of it: its side
/// listens as long as it serves.
pub(crate) async fn given_up(send: &SendStream) {
    let stopped = timeout(DEADLINE, send.stopped()).await;
    stopped.expect("still served").unwrap();
}

/// Who is not admitted is told the same of a stream that is there and of one that is not,
/// whatever else is right or wrong with the request.
#[tokio::test(flavor = "multi_thread")]
async fn names_cannot_be_guessed_by_the_answer() {
    let mut arena = arena(guarded()).await;
    let (addr, network) = (arena.addr().clone(), arena.network().to_owned());
    let attack = async {
        let stranger = Attacker::new().await;
        let connection = stranger.join(addr.clone(), &network, Vec::new()).await;
        let mut took = [Duration::ZERO; 2];
        let mut answers = Vec::new();
        for round in 0..50 {
            for (n, name) in [GUARDED, "nowhere"].into_iter().enumerate() {
                let ask = variant(name, round);
                let began = Instant::now();
                let (mut pair, body) = raw::ask(&connection, &ask).await;
                took[n] += began.elapsed();
                // Nothing follows, and in the same way.
                let rest = pair.1.read_to_end(100).await.unwrap();
                answers.push((body, rest));
            }
        }
        answers.dedup();
        // A figure for who looks; loopback is too noisy to decide by.
        eprintln!("50 answers: {took:?}");
        // What it would learn if it were admitted.
        let member = Attacker::new().await;
        let claim = member.claim(&network, |entry| entry.tags = [TAG.to_owned()].into());
        let connection = member.join_as(addr, &network, claim).await.unwrap();
        let there = raw::subscribe(&connection, &request(GUARDED)).await.1;
        (answers, there)
    };
    let (answers, there) = arena.during(attack).await;
    assert!(matches!(there, Reply::Accepted(_)), "{there:?}");
    assert_eq!(answers.len(), 1, "{answers:?}");
    arena.finish().await;
}

fn variant(name: &str, round: u64) -> Subscribe {
    let mut ask = Subscribe {
        stream: StreamName::new(name).unwrap(),
        ..request(name)
    };
    match round % 4 {
        1 => ask.fingerprint = Some(Fingerprint([7; 8])),
        2 => ask.filter = FilterSource::new("not a filter").ok(),
        3 => ask.lag = Lag::Block,
        _ => {}
    }
    ask
}
