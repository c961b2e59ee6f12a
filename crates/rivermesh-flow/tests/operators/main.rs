//! Every operator against a naive model, over random input, delays and duplicates; every item is
//! accounted for. The state machines are driven by themselves, with the time as an argument; what
//! needs tasks and timers runs in tokio's paused time.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod dead;
mod demux;
mod merge;
mod rates;
mod reorder;
mod router;
mod runtime;
mod session;
mod snapshot;
mod windows;

use std::{
    task::{Context, Waker},
    time::Duration,
};

use proptest::prelude::*;
use rivermesh_flow::{EventTime, Operator};
use tokio::time::Instant;

/// An item: when it happened, whose it is, and a number that no other has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Item {
    at: u64,
    key: u8,
    id: u32,
}

fn key(item: &Item) -> u8 {
    item.key
}

fn time(item: &Item) -> EventTime {
    EventTime::from_micros(item.at)
}

fn us(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// Items that are roughly in order, some delayed, some repeated, and how many seconds pass before
/// each.
fn input(keys: u8) -> impl Strategy<Value = Vec<(Item, u64)>> {
    let step = (
        0_u64..5,
        0_u64..30,
        0..keys,
        prop_oneof![3 => Just(0), 1 => 0_u64..8],
    );
    prop::collection::vec(step, 0..120).prop_map(|steps| {
        let mut front = 50;
        let mut items = Vec::new();
        for (id, (forward, delay, key, seconds)) in steps.into_iter().enumerate() {
            front += forward;
            let (at, id) = (front - delay, id as u32);
            items.push((Item { at, key, id }, seconds));
        }
        items
    })
}

/// A state machine and the clock that it is given.
struct Bench<O> {
    operator: O,
    now: Instant,
}

impl<O> Bench<O> {
    fn new<T>(mut operator: O) -> Self
    where
        O: Operator<T>,
    {
        let now = Instant::now();
        operator.start(now);
        Self { operator, now }
    }

    /// Time passes; the operator is told at each of its deadlines. Gives what comes out.
    fn wait<T>(&mut self, time: Duration) -> Vec<O::Out>
    where
        O: Operator<T>,
    {
        let until = self.now + time;
        let mut out = Vec::new();
        while let Some(at) = self.operator.deadline().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.operator.tick(self.now);
            out.extend(self.pull());
        }
        self.now = until;
        out
    }

    fn push<T>(&mut self, item: T) -> Vec<O::Out>
    where
        O: Operator<T>,
    {
        self.operator.push(item, self.now);
        self.pull()
    }

    fn is_ready<T>(&mut self) -> bool
    where
        O: Operator<T>,
    {
        let mut cx = Context::from_waker(Waker::noop());
        self.operator.poll_ready(&mut cx).is_ready()
    }

    fn end<T>(&mut self) -> Vec<O::Out>
    where
        O: Operator<T>,
    {
        self.operator.end();
        self.pull()
    }

    /// Everything that comes out now; all items are accounted for before and after.
    fn pull<T>(&mut self) -> Vec<O::Out>
    where
        O: Operator<T>,
    {
        let mut out = Vec::new();
        loop {
            let stats = self.operator.stats();
            assert!(stats.is_balanced(), "{stats}");
            match self.operator.pull() {
                Some(output) => out.push(output),
                None => return out,
            }
        }
    }
}
