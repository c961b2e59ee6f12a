//! What the parent knows of the second half, put together from the reports. No I/O here.

use std::collections::BTreeMap;

use super::{
    named,
    wire::{Alerts, Books, Outlined, Progress, Word},
};
use crate::{demo::rate::Rate, text::grouped};

/// What stands in place of a prediction before there is one.
const WAITS: &str = "           waits for the first hours";

/// The state of the second half.
#[derive(Debug)]
pub(in crate::demo) struct Outlook {
    stations: BTreeMap<String, Sender>,
    forecast: Progress,
    rate: Rate,
    books: Option<Books>,
    alerts: Alerts,
    alert_books: Option<Alerts>,
    began_us: Option<u64>,
    ended_us: Option<u64>,
}

/// A station.
#[derive(Debug, Default)]
struct Sender {
    rows: u64,
    sent: u64,
    behind: u64,
    done: bool,
    rate: Rate,
}

impl Outlook {
    /// An outlook on stations with their numbers of rows.
    pub(in crate::demo) fn new(stations: &[(&str, u64)]) -> Self {
        let senders = stations.iter().map(|&(name, rows)| {
            let sender = Sender {
                rows,
                ..Sender::default()
            };
            (name.to_owned(), sender)
        });
        Self {
            stations: senders.collect(),
            forecast: Progress::default(),
            rate: Rate::default(),
            books: None,
            alerts: Alerts::default(),
            alert_books: None,
            began_us: None,
            ended_us: None,
        }
    }

    /// The second half begins.
    pub(in crate::demo) fn begin(&mut self, now_us: u64) {
        self.began_us = Some(now_us);
    }

    /// Whether the second half has begun.
    pub(in crate::demo) fn has_begun(&self) -> bool {
        self.began_us.is_some()
    }

    /// Takes a report; returns what is worth telling.
    pub(in crate::demo) fn handle(&mut self, who: &str, word: Word) -> Option<String> {
        match word {
            Word::Sent {
                count,
                behind,
                done,
            } => {
                let station = self.stations.get_mut(who)?;
                (station.sent, station.behind, station.done) = (count, behind, done);
                return None;
            }
            Word::Missing { from, to, stations } => return Some(missing(from, to, &stations)),
            Word::Late { station, hour } => {
                return Some(format!(
                    "late     {}  {station}: too late for its hour",
                    named(hour)
                ));
            }
            Word::Forecast(progress) => self.forecast = progress,
            Word::ForecastBooks(books) => self.books = Some(books),
            Word::Alerts(alerts) => self.alerts = alerts,
            Word::AlertBooks(alerts) => {
                self.alerts = alerts.clone();
                self.alert_books = Some(alerts);
            }
        }
        None
    }

    /// Brings the rates up to date, and notes when all was there.
    pub(in crate::demo) fn clock(&mut self, now_us: u64) {
        for station in self.stations.values_mut() {
            station.rate.update(station.sent, now_us);
        }
        self.rate.update(self.forecast.grouped, now_us);
        if self.ended_us.is_none() && self.is_complete() {
            self.ended_us = Some(now_us);
        }
    }

    /// Whether everything was sent and both processes have handed in their books.
    pub(in crate::demo) fn is_complete(&self) -> bool {
        self.stations.values().all(|station| station.done)
            && self.books.is_some()
            && self.alert_books.is_some()
    }

    /// A number that grows with everything that is sent, grouped or received.
    pub(in crate::demo) fn progress(&self) -> u64 {
        let sent: u64 = self.stations.values().map(|station| station.sent).sum();
        let books = u64::from(self.books.is_some()) + u64::from(self.alert_books.is_some());
        sent + self.forecast.hours
            + self.forecast.late
            + self.alerts.hours.len()
            + self.alerts.filtered
            + books
    }

    /// What is still to come, for people.
    pub(in crate::demo) fn lacking(&self) -> String {
        let sending = self.stations.iter().filter(|(_, station)| !station.done);
        let mut lacking: Vec<String> = sending
            .map(|(name, station)| {
                let (sent, rows) = (grouped(station.sent), grouped(station.rows));
                format!("{name} has sent {sent} of {rows} again")
            })
            .collect();
        if self.books.is_none() {
            let (hours, late) = (grouped(self.forecast.hours), grouped(self.forecast.late));
            lacking.push(format!(
                "the forecaster has grouped {hours} hours ({late} late) and is not through"
            ));
        }
        if self.alert_books.is_none() {
            let (got, left) = (self.alerts.hours.len(), self.alerts.filtered);
            lacking.push(format!(
                "the alert node has heard of {} predictions and is not through",
                grouped(got + left)
            ));
        }
        lacking.join("; ")
    }

    /// Readings that the stations have sent, and how many of them after a later one.
    pub(super) fn sent(&self) -> (u64, u64) {
        let stations = self.stations.values();
        stations.fold((0, 0), |(sent, behind), station| {
            (sent + station.sent, behind + station.behind)
        })
    }

    /// The forecaster's books, empty ones when it did not hand them in.
    pub(super) fn books(&self) -> Books {
        self.books.clone().unwrap_or_default()
    }

    /// The alert node's books, empty ones when it did not hand them in.
    pub(super) fn alert_books(&self) -> Alerts {
        self.alert_books.clone().unwrap_or_default()
    }

    /// Who did not hand in books.
    pub(super) fn silent(&self) -> Vec<&'static str> {
        let books = [
            ("forecaster", self.books.is_some()),
            ("alert", self.alert_books.is_some()),
        ];
        let silent = books.into_iter().filter(|(_, is_in)| !is_in);
        silent.map(|(name, _)| name).collect()
    }

    /// From the beginning of the second half until all was there, in microseconds.
    pub(super) fn took_us(&self) -> Option<u64> {
        Some(self.ended_us?.saturating_sub(self.began_us?))
    }

    /// A line for each member and for the newest prediction, for people to watch.
    pub(in crate::demo) fn lines(&self) -> Vec<String> {
        let stations = self.stations.iter().map(|(name, station)| {
            format!(
                "{name:<11}sent    {:>7} of {:>6}  {:>7}/s   {:>6} out of order{}",
                grouped(station.sent),
                grouped(station.rows),
                grouped(station.rate.per_second()),
                grouped(station.behind),
                if station.done { "   done" } else { "" },
            )
        });
        let forecast = &self.forecast;
        let forecaster = format!(
            "forecaster grouped {:>7} hours   {:>7}/s   {:>6} missing   {} late",
            grouped(forecast.hours),
            grouped(self.rate.per_second()),
            grouped(forecast.missing),
            grouped(forecast.late),
        );
        let newest = forecast.newest.as_ref().map_or(WAITS.to_owned(), |newest| {
            format!("           {}", outlines(newest))
        });
        let latest = self.alerts.newest.as_ref().map_or(String::new(), |newest| {
            format!("newest {}", outlines_of_rain(newest))
        });
        let alert = format!(
            "alert      got     {:>7} alerts  {:>7} filtered out   {latest}",
            grouped(self.alerts.hours.len()),
            grouped(self.alerts.filtered),
        );
        let lines = stations.chain([forecaster, newest, alert]);
        lines.map(|line| line.trim_end().to_owned()).collect()
    }
}

fn missing(from: u64, to: u64, stations: &[String]) -> String {
    let until = match to - from {
        1 => String::new(),
        2 => " and 1 more hour".to_owned(),
        hours => format!(" and {} more hours", hours - 1),
    };
    format!("missing  {}  {}{until}", named(from), stations.join(", "))
}

/// `2013-01-01 06:00 UTC: 38.9 °F, +0.2 °F/h, rain 12 %`.
fn outlines(of: &Outlined) -> String {
    let temp = of.temp.map_or("? °F".to_owned(), |t| format!("{t:.1} °F"));
    let trend = of
        .trend
        .map_or("? °F/h".to_owned(), |t| format!("{t:+.1} °F/h"));
    format!("{}, {temp}, {trend}", outlines_of_rain(of))
}

fn outlines_of_rain(of: &Outlined) -> String {
    let rain = of
        .rain
        .map_or("?".to_owned(), |rain| format!("{:.0} %", rain * 100.0));
    format!("{}: rain {rain}", named(of.hour))
}

#[cfg(test)]
mod tests;
