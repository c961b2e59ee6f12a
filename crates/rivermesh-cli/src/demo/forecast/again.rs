//! A station sends its hours again, in the order in which a world with delays would bring them.

use std::time::{Duration, Instant};

use color_eyre::eyre::{Context, Result};
use rivermesh::{Condition, Lag, Node};
use rivermesh_weather::{Delays, Reading, STATIONS, delayed};

use super::{DELAYED, FORECASTER_TAG, wire::Word};
use crate::{
    args::Speed,
    demo::{child::Pace, wire::tell},
};

/// Where the stations' randomness begins: each run has the same delays.
const SEED: u64 = 2013;

/// How often the station journals what was accepted.
const JOURNAL_EVERY: Duration = Duration::from_millis(20);

/// How the readings of a station are delayed.
pub(in crate::demo) fn delays(station: &str) -> Delays {
    let place = STATIONS.iter().position(|name| *name == station);
    Delays::new(SEED + place.map_or(0, |place| place as u64))
}

/// Sends a station's readings again, as they come by its delays, and ends the stream.
pub(in crate::demo) async fn send(
    station: &str,
    speed: Speed,
    node: &Node,
    readings: &[Reading],
) -> Result<()> {
    let listened = || Condition::at_least(1).tagged(FORECASTER_TAG);
    let producer = node
        .producer::<Reading>()
        .stream(DELAYED)
        .online_when(listened())
        .allow_lag([Lag::Block])
        .build()
        .wrap_err("cannot make the stream of delayed readings")?;
    producer.when(listened()).await;
    let pace = Pace::new(speed);
    let (mut newest, mut behind, mut journalled) = (0, 0, Instant::now());
    let coming = delayed(readings, delays(station));
    let all = coming.len() as u64;
    for (count, reading) in (0..).zip(coming) {
        pace.wait(count).await;
        behind += u64::from(reading.at_secs < newest);
        newest = newest.max(reading.at_secs);
        let sent = producer.send(reading).await;
        sent.wrap_err("a delayed reading was refused")?;
        if journalled.elapsed() >= JOURNAL_EVERY {
            journalled = Instant::now();
            let (count, done) = (count + 1, false);
            tell(Word::Sent {
                count,
                behind,
                done,
            })?;
        }
    }
    tell(Word::Sent {
        count: all,
        behind,
        done: true,
    })?;
    // The forecaster gets what the log still holds, and then the end.
    producer.close();
    Ok(())
}
