//! What happens on a stream besides items: a producer is joined, items are missed, it begins
//! anew, it leaves.

use bytes::Bytes;
use rivermesh::{Event, Node, Producer, SecretKey, consumer::LeaveReason};
use rivermesh_examples::{Result, Room, soon};

/// Small, so that the consumer below is soon too slow.
const LOG: usize = 64 * 1024;

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let key = SecretKey::generate();
    let screen = room.node("screen")?.spawn().await?;
    let mut consumer = screen
        .consumer::<Bytes>()
        .stream("frames")
        .buffer_bytes(LOG)
        .build()?;

    let (camera, frames) = start_camera(&room, &key).await?;
    soon("a consumer", frames.online()).await?;
    // The consumer does not read meanwhile, so most of this leaves the log before it can go out.
    let frame = Bytes::from(vec![7; 1024]);
    for _ in 0..16 * 1024 {
        frames.send(frame.clone()).await?;
    }
    let sent = frames.stats().items;

    // Every number from `next` on comes as an item or as missed, in order, until all are told.
    let (mut next, mut items, mut missed) = (0, 0, 0);
    while next < sent {
        match soon("an event", consumer.next_event()).await? {
            Some(Event::Joined { producer, seq, .. }) => {
                println!("joined {} from item {seq} on", producer.fmt_short());
                assert_eq!(seq, 0);
            }
            Some(Event::Item(delivery)) => {
                assert_eq!(delivery.seq, next);
                assert_eq!(delivery.item, frame);
                next += 1;
                items += 1;
            }
            Some(Event::Missed { from, to, .. }) => {
                println!("missed {from} to {}", to - 1);
                assert_eq!(from, next);
                next = to;
                missed += to - from;
            }
            event => return Err(format!("unexpected: {event:?}").into()),
        }
    }
    println!("{items} items and {missed} missed make the {sent} that were sent");
    assert!(missed > 0);
    assert_eq!(items + missed, sent);

    // Without its socket nobody hears the camera say goodbye, as if its process had been killed.
    // Another one begins with its key, at another port.
    camera.endpoint().close().await;
    camera.shutdown().await;
    let (camera, frames) = start_camera(&room, &key).await?;
    match soon("a reset", consumer.next_event()).await? {
        Some(Event::Reset { producer, old, new }) => {
            let producer = producer.fmt_short();
            println!("{producer} began anew: {old} is over, {new} is now");
            assert_eq!(new, frames.epoch());
        }
        event => return Err(format!("unexpected: {event:?}").into()),
    }
    frames.send(frame).await?;
    camera.shutdown().await;
    loop {
        match soon("a goodbye", consumer.next_event()).await? {
            Some(Event::Left { reason, .. }) => {
                println!("left: {reason:?}");
                assert_eq!(reason, LeaveReason::Ended);
                return Ok(());
            }
            Some(Event::Item(delivery)) => println!("item {} of the new life", delivery.seq),
            Some(Event::Joined { seq, .. }) => println!("joined from item {seq} on"),
            event => return Err(format!("unexpected: {event:?}").into()),
        }
    }
}

async fn start_camera(room: &Room, key: &SecretKey) -> Result<(Node, Producer<Bytes>)> {
    let node = room.node("camera")?.secret_key(key.clone()).spawn().await?;
    let frames = node
        .producer::<Bytes>()
        .stream("frames")
        .log_bytes(LOG)
        .build()?;
    Ok((node, frames))
}
