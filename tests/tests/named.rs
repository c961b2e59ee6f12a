//! Consumers with a name: what they have not committed comes again, and is kept for them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use rivermesh::{
    Condition, Consumer, Event, Node, SendError, TrySendError,
    consumer::{CommitError, ConsumeError, Start, SubscribeError, TryRecvError},
    producer::{Builder, Named, Overflow},
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{ConsumerEnd, ConsumerJournal, Key, Kind, NameRules, ProducerJournal, judge},
    recorder::{Commits, Driver, Note, Recorder, STREAM},
    seed::Seed,
    wait::eventually,
};
use tokio::{sync::watch, time::timeout};

fn named(producer: Builder<Bytes>) -> Builder<Bytes> {
    producer
        .online_when(Condition::always())
        .named(Named::default())
}

/// Producer and consumer on two nodes, or on one.
async fn two(cluster: &mut Cluster, local: bool) -> (Node, Node) {
    let a = cluster.spawn().await;
    let b = if local {
        a.clone()
    } else {
        cluster.spawn().await
    };
    (a, b)
}

fn billing(node: &Node, name: &str) -> Recorder {
    Recorder::new(node, name, |consumer| consumer.durable_name("billing"))
}

async fn item(consumer: &mut Consumer<Bytes>) -> rivermesh::Delivery<Bytes> {
    loop {
        match timeout(DEADLINE, consumer.next_event()).await.unwrap() {
            Some(Event::Item(item)) => return item,
            Some(_) => {}
            None => panic!("the node has shut down"),
        }
    }
}

fn check(
    key: &Key,
    producer: &ProducerJournal,
    lives: &[&ConsumerJournal],
    may_repeat: bool,
) -> rivermesh_tests::oracle::NameReport {
    let rules = NameRules {
        kind: Kind::Lives,
        start: 0,
        may_repeat,
    };
    judge(key, &[producer], lives, &rules).unwrap_or_else(|breaches| panic!("{breaches:?}"))
}

/// What comes while the consumer is away waits for it, with what it did not commit before.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_committed_comes_again() {
    for local in [false, true] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let (a, b) = two(&mut cluster, local).await;
        let mut driver = Driver::new(&a, key, named);
        let mut first = billing(&b, "first").committing(Commits::Every(40));
        driver.subscribed(1).await;
        driver.send(500).await;
        first.until("some", |first| first.items() == 125).await;
        let behind = || driver.producer().named().remove(0);
        eventually(DEADLINE, || behind().committed == 120).await;
        assert_eq!((behind().holders, behind().items), (1, 380));
        let first = first.finish(ConsumerEnd::Stopped);
        driver.subscribed(0).await;
        assert_eq!(driver.producer().named()[0].holders, 0);
        assert!(driver.producer().named()[0].away_for.is_some());
        driver.send(5000).await;
        let stats = driver.producer().stats();
        assert_eq!(stats.undelivered, 0, "the name is somebody");
        let mut second = billing(&b, "second").committing(Commits::Every(10));
        second.cover(&[driver.goal()]).await;
        let joined = Note::Joined(a.id(), driver.goal().epoch, 120);
        assert_eq!(second.notes(), [joined]);
        let done = || {
            let behind = driver.producer().named().remove(0);
            (behind.committed, behind.items, behind.in_flight, behind.age)
        };
        eventually(DEADLINE, || done() == (5500, 0, 0, Duration::ZERO)).await;
        let second = second.drained();
        let report = check(&key, &driver.finish(), &[&first, &second], true);
        assert_eq!(report.repeated, 5);
    }
}

/// The same consumer, after its connection broke.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_reconnect_it_goes_on_at_the_commit() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let (a, b) = two(&mut cluster, false).await;
    let mut driver = Driver::new(&a, key, named);
    let consumer = b.consumer::<Bytes>().stream(STREAM);
    let mut consumer = consumer.durable_name("billing").build().unwrap();
    driver.subscribed(1).await;
    driver.send(100).await;
    for seq in 0..50 {
        let item = item(&mut consumer).await;
        assert_eq!((item.seq, item.redelivered), (seq, false));
        if seq == 19 {
            item.commit().unwrap();
        }
    }
    eventually(DEADLINE, || driver.producer().named()[0].committed == 20).await;
    let late = item(&mut consumer).await;
    assert!(a.disconnect(b.id()));
    // What had come before the cut is in the inbox yet; then it begins again.
    let mut last = late.seq;
    let again = loop {
        match timeout(DEADLINE, consumer.next_event()).await.unwrap() {
            Some(Event::Item(item)) if item.seq == last + 1 && !item.redelivered => last += 1,
            Some(Event::Joined { seq, .. }) => assert_eq!(seq, 20),
            Some(Event::Item(item)) => break item,
            Some(_) => {}
            None => panic!("the node has shut down"),
        }
    };
    assert_eq!((again.seq, again.redelivered), (20, true));
    // A commit of what came before the cut holds.
    late.commit().unwrap();
    eventually(DEADLINE, || driver.producer().named()[0].committed == 51).await;
    driver.send(10).await;
    let mut expected = 21;
    while expected < 110 {
        let item = item(&mut consumer).await;
        assert_eq!((item.seq, item.redelivered), (expected, expected < 100));
        expected += 1;
    }
}

/// Cut again and again, from both sides, nothing is lost.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_connections_are_cut() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let (a, b) = two(&mut cluster, false).await;
    let mut driver = Driver::new(&a, key, named);
    let (tell, told) = watch::channel(None);
    let recorder = billing(&b, "b").committing(Commits::Every(7)).spawn(told);
    driver.subscribed(1).await;
    for round in 0..6 {
        driver.send(700).await;
        let before = driver.producer().named()[0].committed;
        let (one, other) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        // The last cut may not be mended yet.
        eventually(DEADLINE, || one.disconnect(other.id())).await;
        driver.send(700).await;
        eventually(DEADLINE, || driver.producer().named()[0].committed > before).await;
    }
    driver.send(7).await;
    tell.send_replace(Some(vec![driver.goal()]));
    let journal = recorder.await.unwrap().drained();
    let goal = driver.goal().next / 7 * 7;
    let producer = driver.finish();
    // Its last items wait for the seventh, so nobody has committed them.
    let rules = NameRules {
        kind: Kind::Lives,
        start: 0,
        may_repeat: true,
    };
    match judge(&key, &[&producer], &[&journal], &rules) {
        Ok(report) => assert!(report.received >= 8407),
        Err(breaches) => panic!("{breaches:?}, committed to about {goal}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_in_flight_is_strictly_one_by_one() {
    for local in [false, true] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let (a, b) = two(&mut cluster, local).await;
        let mut driver = Driver::new(&a, key, named);
        let strict = b.consumer::<Bytes>().stream(STREAM).durable_name("strict");
        let mut strict = strict.max_in_flight(1).build().unwrap();
        let mut other = Recorder::new(&b, "other", |consumer| consumer);
        driver.subscribed(2).await;
        driver.send(200).await;
        other.cover(&[driver.goal()]).await;
        for seq in 0..200 {
            let item = item(&mut strict).await;
            assert_eq!(item.seq, seq);
            let behind = driver.producer().named().remove(0);
            assert_eq!((behind.in_flight, behind.committed), (1, seq));
            assert!(matches!(strict.try_recv(), Err(TryRecvError::Empty)));
            item.commit().unwrap();
        }
        let behind = || driver.producer().named().remove(0);
        eventually(DEADLINE, || behind().items == 0).await;
    }
}

/// The program commits nothing itself, and takes items, and batches.
#[tokio::test(flavor = "multi_thread")]
async fn commits_by_itself_when_the_program_comes_for_more() {
    for local in [false, true] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let (a, b) = two(&mut cluster, local).await;
        let mut driver = Driver::new(&a, key, named);
        let consumer = b.consumer::<Bytes>().stream(STREAM).durable_name("auto");
        let mut consumer = consumer.auto_commit().build().unwrap();
        driver.subscribed(1).await;
        driver.send(1).await;
        consumer.recv().await.unwrap();
        driver.send(99).await;
        let behind = || driver.producer().named().remove(0);
        assert_eq!(behind().committed, 0, "it has not come for more");
        consumer.recv().await.unwrap();
        eventually(DEADLINE, || behind().committed == 1).await;
        let mut taken = 2;
        while taken < 100 {
            taken += timeout(DEADLINE, consumer.recv_batch())
                .await
                .unwrap()
                .unwrap()
                .len();
        }
        assert!(behind().committed < 100);
        assert!(
            timeout(Duration::ZERO, consumer.recv_batch())
                .await
                .is_err()
        );
        eventually(DEADLINE, || behind().committed == 100).await;
    }
}

/// Full of what is not acknowledged, the publisher waits, or is told.
#[tokio::test(flavor = "multi_thread")]
async fn overflow_waits_or_is_an_error() {
    for (overflow, local) in [
        (Overflow::Wait, false),
        (Overflow::Error, false),
        (Overflow::Wait, true),
    ] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let (a, b) = two(&mut cluster, local).await;
        let bounds = Named::default().bytes(256 << 10).overflow(overflow);
        let mut driver = Driver::new(&a, key, |producer| {
            named(producer).named(bounds).log_bytes(64 << 10)
        })
        .size(1 << 10);
        let mut first = billing(&b, "first").committing(Commits::Every(1));
        driver.subscribed(1).await;
        driver.send(10).await;
        first.cover(&[driver.goal()]).await;
        // What was not said when the consumer goes would come again.
        eventually(DEADLINE, || driver.producer().named()[0].committed == 10).await;
        let first = first.finish(ConsumerEnd::Stopped);
        driver.subscribed(0).await;
        // Nobody is there; what it has not committed is kept, and no more than may be.
        let sent = loop {
            match driver.try_send_one() {
                Ok(seq) => assert!(seq < 10_000, "never full"),
                Err(TrySendError::Full(_)) if overflow == Overflow::Wait => {
                    break driver.goal().next;
                }
                Err(TrySendError::Unacknowledged(_)) if overflow == Overflow::Error => {
                    break driver.goal().next;
                }
                Err(error) => panic!("{error:?}"),
            }
        };
        let behind = driver.producer().named().remove(0);
        assert!(
            behind.bytes >= 256 << 10 && behind.bytes < 350 << 10,
            "{behind:?}"
        );
        assert_eq!((behind.items, behind.committed), (sent - 10, 10));
        assert!(driver.producer().stats().oldest <= 10);
        if overflow == Overflow::Error {
            let error = driver.send_one().await.unwrap_err();
            assert!(matches!(error, SendError::Unacknowledged(_)), "{error:?}");
        } else {
            assert!(
                driver.send_one().now_or_never().is_none(),
                "it does not wait"
            );
        }
        // A slow reader: it takes what is there, and the publisher goes on.
        let (tell, told) = watch::channel(None);
        let second = billing(&b, "second")
            .committing(Commits::Every(1))
            .spawn(told);
        while driver.goal().next < sent + 2000 {
            match driver.try_send_one() {
                Ok(_) => {}
                Err(_) => tokio::task::yield_now().await,
            }
        }
        tell.send_replace(Some(vec![driver.goal()]));
        let second = second.await.unwrap().drained();
        check(&key, &driver.finish(), &[&first, &second], true);
    }
}

async fn refusal(recorder: &mut Recorder) -> SubscribeError {
    let refused = |note: &Note| matches!(note, Note::Refused(..));
    recorder
        .until("a refusal", |r| r.notes().iter().any(refused))
        .await;
    let Some(Note::Refused(_, error)) = recorder.notes().iter().find(|note| refused(note)) else {
        panic!("no refusal");
    };
    error.clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_for_one_at_a_time() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let (a, b) = two(&mut cluster, false).await;
    let c = cluster.spawn().await;
    let mut driver = Driver::new(&a, key, |producer| {
        named(producer).named(Named::default().names(1))
    });
    let mut first = billing(&b, "first").committing(Commits::Every(1));
    driver.subscribed(1).await;
    // On the same node it is an error at once; another node is refused as long as it is held.
    let again = b.consumer::<Bytes>().stream(STREAM).durable_name("billing");
    assert!(matches!(again.build(), Err(ConsumeError::NameInUse)));
    let mut second = billing(&c, "second").committing(Commits::Every(1));
    assert_eq!(refusal(&mut second).await, SubscribeError::NameHeld);
    let mut third = Recorder::new(&c, "third", |consumer| consumer.durable_name("other"));
    assert_eq!(
        refusal(&mut third).await,
        SubscribeError::NamesFull { max: 1 }
    );
    let mut fourth = Recorder::new(&c, "fourth", |consumer| consumer.group("billing"));
    assert_eq!(refusal(&mut fourth).await, SubscribeError::NameDiffers);
    driver.send(100).await;
    first.cover(&[driver.goal()]).await;
    let committed = || driver.producer().named()[0].committed;
    eventually(DEADLINE, || committed() == 100).await;
    let first = first.finish(ConsumerEnd::Stopped);
    // It goes over to the other node when it is free.
    driver.subscribed(1).await;
    driver.send(100).await;
    second.cover(&[driver.goal()]).await;
    let second = second.drained();
    check(&key, &driver.finish(), &[&first, &second], false);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_refused_where_they_are_not_allowed() {
    for local in [false, true] {
        let mut cluster = Cluster::new();
        let (a, b) = two(&mut cluster, local).await;
        let driver = Driver::new(&a, Key::from_seed(1), |producer| producer);
        let mut recorder = billing(&b, "b");
        assert_eq!(
            refusal(&mut recorder).await,
            SubscribeError::NamesNotAllowed
        );
        assert_eq!(driver.producer().named(), []);
        let bad = b
            .consumer::<Bytes>()
            .stream(STREAM)
            .durable_name("two words");
        assert!(matches!(bad.build(), Err(ConsumeError::ConsumerName(_))));
    }
}

/// One that is forgotten keeps nothing any more, and comes back as somebody new.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_forgotten_when_asked_to_and_in_time() {
    for by_time in [false, true] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let (a, b) = two(&mut cluster, false).await;
        let mut bounds = Named::default().bytes(128 << 10);
        if by_time {
            bounds = bounds.forget_after(Duration::from_millis(500));
        }
        let mut driver = Driver::new(&a, key, |producer| {
            named(producer).named(bounds).log_bytes(64 << 10)
        });
        let first = billing(&b, "first");
        driver.subscribed(1).await;
        drop(first);
        driver.subscribed(0).await;
        while driver.try_send_one().is_ok() {}
        if !by_time {
            assert!(driver.producer().forget("billing"));
            assert!(!driver.producer().forget("billing"));
        }
        // A publisher that waits is let go on.
        driver.send(100).await;
        assert_eq!(driver.producer().named(), []);
        let next = driver.goal().next;
        let mut second = billing(&b, "second");
        driver.subscribed(1).await;
        driver.send(100).await;
        second.cover(&[driver.goal()]).await;
        let joined = Note::Joined(a.id(), driver.goal().epoch, next);
        assert_eq!(second.notes(), [joined]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_that_cannot_be_are_refused() {
    let mut cluster = Cluster::new();
    let (a, b) = two(&mut cluster, false).await;
    let mut driver = Driver::new(&a, Key::from_seed(1), named);
    let mut plain = b.consumer::<Bytes>().stream(STREAM).build().unwrap();
    let consumer = b.consumer::<Bytes>().stream(STREAM).durable_name("billing");
    let mut consumer = consumer.build().unwrap();
    let up_to = |consumer: &Consumer<Bytes>, seq| consumer.commit_up_to(a.id(), seq);
    assert_eq!(
        consumer.commit_up_to(b.id(), 0),
        Err(CommitError::NotFollowed)
    );
    driver.subscribed(2).await;
    driver.send(1).await;
    let item_of_plain = item(&mut plain).await;
    assert_eq!(item_of_plain.commit(), Err(CommitError::NotNamed));
    assert_eq!(up_to(&plain, 0), Err(CommitError::NotNamed));
    let last = item(&mut consumer).await;
    assert_eq!(up_to(&consumer, 1), Err(CommitError::NotReceived));
    assert_eq!(up_to(&consumer, 0), Ok(()));
    eventually(DEADLINE, || driver.producer().named()[0].committed == 1).await;
    // The producer begins anew: what its old life sent cannot be committed any more.
    drop(driver);
    let mut driver = Driver::new(&a, Key::from_seed(2), named);
    driver.subscribed(2).await;
    driver.send(1).await;
    item(&mut consumer).await.commit().unwrap();
    assert_eq!(last.commit(), Err(CommitError::Over));
    eventually(DEADLINE, || driver.producer().named()[0].committed == 1).await;
}

/// Two consumers of a node would take the name from each other without end.
#[tokio::test(flavor = "multi_thread")]
async fn a_name_is_for_a_stream_or_for_a_pattern_that_takes_it() {
    let mut cluster = Cluster::new();
    let node = cluster.spawn().await;
    let stream = |name: &str| node.consumer::<Bytes>().stream(name);
    let pattern = |pattern: &str| node.consumer::<Bytes>().streams(pattern);
    let one = stream("weather/jfk").durable_name("billing").build();
    for clash in [stream("weather/jfk"), pattern("weather/*"), pattern("*")] {
        let clash = clash.durable_name("billing").build();
        assert!(matches!(clash, Err(ConsumeError::NameInUse)), "{clash:?}");
    }
    let other = pattern("flights/*").durable_name("billing").build();
    assert!(one.is_ok() && other.is_ok());
    drop(one);
    assert!(pattern("weather/*").durable_name("billing").build().is_ok());
    for newest in [stream("s").durable_name("name"), stream("s").group("group")] {
        let newest = newest.start(Start::LastPerKey).build();
        assert!(matches!(newest, Err(ConsumeError::NewestUnderName)));
    }
}
