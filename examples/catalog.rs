//! Who is there: the catalog as a snapshot to query, as a watch to wait on, and as events.

use std::time::Duration;

use rivermesh::discovery::Event;
use rivermesh_examples::{Result, Room, soon};

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let observer = room.node("observer")?.spawn().await?;
    let mut events = observer.events();

    let sensor = room.node("sensor")?.tags(["eu", "roof"]).spawn().await?;
    let producer = sensor.producer::<String>().stream("rain").build()?;

    let mut catalog = observer.watch_catalog();
    let producing = catalog.wait_for(|now| now.producers_of("rain").next().is_some());
    let snapshot = soon("the sensor", producing).await??.clone();
    for peer in snapshot.iter() {
        let local = if peer.is_local() { " (this node)" } else { "" };
        println!(
            "{} {:?} {:?}{local}",
            peer.id().fmt_short(),
            peer.name(),
            peer.tags()
        );
    }
    assert_eq!(snapshot.len(), 2);
    assert_eq!(snapshot.with_tag("roof").count(), 1);
    assert_eq!(snapshot.named("sensor").count(), 1);
    assert!(
        snapshot
            .get(&sensor.id())
            .is_some_and(|peer| peer.is_live())
    );

    // Round-trip times come from the connections there are.
    let near = Duration::from_secs(1);
    let measured = catalog.wait_for(|now| now.within_rtt(near).next().is_some());
    let measured = soon("a round-trip time", measured).await??.clone();
    if let Some(rtt) = measured.get(&sensor.id()).and_then(|peer| peer.rtt()) {
        println!("round trip {:?}, at least {:?}", rtt.smoothed, rtt.min);
    }

    // A snapshot stays what it was; the node's view goes on.
    drop(producer);
    sensor.set_tags(["garden"])?;
    let moved = catalog.wait_for(|now| now.with_tag("garden").next().is_some());
    soon("the new tag", moved).await??;
    sensor.shutdown().await;
    loop {
        match soon("the sensor's departure", events.next()).await? {
            Some(Event::Joined(peer)) => println!("{} joined", peer.name()),
            Some(Event::Updated(peer)) => println!("{} now has {:?}", peer.name(), peer.tags()),
            Some(Event::Left(peer)) => {
                println!("{} left", peer.name());
                break;
            }
            Some(event) => println!("{event:?}"),
            None => return Err("the observer is gone".into()),
        }
    }
    assert_eq!(observer.catalog().len(), 1);
    assert_eq!(snapshot.len(), 2);
    Ok(())
}
