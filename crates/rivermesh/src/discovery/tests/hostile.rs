//! Members that break the rules of gossip.

use bytes::Bytes;
use rivermesh_proto::{code::Code, entry::Entry, limits, wire, wire::StreamKind};

use super::*;
use crate::{discovery::screen, net::Writer};

async fn say(writer: &mut Writer, content: Bytes) {
    let topic = *NetworkId::of("hostile").as_bytes();
    let message = screen::broadcast(topic, content);
    let bytes = wire::encode(&message, limits::GOSSIP).unwrap();
    // The other side may have closed the connection already.
    let _ = writer.raw(&bytes).await;
}

/// A signed entry of somebody who does not run.
fn stranger() -> Bytes {
    let key = SecretKey::generate();
    let wall = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let entry = Entry {
        network: NetworkId::of("hostile"),
        node: key.public(),
        name: "stranger".to_owned(),
        tags: BTreeSet::new(),
        addrs: Vec::new(),
        streams: Vec::new(),
        instance: 1,
        revision: u64::try_from(wall.as_micros()).unwrap(),
        refresh_s: 15,
    };
    entry.sign(&key).unwrap().as_bytes().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_records_are_not_passed_on_and_end_the_connection() {
    let nodes = network("hostile", 3).await;
    complete(&nodes, SOON).await;
    let liar = Recipe::new("hostile").start().await;
    let link = liar
        .peers
        .connect_at(nodes[0].id(), Some(nodes[0].addr()))
        .await
        .unwrap();
    let mut writer = link.open_uni(StreamKind::Gossip).await.unwrap();
    let good = stranger();
    let mut forged = good.to_vec();
    let last = forged.len() - 1;
    forged[last] ^= 1;
    say(&mut writer, good).await;
    for node in &nodes {
        until("the good record is known", SOON, || {
            node.discovery.snapshot().named("stranger").count() == 1
        })
        .await;
    }
    for junk in 0..3u8 {
        let mut forged = stranger().to_vec();
        let last = forged.len() - 1 - usize::from(junk);
        forged[last] ^= 1;
        say(&mut writer, forged.into()).await;
    }
    let closed = timeout(SOON, link.connection().closed()).await.unwrap();
    assert_eq!(
        crate::net::stream::close_code(&closed),
        Some(Code::Malformed)
    );
    for node in &nodes {
        assert_eq!(node.discovery.snapshot().named("stranger").count(), 1);
    }
    stop_all(nodes).await;
    liar.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_ends_the_connection() {
    let nodes = network("hostile", 2).await;
    complete(&nodes, SOON).await;
    for garbage in [&[0xff; 64][..], &[3, 0, 0, 0, 1, 2, 3], &[0, 0, 0, 0]] {
        // The victim may dial as well, and another connection be kept than the one that is used here.
        let mut codes = Vec::new();
        while !codes.contains(&Some(Code::Malformed)) {
            assert!(codes.len() < 10, "{codes:?}");
            codes.push(said(&nodes[0], garbage).await);
        }
    }
    for node in &nodes {
        assert!(nodes.iter().all(|other| node.sees_live(other.id())));
    }
    stop_all(nodes).await;
}

/// Joins as somebody new, sends bytes by gossip, and gives what the connection is closed with.
async fn said(victim: &TestNode, bytes: &[u8]) -> Option<Code> {
    let liar = Recipe::new("hostile").start().await;
    let link = liar
        .peers
        .connect_at(victim.id(), Some(victim.addr()))
        .await
        .unwrap();
    let mut writer = link.open_uni(StreamKind::Gossip).await.unwrap();
    let _ = writer.raw(bytes).await;
    let closed = timeout(SOON, link.connection().closed()).await.unwrap();
    liar.stop().await;
    crate::net::stream::close_code(&closed)
}
