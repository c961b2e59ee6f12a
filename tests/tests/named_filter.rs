//! Consumers with a name and a filter.

use rivermesh::{Condition, Event, producer::Named};
use rivermesh_tests::{
    cluster::{Cluster, DEADLINE},
    wait::eventually,
};
use tokio::time::timeout;

/// What a filter leaves out is done with when what is before it is.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_filter_leaves_out_need_not_be_committed() {
    for local in [false, true] {
        let mut cluster = Cluster::new();
        let a = cluster.spawn().await;
        let b = if local {
            a.clone()
        } else {
            cluster.spawn().await
        };
        let producer = a.producer::<String>().stream("words");
        let producer = producer
            .online_when(Condition::always())
            .named(Named::default())
            .build()
            .unwrap();
        let consumer = b.consumer::<String>().stream("words").durable_name("short");
        let consumer = consumer.filter("item.startsWith('a')").max_in_flight(2);
        let mut consumer = consumer.build().unwrap();
        timeout(DEADLINE, producer.when(Condition::at_least(1)))
            .await
            .unwrap();
        for n in 0..100 {
            let word = if n % 10 == 3 { "apple" } else { "pear" };
            producer.send(format!("{word} {n}")).await.unwrap();
        }
        let mut seen = Vec::new();
        while seen.len() < 10 {
            if let Some(Event::Item(item)) = timeout(DEADLINE, consumer.next_event()).await.unwrap()
            {
                assert!(producer.named()[0].in_flight <= 2);
                seen.push(item.seq);
                item.commit().unwrap();
            }
        }
        assert_eq!(seen, (0..10).map(|n| 10 * n + 3).collect::<Vec<_>>());
        // The six after the last apple, too.
        eventually(DEADLINE, || producer.named()[0].committed == 100).await;
        // Another filter, on the way: it holds from an item on, as without a name.
        consumer.set_filter("item.startsWith('p')").unwrap();
        let changed = async {
            loop {
                if let Some(Event::FilterChanged { seq, .. }) = consumer.next_event().await {
                    return seq;
                }
            }
        };
        assert_eq!(timeout(DEADLINE, changed).await.unwrap(), 100);
        for n in 0..3 {
            producer.send(format!("pear {n}")).await.unwrap();
        }
        let mut seqs = Vec::new();
        while seqs.len() < 3 {
            if let Some(Event::Item(item)) = timeout(DEADLINE, consumer.next_event()).await.unwrap()
            {
                seqs.push(item.seq);
                consumer.commit_up_to(a.id(), item.seq).unwrap();
            }
        }
        assert_eq!(seqs, [100, 101, 102]);
        eventually(DEADLINE, || producer.named()[0].items == 0).await;
    }
}
