//! The weather application: three stations send the real hours of 2013, out of order and late; a
//! forecaster groups them again hour by hour, and publishes predictions as a stream of its own; an
//! alert node gets only what its filter asks for.

use futures::{SinkExt, Stream, StreamExt, stream};
use rivermesh::{Condition, Consumer, Event, Lag, Node, Producer, consumer::LeaveReason};
use rivermesh_examples::{Result, Room, soon};
use rivermesh_weather::{
    Delays, Forecaster, Group, HOUR, Prediction, RAIN_ALERT, Reading, SILENT, STATIONS, delayed,
    group, readings_of, until_ended,
};

#[tokio::main]
async fn main() -> Result {
    let room = Room::new()?;
    let forecaster = room.node("forecaster")?.spawn().await?;
    let alert = room.node("alert")?.spawn().await?;
    let lossless = |node: &Node| node.consumer::<Reading>().lag(Lag::Block).build();
    let consumed = until_ended(lossless(&forecaster)?, STATIONS.len());
    let predictions = forecaster
        .producer::<Prediction>()
        .allow_lag([Lag::Block])
        .online_when(Condition::at_least(1))
        .build()?;
    let rain = alert
        .consumer::<Prediction>()
        .lag(Lag::Block)
        .filter(RAIN_ALERT)
        .build()?;

    let alerting = tokio::spawn(alerts(rain));
    let forecasting = tokio::spawn(forecast(consumed, predictions));
    let mut stations = Vec::new();
    for (seed, name) in (2013..).zip(STATIONS) {
        let node = room.node(name)?.spawn().await?;
        stations.push(tokio::spawn(station(name, seed, node)));
    }
    let mut sent = 0;
    for station in stations {
        sent += soon("a station", station).await???;
    }
    let seen = soon("the forecaster", forecasting).await???;
    let (alerts, filtered) = soon("the alerts", alerting).await???;

    println!(
        "{sent} readings sent by {} stations, out of order",
        STATIONS.len()
    );
    println!(
        "{} hours grouped again: {} complete, {} lack a station, {} have no reading",
        seen.hours, seen.complete, seen.partial, seen.empty
    );
    println!(
        "{} readings were too late for their hour, such as {}",
        seen.late.len(),
        seen.late.first().map(show).unwrap_or_default()
    );
    println!(
        "{alerts} alerts ({RAIN_ALERT}); {filtered} other predictions stayed where they were made"
    );
    assert_eq!(sent, 26_115);
    assert_eq!(seen.hours, seen.complete + seen.partial + seen.empty);
    assert_eq!(
        seen.grouped + seen.late.len() as u64,
        sent,
        "every reading is accounted for"
    );
    assert_eq!(alerts + filtered, seen.hours);
    assert_eq!(alerts, seen.rainy);
    assert!(alerts > 0 && filtered > 0);
    Ok(())
}

fn show(reading: &Reading) -> String {
    format!(
        "{} of hour {}",
        reading.station,
        reading.at_secs / HOUR.as_secs()
    )
}

/// Sends a station's hours, in the order of a seeded model of delays. Gives how many.
async fn station(name: &'static str, seed: u64, node: Node) -> std::result::Result<u64, String> {
    let send = async {
        let own = readings_of(name)?;
        let producer = node.producer::<Reading>().allow_lag([Lag::Block]).build()?;
        let coming = delayed(&own, Delays::new(seed));
        let count = coming.len() as u64;
        // A producer is a sink: any stream can end in one.
        stream::iter(coming)
            .map(Ok)
            .forward(producer.clone())
            .await?;
        node.shutdown().await;
        Result::Ok(count)
    };
    send.await.map_err(|error| error.to_string())
}

/// What the forecaster has seen.
#[derive(Default)]
struct Seen {
    hours: u64,
    complete: u64,
    partial: u64,
    empty: u64,
    grouped: u64,
    /// Predictions that the alert node is to get.
    rainy: u64,
    late: Vec<Reading>,
}

impl Seen {
    fn hour(&mut self, hour: &Group) {
        self.hours += 1;
        self.grouped += hour.items;
        match hour.missing.len() {
            0 => self.complete += 1,
            missing if missing == STATIONS.len() => self.empty += 1,
            _ => self.partial += 1,
        }
    }
}

async fn forecast(
    readings: impl Stream<Item = Reading> + Send + 'static,
    mut predictions: Producer<Prediction>,
) -> std::result::Result<Seen, String> {
    let mut grouped = group(readings, HOUR * 6, SILENT);
    let (mut seen, mut forecaster) = (Seen::default(), Forecaster::default());
    let late = tokio::spawn(grouped.late.collect::<Vec<Reading>>());
    while let Some(hour) = grouped.hours.next().await {
        seen.hour(&hour);
        let prediction = forecaster.after(&hour);
        seen.rainy += u64::from(prediction.is_alert());
        predictions
            .send(prediction)
            .await
            .map_err(|error| error.to_string())?;
    }
    SinkExt::<Prediction>::flush(&mut predictions)
        .await
        .map_err(|error| error.to_string())?;
    predictions.close();
    seen.late = late.await.map_err(|error| error.to_string())?;
    Ok(seen)
}

/// Counts the alerts until the forecaster ends its stream, and what the filter left out.
async fn alerts(rain: Consumer<Prediction>) -> std::result::Result<(u64, u64), String> {
    let mut events = rain.events();
    let mut alerts = 0;
    while let Some(event) = events.next().await {
        match event {
            Event::Item(_) => alerts += 1,
            Event::Missed { from, to, .. } => return Err(format!("missed {from} to {to}")),
            Event::Left {
                reason: LeaveReason::Ended,
                ..
            } => break,
            _ => {}
        }
    }
    Ok((alerts, events.consumer().stats().filtered))
}
