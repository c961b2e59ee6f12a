//! What a producer says of why a peer receives its stream, or does not.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::time::Duration;

use bytes::Bytes;
use rivermesh::{
    Condition, Datum, Dynamic, NetworkKey, Node, NodeId, SecretKey, StreamName,
    admission::{Authority, Grant, Revoking, Right, Ticket, Verifier},
    node::{AskError, Builder, Explanation, Part},
};
use rivermesh_proto::{
    explain::ExplainReply,
    limits,
    wire::{self, StreamKind},
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    raw::Attacker,
    wait::eventually,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

#[derive(Serialize, Deserialize, Datum)]
struct Row {
    secret: u32,
}

/// Three nodes of one network, each set up alike.
async fn three(setup: impl Fn(Builder) -> Builder) -> (Cluster, [Node; 3]) {
    let mut cluster = Cluster::new();
    let nodes = [
        cluster.spawn_with(&setup).await,
        cluster.spawn_with(&setup).await,
        cluster.spawn_with(&setup).await,
    ];
    (cluster, nodes)
}

/// What a node asks another one, until the answer passes.
async fn told(
    (asks, producer): (&Node, &Node),
    (peer, ticket): (NodeId, Option<&Ticket>),
    passes: impl Fn(&Explanation) -> bool,
) -> Explanation {
    let mut last = None;
    let asking = async {
        loop {
            let ticket = ticket.map(Into::into);
            let answer = asks.explain_at(producer.id(), peer, "s", ticket).await;
            match answer {
                Ok(answer) if passes(&answer) => return answer,
                other => last = Some(other),
            }
            tokio::task::yield_now().await;
        }
    };
    let answer = timeout(DEADLINE, asking).await;
    answer.unwrap_or_else(|_| panic!("the last answer was {last:#?}"))
}

fn finding(explanation: &Explanation, part: Part) -> &str {
    let step = explanation.steps.iter().find(|step| step.part == part);
    step.map_or_else(
        || panic!("no {part} in\n{explanation}"),
        |step| &step.finding,
    )
}

async fn refuses(asks: &Node, producer: &Node, stream: &str, ticket: Option<&Ticket>) {
    let ticket = ticket.map(Into::into);
    let answer = asks.explain_at(producer.id(), asks.id(), stream, ticket);
    let answer = answer.await;
    assert!(matches!(answer, Err(AskError::Refused)), "{answer:?}");
}

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
    let seen = "condition 2 of 2 does not hold of round trip ";
    assert!(
        text.contains(seen) && text.contains(", tags [vip]"),
        "{text}"
    );
    b.shutdown().await;
    eventually(DEADLINE, || {
        obstacle(&a, b.id(), "open").0 == Some(Part::Catalog)
    })
    .await;
    a.shutdown().await;
    let (part, text) = obstacle(&a, b.id(), "open");
    assert_eq!(part, Some(Part::Stream), "{text}");
    assert!(text.contains("this node has ended it"), "{text}");
}

/// In a network of more nodes than one has neighbours there are those that it knows of and has no connection to.
#[tokio::test(flavor = "multi_thread")]
async fn who_is_known_and_not_connected_is_told_so() {
    let mut cluster = Cluster::new();
    let mut nodes = Vec::new();
    for _ in 0..12 {
        nodes.push(cluster.spawn().await);
    }
    let a = &nodes[11];
    let _producer = a.producer::<Bytes>().stream("s").build().unwrap();
    eventually(DEADLINE, || {
        let mut told = nodes.iter().map(|node| obstacle(a, node.id(), "s"));
        told.any(|(part, text)| {
            part == Some(Part::Connection) && text.contains("a consumer dials when it wants")
        })
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_producer_tells_over_the_network_what_it_tells_its_program() {
    let (_, [a, b, c]) = three(|node| node).await;
    let producer = a.producer::<Row>().stream("s").build().unwrap();
    let not_yet = told((&b, &a), (b.id(), None), |answer| {
        answer
            .obstacle()
            .is_some_and(|step| step.part == Part::Capacity)
    });
    assert!(finding(&not_yet.await, Part::Capacity).contains("it does not ask for the stream"));
    let consumer = b.consumer::<Row>().stream("s").filter("secret > 7");
    let consumer = consumer.build().unwrap();
    timeout(DEADLINE, producer.when(Condition::at_least(1)))
        .await
        .unwrap();
    // Itself, a third party, and the producer's own node by the same call.
    let own = told((&b, &a), (b.id(), None), Explanation::receives).await;
    let parts: Vec<_> = own.steps.iter().map(|step| step.part).collect();
    assert_eq!(parts, Part::ALL);
    assert!(finding(&own, Part::Filter).contains("secret"), "{own}");
    assert!(
        finding(&own, Part::Connection).contains("127.0.0.1"),
        "{own}"
    );
    let others = told((&c, &a), (b.id(), None), Explanation::receives).await;
    assert_eq!(others.peer, b.id());
    let text = others.to_string();
    assert!(
        !text.contains("secret") && !text.contains("127.0.0.1"),
        "{text}"
    );
    assert_eq!(
        finding(&others, Part::Filter),
        "it has one, which left out 0 items"
    );
    let local = told((&a, &a), (b.id(), None), Explanation::receives).await;
    assert!(local.to_string().contains("secret"), "{local}");
    // A filter that does not fit is no secret of the stream, but of who has it.
    drop(consumer);
    let wrong = b.consumer::<Dynamic>().stream("s").filter("nonsense == 1");
    let _wrong = wrong.build().unwrap();
    let fault = told((&c, &a), (b.id(), None), |answer| {
        let said = answer.obstacle().map(|step| step.finding.as_str());
        said.is_some_and(|said| said.contains("its filter cannot be read"))
    });
    let fault = fault.await;
    assert!(!fault.to_string().contains("nonsense"), "{fault}");
}

/// What is told of a subscription is what the producer counts of this one, and of no other.
#[tokio::test(flavor = "multi_thread")]
async fn each_subscription_has_its_own_numbers() {
    let key = NetworkKey::from_bytes([7; 32]);
    let (_, [a, b, c]) = three(|node| node.network_key(key.clone())).await;
    let producer = a.producer::<Row>().stream("s");
    let producer = producer.online_when(Condition::at_least(2));
    let producer = producer.build().unwrap();
    let some = b.consumer::<Row>().stream("s").filter("secret > 7");
    let _some = some.build().unwrap();
    let _all = c.consumer::<Row>().stream("s").build().unwrap();
    for secret in 0..10 {
        let sent = timeout(DEADLINE, producer.send(Row { secret })).await;
        sent.unwrap().unwrap();
    }
    for (node, filter, lag) in [
        (&b, "left out 8 items by secret > 7", "2 sent, 0 missed"),
        (&c, "none: it gets all items", "10 sent, 0 missed"),
    ] {
        let lag = format!("0 items wait for it (skip), {lag}");
        let answer = told((&a, &a), (node.id(), None), |answer| {
            answer.receives()
                && finding(answer, Part::Lag) == lag
                && finding(answer, Part::Filter) == filter
        });
        let answer = answer.await;
        assert!(finding(&answer, Part::NetworkKey).starts_with("proved"));
        let seat = finding(&answer, Part::Capacity);
        assert!(seat.starts_with("subscribed for ") && !seat.contains("times"));
    }
    let _again = c.consumer::<Row>().stream("s").build().unwrap();
    told((&a, &a), (c.id(), None), |answer| {
        answer.receives() && finding(answer, Part::Capacity).contains(" (2 times; ")
    })
    .await;
}

/// A node that is gone without a word is listed for a while, and receives nothing.
#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_reached_is_told_apart_from_who_is_not_listed() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let _producer = a.producer::<Bytes>().stream("s").build().unwrap();
    let gone = b.id();
    eventually(DEADLINE, || {
        obstacle(&a, gone, "s").0 == Some(Part::Capacity)
    })
    .await;
    drop(b);
    eventually(DEADLINE, || {
        let (part, text) = obstacle(&a, gone, "s");
        if part == Some(Part::Catalog) && text.contains("listed, cannot be reached") {
            Ok(())
        } else {
            Err(text)
        }
    })
    .await;
}

/// Who may not subscribe is told nothing, and not whether there is anything to be told.
#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_subscribe_is_told_nothing() {
    let (cluster, [a, b, c]) = three(|node| node).await;
    let authority = Authority::new(cluster.network(), SecretKey::generate());
    let grant = |node: &Node, pattern: &str| {
        authority
            .issue(&Grant::new(node.id(), pattern, [Right::Consume]))
            .unwrap()
    };
    let strict = a
        .producer::<Bytes>()
        .stream("s")
        .require(|peer| peer.has_tag("vip"));
    let verifier = Verifier::new().trust(authority.id());
    let _strict = strict.require_ticket(verifier).build().unwrap();
    let (of_b, of_c, elsewhere) = (grant(&b, "s"), grant(&c, "s"), grant(&b, "t"));
    // It has a ticket, and not the tag; then the tag, and no ticket, or not the right one.
    refuses(&b, &a, "s", Some(&of_b)).await;
    b.add_tag("vip").unwrap();
    told((&b, &a), (b.id(), Some(&of_b)), |_| true).await;
    for (stream, ticket) in [
        ("s", None),
        ("s", Some(&of_c)),
        ("s", Some(&elsewhere)),
        ("t", Some(&elsewhere)),
        ("nothing", None),
        ("nothing", Some(&of_b)),
    ] {
        refuses(&b, &a, stream, ticket).await;
    }
    let name = b.explain_at(a.id(), b.id(), "two words", None).await;
    assert!(matches!(name, Err(AskError::Name(_))), "{name:?}");
    let nobody = SecretKey::generate().public();
    let gone = b.explain_at(nobody, b.id(), "s", None).await;
    assert!(matches!(gone, Err(AskError::Connect(_))), "{gone:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ticket_is_told_and_what_is_wrong_with_it() {
    let (cluster, [a, b, c]) = three(|node| node).await;
    let authority = Authority::new(cluster.network(), SecretKey::generate());
    let producer = a.producer::<Bytes>().stream("s");
    let producer = producer.require_ticket(Verifier::new().trust(authority.id()));
    let producer = producer.build().unwrap();
    let grant = |node: &Node| Grant::new(node.id(), "s*", [Right::Consume]);
    let ops = authority.issue(&grant(&c)).unwrap();
    let ticket = authority
        .issue(&grant(&b).lasting(Duration::from_secs(7200)))
        .unwrap();
    let ask = (&c, &a);
    let about = (b.id(), Some(&ops));
    let at = |part: Part| {
        move |answer: &Explanation| answer.obstacle().map(|step| step.part) == Some(part)
    };
    // It has not asked; it asks without one; with one; that is revoked.
    let answer = told(ask, about, at(Part::Ticket)).await;
    assert!(
        finding(&answer, Part::Ticket).contains("it has shown none"),
        "{answer}"
    );
    let without = b.consumer::<Bytes>().stream("s").build().unwrap();
    let none = "no ticket was shown";
    told(ask, about, |answer| {
        at(Part::Ticket)(answer) && finding(answer, Part::Ticket) == none
    })
    .await;
    drop(without);
    let _with = b
        .consumer::<Bytes>()
        .stream("s")
        .ticket(&ticket)
        .build()
        .unwrap();
    timeout(DEADLINE, producer.when(Condition::at_least(1)))
        .await
        .unwrap();
    let answer = told(ask, about, Explanation::receives).await;
    let said = finding(&answer, Part::Ticket);
    for words in [
        ticket.links()[0].id.to_string(),
        authority.id().fmt_short().to_string(),
        b.id().fmt_short().to_string(),
        "to consume s*, until 20".to_owned(),
        "left)".to_owned(),
    ] {
        assert!(said.contains(&words), "no {words:?} in {said}");
    }
    let revoking = Revoking {
        number: 1,
        ids: [ticket.links()[0].id].into(),
        ..Revoking::default()
    };
    a.revoke(authority.revoke(revoking).unwrap()).unwrap();
    let revoked = told(ask, about, |answer| {
        at(Part::Ticket)(answer)
            && finding(answer, Part::Ticket).contains("has been revoked: ticket")
    });
    revoked.await;
}

/// A question is read within bounds, and bytes that are none end the stream and nothing else.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_question_is_reset() {
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let _producer = a.producer::<Bytes>().stream("s").build().unwrap();
    let attacker = Attacker::new().await;
    let connection = attacker.join(a.addr(), cluster.network(), Vec::new()).await;
    let ask = |frame: Vec<u8>| {
        let connection = connection.clone();
        async move {
            let (mut send, mut recv) = connection.open_bi().await.unwrap();
            send.write_all(&[&[StreamKind::Explain.byte()][..], &frame].concat())
                .await
                .unwrap();
            let _ = send.finish();
            timeout(DEADLINE, recv.read_to_end(64 * 1024))
                .await
                .unwrap()
        }
    };
    let own = attacker.endpoint().id();
    let good = rivermesh_proto::explain::ExplainRequest {
        stream: StreamName::new("s").unwrap(),
        peer: own,
        credential: None,
    };
    let good = good.encode().unwrap();
    let mut trailing = good.clone();
    trailing[0] += 1;
    trailing.push(0);
    let over = u32::try_from(limits::CONTROL + 1).unwrap().to_le_bytes();
    for bad in [
        vec![0; 4],
        vec![0xff; 4],
        over.to_vec(),
        trailing,
        good[..9].to_vec(),
    ] {
        assert!(ask(bad.clone()).await.is_err(), "{bad:?}");
    }
    let answer = ask(good).await.unwrap();
    let reply = ExplainReply::decode(&answer[wire::PREFIX..]).unwrap();
    assert!(matches!(reply, ExplainReply::Steps(steps) if steps.len() >= 3));
}
