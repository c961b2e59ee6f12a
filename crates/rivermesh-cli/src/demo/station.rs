//! A station of the demo: a process that produces its rows of the weather file.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use color_eyre::eyre::{Context, Result};
use rivermesh::{Condition, Node};

use super::{
    child::{self, CONSUMER_TAG},
    weather::{Reading, readings_of},
    wire::{Order, Report},
};
use crate::{
    args::{DemoStationArgs, Speed},
    family::{orders, say},
    join,
    latency::now_us,
};

/// How often the station journals what was accepted.
const JOURNAL_EVERY: Duration = Duration::from_millis(20);

/// What a station keeps for consumers that lag, in bytes: more than all its rows take, so that
/// nothing need be missed.
const LOG_BYTES: usize = 8 << 20;

/// Runs the station until the parent says so or is gone.
///
/// # Errors
/// When the node or the stream cannot start, or the parent is gone.
pub(crate) async fn run(args: &DemoStationArgs) -> Result<bool> {
    let mut orders = orders::<Order>();
    let readings = readings_of(&args.origin)?;
    let node = join::start(&args.net).await?;
    child::up(&node)?;
    let ended = tokio::select! {
        produced = produce(args, &node, &readings) => produced,
        watched = child::watch(&node) => watched.map(|_| ()),
        _ = orders.recv() => Ok(()),
    };
    node.shutdown().await;
    ended.map(|()| true)
}

/// Sends the rows, then stays: consumers may still fetch what is kept.
async fn produce(args: &DemoStationArgs, node: &Node, readings: &[Reading]) -> Result<()> {
    let listened = || Condition::at_least(args.consumers).tagged(CONSUMER_TAG);
    let producer = node
        .producer::<Reading>()
        .online_when(listened())
        .log_bytes(LOG_BYTES)
        .build()
        .wrap_err("cannot make the stream")?;
    say(&Report::Started {
        node: node.id().to_string(),
        epoch: producer.epoch().to_string(),
    })?;
    producer.when(listened()).await;
    say(&Report::Online { at_us: now_us() })?;

    let start = Instant::now();
    let mut journal = (0_u64, start);
    for row in args.first_row..args.end_row {
        if args.hold_row == Some(row) {
            say(&Report::Accepted {
                count: journal.0,
                done: false,
            })?;
            pending::<()>().await;
        }
        if let Speed::PerSecond(rate) = args.speed {
            let due = start + Duration::from_secs_f64(journal.0 as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
        }
        let Some(reading) = usize::try_from(row).ok().and_then(|row| readings.get(row)) else {
            break;
        };
        producer
            .send(reading.clone())
            .await
            .wrap_err("a reading was refused")?;
        journal.0 += 1;
        if journal.1.elapsed() >= JOURNAL_EVERY {
            journal.1 = Instant::now();
            say(&Report::Accepted {
                count: journal.0,
                done: false,
            })?;
        }
    }
    say(&Report::Accepted {
        count: journal.0,
        done: true,
    })?;
    pending().await
}
