//! A consumer of the demo: a process that merges all stations and keeps books.

use std::time::Duration;

use color_eyre::eyre::{Context, Result, bail};
use rivermesh::{Event, Node};
use rivermesh_weather::Reading;
use tokio::{sync::mpsc, time::interval};

use super::{
    child,
    tally::Tally,
    wire::{Order, Report},
};
use crate::{
    args::DemoConsumerArgs,
    family::say,
    latency::{Latency, now_us},
};

/// How often the consumer says where it stands.
const TICK: Duration = Duration::from_millis(50);

/// Runs the consumer until the parent wants its books or is gone.
///
/// # Errors
/// When the node or the subscription cannot start, or the parent is gone.
pub(crate) async fn run(args: &DemoConsumerArgs) -> Result<bool> {
    child::run(&args.net, consume).await
}

async fn consume(node: &Node, mut orders: mpsc::Receiver<Order>) -> Result<()> {
    let consumer = node.consumer::<Reading>().build();
    let mut consumer = consumer.wrap_err("cannot subscribe")?;
    let mut tally = Tally::default();
    let (mut latency, mut recent) = (Latency::default(), Latency::default());
    let mut last_us = 0;
    let mut tick = interval(TICK);
    loop {
        tokio::select! {
            event = consumer.next_event() => match event {
                Some(event) => {
                    last_us = now_us();
                    on_event(event, last_us, &mut tally, &mut latency, &mut recent)?;
                }
                None => bail!("the subscription ended"),
            },
            _ = tick.tick() => {
                let (sources, latency) = (tally.positions(), recent.quantiles());
                say(&Report::Tick { sources, last_us, latency })?;
                recent.clear();
            }
            order = orders.recv() => {
                if order.is_some() {
                    let latency = latency.counts();
                    say(&Report::Final { sources: tally.into_sources(), latency })?;
                }
                return Ok(());
            }
        }
    }
}

fn on_event(
    event: Event<Reading>,
    at_us: u64,
    tally: &mut Tally,
    latency: &mut Latency,
    recent: &mut Latency,
) -> Result<()> {
    match event {
        Event::Item(delivery) => {
            let took = at_us.saturating_sub(delivery.sent_at_us);
            latency.record(took);
            recent.record(took);
            let (node, epoch) = (delivery.producer.to_string(), delivery.epoch.to_string());
            let digest = delivery.item.digest(delivery.seq);
            if tally.item(&node, &epoch, delivery.seq, digest) {
                say(&Report::First { node, epoch, at_us })?;
            }
        }
        Event::Missed {
            producer,
            epoch,
            from,
            to,
            ..
        } => {
            let (node, epoch) = (producer.to_string(), epoch.to_string());
            tally.missed(&node, &epoch, from, to);
            say(&Report::Missed {
                node,
                epoch,
                from,
                to,
            })?;
        }
        // Refusals and what cannot be decoded show as unaccounted for.
        _ => {}
    }
    Ok(())
}
