//! The results of the bench: derived numbers, Markdown and JSON.

use std::{fmt::Write, time::Duration};

use serde::Serialize;

use super::wire::Received;
use crate::{
    latency::Quantiles,
    text::{grouped, micros},
};

/// One line of the table.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Case {
    /// Consumers, each a node.
    pub(super) consumers: u32,
    /// Size of an item in bytes.
    pub(super) item_bytes: u32,
    /// At full load.
    pub(super) load: Load,
    /// At a fixed rate.
    pub(super) latency: Option<Paced>,
}

/// What was reached at full load.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Load {
    /// Items received per second, over all consumers.
    pub(super) deliveries_per_s: f64,
    /// Payload in megabytes (10⁶) per second, over all consumers.
    pub(super) mb_per_s: f64,
    /// CPU seconds, user and system of both processes, per million deliveries.
    pub(super) cpu_s_per_million: Option<f64>,
    /// Items that were reported missed.
    pub(super) missed: u64,
}

/// One-way latency at a fixed rate, from when an item was due to be sent.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Paced {
    /// Items sent per second.
    pub(super) items_per_s: f64,
    /// Microseconds.
    pub(super) latency_us: Quantiles,
}

impl Load {
    /// From what was received at the begin and at the end, and the CPU time used in between.
    pub(super) fn between(begin: Received, end: Received, cpu: Option<Duration>) -> Self {
        let seconds = end.at_us.saturating_sub(begin.at_us).max(1) as f64 / 1e6;
        let items = end.items.saturating_sub(begin.items) as f64;
        let bytes = end.bytes.saturating_sub(begin.bytes) as f64;
        Self {
            deliveries_per_s: (items / seconds).round(),
            mb_per_s: (bytes / seconds / 1e5).round() / 10.0,
            cpu_s_per_million: cpu
                .filter(|_| items > 0.0)
                .map(|cpu| (cpu.as_secs_f64() / items * 1e8).round() / 100.0),
            missed: end.missed.saturating_sub(begin.missed),
        }
    }

    /// A rate of sending that leaves room: what was asked for, at most half of what was reached.
    pub(super) fn paced_rate(&self, asked: f64, consumers: u32) -> f64 {
        let reached = self.deliveries_per_s / f64::from(consumers.max(1));
        asked.min((reached / 2.0).max(1.0)).floor().max(1.0)
    }
}

/// The head of the table.
pub(super) fn head() -> &'static str {
    "| consumers | item | deliveries/s | MB/s | CPU s per million | missed | at items/s | p50 | p90 | p99 | p99.9 | max |\n\
     | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |"
}

/// A line of the table.
pub(super) fn row(case: &Case) -> String {
    let load = &case.load;
    let cpu = load
        .cpu_s_per_million
        .map_or("-".to_owned(), |cpu| format!("{cpu:.2}"));
    let mut row = format!(
        "| {} | {} B | {} | {:.1} | {cpu} | {} |",
        case.consumers,
        grouped(case.item_bytes.into()),
        grouped(load.deliveries_per_s as u64),
        load.mb_per_s,
        grouped(load.missed),
    );
    let written = match &case.latency {
        Some(paced) => {
            let q = &paced.latency_us;
            let [p50, p90, p99, p999, max] = [q.p50, q.p90, q.p99, q.p999, q.max].map(micros);
            let rate = grouped(paced.items_per_s as u64);
            write!(row, " {rate} | {p50} | {p90} | {p99} | {p999} | {max} |")
        }
        None => write!(row, " - | - | - | - | - | - |"),
    };
    debug_assert!(written.is_ok(), "writing to a String does not fail");
    row
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case() -> Case {
        let begin = Received {
            at_us: 1_000_000,
            items: 100,
            bytes: 3200,
            missed: 1,
        };
        let end = Received {
            at_us: 3_000_000,
            items: 4_000_100,
            bytes: 128_003_200,
            missed: 1,
        };
        let load = Load::between(begin, end, Some(Duration::from_millis(3600)));
        let latency_us = Quantiles {
            count: 9,
            mean: 120.0,
            p50: 100,
            p90: 200,
            p99: 900,
            p999: 1500,
            max: 2500,
        };
        let latency = Some(Paced {
            items_per_s: 5000.0,
            latency_us,
        });
        Case {
            consumers: 8,
            item_bytes: 32,
            load,
            latency,
        }
    }

    #[test]
    fn numbers_are_rates() {
        let load = case().load;
        assert_eq!(load.deliveries_per_s, 2_000_000.0);
        assert_eq!(load.mb_per_s, 64.0);
        assert_eq!(load.cpu_s_per_million, Some(0.9));
        assert_eq!(load.missed, 0);
        assert_eq!(load.paced_rate(5000.0, 8), 5000.0);
        assert_eq!(load.paced_rate(1e9, 8), 125_000.0);
    }

    #[test]
    fn nothing_received_is_not_a_division_by_zero() {
        let none = Received::default();
        let load = Load::between(none, none, Some(Duration::ZERO));
        assert_eq!((load.deliveries_per_s, load.cpu_s_per_million), (0.0, None));
        assert_eq!(load.paced_rate(5000.0, 0), 1.0);
    }

    #[test]
    fn as_markdown() {
        let mut idle = case();
        idle.latency = None;
        insta::assert_snapshot!([head().to_owned(), row(&case()), row(&idle)].join("\n"));
    }

    #[test]
    fn as_json() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&case()).unwrap());
    }
}
