//! When a stream takes items: by default while somebody consumes it, or by a condition.

use rivermesh::{Condition, TrySendError};
use rivermesh_examples::{Result, Room, soon};

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let source = room.node("source")?.spawn().await?;
    let producer = source
        .producer::<String>()
        .online_when(Condition::at_least(2).tagged("archive"))
        .build()?;

    let first = room.node("first")?.tag("archive").spawn().await?;
    let mut one = first.consume::<String>()?;
    soon("one consumer", producer.when(Condition::at_least(1))).await?;
    assert!(!producer.is_online());
    match producer.try_send("too early".into()) {
        Err(TrySendError::Offline(item)) => println!("one archive: {item:?} is handed back"),
        other => return Err(format!("not offline: {other:?}").into()),
    }

    let second = room.node("second")?.tag("archive").spawn().await?;
    let mut two = second.consume::<String>()?;
    // Waits for the second archive, then goes through.
    soon("two archives", producer.send("stored twice".into())).await??;
    for consumer in [&mut one, &mut two] {
        let item = soon("the item", consumer.recv()).await?;
        assert_eq!(item.as_deref(), Some("stored twice"));
    }
    println!("two archives: both have it");

    drop(two);
    soon("one to leave", producer.offline()).await?;
    drop(one);
    let nobody = Condition::at_least(1).not();
    soon("the other to leave", producer.when(nobody)).await?;
    println!("no archive: online is {}", producer.is_online());
    Ok(())
}
