//! The result of a run of the demo.

use std::{collections::BTreeMap, fmt};

use color_eyre::eyre::Result;
use rivermesh_weather::Reading;
use serde::Serialize;

use super::{
    account::{self, Count},
    board::Board,
    forecast::{self, outlook::Outlook},
};
use crate::{
    latency::{Latency, Quantiles},
    text::{grouped, micros},
};

/// What `--json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Summary {
    /// Whether every reading is accounted for, once, in order and unchanged, and the second half is well.
    pub(super) ok: bool,
    /// Nodes, each a process.
    pub(super) nodes: usize,
    /// Readings of all stations.
    pub(super) produced: u64,
    /// Deliveries of all consumers, and what became of the other readings.
    #[serde(flatten)]
    pub(super) total: Count,
    /// Epochs that a consumer heard of and no station announced.
    pub(super) strays: u64,
    /// From when the last node was up until each knew each other, in milliseconds.
    pub(super) discovery_ms: Option<f64>,
    /// One-way latency from the producer's `send` to the consumer's hands, in microseconds.
    pub(super) latency_us: Option<Quantiles>,
    /// Deliveries per second, from the first item to the last.
    pub(super) rate_per_s: f64,
    /// The station that was killed.
    pub(super) kill: Option<KillSummary>,
    /// The second half; nothing when it did not begin.
    pub(super) forecast: Option<forecast::summary::Summary>,
    /// By station, over all consumers.
    pub(super) per_station: BTreeMap<String, StationSummary>,
    /// By consumer, over all stations.
    pub(super) per_consumer: BTreeMap<String, ConsumerSummary>,
}

/// The station that was killed.
#[derive(Debug, Serialize)]
pub(super) struct KillSummary {
    /// Which.
    pub(super) station: String,
    /// Items that its stream had taken when it was killed, as far as it could say.
    pub(super) accepted_before: u64,
    /// Row from which it went on: the first that some consumer did not have.
    pub(super) resumed_row: u64,
    /// From the kill until it was up again, in milliseconds.
    pub(super) down_ms: Option<f64>,
    /// From when it was up again until the last consumer received from it, in milliseconds.
    pub(super) recovered_ms: Option<f64>,
}

/// One station.
#[derive(Debug, Serialize)]
pub(super) struct StationSummary {
    /// Its readings.
    pub(super) produced: u64,
    /// Its lives: 1, or 2 when it was killed.
    pub(super) lives: usize,
    /// What became of its readings.
    #[serde(flatten)]
    pub(super) count: Count,
}

/// One consumer.
#[derive(Debug, Serialize)]
pub(super) struct ConsumerSummary {
    /// What it got.
    #[serde(flatten)]
    pub(super) count: Count,
    /// Its latencies in microseconds.
    pub(super) latency_us: Option<Quantiles>,
}

impl Summary {
    /// Audits the books that the consumers handed in.
    ///
    /// # Errors
    /// When the weather file cannot be read.
    pub(super) fn of(
        board: &Board,
        outlook: &Outlook,
        stations: &[(&str, Vec<Reading>)],
    ) -> Result<Self> {
        let forecast = outlook
            .has_begun()
            .then(|| forecast::summary::Summary::of(outlook, stations));
        let lives = board.lives();
        let (mut total, mut strays) = (Count::default(), 0);
        let mut latency = Latency::default();
        let mut per_station: BTreeMap<_, _> = stations
            .iter()
            .map(|(origin, rows)| {
                let lives = lives.iter().filter(|life| life.origin == *origin).count();
                let (produced, count) = (rows.len() as u64, Count::default());
                (
                    (*origin).to_owned(),
                    StationSummary {
                        produced,
                        lives,
                        count,
                    },
                )
            })
            .collect();
        let mut per_consumer = BTreeMap::new();
        for name in board.consumers() {
            let (books, counts) = board.books(name);
            let mut own = (Count::default(), Latency::default());
            own.1.merge(counts);
            latency.merge(counts);
            strays += account::strays(&lives, books);
            for (origin, rows) in stations {
                let count = account::audit(origin, rows, &lives, books);
                own.0.add(&count);
                if let Some(station) = per_station.get_mut(*origin) {
                    station.count.add(&count);
                }
            }
            total.add(&own.0);
            let (count, latency_us) = (own.0, own.1.quantiles());
            per_consumer.insert(name.to_owned(), ConsumerSummary { count, latency_us });
        }
        let seconds = board.streaming_us() as f64 / 1e6;
        Ok(Self {
            ok: total.is_clean() && strays == 0 && forecast.as_ref().is_some_and(|half| half.ok),
            nodes: board.nodes(),
            produced: stations.iter().map(|(_, rows)| rows.len() as u64).sum(),
            total,
            strays,
            discovery_ms: board.discovery_us().map(millis),
            latency_us: latency.quantiles(),
            rate_per_s: (total.delivered as f64 / seconds.max(0.001)).round(),
            kill: board.kill().map(|kill| {
                let up = kill.up_us;
                let all = kill.first_us.len() == per_consumer.len();
                let last = kill.first_us.values().max().filter(|_| all);
                KillSummary {
                    station: kill.station.clone(),
                    accepted_before: kill.accepted,
                    resumed_row: kill.resumed_row,
                    down_ms: up.map(|up| millis(up.saturating_sub(kill.killed_us))),
                    recovered_ms: last
                        .zip(up)
                        .map(|(last, up)| millis(last.saturating_sub(up))),
                }
            }),
            forecast,
            per_station,
            per_consumer,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.total;
        writeln!(
            f,
            "{} readings of {} stations to {} consumers: {} delivered, {} missed, {} unaccounted for",
            grouped(self.produced),
            self.per_station.len(),
            self.per_consumer.len(),
            grouped(total.delivered),
            grouped(total.missed),
            grouped(total.unaccounted),
        )?;
        for (what, count) in [
            ("received again after the restart", total.redelivered),
            ("duplicates", total.duplicates),
            ("out of order", total.out_of_order),
            ("with wrong content", total.corrupt),
            ("of unknown origin", self.strays),
        ] {
            if count > 0 {
                writeln!(f, "  {} {what}", grouped(count))?;
            }
        }
        if let Some(ms) = self.discovery_ms {
            writeln!(
                f,
                "discovery: {ms:.1} ms after the last of {} nodes was up",
                self.nodes
            )?;
        }
        if let Some(q) = &self.latency_us {
            writeln!(
                f,
                "latency, one way: p50 {}, p99 {}, max {}",
                micros(q.p50),
                micros(q.p99),
                micros(q.max)
            )?;
        }
        write!(f, "rate: {} deliveries/s", grouped(self.rate_per_s as u64))?;
        if let Some(kill) = &self.kill {
            write!(
                f,
                "\nkilled {} after {} readings; ",
                kill.station,
                grouped(kill.accepted_before)
            )?;
            match kill.recovered_ms {
                Some(ms) => write!(f, "consumed again {ms:.1} ms after it was back up")?,
                None => write!(f, "it was not consumed again")?,
            }
        }
        match &self.forecast {
            Some(half) => write!(f, "\n\n{half}"),
            None => write!(f, "\n\nthe second half did not begin"),
        }
    }
}

fn millis(micros: u64) -> f64 {
    micros as f64 / 1e3
}

#[cfg(test)]
mod tests {
    use rivermesh_weather::readings_of;

    use super::{
        super::{
            forecast::wire::{Alerts, Books, OfStation, Word},
            tally::Tally,
            wire::Report,
        },
        *,
    };

    fn finished(drop: Option<u64>) -> Summary {
        let mut rows = readings_of("EWR").unwrap();
        rows.truncate(10);
        let mut board = Board::new(&[("EWR", 10)], &["alpha", "beta"]);
        let (node, epoch) = ("n".to_owned(), "e".to_owned());
        board.handle("EWR", Report::Started { node, epoch });
        for consumer in ["alpha", "beta"] {
            let mut tally = Tally::default();
            let kept = (0..10).filter(|seq| consumer == "beta" || Some(*seq) != drop);
            for seq in kept {
                tally.item("n", "e", seq, rows[seq as usize].digest(seq));
            }
            let (sources, latency) = (tally.into_sources(), vec![(200, 10)]);
            board.handle(consumer, Report::Final { sources, latency });
        }
        assert!(board.has_books());
        Summary::of(&board, &second_half(&rows), &[("EWR", rows)]).unwrap()
    }

    /// A second half in which every hour of the one station is grouped and foretold.
    fn second_half(rows: &[Reading]) -> Outlook {
        let mut outlook = Outlook::new(&[("EWR", 10)]);
        outlook.begin(0);
        let (mut books, mut own) = (Books::default(), OfStation::default());
        for reading in rows {
            let hour = reading.at_secs / 3600;
            own.grouped.insert(hour, hour + 1);
            own.digest = own.digest.wrapping_add(reading.digest(hour));
            books.hours.insert(hour, hour + 1);
        }
        books.stations.insert("EWR".into(), own);
        let (count, behind, done) = (10, 0, true);
        outlook.handle(
            "EWR",
            Word::Sent {
                count,
                behind,
                done,
            },
        );
        outlook.handle("forecaster", Word::ForecastBooks(books));
        let filtered = 10;
        let alerts = Alerts {
            filtered,
            ..Alerts::default()
        };
        outlook.handle("alert", Word::AlertBooks(alerts));
        outlook
    }

    #[test]
    fn one_json_object_with_the_promised_fields() {
        let summary = finished(None);
        assert!(summary.ok);
        let json = serde_json::to_value(&summary).unwrap();
        for field in [
            "nodes",
            "produced",
            "delivered",
            "missed",
            "unaccounted",
            "duplicates",
            "discovery_ms",
            "latency_us",
            "rate_per_s",
            "kill",
            "per_station",
            "per_consumer",
            "forecast",
        ] {
            assert!(json.get(field).is_some(), "{field} is missing");
        }
        assert_eq!(json["nodes"], 3);
        assert_eq!(json["delivered"], 20);
        assert_eq!(json["latency_us"]["p50"], 200);
        assert_eq!(json["kill"], serde_json::Value::Null);
        assert_eq!(json["per_consumer"]["alpha"]["delivered"], 10);
        assert_eq!(json["per_station"]["EWR"]["lives"], 1);
        assert_eq!(json["forecast"]["grouped"], 10);
    }

    #[test]
    fn one_lost_item_at_one_consumer_fails_the_run() {
        let summary = finished(Some(4));
        assert!(!summary.ok);
        assert_eq!(summary.total.unaccounted, 1);
        assert!(summary.to_string().starts_with(
            "10 readings of 1 stations to 2 consumers: 19 delivered, 0 missed, 1 unaccounted for"
        ));
    }

    #[test]
    fn books_that_were_not_handed_in_are_unaccounted_for() {
        let mut rows = readings_of("EWR").unwrap();
        rows.truncate(10);
        let board = Board::new(&[("EWR", 10)], &["alpha"]);
        let half = second_half(&rows);
        let summary = Summary::of(&board, &half, &[("EWR", rows)]).unwrap();
        assert_eq!((summary.ok, summary.total.unaccounted), (false, 10));
    }

    #[test]
    fn without_its_second_half_a_run_is_not_well() {
        let board = Board::new(&[], &[]);
        let summary = Summary::of(&board, &Outlook::new(&[]), &[]).unwrap();
        assert!(!summary.ok && summary.forecast.is_none());
        assert!(
            summary
                .to_string()
                .ends_with("the second half did not begin")
        );
    }
}
