//! One consumer, any number of producers: those that were there, those that come later, and one on
//! its own node. Each keeps its own order.

use std::collections::BTreeMap;

use rivermesh::{Condition, Event, NodeId, Seq};
use rivermesh_examples::{Result, Room, soon};

const EACH: u64 = 100;

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let reader = room.node("reader")?.spawn().await?;
    let mut consumer = reader.consume::<String>()?;

    let early = room.node("early")?.spawn().await?;
    let own = reader.produce::<String>()?;
    let other = early.produce::<String>()?;
    soon("two producers", consumer.when(Condition::at_least(2))).await?;
    for n in 0..EACH {
        own.send(format!("own {n}")).await?;
        other.send(format!("early {n}")).await?;
    }

    // Nobody has to be told: its entry says that it produces the stream.
    let late = room.node("late")?.spawn().await?;
    let third = late.produce::<String>()?;
    for n in 0..EACH {
        soon("the reader", third.send(format!("late {n}"))).await??;
    }

    let mut next: BTreeMap<NodeId, Seq> = BTreeMap::new();
    let mut items = 0;
    while items < 3 * EACH {
        if let Some(Event::Item(delivery)) = soon("an item", consumer.next_event()).await? {
            let expected = next.entry(delivery.producer).or_default();
            assert_eq!(delivery.seq, *expected, "in order for each producer");
            *expected += 1;
            items += 1;
        }
    }
    let catalog = reader.catalog();
    for (producer, count) in &next {
        let name = catalog.get(producer).map_or("?", |peer| peer.name());
        println!("{count} items of {name}");
    }
    assert_eq!(next.len(), 3);
    assert_eq!(consumer.stats().missed, 0);
    Ok(())
}
