//! Results: one record per run, and their medians.

use std::collections::BTreeSet;

use harness::{Delivery, latency::Quantiles};
use serde::{Deserialize, Serialize};

/// How items are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "mode", rename_all = "snake_case")]
pub(crate) enum Mode {
    /// As fast as the peer takes them.
    Saturated,
    /// By an open-loop schedule.
    Paced {
        /// Items per second.
        rate: f64,
    },
}

/// A cell of the matrix.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Cell {
    pub(crate) consumers: u32,
    pub(crate) size: u32,
    #[serde(flatten)]
    pub(crate) mode: Mode,
}

/// What a run gave.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Distinct items received per second in the window, over all consumers.
    pub(crate) deliveries_per_s: f64,
    /// Their payload, in megabytes (10⁶) per second.
    pub(crate) mb_per_s: f64,
    /// CPU time of all processes per time in the window.
    pub(crate) cores: f64,
    /// CPU time of programs that are no part of the run, per time in the window.
    #[serde(default)]
    pub(crate) others: f64,
    /// CPU seconds, user and system, of all processes per million deliveries.
    pub(crate) cpu_s_per_million: Option<f64>,
    /// Sum of the peak resident memory of all processes, in bytes.
    pub(crate) peak_memory: u64,
    /// Deliveries owed over the whole run: items sent times consumers.
    pub(crate) due: u64,
    /// Of those, never made.
    pub(crate) lost: u64,
    pub(crate) duplicates: u64,
    pub(crate) disordered: u64,
    pub(crate) corrupt: u64,
    /// Items of the schedule that the producer did not come to send.
    pub(crate) unsent: u64,
    /// How far the producer was behind its schedule at the worst, in milliseconds.
    pub(crate) behind_ms: f64,
    /// One-way latency from when an item was due.
    pub(crate) latency: Option<Quantiles>,
    /// Settings of the transport that the adapter does not have.
    pub(crate) ignored: Vec<String>,
}

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) label: String,
    pub(crate) adapter: String,
    pub(crate) variant: String,
    pub(crate) delivery: Delivery,
    pub(crate) round: u32,
    #[serde(flatten)]
    pub(crate) cell: Cell,
    /// Nothing: the run did not come to its end.
    pub(crate) figures: Option<Figures>,
    /// Why it did not.
    pub(crate) why: Option<String>,
}

/// The rounds of one contestant in one cell.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Summary {
    pub(crate) label: String,
    pub(crate) adapter: String,
    pub(crate) delivery: Delivery,
    pub(crate) cell: Cell,
    pub(crate) rounds: usize,
    pub(crate) failed: usize,
    pub(crate) why: Option<String>,
    /// Medians, but sums of what was owed, lost, duplicated, out of order, corrupt and unsent.
    /// Nothing when no round came to its end.
    pub(crate) figures: Option<Figures>,
    /// Lowest and highest deliveries per second.
    pub(crate) spread: (f64, f64),
}

/// The cells, in the order in which they were first measured.
pub(crate) fn cells(records: &[Record]) -> Vec<Cell> {
    let mut cells: Vec<Cell> = Vec::new();
    for record in records {
        if !cells.contains(&record.cell) {
            cells.push(record.cell);
        }
    }
    cells
}

/// The summaries of a cell, in the order in which its contestants were first measured.
pub(crate) fn summaries(records: &[Record], cell: Cell) -> Vec<Summary> {
    let here = || records.iter().filter(move |record| record.cell == cell);
    let mut seen = BTreeSet::new();
    here()
        .filter(|record| seen.insert(record.label.clone()))
        .map(|first| {
            let rounds: Vec<&Record> = here().filter(|r| r.label == first.label).collect();
            summarise(first, &rounds)
        })
        .collect()
}

fn summarise(first: &Record, rounds: &[&Record]) -> Summary {
    let done: Vec<&Figures> = rounds.iter().filter_map(|r| r.figures.as_ref()).collect();
    let speeds = || done.iter().map(|figures| figures.deliveries_per_s);
    Summary {
        label: first.label.clone(),
        adapter: first.adapter.clone(),
        delivery: first.delivery,
        cell: first.cell,
        rounds: rounds.len(),
        failed: rounds.len() - done.len(),
        why: rounds.iter().find_map(|record| record.why.clone()),
        figures: (!done.is_empty()).then(|| medians(&done)),
        spread: (
            speeds().fold(f64::INFINITY, f64::min),
            speeds().fold(0.0, f64::max),
        ),
    }
}

fn medians(all: &[&Figures]) -> Figures {
    let of = |get: &dyn Fn(&Figures) -> f64| median(all.iter().map(|f| get(f)).collect());
    let sum = |get: &dyn Fn(&Figures) -> u64| all.iter().map(|f| get(f)).sum();
    let latencies: Vec<Quantiles> = all.iter().filter_map(|f| f.latency).collect();
    let at = |get: &dyn Fn(&Quantiles) -> f64| median(latencies.iter().map(get).collect());
    let costs: Vec<f64> = all.iter().filter_map(|f| f.cpu_s_per_million).collect();
    Figures {
        deliveries_per_s: of(&|f| f.deliveries_per_s),
        mb_per_s: of(&|f| f.mb_per_s),
        cores: of(&|f| f.cores),
        others: of(&|f| f.others),
        cpu_s_per_million: (!costs.is_empty()).then(|| median(costs)),
        peak_memory: of(&|f| f.peak_memory as f64) as u64,
        due: sum(&|f| f.due),
        lost: sum(&|f| f.lost),
        duplicates: sum(&|f| f.duplicates),
        disordered: sum(&|f| f.disordered),
        corrupt: sum(&|f| f.corrupt),
        unsent: sum(&|f| f.unsent),
        behind_ms: of(&|f| f.behind_ms),
        latency: (!latencies.is_empty()).then(|| Quantiles {
            count: latencies.iter().map(|q| q.count).sum(),
            p50: at(&|q| q.p50),
            p90: at(&|q| q.p90),
            p99: at(&|q| q.p99),
            p999: at(&|q| q.p999),
            max: at(&|q| q.max),
        }),
        ignored: all.iter().flat_map(|f| f.ignored.clone()).collect(),
    }
}

/// The value in the middle; the mean of the two in the middle of an even number; 0 of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        n if n % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A record with round numbers.
    pub(crate) fn record(label: &str, cell: Cell, round: u32, speed: f64, lost: u64) -> Record {
        let latency = matches!(cell.mode, Mode::Paced { .. }).then_some(Quantiles {
            count: 1000,
            p50: 110.0,
            p90: 220.5,
            p99: 990.0,
            p999: 12_345.0,
            max: 1_500_000.0,
        });
        let figures = Figures {
            deliveries_per_s: speed,
            mb_per_s: speed * f64::from(cell.size) / 1e6,
            cores: 1.9,
            cpu_s_per_million: Some(1.9e6 / speed),
            peak_memory: 50 << 20,
            due: 1_000_000,
            lost,
            latency,
            ..Figures::default()
        };
        Record {
            label: label.into(),
            adapter: label.split(' ').next().unwrap().into(),
            variant: "block".into(),
            delivery: if label.contains("skip") {
                Delivery::Drop
            } else {
                Delivery::Block
            },
            round,
            cell,
            figures: Some(figures),
            why: None,
        }
    }

    #[test]
    fn the_middle() {
        assert_eq!(median(vec![]), 0.0);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
    }

    #[test]
    fn rates_are_medians_and_losses_are_sums() {
        let cell = Cell {
            consumers: 8,
            size: 256,
            mode: Mode::Saturated,
        };
        let mut records = vec![
            record("a", cell, 0, 10.0, 1),
            record("b", cell, 0, 99.0, 0),
            record("a", cell, 1, 30.0, 2),
            record("a", cell, 2, 20.0, 4),
            record("a", cell, 3, 0.0, 0),
        ];
        records[4].figures = None;
        records[4].why = Some("it hung".into());
        assert_eq!(cells(&records), [cell]);
        let summaries = summaries(&records, cell);
        assert_eq!(summaries.len(), 2);
        let a = &summaries[0];
        assert_eq!((a.label.as_str(), a.rounds, a.failed), ("a", 4, 1));
        assert_eq!(a.why.as_deref(), Some("it hung"));
        assert_eq!(a.spread, (10.0, 30.0));
        let figures = a.figures.as_ref().unwrap();
        assert_eq!((figures.deliveries_per_s, figures.lost), (20.0, 7));
    }
}
