//! The forecaster: a process that groups the delayed readings hour by hour and publishes predictions.

use std::time::Duration;

use color_eyre::eyre::{Context, Result};
use futures::StreamExt;
use rivermesh::{Condition, Lag, Node};
use rivermesh_weather::{Delays, HOUR, Prediction, Reading, SILENT, STATIONS, group, until_ended};
use tokio::time::interval;

use super::{ALERT_TAG, DELAYED, desk::Desk, wire::Word};
use crate::{
    args::{DemoForecasterArgs, Speed},
    demo::{child, wire::tell},
};

/// How often the forecaster says where it stands.
const TICK: Duration = Duration::from_millis(50);

/// Runs the forecaster until the parent says so or is gone.
///
/// # Errors
/// When the node or a stream cannot start, or the parent is gone.
pub(crate) async fn run(args: &DemoForecasterArgs) -> Result<bool> {
    let silent = silence(args.speed);
    child::run(&args.net, async |node, orders| {
        child::until_dismissed(forecast(node, silent), orders).await
    })
    .await
}

/// How long a station that sends at this speed may be silent: longer than any that is well is.
pub(super) fn silence(speed: Speed) -> Duration {
    match speed {
        Speed::Max => SILENT,
        Speed::PerSecond(rate) => SILENT + child::periods(rate, 10.0),
    }
}

/// Groups the readings and publishes a prediction for each hour, then stays: the alert node may still
/// fetch what is kept.
async fn forecast(node: &Node, silent: Duration) -> Result<()> {
    let readings = node
        .consumer::<Reading>()
        .stream(DELAYED)
        .lag(Lag::Block)
        .build()
        .wrap_err("cannot subscribe to the delayed readings")?;
    let predictions = node
        .producer::<Prediction>()
        .online_when(Condition::at_least(1).tagged(ALERT_TAG))
        .allow_lag([Lag::Block])
        .build()
        .wrap_err("cannot make the stream of predictions")?;
    let lateness = HOUR * Delays::new(0).up_to_hours as u32;
    let mut grouped = group(until_ended(readings, STATIONS.len()), lateness, silent);
    let (mut desk, mut tick) = (Desk::default(), interval(TICK));
    let (mut hours_left, mut late_left) = (true, true);
    while hours_left || late_left {
        tokio::select! {
            hour = grouped.hours.next(), if hours_left => match hour {
                Some(hour) => {
                    let (prediction, news) = desk.hour(&hour);
                    news.into_iter().try_for_each(tell)?;
                    let sent = predictions.send(prediction).await;
                    sent.wrap_err("a prediction was refused")?;
                }
                None => hours_left = false,
            },
            late = grouped.late.next(), if late_left => match late {
                Some(reading) => tell(desk.late(&reading))?,
                None => late_left = false,
            },
            _ = tick.tick() => tell(Word::Forecast(desk.progress()))?,
        }
    }
    predictions.close();
    tell(Word::Forecast(desk.progress()))?;
    let (news, books) = desk.close();
    news.into_iter().try_for_each(tell)?;
    tell(Word::ForecastBooks(books))?;
    std::future::pending().await
}
