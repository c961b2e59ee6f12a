//! What the children of the demo have in common.

use std::{
    collections::HashSet,
    convert::Infallible,
    future::Future,
    time::{Duration, Instant},
};

use color_eyre::eyre::{Result, bail};
use rivermesh::{Node, Snapshot, discovery};
use tokio::{sync::mpsc, time::interval};

use super::wire::{Order, Report};
use crate::{
    args::{NetworkArgs, Speed},
    family::{orders, say},
    join,
    latency::{micros_of, now_us},
};

/// The tag by which stations know the consumers that they wait for; it is the name of the
/// hidden subcommand.
pub(super) const CONSUMER_TAG: &str = "demo-consumer";

/// How often round-trip times are reported.
const RTT_EVERY: Duration = Duration::from_millis(500);

/// Runs a child: its node, and `work` on it, until that ends or the parent is gone.
///
/// # Errors
/// When the node cannot start, the work fails, or the parent is gone.
pub(super) async fn run(
    net: &NetworkArgs,
    work: impl AsyncFnOnce(&Node, mpsc::Receiver<Order>) -> Result<()>,
) -> Result<bool> {
    let orders = orders::<Order>();
    let node = join::start(net).await?;
    up(&node)?;
    let ended = tokio::select! {
        worked = work(&node, orders) => worked,
        watched = watch(&node) => watched.map(|_| ()),
    };
    node.shutdown().await;
    ended.map(|()| true)
}

/// Works until the parent says that it is over, or is gone.
pub(super) async fn until_dismissed(
    work: impl Future<Output = Result<()>>,
    mut orders: mpsc::Receiver<Order>,
) -> Result<()> {
    tokio::select! {
        worked = work => worked,
        () = dismissal(&mut orders) => Ok(()),
    }
}

/// Says that the node is up.
fn up(node: &Node) -> Result<()> {
    let at_us = now_us();
    say(&Report::Up {
        node: node.id().to_string(),
        at_us,
    })
}

/// Reports who is found, and round-trip times, for as long as the node lives.
async fn watch(node: &Node) -> Result<Infallible> {
    let mut events = node.events();
    let mut known = HashSet::new();
    let mut beat = interval(RTT_EVERY);
    loop {
        // The events come late to what was there before; a look at the catalog does not.
        for peer in node.catalog().iter().filter(|peer| !peer.is_local()) {
            if known.insert(peer.id()) {
                say(&Report::Found {
                    name: peer.name().to_owned(),
                    at_us: now_us(),
                })?;
            }
        }
        tokio::select! {
            event = events.next() => match event {
                Some(discovery::Event::Left(peer) | discovery::Event::Unreachable(peer)) => {
                    known.remove(&peer.id());
                }
                Some(_) => {}
                None => bail!("the node ended"),
            },
            _ = beat.tick() => say(&rtts(&node.catalog()))?,
        }
    }
}

/// Waits until the parent says that it is over, or is gone.
async fn dismissal(orders: &mut mpsc::Receiver<Order>) {
    while let Some(order) = orders.recv().await {
        if order == Order::Finish {
            return;
        }
    }
}

/// When a station sends what.
#[derive(Debug)]
pub(super) struct Pace {
    start: Instant,
    speed: Speed,
}

impl Pace {
    /// The first one now.
    pub(super) fn new(speed: Speed) -> Self {
        let start = Instant::now();
        Self { start, speed }
    }

    /// Waits until the item with this number, counted from 0, is due.
    pub(super) async fn wait(&self, number: u64) {
        if let Speed::PerSecond(rate) = self.speed {
            let due = self.start + periods(rate, number as f64);
            tokio::time::sleep_until(due.into()).await;
        }
    }
}

/// How long so many items take at a rate a second; at most a year.
pub(super) fn periods(rate: f64, count: f64) -> Duration {
    Duration::from_secs_f64((count / rate).clamp(0.0, 31_536_000.0))
}

fn rtts(catalog: &Snapshot) -> Report {
    let remote = catalog.iter().filter(|peer| !peer.is_local());
    let mut peers: Vec<_> = remote
        .filter_map(|peer| Some((peer.name().to_owned(), micros_of(peer.rtt()?.smoothed))))
        .collect();
    peers.sort();
    Report::Rtt { peers }
}
