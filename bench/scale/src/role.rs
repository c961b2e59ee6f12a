//! What both processes have in common: orders come in, reports go out.

use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use serde::{Serialize, de::DeserializeOwned};
use tokio::sync::mpsc;

use crate::protocol::{Order, Report, Setup};

/// Orders that wait; the runner gives one at a time.
const ORDERS: usize = 4;

/// Items of a run are this large.
pub(crate) const ITEM_BYTES: usize = 256;

/// The name of the n-th stream.
pub(crate) fn stream(n: usize) -> String {
    format!("scale-{n}")
}

/// Where orders come from.
pub(crate) struct Orders(mpsc::Receiver<Order>);

impl Orders {
    /// Takes the setup, then orders, from standard input.
    pub(crate) fn begin() -> Result<(Setup, Self)> {
        let mut lines = std::io::stdin().lines();
        let first = lines.next().context("no setup")??;
        let setup = parse(&first)?;
        let (give, orders) = mpsc::channel(ORDERS);
        // A thread of its own: a read of standard input cannot be given up.
        std::thread::spawn(move || {
            for line in std::io::stdin().lock().lines() {
                let Ok(order) = line.map_err(Into::into).and_then(|line| parse(&line)) else {
                    return;
                };
                if give.blocking_send(order).is_err() {
                    return;
                }
            }
        });
        Ok((setup, Self(orders)))
    }

    /// The next order, until the runner is gone.
    pub(crate) async fn next(&mut self) -> Option<Order> {
        self.0.recv().await
    }
}

fn parse<T: DeserializeOwned>(line: &str) -> Result<T> {
    serde_json::from_str(line).with_context(|| format!("not understood: {line}"))
}

/// Tells the runner.
pub(crate) fn report(what: &impl Serialize) -> Result<()> {
    let mut out = std::io::stdout().lock();
    serde_json::to_writer(&mut out, what)?;
    writeln!(out)?;
    out.flush()?;
    Ok(())
}

/// Done, now.
pub(crate) fn done() -> Report {
    Report::Done {
        at_ns: harness::clock::now_ns(),
    }
}
