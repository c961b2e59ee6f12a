//! A stream that takes items without consumers can hand them to somebody else meanwhile.

use rivermesh::Condition;
use rivermesh_examples::{Result, Room, soon};
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let source = room.node("source")?.spawn().await?;
    // Bounded, as everything here: what does not fit is counted, and nobody waits.
    let (sink, mut spool) = mpsc::channel(2);
    let producer = source
        .producer::<String>()
        .online_when(Condition::always())
        .undelivered(sink)
        .build()?;

    for text in ["one", "two", "three"] {
        producer.send(text.into()).await?;
    }
    let stats = producer.stats();
    assert_eq!((stats.undelivered, stats.undelivered_lost), (3, 1));
    println!(
        "nobody there: {} undelivered, {} of them did not fit",
        stats.undelivered, stats.undelivered_lost
    );

    let reader = room.node("reader")?.spawn().await?;
    let mut consumer = reader.consume::<String>()?;
    soon("a consumer", producer.when(Condition::at_least(1))).await?;
    // What was spooled can be sent again, now that somebody is there.
    while let Ok(text) = spool.try_recv() {
        producer.send(text).await?;
    }
    for expected in ["one", "two"] {
        let item = soon("a spooled item", consumer.recv()).await?;
        println!("after all: {item:?}");
        assert_eq!(item.as_deref(), Some(expected));
    }
    Ok(())
}
