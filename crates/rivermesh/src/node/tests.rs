//! What only shows where a test reaches under the public handles.

use std::{net::Ipv4Addr, time::Duration};

use iroh::SecretKey;
use tokio::time::timeout;

use super::Node;
use crate::Rendezvous;

const SOON: Duration = Duration::from_secs(30);

async fn node(key: &SecretKey, first: Option<&Node>) -> Node {
    let mut builder = Node::builder("crossed")
        .secret_key(key.clone())
        .bind((Ipv4Addr::LOCALHOST, 0).into())
        .rendezvous(Rendezvous::Off);
    if let Some(first) = first {
        builder = builder.bootstrap(first.addr());
    }
    builder.spawn().await.unwrap()
}

/// Both nodes dial each other at once; the connection that the smaller id dialed comes last and is
/// kept. A subscription on the other one must go on: its producer sends, and ends, in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_outlives_that_another_connection_is_kept() {
    let mut keys = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]));
    keys.sort_by_key(SecretKey::public);
    let small = node(&keys[0], None).await;
    let large = node(&keys[1], Some(&small)).await;
    let producer = small.producer::<String>().stream("news").build().unwrap();
    let mut consumer = large.consumer::<String>().stream("news").build().unwrap();
    timeout(SOON, producer.online()).await.unwrap();
    let before = small.inner.peers.get(large.id()).unwrap();
    assert!(!before.dialed());

    let again = small.inner.peers.dial(large.id(), Some(large.addr()));
    let kept = timeout(SOON, again).await.unwrap().ok().unwrap();
    assert_ne!(kept.id(), before.id());
    assert!(!before.is_closed());
    producer.send("last".to_owned()).await.unwrap();
    drop(producer);
    let item = timeout(SOON, consumer.recv()).await.unwrap();
    assert_eq!(item.as_deref(), Some("last"));

    // Nobody uses it any more.
    drop(consumer);
    timeout(SOON, before.connection().closed()).await.unwrap();
    assert!(!kept.is_closed());
    small.shutdown().await;
    large.shutdown().await;
}
