//! One consumer that never reads, and one that does: the first costs nobody anything.

use std::{env, time::Duration};

use rivermesh::Lag;
use rivermesh_tests::{
    cluster::Cluster,
    oracle::{ConsumerJournal, Key, Rules, Run},
    process::{Growth, Samples, Usage},
    recorder::{ANY_LAG, Driver, Recorder, STREAM, stream},
    seed::Seed,
};
use tokio::{sync::watch, time::Instant};

/// Seconds that the test lasts; 60 for a long run by hand.
const VARIABLE: &str = "RIVERMESH_STALL_SECONDS";

/// All of it in one process, which has this test to itself: the memory that is measured is that of
/// the producer, of the consumer that does not read, and of the one that does.
#[tokio::test(flavor = "multi_thread")]
async fn memory_stays_flat_and_the_other_consumer_gets_everything() {
    let seconds = env::var(VARIABLE).map_or(4, |text| text.parse().unwrap());
    let key = Key::from_seed(Seed::take().value());
    let mut cluster = Cluster::new();
    let (a, b, c) = (
        cluster.spawn().await,
        cluster.spawn().await,
        cluster.spawn().await,
    );
    let mut driver = Driver::new(&a, key, |producer| producer.allow_lag(ANY_LAG)).size(1000);
    let stuck = Recorder::new(&b, "stuck", |consumer| consumer.lag(Lag::Skip));
    let stuck_here = Recorder::new(&a, "stuck here", |consumer| consumer.lag(Lag::Skip));
    // In a file, so that the journal takes no memory.
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("healthy");
    let consumer = c.consumer().stream(STREAM).lag(Lag::Block).build().unwrap();
    let journal = ConsumerJournal::create(&path, "healthy", stream()).unwrap();
    let (tell, told) = watch::channel(None);
    let healthy = Recorder::with_journal(consumer, journal).spawn(told);
    driver.subscribed(3).await;

    let start = Instant::now();
    let (warm, whole) = (Duration::from_secs(1), Duration::from_secs(seconds));
    let mut samples = Samples::default();
    let mut sampled = start;
    while start.elapsed() < whole {
        driver.send(200).await;
        if start.elapsed() > warm && sampled.elapsed() > Duration::from_millis(100) {
            sampled = Instant::now();
            samples.push(Usage::own().unwrap());
        }
    }
    samples.check_flat(&Growth::default()).unwrap();
    let lost = driver
        .producer()
        .consumers()
        .iter()
        .map(|one| one.lag)
        .max();
    assert!(lost > Some(1000), "the stuck ones are not behind: {lost:?}");
    tell.send_replace(Some(vec![driver.goal()]));
    healthy.await.unwrap().drained();
    drop((stuck, stuck_here));
    let mut run = Run::new(key);
    run.consumer(ConsumerJournal::read(&path).unwrap());
    run.producer(driver.finish());
    run.check(&Rules::sunny())
        .unwrap_or_else(|failure| panic!("{failure}"));
}
