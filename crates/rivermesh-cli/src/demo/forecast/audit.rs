//! The audit of the second half: what became of every reading and of every prediction.
//!
//! The rows of the weather file are the truth. Each reading is in the hour that it belongs to, or was too
//! late; each hour names exactly the stations of which it has none; the alert node got exactly the
//! predictions that its filter asks for.

use std::collections::{BTreeMap, BTreeSet};

use rivermesh_weather::Reading;
use serde::Serialize;

use super::{
    number,
    wire::{Alerts, Books, OfStation},
};

/// What became of the readings of a station, or of all.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(in crate::demo) struct Fate {
    /// In the hour that they belong to.
    pub(in crate::demo) grouped: u64,
    /// Too late for their hour.
    pub(in crate::demo) late: u64,
    /// Neither: lost.
    pub(in crate::demo) unaccounted: u64,
    /// More than once.
    pub(in crate::demo) repeated: u64,
    /// Readings that the file does not have, and stations whose readings are not those of the file.
    pub(in crate::demo) corrupt: u64,
    /// Hours that name the station as missing.
    pub(in crate::demo) missing: u64,
    /// Those of them for which the file has no reading; for the others it came too late.
    pub(in crate::demo) absent: u64,
    /// Hours that name it wrongly, or do not name it and should.
    pub(in crate::demo) misnamed: u64,
}

impl Fate {
    fn add(&mut self, other: &Self) {
        self.grouped += other.grouped;
        self.late += other.late;
        self.unaccounted += other.unaccounted;
        self.repeated += other.repeated;
        self.corrupt += other.corrupt;
        self.missing += other.missing;
        self.absent += other.absent;
        self.misnamed += other.misnamed;
    }

    fn is_clean(&self) -> bool {
        self.unaccounted + self.repeated + self.corrupt + self.misnamed == 0
    }
}

/// The findings.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) total: Fate,
    pub(super) stations: BTreeMap<String, Fate>,
    /// Hours in all, those of all stations, of some, of none.
    pub(super) hours: u64,
    pub(super) complete: u64,
    pub(super) partial: u64,
    pub(super) empty: u64,
    /// Hours that came again, before an earlier one, or not at all.
    pub(super) disordered: u64,
    /// Alerts that arrived.
    pub(super) alerts: u64,
    /// Other predictions, which did not travel.
    pub(super) filtered: u64,
    /// Predictions that should have arrived and did not, or the other way round, or changed.
    pub(super) misdelivered: u64,
    /// Which stations each hour lacks.
    pub(super) lacking: BTreeMap<u64, Vec<String>>,
    /// Readings that were too late: hour, station.
    pub(super) late: Vec<(u64, String)>,
}

impl Findings {
    /// Whether all is as it should be.
    pub(super) fn is_clean(&self) -> bool {
        self.total.is_clean() && self.disordered + self.misdelivered == 0
    }
}

/// Judges the books by the truth.
pub(super) fn audit(truth: &[(&str, Vec<Reading>)], books: &Books, alerts: &Alerts) -> Findings {
    let mut findings = Findings {
        hours: books.hours.len(),
        disordered: books.disordered,
        alerts: alerts.hours.len(),
        filtered: alerts.filtered,
        misdelivered: misdelivered(books, alerts),
        ..Findings::default()
    };
    for (station, rows) in truth {
        let nothing = OfStation::default();
        let own = books.stations.get(*station).unwrap_or(&nothing);
        let fate = fate(rows, own, books);
        findings.total.add(&fate);
        findings.stations.insert((*station).to_owned(), fate);
        for hour in own.missing.numbers() {
            let lacking = findings.lacking.entry(hour).or_default();
            lacking.push((*station).to_owned());
        }
        let late = own.late.numbers();
        findings
            .late
            .extend(late.map(|hour| (hour, (*station).to_owned())));
    }
    findings.late.sort();
    for hour in books.hours.numbers() {
        match findings.lacking.get(&hour).map_or(0, Vec::len) {
            0 => findings.complete += 1,
            lacking if lacking == truth.len() => findings.empty += 1,
            _ => findings.partial += 1,
        }
    }
    // Books of a station that there is not.
    let strangers = books
        .stations
        .keys()
        .filter(|name| !truth.iter().any(|(station, _)| station == *name));
    findings.total.corrupt += strangers.count() as u64;
    findings
}

fn fate(rows: &[Reading], own: &OfStation, books: &Books) -> Fate {
    let truth: BTreeMap<u64, &Reading> = rows
        .iter()
        .map(|reading| (number(reading.at_secs), reading))
        .collect();
    let mut fate = Fate {
        grouped: own.grouped.len(),
        late: own.late.len(),
        repeated: own.repeated,
        missing: own.missing.len(),
        ..Fate::default()
    };
    let (mut seen, mut digest) = (BTreeSet::new(), 0_u64);
    for hour in own.grouped.numbers().chain(own.late.numbers()) {
        match truth.get(&hour) {
            Some(reading) => digest = digest.wrapping_add(reading.digest(hour)),
            None => fate.corrupt += 1,
        }
        fate.repeated += u64::from(!seen.insert(hour));
    }
    fate.corrupt += u64::from(digest != own.digest);
    fate.unaccounted = truth.keys().filter(|hour| !seen.contains(hour)).count() as u64;
    let grouped: BTreeSet<u64> = own.grouped.numbers().collect();
    let named: BTreeSet<u64> = own.missing.numbers().collect();
    let lacking = books.hours.numbers().filter(|hour| !grouped.contains(hour));
    let lacking: BTreeSet<u64> = lacking.collect();
    fate.misnamed = named.symmetric_difference(&lacking).count() as u64;
    fate.absent = named
        .iter()
        .filter(|hour| !truth.contains_key(hour))
        .count() as u64;
    fate
}

fn misdelivered(books: &Books, alerts: &Alerts) -> u64 {
    let wanted: BTreeSet<u64> = books.alerts.numbers().collect();
    let got: BTreeSet<u64> = alerts.hours.numbers().collect();
    let predictions = books.hours.len();
    wanted.symmetric_difference(&got).count() as u64
        + alerts.repeated
        + alerts.unasked
        + alerts.missed
        + u64::from(alerts.digest != books.alert_digest)
        + (alerts.hours.len() + alerts.filtered).abs_diff(predictions)
}

#[cfg(test)]
mod tests;
