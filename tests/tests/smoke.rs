//! The first things a newcomer does.

use rivermesh_tests::cluster::{Cluster, DEADLINE};
use tokio::time::timeout;

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_and_a_stream_of_text() {
    let _ = tracing_subscriber::fmt()
        .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
        .with_test_writer()
        .try_init();
    let mut cluster = Cluster::new();
    let a = cluster.spawn().await;
    let b = cluster.spawn().await;
    let producer = a.produce::<String>().unwrap();
    let mut consumer = b.consume::<String>().unwrap();
    let work = async {
        for n in 0..1000 {
            producer.send(format!("item {n}")).await.unwrap();
        }
        for n in 0..1000 {
            assert_eq!(consumer.recv().await.unwrap(), format!("item {n}"));
        }
    };
    timeout(DEADLINE, work).await.unwrap();
    a.shutdown().await;
    b.shutdown().await;
}
