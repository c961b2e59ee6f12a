//! A station of the demo: a process that produces its rows of the weather file.

use std::{
    future::pending,
    time::{Duration, Instant},
};

use color_eyre::eyre::{Context, Result};
use rivermesh::{Condition, Node, Producer};
use rivermesh_weather::{Reading, readings_of};
use tokio::sync::{Notify, mpsc};

use super::{
    child::{self, CONSUMER_TAG, Pace},
    forecast::again,
    wire::{Order, Report},
};
use crate::{args::DemoStationArgs, family::say, latency::now_us};

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
    let readings = readings_of(&args.origin)?;
    child::run(&args.net, async |node, mut orders| {
        let go = Notify::new();
        tokio::select! {
            sent = both_halves(args, node, &readings, &go) => sent,
            () = obey(&mut orders, &go) => Ok(()),
        }
    })
    .await
}

/// Hears when the second half begins; ends when the parent says so or is gone.
async fn obey(orders: &mut mpsc::Receiver<Order>, go: &Notify) {
    while let Some(Order::SendAgain) = orders.recv().await {
        go.notify_one();
    }
}

/// Sends the rows in order and, when told to, again as they come late; then stays, because consumers may
/// still fetch what is kept.
async fn both_halves(
    args: &DemoStationArgs,
    node: &Node,
    readings: &[Reading],
    go: &Notify,
) -> Result<()> {
    let producer = produce(args, node, readings).await?;
    go.notified().await;
    let rows = usize::try_from(args.end_row).unwrap_or(usize::MAX);
    let rows = readings.get(..rows).unwrap_or(readings);
    again::send(&args.origin, args.speed, node, rows).await?;
    pending::<()>().await;
    drop(producer);
    Ok(())
}

/// Sends the rows in order. The stream is open for as long as its producer is kept.
async fn produce(
    args: &DemoStationArgs,
    node: &Node,
    readings: &[Reading],
) -> Result<Producer<Reading>> {
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

    let pace = Pace::new(args.speed);
    let mut journal = (0_u64, Instant::now());
    for row in args.first_row..args.end_row {
        if args.hold_row == Some(row) {
            say(&Report::Accepted {
                count: journal.0,
                done: false,
            })?;
            pending::<()>().await;
        }
        pace.wait(journal.0).await;
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
    Ok(producer)
}
