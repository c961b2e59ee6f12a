//! Items are Rust types. The stream's name and the key stand at the type; its shape is compared
//! when a consumer subscribes, so that a type that does not fit is told what differs.

use rivermesh::{Datum, Dynamic, Event, consumer::SubscribeError};
use rivermesh_examples::{Result, Room, soon};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
#[datum(name = "weather/reading", key = "origin")]
struct Reading {
    origin: String,
    celsius: f32,
    humidity: Option<f32>,
}

/// What somebody else believes a reading to be.
mod elsewhere {
    use super::{Datum, Deserialize, Serialize};

    #[derive(Debug, Serialize, Deserialize, Datum)]
    #[datum(name = "weather/reading")]
    pub(super) struct Reading {
        origin: String,
        celsius: f64,
        humidity: Option<f32>,
    }
}

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let station = room.node("station")?.spawn().await?;
    let screen = room.node("screen")?.spawn().await?;

    let producer = station.produce::<Reading>()?;
    let mut consumer = screen.consume::<Reading>()?;
    let reading = Reading {
        origin: "JFK".into(),
        celsius: 4.0,
        humidity: None,
    };
    let key = reading.key().map(|key| key.to_string());
    assert_eq!(key.as_deref(), Some("JFK"));
    soon("a consumer", producer.send(reading.clone())).await??;
    let received = soon("a reading", consumer.recv()).await?;
    assert_eq!(received, Some(reading.clone()));
    println!("as itself:  {received:?}");

    // Without the type: by the schema that the producer sends on request.
    let mut any = screen.consumer::<Dynamic>().stream(Reading::NAME).build()?;
    soon("its producer", any.when(rivermesh::Condition::at_least(1))).await?;
    producer.send(reading).await?;
    let item = soon("an item", any.recv()).await?.ok_or("shut down")?;
    let json = item.to_json()?;
    assert_eq!(json["celsius"], 4.0);
    println!("as JSON:    {json}");

    // With another type: refused, with the field that differs.
    let mut other = screen.consume::<elsewhere::Reading>()?;
    match soon("an answer", other.next_event()).await? {
        Some(Event::Refused {
            error: error @ SubscribeError::Schema { .. },
            ..
        }) => {
            assert!(error.to_string().contains("celsius"), "{error}");
            println!("mistyped:   {error}");
        }
        event => return Err(format!("not refused: {event:?}").into()),
    }
    Ok(())
}
