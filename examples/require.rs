//! Who may consume, and whom to consume: by what a peer says of itself and how near it is,
//! looked at again whenever that changes.

use std::time::Duration;

use rivermesh::{
    Event, Peer,
    consumer::{LeaveReason, SubscribeError},
};
use rivermesh_examples::{Result, Room, soon};

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let vault = room.node("vault")?.tag("eu").spawn().await?;
    let guest = room.node("guest")?.spawn().await?;

    let producer = vault
        .producer::<String>()
        .require(|peer: &Peer| peer.has_tag("staff"))
        .build()?;
    // Both must hold. A round-trip time that is not known yet is not a short one: it is measured
    // because somebody asks for it.
    let mut consumer = guest
        .consumer::<String>()
        .require(|peer: &Peer| peer.has_tag("eu"))
        .require(|peer: &Peer| {
            peer.rtt()
                .is_some_and(|rtt| rtt.smoothed < Duration::from_millis(500))
        })
        .build()?;

    match soon("an answer", consumer.next_event()).await? {
        Some(Event::Refused { error, .. }) => {
            assert_eq!(error, SubscribeError::NotAdmitted);
            println!("without the tag: {error}");
        }
        event => return Err(format!("not refused: {event:?}").into()),
    }

    guest.add_tag("staff")?;
    soon("admission", producer.online()).await?;
    producer.send("for staff".into()).await?;
    let item = soon("an item", consumer.recv()).await?;
    println!("with the tag: {item:?}");
    assert_eq!(item.as_deref(), Some("for staff"));

    guest.remove_tag("staff")?;
    loop {
        match soon("the cut", consumer.next_event()).await? {
            Some(Event::Left { reason, .. }) => {
                println!("without it again: {reason:?}");
                assert_eq!(reason, LeaveReason::Revoked);
                return Ok(());
            }
            Some(_) => {}
            None => return Err("shut down".into()),
        }
    }
}
