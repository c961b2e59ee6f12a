//! The audit of the second half, for programs and for people.

use std::{collections::BTreeMap, fmt};

use rivermesh_weather::{RAIN_ALERT, Reading};
use serde::Serialize;

use super::{
    audit::{Fate, Findings, audit},
    named,
    outlook::Outlook,
};
use crate::text::{grouped, micros, plural};

/// Of late readings and of missing hours, people see so many.
const SHOWN: usize = 5;

/// What `--json` prints of the second half.
#[derive(Debug, Serialize)]
pub(in crate::demo) struct Summary {
    /// Whether each reading is in its hour or told as late, each hour names what it lacks, and the alert
    /// node got what it asked for.
    pub(in crate::demo) ok: bool,
    /// Who did not report what it got; all of that counts as unaccounted for.
    pub(in crate::demo) unreported: Vec<&'static str>,
    /// Readings that the stations sent again.
    pub(in crate::demo) sent: u64,
    /// How many of them after a later one of their station.
    pub(in crate::demo) out_of_order: u64,
    /// Hours grouped; a prediction was made of each.
    pub(in crate::demo) hours: u64,
    /// Hours with a reading of every station.
    pub(in crate::demo) complete: u64,
    /// Hours that lack some stations.
    pub(in crate::demo) partial: u64,
    /// Hours that lack all.
    pub(in crate::demo) empty: u64,
    /// Hours that came again, before an earlier one, or not at all.
    pub(in crate::demo) disordered: u64,
    /// What became of the readings.
    #[serde(flatten)]
    pub(in crate::demo) total: Fate,
    /// What the alert node asked for.
    pub(in crate::demo) filter: &'static str,
    /// Predictions that it got.
    pub(in crate::demo) alerts: u64,
    /// Predictions that it did not ask for, and that did not travel.
    pub(in crate::demo) filtered: u64,
    /// Predictions that it got and should not have, or the other way round.
    pub(in crate::demo) misdelivered: u64,
    /// How long it took, in milliseconds.
    pub(in crate::demo) took_ms: Option<f64>,
    /// By station.
    pub(in crate::demo) per_station: BTreeMap<String, Fate>,
    /// The hours that lack a station, those in a row together.
    pub(in crate::demo) missing_hours: Vec<Missing>,
    /// The readings that were too late.
    pub(in crate::demo) late_readings: Vec<Late>,
}

/// Hours in a row that lack the same stations.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(in crate::demo) struct Missing {
    /// The first, in UTC.
    pub(in crate::demo) from: String,
    /// How many.
    pub(in crate::demo) hours: u64,
    /// Which stations.
    pub(in crate::demo) stations: Vec<String>,
}

/// A reading that was too late.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(in crate::demo) struct Late {
    /// Its hour, in UTC.
    pub(in crate::demo) hour: String,
    /// Its station.
    pub(in crate::demo) station: String,
}

impl Summary {
    /// Audits the books that the forecaster and the alert node handed in.
    pub(in crate::demo) fn of(outlook: &Outlook, truth: &[(&str, Vec<Reading>)]) -> Self {
        let findings = audit(truth, &outlook.books(), &outlook.alert_books());
        let (sent, out_of_order) = outlook.sent();
        let rows: u64 = truth.iter().map(|(_, rows)| rows.len() as u64).sum();
        let missing_hours = runs(&findings);
        let late = findings.late.iter().map(|(hour, station)| Late {
            hour: named(*hour),
            station: station.clone(),
        });
        Self {
            ok: outlook.is_complete() && findings.is_clean() && sent == rows,
            unreported: outlook.silent(),
            sent,
            out_of_order,
            hours: findings.hours,
            complete: findings.complete,
            partial: findings.partial,
            empty: findings.empty,
            disordered: findings.disordered,
            total: findings.total,
            filter: RAIN_ALERT,
            alerts: findings.alerts,
            filtered: findings.filtered,
            misdelivered: findings.misdelivered,
            took_ms: outlook.took_us().map(|took| took as f64 / 1e3),
            late_readings: late.collect(),
            per_station: findings.stations,
            missing_hours,
        }
    }
}

/// The hours that lack a station; those in a row that lack the same together.
fn runs(findings: &Findings) -> Vec<Missing> {
    let mut runs: Vec<(u64, Missing)> = Vec::new();
    for (hour, stations) in &findings.lacking {
        match runs.last_mut() {
            Some((next, run)) if *next == *hour && run.stations == *stations => {
                run.hours += 1;
                *next += 1;
            }
            _ => {
                let (from, stations) = (named(*hour), stations.clone());
                let hours = 1;
                let run = Missing {
                    from,
                    hours,
                    stations,
                };
                runs.push((hour + 1, run));
            }
        }
    }
    runs.into_iter().map(|(_, run)| run).collect()
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = &self.total;
        if !self.unreported.is_empty() {
            let who = self.unreported.join(", ");
            writeln!(f, "what it got was not reported by: {who}")?;
        }
        writeln!(
            f,
            "{} sent again, {} of them after a later one: {} in their hour, {} too late, {} unaccounted for",
            plural(self.sent, "reading"),
            grouped(self.out_of_order),
            grouped(total.grouped),
            grouped(total.late),
            grouped(total.unaccounted),
        )?;
        writeln!(
            f,
            "{} grouped{}: {} complete, {} lack a station, {} have no reading",
            plural(self.hours, "hour"),
            self.took_ms.map_or(String::new(), |took| format!(
                " in {}",
                micros((took * 1e3) as u64)
            )),
            grouped(self.complete),
            grouped(self.partial),
            grouped(self.empty),
        )?;
        for (what, count) in [
            ("hours out of order", self.disordered),
            ("readings more than once", total.repeated),
            ("readings that the file does not have", total.corrupt),
            ("hours that name a wrong station", total.misnamed),
            ("predictions misdelivered", self.misdelivered),
        ] {
            if count > 0 {
                writeln!(f, "{what}: {}", grouped(count))?;
            }
        }
        for (station, fate) in &self.per_station {
            writeln!(
                f,
                "  {station}  missing in {:>3} hours: {:>3} not in the file, {:>3} too late",
                grouped(fate.missing),
                grouped(fate.absent),
                grouped(fate.missing.saturating_sub(fate.absent)),
            )?;
        }
        let missing = self.missing_hours.iter().map(|run| {
            let more = if run.hours > 1 {
                format!(" ({} hours)", run.hours)
            } else {
                String::new()
            };
            format!("{} {}{more}", run.from, run.stations.join("+"))
        });
        list(f, "missing", missing.collect())?;
        let late = self.late_readings.iter();
        let late = late.map(|late| format!("{} {}", late.hour, late.station));
        list(f, "late", late.collect())?;
        write!(
            f,
            "{}: {} reached the alert node ({}), {} stayed where they were made",
            plural(self.hours, "prediction"),
            grouped(self.alerts),
            self.filter,
            grouped(self.filtered),
        )
    }
}

/// The first few of a list, and how many there are besides.
fn list(f: &mut fmt::Formatter<'_>, what: &str, mut of: Vec<String>) -> fmt::Result {
    if of.is_empty() {
        return Ok(());
    }
    let rest = of.len().saturating_sub(SHOWN);
    of.truncate(SHOWN);
    write!(f, "  {what}: {}", of.join(", "))?;
    if rest > 0 {
        write!(f, " and {rest} more")?;
    }
    writeln!(f)
}
