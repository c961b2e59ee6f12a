//! A consumer of numbers that keeps what it was told of each.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers may panic"
)]

use std::collections::BTreeMap;

use rivermesh::{
    Consumer, Datum, Event, LagSet, Node, Producer,
    consumer::{self, LeaveReason, SubscribeError},
    producer,
};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use crate::cluster::DEADLINE;

/// An item that says its own number. Of ten in a row each has another key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
#[datum(name = "numbers", key = "kind")]
pub struct Number {
    /// Its sequence number.
    pub n: u64,
    /// Its key: `k` and the last digit of its number.
    pub kind: String,
    /// To make it larger.
    pub pad: String,
}

impl Number {
    /// The item of this number.
    #[must_use]
    pub fn new(n: u64) -> Self {
        Self {
            n,
            kind: format!("k{}", n % 10),
            pad: String::new(),
        }
    }
}

/// What became of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It came.
    Received,
    /// It was left out.
    Filtered,
    /// It will not come.
    Missed,
}

/// A consumer of one producer, and what it was told of each number.
#[derive(Debug)]
pub struct Witness {
    /// The consumer.
    pub consumer: Consumer<Number>,
    /// What became of each number.
    pub fates: BTreeMap<u64, Fate>,
    /// Where the numbers began.
    pub first: Option<u64>,
    /// From where on each change of the filter held.
    pub changes: Vec<u64>,
    /// Why producers were left.
    pub left: Vec<LeaveReason>,
    /// Why producers refused.
    pub refused: Vec<SubscribeError>,
}

impl Witness {
    /// A consumer of this node, set up further.
    ///
    /// # Panics
    /// When it cannot be made.
    pub fn new(
        node: &Node,
        setup: impl FnOnce(consumer::Builder<Number>) -> consumer::Builder<Number>,
    ) -> Self {
        Self {
            consumer: setup(node.consumer()).build().unwrap(),
            fates: BTreeMap::new(),
            first: None,
            changes: Vec::new(),
            left: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// The number after the last of which it knows.
    #[must_use]
    pub fn next(&self) -> u64 {
        let last = self.fates.last_key_value().map(|(seq, _)| seq + 1);
        last.or(self.first).unwrap_or(0)
    }

    fn note(&mut self, from: u64, to: u64, fate: Fate) {
        assert_eq!(from, self.next(), "a hole or a repetition");
        self.fates.extend((from..to).map(|seq| (seq, fate)));
    }

    /// Takes what comes next.
    ///
    /// # Panics
    /// When nothing comes in time, or it does not follow what came before.
    pub async fn step(&mut self) {
        let event = timeout(DEADLINE, self.consumer.next_event()).await;
        match event.expect("an event in time").expect("a node that runs") {
            Event::Item(delivery) => {
                assert_eq!(delivery.item.n, delivery.seq);
                self.note(delivery.seq, delivery.seq + 1, Fate::Received);
            }
            Event::Filtered { from, to, .. } => self.note(from, to, Fate::Filtered),
            Event::Missed { from, to, .. } => self.note(from, to, Fate::Missed),
            Event::FilterChanged { seq, .. } => {
                assert_eq!(seq, self.next());
                self.changes.push(seq);
            }
            Event::Joined { seq, .. } => self.first = self.first.or(Some(seq)),
            Event::Left { reason, .. } => self.left.push(reason),
            Event::Refused { error, .. } => self.refused.push(error),
            other => panic!("{other:?}"),
        }
    }

    /// Takes what comes, until it knows of all numbers before this one.
    ///
    /// # Panics
    /// As [`step`](Self::step), and when it is told of more.
    pub async fn until(&mut self, next: u64) {
        while self.next() < next {
            self.step().await;
        }
        assert_eq!(self.next(), next);
    }

    /// The numbers that this became of.
    #[must_use]
    pub fn of(&self, fate: Fate) -> Vec<u64> {
        let own = self.fates.iter().filter(|(_, found)| **found == fate);
        own.map(|(seq, _)| *seq).collect()
    }
}

/// A producer of this node, which allows every lag policy, set up further.
///
/// # Panics
/// When it cannot be made.
pub fn produce(
    node: &Node,
    setup: impl FnOnce(producer::Builder<Number>) -> producer::Builder<Number>,
) -> Producer<Number> {
    setup(node.producer().allow_lag(LagSet::ALL.iter()))
        .build()
        .unwrap()
}

/// Sends the items of these numbers, which must be the next.
///
/// # Panics
/// When one is not taken in time.
pub async fn send(producer: &Producer<Number>, from: u64, to: u64) {
    for n in from..to {
        let sent = timeout(DEADLINE, producer.send(Number::new(n))).await;
        assert_eq!(sent.expect("room in time").unwrap(), n);
    }
}

/// Waits until so many consumers are subscribed.
///
/// # Panics
/// When they are not in time.
pub async fn subscribed(producer: &Producer<Number>, consumers: usize) {
    let mut status = producer.status();
    let there = status.wait_for(|status| status.consumers == consumers);
    timeout(DEADLINE, there).await.unwrap().unwrap();
}
