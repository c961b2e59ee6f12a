//! Groups: each item goes to one member, and what a member leaves goes to the others.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::collections::BTreeMap;

use bytes::Bytes;
use rivermesh::{
    Condition, Consumer, Event, Node,
    consumer::{CommitError, SubscribeError},
    producer::{Builder, Named},
};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    oracle::{
        ConsumerEnd, ConsumerJournal, Key, Kind, NameReport, NameRules, ProducerJournal, judge,
    },
    recorder::{Commits, Driver, Note, Recorder, STREAM},
    seed::Seed,
    wait::eventually,
};
use tokio::{sync::watch, task::JoinHandle, time::timeout};

fn named(producer: Builder<Bytes>) -> Builder<Bytes> {
    producer
        .online_when(Condition::always())
        .named(Named::default().max_per_member(64, 1 << 20))
}

fn worker(node: &Node, name: &str) -> Recorder {
    let recorder = Recorder::new(node, name, |consumer| consumer.group("workers"));
    recorder.committing(Commits::Each)
}

/// Lets a recorder work until it is told to stop.
fn work(mut recorder: Recorder, mut stop: watch::Receiver<bool>) -> JoinHandle<Recorder> {
    tokio::spawn(async move {
        loop {
            tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => return recorder,
                more = recorder.step() => assert!(more, "no more events"),
            }
        }
    })
}

fn check(
    key: &Key,
    producers: &[&ProducerJournal],
    members: &[&ConsumerJournal],
    may_repeat: bool,
) -> NameReport {
    let rules = NameRules {
        kind: Kind::Members,
        start: 0,
        may_repeat,
    };
    judge(key, producers, members, &rules).unwrap_or_else(|breaches| panic!("{breaches:?}"))
}

/// Waits until a group has acknowledged everything.
async fn done(driver: &Driver) {
    eventually(DEADLINE, || {
        let behind = driver.producer().named().remove(0);
        if behind.items == 0 {
            Ok(())
        } else {
            Err(format!("{behind:?}"))
        }
    })
    .await;
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

/// Members on three nodes, one of them the producer's own; nothing goes wrong, so nothing comes twice.
#[tokio::test(flavor = "multi_thread")]
async fn each_item_comes_to_one_member() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let (b, c) = (cluster.spawn().await, cluster.spawn().await);
    let mut drivers = [Driver::new(&a, key, named), Driver::new(&b, key, named)];
    let (stop, stopped) = watch::channel(false);
    let members: Vec<_> = [&a, &b, &c]
        .iter()
        .enumerate()
        .map(|(n, node)| work(worker(node, &format!("worker {n}")), stopped.clone()))
        .collect();
    for driver in &mut drivers {
        driver.subscribed(3).await;
        driver.send(6000).await;
    }
    for driver in &drivers {
        done(driver).await;
    }
    stop.send_replace(true);
    let mut journals = Vec::new();
    for member in members {
        journals.push(member.await.unwrap().finish(ConsumerEnd::Stopped));
    }
    let producers = drivers.map(Driver::finish);
    let members: Vec<&ConsumerJournal> = journals.iter().collect();
    let report = check(&key, &[&producers[0], &producers[1]], &members, false);
    assert_eq!(report.received, 12_000);
    assert!(report.each.iter().all(|items| *items > 100), "{report:?}");
}

/// One that takes nothing keeps no more than it may have; the others do the rest.
#[tokio::test(flavor = "multi_thread")]
async fn a_slow_member_gets_little() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut driver = Driver::new(&a, key, named);
    let slow = worker(&b, "slow");
    let (stop, stopped) = watch::channel(false);
    let quick = worker(&b, "quick");
    let mut taken = quick.watch_items();
    let quick = work(quick, stopped.clone());
    driver.subscribed(2).await;
    driver.send(5000).await;
    let all_but = taken.wait_for(|taken| *taken >= 5000 - 64);
    timeout(DEADLINE, all_but).await.unwrap().unwrap();
    let slow = work(slow, stopped.clone());
    done(&driver).await;
    stop.send_replace(true);
    let (slow, quick) = (slow.await.unwrap(), quick.await.unwrap());
    assert!(slow.items() <= 64, "{} of the slow one", slow.items());
    let journals = [slow, quick].map(|member| member.finish(ConsumerEnd::Stopped));
    check(
        &key,
        &[&driver.finish()],
        &[&journals[0], &journals[1]],
        false,
    );
}

/// What a member that leaves has not acknowledged comes to the others, and is told from the rest.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_member_leaves_goes_to_the_others() {
    for local in [false, true] {
        let key = Key::from_seed(Seed::take().value());
        let mut cluster = Cluster::new();
        let (a, b) = (cluster.spawn().await, cluster.spawn().await);
        let mut driver = Driver::new(&a, key, named);
        let there = if local { &a } else { &b };
        let first = there.consumer::<Bytes>().stream(STREAM).group("workers");
        let mut first = first.build().unwrap();
        driver.subscribed(1).await;
        driver.send(40).await;
        let mut had = Vec::new();
        for _ in 0..40 {
            had.push(item(&mut first).await);
        }
        // In any order, and not all.
        for n in [7, 3, 39, 0, 1] {
            had[n].commit().unwrap();
        }
        let behind = || driver.producer().named().remove(0);
        eventually(DEADLINE, || {
            (behind().committed, behind().in_flight) == (2, 35)
        })
        .await;
        let second = b.consumer::<Bytes>().stream(STREAM).group("workers");
        let mut second = second.build().unwrap();
        driver.subscribed(2).await;
        drop(first);
        driver.send(1).await;
        let (mut again, mut fresh) = (Vec::new(), Vec::new());
        while again.len() + fresh.len() < 36 {
            let item = item(&mut second).await;
            item.commit().unwrap();
            if item.redelivered {
                again.push(item.seq);
            } else {
                fresh.push(item.seq);
            }
        }
        assert!(again.is_sorted() && fresh.is_sorted());
        let left: Vec<u64> = (0..40)
            .filter(|seq| ![7, 3, 39, 0, 1].contains(seq))
            .collect();
        assert_eq!((again, fresh), (left, vec![40]));
        let behind = || driver.producer().named().remove(0);
        eventually(DEADLINE, || behind().items == 0).await;
        assert_eq!(had[9].commit(), Err(CommitError::Over));
    }
}

/// Members that are cut off again and again.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_when_members_are_cut() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let (b, c) = (cluster.spawn().await, cluster.spawn().await);
    let mut driver = Driver::new(&a, key, named);
    let (stop, stopped) = watch::channel(false);
    let members =
        [(&b, "b"), (&c, "c")].map(|(node, name)| work(worker(node, name), stopped.clone()));
    driver.subscribed(2).await;
    for round in 0..6 {
        driver.send(1000).await;
        let (one, other) = if round % 2 == 0 { (&a, &b) } else { (&c, &a) };
        // The last cut may not be mended yet.
        eventually(DEADLINE, || one.disconnect(other.id())).await;
        driver.send(500).await;
        driver.subscribed(2).await;
    }
    done(&driver).await;
    stop.send_replace(true);
    let mut journals = Vec::new();
    for member in members {
        journals.push(member.await.unwrap().finish(ConsumerEnd::Stopped));
    }
    let report = check(
        &key,
        &[&driver.finish()],
        &[&journals[0], &journals[1]],
        true,
    );
    assert!(report.received >= 9000);
}

/// All items of a key go to one member, in order.
#[tokio::test(flavor = "multi_thread")]
async fn by_key_all_items_of_a_key_go_to_one_member() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = a.producer::<Keyed>();
    let producer = producer.named(Named::default()).build().unwrap();
    let mut members: Vec<_> = (0..3)
        .map(|_| {
            b.consumer::<Keyed>()
                .group_by_key("workers")
                .build()
                .unwrap()
        })
        .collect();
    timeout(DEADLINE, producer.when(Condition::at_least(3)))
        .await
        .unwrap();
    for n in 0..300 {
        producer.send(Keyed { key: n % 20, n }).await.unwrap();
    }
    let mut owners: BTreeMap<u64, (usize, Vec<u64>)> = BTreeMap::new();
    let mut count = 0;
    while count < 300 {
        for (n, member) in members.iter_mut().enumerate() {
            while let Some(Some(event)) = futures::FutureExt::now_or_never(member.next_event()) {
                if let Event::Item(item) = event {
                    let (owner, seen) = owners.entry(item.item.key).or_insert((n, Vec::new()));
                    assert_eq!(*owner, n, "key {} went to two", item.item.key);
                    seen.push(item.item.n);
                    item.commit().unwrap();
                    count += 1;
                }
            }
        }
        tokio::task::yield_now().await;
    }
    assert_eq!(owners.len(), 20);
    assert!(
        owners
            .values()
            .all(|(_, seen)| seen.is_sorted() && seen.len() == 15)
    );
    let used: std::collections::BTreeSet<usize> = owners.values().map(|(n, _)| *n).collect();
    assert!(used.len() >= 2, "twenty keys all went to one of three");
}

#[derive(Debug, Clone, serde::Serialize, serde::Deserialize, rivermesh::Datum)]
#[datum(name = "keyed", key = "key")]
struct Keyed {
    key: u64,
    n: u64,
}

/// All members have the filter of the first, and what it leaves out is for nobody.
#[tokio::test(flavor = "multi_thread")]
async fn a_group_has_one_filter() {
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let producer = a.producer::<Keyed>().online_when(Condition::always());
    let producer = producer.named(Named::default()).build().unwrap();
    let member = |filter: &str| {
        let consumer = b.consumer::<Keyed>().filter(filter).group("workers");
        consumer.build().unwrap()
    };
    let mut first = member("n >= 50");
    timeout(DEADLINE, producer.when(Condition::at_least(1)))
        .await
        .unwrap();
    let mut other = member("n >= 60");
    loop {
        if let Some(Event::Refused { error, .. }) =
            timeout(DEADLINE, other.next_event()).await.unwrap()
        {
            assert_eq!(error, SubscribeError::NameDiffers);
            break;
        }
    }
    drop(other);
    let mut second = member("n >= 50");
    timeout(DEADLINE, producer.when(Condition::at_least(2)))
        .await
        .unwrap();
    for n in 0..100 {
        producer.send(Keyed { key: 0, n }).await.unwrap();
    }
    let (mut seen, mut told) = (Vec::new(), [0, 0]);
    while seen.len() < 50 {
        for (n, member) in [&mut first, &mut second].into_iter().enumerate() {
            while let Some(Some(event)) = futures::FutureExt::now_or_never(member.next_event()) {
                match event {
                    Event::Item(item) => {
                        seen.push(item.item.n);
                        item.commit().unwrap();
                        told[n] += 1;
                    }
                    Event::Filtered { from, to, .. } => told[n] += to - from,
                    _ => {}
                }
            }
        }
        tokio::task::yield_now().await;
    }
    seen.sort_unstable();
    assert_eq!(seen, (50..100).collect::<Vec<_>>());
    eventually(DEADLINE, || producer.named()[0].items == 0).await;
    assert!(told.iter().all(|numbers| *numbers <= 100), "{told:?}");
}

/// The stream's end comes when everything is acknowledged.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_comes_when_all_is_done() {
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let (a, b) = (cluster.spawn().await, cluster.spawn().await);
    let mut driver = Driver::new(&a, key, named);
    let mut members = [worker(&b, "one"), worker(&b, "two")];
    driver.subscribed(2).await;
    driver.send(1000).await;
    let producer = driver.finish();
    let left = |r: &Recorder| r.notes().iter().any(|note| matches!(note, Note::Left(..)));
    let [one, two] = &mut members;
    tokio::join!(one.until("the end", left), two.until("the end", left));
    let journals = members.map(|member| member.finish(ConsumerEnd::Stopped));
    check(&key, &[&producer], &[&journals[0], &journals[1]], false);
}
