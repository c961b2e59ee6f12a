//! Who may consume what: an authority issues a ticket, its holder passes on a part of it, and the
//! authority takes both back.

use std::time::Duration;

use rivermesh::{
    Event, SecretKey,
    admission::{Authority, Grant, Revoking, Right, Verifier},
    consumer::{LeaveReason, SubscribeError},
};
use rivermesh_examples::{Result, Room, soon};

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let station = room.node("station")?.spawn().await?;
    let team = room.node("team")?.spawn().await?;
    let guest = room.node("guest")?.spawn().await?;

    // A key, kept anywhere but on the nodes. They know its public half.
    let authority = Authority::new(station.network_name(), SecretKey::generate());
    let verifier = Verifier::new().trust(authority.id());
    let producer = station
        .producer::<String>()
        .stream("weather/jfk")
        .require_ticket(verifier)
        .build()?;

    // Without a ticket one is told no more than if there were no such stream.
    let mut stranger = guest.consumer::<String>().stream("weather/jfk").build()?;
    match soon("an answer", stranger.next_event()).await? {
        Some(Event::Refused { error, .. }) => {
            assert_eq!(error, SubscribeError::NotAdmitted);
            println!("without a ticket: {error}");
        }
        event => return Err(format!("not refused: {event:?}").into()),
    }
    drop(stranger);

    // The team may consume all weather for a day, and gives the guest one stream for an hour. That
    // needs neither the authority nor a network.
    let day = Duration::from_secs(24 * 3600);
    let all = Grant::new(team.id(), "weather/*", [Right::Consume]).lasting(day);
    let all = authority.issue(&all)?;
    let one =
        Grant::new(guest.id(), "weather/jfk", [Right::Consume]).lasting(Duration::from_secs(3600));
    let one = team.delegate(&all, &one)?;
    println!("the guest's ticket has {} links", one.links().len());
    let more = Grant::new(guest.id(), "*", [Right::Consume]);
    match team.delegate(&all, &more) {
        Err(error) => println!("more than it has: {error}"),
        Ok(_) => return Err("the team gave more than it has".into()),
    }

    let mut consumer = guest
        .consumer::<String>()
        .stream("weather/jfk")
        .ticket(one)
        .build()?;
    soon("admission", producer.online()).await?;
    producer.send("21.5 °C".into()).await?;
    let item = soon("an item", consumer.recv()).await?;
    println!("with a ticket: {item:?}");
    assert_eq!(item.as_deref(), Some("21.5 °C"));

    // Revoking the team's ticket revokes what was made of it. Any node can be given the list.
    let revoking = Revoking {
        number: 1,
        ids: [all.links()[0].id].into(),
        ..Revoking::default()
    };
    station.revoke(authority.revoke(revoking)?)?;
    loop {
        match soon("the cut", consumer.next_event()).await? {
            Some(Event::Left { reason, .. }) => {
                println!("revoked: {reason:?}");
                assert_eq!(reason, LeaveReason::Revoked);
                return Ok(());
            }
            Some(_) => {}
            None => return Err("shut down".into()),
        }
    }
}
