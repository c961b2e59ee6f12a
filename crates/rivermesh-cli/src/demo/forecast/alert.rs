//! The alert node: a process that gets only the predictions that its filter asks for.

use std::time::Duration;

use color_eyre::eyre::{Context, Result, bail};
use rivermesh::{Event, Lag, Node, consumer::LeaveReason};
use rivermesh_weather::{Prediction, RAIN_ALERT};
use tokio::time::interval;

use super::{
    desk::outlined,
    number,
    wire::{Alerts, Word},
};
use crate::{
    args::DemoAlertArgs,
    demo::{child, wire::tell},
};

/// How often the alert node says where it stands.
const TICK: Duration = Duration::from_millis(50);

/// Runs the alert node until the parent says so or is gone.
///
/// # Errors
/// When the node or the subscription cannot start, or the parent is gone.
pub(crate) async fn run(args: &DemoAlertArgs) -> Result<bool> {
    child::run(&args.net, async |node, orders| {
        child::until_dismissed(alerted(node), orders).await
    })
    .await
}

/// Counts the alerts until the forecaster ends its stream, then stays until it is dismissed.
async fn alerted(node: &Node) -> Result<()> {
    let mut rain = node
        .consumer::<Prediction>()
        .lag(Lag::Block)
        .filter(RAIN_ALERT)
        .build()
        .wrap_err("cannot subscribe to the predictions")?;
    let (mut alerts, mut tick) = (Alerts::default(), interval(TICK));
    loop {
        tokio::select! {
            event = rain.next_event() => match event {
                Some(Event::Item(delivery)) => alerts.take(&delivery.item),
                Some(Event::Missed { from, to, .. }) => alerts.missed += to.saturating_sub(from),
                Some(Event::Left { reason: LeaveReason::Ended, .. }) => break,
                Some(_) => {}
                None => bail!("the subscription to the predictions ended"),
            },
            _ = tick.tick() => {
                alerts.filtered = rain.stats().filtered;
                tell(Word::Alerts(alerts.clone()))?;
            }
        }
    }
    alerts.filtered = rain.stats().filtered;
    tell(Word::AlertBooks(alerts))?;
    std::future::pending().await
}

impl Alerts {
    /// Books a prediction.
    pub(super) fn take(&mut self, prediction: &Prediction) {
        let hour = number(prediction.at_secs);
        self.repeated += self.hours.insert(hour, hour + 1);
        self.unasked += u64::from(!prediction.is_alert());
        self.digest = self.digest.wrapping_add(prediction.digest());
        self.newest = Some(outlined(prediction));
    }
}
