//! Many small items, taken a batch at a time and read where they lie: no item is copied, allocated
//! or waited for on its own.

use std::time::Instant;

use rivermesh::{Condition, Datum, DecodeError, Event, Lag, Payload, View};
use rivermesh_examples::{Result, Room, soon};
use serde::{Deserialize, Serialize};

const ITEMS: u64 = 100_000;

#[derive(Clone, Serialize, Deserialize, Datum)]
#[datum(name = "weather/reading")]
struct Reading {
    origin: String,
    celsius: f32,
}

/// The same fields in the same order, borrowed from the batch.
#[derive(Deserialize)]
struct ReadingView<'a> {
    origin: &'a str,
    celsius: f32,
}

impl View for Reading {
    type View<'a> = ReadingView<'a>;

    fn view(payload: Payload<'_>) -> std::result::Result<ReadingView<'_>, DecodeError> {
        payload.postcard()
    }
}

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let (station, office) = (room.node("station")?, room.node("office")?);
    let (station, office) = (station.spawn().await?, office.spawn().await?);
    let producer = station.producer::<Reading>().allow_lag([Lag::Block]);
    let producer = producer.online_when(Condition::at_least(1)).build()?;
    let consumer = office.consumer::<Reading>().lag(Lag::Block).build()?;
    soon("a consumer", producer.online()).await?;

    let sending = tokio::spawn(async move {
        for n in 0..ITEMS {
            let origin = ["JFK", "LGA", "EWR"][n as usize % 3].to_owned();
            let celsius = (n % 40) as f32;
            let sent = producer.send(Reading { origin, celsius }).await;
            sent.map_err(|error| error.to_string())?;
        }
        Ok::<_, String>(producer)
    });
    soon("all items", take(consumer)).await??;
    sending.await??;
    tokio::join!(station.shutdown(), office.shutdown());
    Ok(())
}

async fn take(mut consumer: rivermesh::Consumer<Reading>) -> Result {
    let begun = Instant::now();
    let (mut items, mut batches, mut warmest) = (0, 0_u64, f32::MIN);
    while items < ITEMS {
        match consumer.next_batch_event().await {
            Some(Event::Item(delivery)) => {
                assert_eq!(
                    delivery.seq, items,
                    "a batch begins where the last one ended"
                );
                for reading in delivery.item.views() {
                    let reading = reading?;
                    if reading.origin == "JFK" {
                        warmest = warmest.max(reading.celsius);
                    }
                    items += 1;
                }
                batches += 1;
            }
            Some(Event::Missed { from, to, .. }) => return Err(format!("{from}..{to}").into()),
            Some(_) => {}
            None => return Err("the node has shut down".into()),
        }
    }
    println!(
        "{items} items in {batches} batches in {:?}; the warmest at JFK: {warmest} °C",
        begun.elapsed()
    );
    Ok(())
}
