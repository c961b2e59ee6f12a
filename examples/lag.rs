//! What happens to a consumer that is too slow: it asks for a policy, the producer allows some.

use bytes::Bytes;
use rivermesh::{Condition, Consumer, Event, Lag, Producer, TrySendError, consumer::LeaveReason};
use rivermesh_examples::{Result, Room, soon};

const ITEMS: u64 = 1000;

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    // Consumers of a node's own streams are cursors in its log, without the network in between:
    // one node is enough to see them fall behind.
    let node = room.node("both")?.spawn().await?;
    for lag in [Lag::Skip, Lag::Newest, Lag::Disconnect, Lag::Block] {
        let producer = node
            .producer::<Bytes>()
            .stream(format!("frames/{lag}"))
            .log_bytes(64 * 1024)
            .allow_lag([lag])
            .online_when(Condition::always())
            .build()?;
        let consumer = node
            .consumer::<Bytes>()
            .stream(format!("frames/{lag}"))
            .lag(lag)
            .buffer_bytes(64 * 1024)
            .build()?;
        soon("the consumer", producer.when(Condition::at_least(1))).await?;
        if lag == Lag::Block {
            block(&producer, consumer).await?;
        } else {
            do_not_wait(lag, &producer, consumer).await?;
        }
    }
    Ok(())
}

/// The producer sends as fast as it likes; what does not fit the log is gone.
async fn do_not_wait(
    lag: Lag,
    producer: &Producer<Bytes>,
    mut consumer: Consumer<Bytes>,
) -> Result {
    for _ in 0..ITEMS {
        producer.try_send(item())?;
    }
    let (mut items, mut missed, mut next) = (0, 0, 0);
    while next < ITEMS {
        match soon("an event", consumer.next_event()).await? {
            Some(Event::Item(delivery)) => {
                assert_eq!(delivery.seq, next, "in order, without a silent gap");
                next += 1;
                items += 1;
            }
            Some(Event::Missed { from, to, .. }) => {
                assert_eq!(from, next);
                next = to;
                missed += to - from;
            }
            Some(Event::Left { reason, .. }) => {
                assert_eq!((lag, reason), (Lag::Disconnect, LeaveReason::Lagged));
                println!("{lag}: cut off after {items} items; it subscribes anew");
                return Ok(());
            }
            Some(Event::Joined { .. }) => {}
            event => return Err(format!("unexpected: {event:?}").into()),
        }
    }
    println!("{lag}: {items} items, {missed} missed");
    assert!(missed > 0);
    assert_ne!(lag, Lag::Disconnect);
    Ok(())
}

/// The log does not move past the consumer, so the producer waits, and nothing is missed.
async fn block(producer: &Producer<Bytes>, mut consumer: Consumer<Bytes>) -> Result {
    let mut sent = 0;
    let full = loop {
        match producer.try_send(item()) {
            Ok(_) => sent += 1,
            Err(TrySendError::Full(item)) => break item,
            Err(error) => return Err(error.into()),
        }
    };
    // The item came back; `send` waits for room, which comes when the consumer reads.
    let (waited, first) = tokio::join!(producer.send(full), async {
        for _ in 0..sent {
            consumer.recv().await;
        }
        consumer.recv().await
    });
    assert_eq!(waited?, sent);
    assert!(first.is_some());
    assert_eq!(consumer.stats().missed, 0);
    println!("{}: full after {sent} items, nothing missed", Lag::Block);
    Ok(())
}

fn item() -> Bytes {
    Bytes::from_static(&[7; 1024])
}
