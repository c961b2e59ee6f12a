//! What a producer says of why a peer receives its stream, or does not.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use bytes::Bytes;
use rivermesh::{Condition, Node, NodeId, SecretKey, StreamName, node::Part};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    wait::eventually,
};
use tokio::time::timeout;

fn obstacle(node: &Node, peer: NodeId, stream: &str) -> (Option<Part>, String) {
    let explanation = node.explain(peer, &StreamName::new(stream).unwrap());
    let obstacle = explanation.obstacle().map(|step| step.part);
    assert_eq!(obstacle.is_none(), explanation.receives());
    (obstacle, explanation.to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_step_is_told_and_the_first_that_fails_is_the_last() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let b = cluster.spawn_with(|node| node.tag("vip").name("bee")).await;
    let (part, text) = obstacle(&a, b.id(), "open");
    assert_eq!(part, Some(Part::Stream), "{text}");
    let open = a
        .producer::<Bytes>()
        .stream("open")
        .max_consumers(1)
        .build()
        .unwrap();
    let stranger = SecretKey::generate().public();
    let (part, text) = obstacle(&a, stranger, "open");
    assert_eq!(part, Some(Part::Catalog), "{text}");
    eventually(DEADLINE, || {
        let (part, text) = obstacle(&a, b.id(), "open");
        if part == Some(Part::Capacity) && text.contains("0 of 1 places are taken: room") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
    let _consumer = b.consumer::<Bytes>().stream("open").build().unwrap();
    timeout(DEADLINE, open.when(Condition::at_least(1)))
        .await
        .unwrap();
    open.send(Bytes::from_static(b"item")).await.unwrap();
    let (part, text) = obstacle(&a, b.id(), "open");
    assert_eq!(part, None, "{text}");
    for words in [
        "bee",
        "open to all",
        "1 of 1 places",
        "none: it gets all items",
        "does receive open",
    ] {
        assert!(text.contains(words), "no {words:?} in:\n{text}");
    }
    // The seat is taken; and who does not meet a requirement is told the values that were seen.
    let (part, text) = obstacle(&a, a.id(), "open");
    assert_eq!(part, Some(Part::Capacity), "{text}");
    assert!(text.contains("no room"), "{text}");
    let _strict = a
        .producer::<Bytes>()
        .stream("strict")
        .require(|peer| peer.has_tag("vip"))
        .require(|peer| peer.has_tag("eu"))
        .build()
        .unwrap();
    let (part, text) = obstacle(&a, b.id(), "strict");
    assert_eq!(part, Some(Part::Requirement), "{text}");
    let seen = "condition 2 of 2 does not hold of tags [vip], round trip ";
    assert!(text.contains(seen), "{text}");
    b.shutdown().await;
    eventually(DEADLINE, || {
        obstacle(&a, b.id(), "open").0 == Some(Part::Catalog)
    })
    .await;
}
