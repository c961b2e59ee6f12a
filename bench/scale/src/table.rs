//! Results as Markdown and as pictures.

use std::fmt::Write;

use kit::{
    number::grouped,
    svg::{Panel, curves},
};

use crate::{
    measure::{Figures, Record},
    protocol::{Kind, SHARED_NODES},
};

/// What grows with consumers, in the order of the tables.
pub(crate) const CONSUMERS: [Kind; 4] = [Kind::Raw, Kind::Own, Kind::Shared, Kind::Nodes];
const KIB: f64 = 1024.0;

/// The runs of a kind, by number.
fn of(records: &[Record], kind: Kind) -> Vec<Record> {
    let mut rows: Vec<Record> = records.iter().filter(|r| r.kind == kind).copied().collect();
    rows.sort_by_key(|record| record.count);
    rows
}

/// What a kind is called.
pub(crate) fn title(kind: Kind) -> String {
    match kind {
        Kind::Raw => "idle connections of iroh".into(),
        Kind::Own => "consumers, a connection each".into(),
        Kind::Shared => format!("consumers on {SHARED_NODES} nodes"),
        Kind::Nodes => "consumers, a full node each".into(),
        Kind::Streams => "streams, a consumer each".into(),
    }
}

impl Record {
    /// Bytes for each consumer or stream: idle, and the most while sending.
    fn each(&self) -> (f64, f64) {
        let (empty, idle, most) = self.figures.memory;
        let each = |bytes: u64| (bytes as f64 - empty as f64) / self.count.max(1) as f64;
        (each(idle), each(most))
    }

    /// Bytes for each one more than in a run with fewer.
    fn each_since(&self, fewer: &Self) -> f64 {
        let grown = |record: &Self| record.each().0 * record.count as f64;
        let more = self.count.saturating_sub(fewer.count).max(1);
        (grown(self) - grown(fewer)) / more as f64
    }

    fn cpu_ms_each(&self) -> f64 {
        self.figures.join_cpu_s.0 * 1e3 / self.count.max(1) as f64
    }

    fn each_second(&self) -> f64 {
        self.count as f64 / self.figures.joined_s.max(1e-9)
    }
}

/// One table per kind.
pub(crate) fn tables(records: &[Record]) -> String {
    let mut out = String::new();
    let raw = of(records, Kind::Raw);
    for kind in CONSUMERS.into_iter().chain([Kind::Streams]) {
        let rows = of(records, kind);
        if rows.is_empty() {
            continue;
        }
        let _ = writeln!(out, "**{}**\n", upper(&title(kind)));
        out.push_str(&table(kind, &rows, &raw));
        out.push('\n');
    }
    out
}

fn upper(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + chars.as_str()
}

fn table(kind: Kind, rows: &[Record], raw: &[Record]) -> String {
    let (what, beyond, sends) = match kind {
        Kind::Raw => ("connections", false, false),
        Kind::Streams => ("streams", false, true),
        Kind::Shared => ("consumers", false, true),
        Kind::Own | Kind::Nodes => ("consumers", true, true),
    };
    let mut head = vec![
        what,
        "all there after",
        "per second",
        "CPU each",
        "resident",
        "each",
        "each further",
    ];
    if beyond {
        head.push("beyond a connection");
    }
    head.push("idle, of a core");
    if sends {
        head.extend(["each, sending", "sending, of a core", "delivered", "lost"]);
    }
    let mut out = format!("| {} |\n|", head.join(" | "));
    out.push_str(&" ---: |".repeat(head.len()));
    out.push('\n');
    let mut before = None;
    for row in rows {
        let base = raw.iter().find(|raw| raw.count == row.count);
        let base = beyond.then(|| base.map(|base| base.each().0));
        let _ = writeln!(out, "| {} |", cells(row, before, base, sends).join(" | "));
        before = Some(row);
    }
    out
}

/// The cells of a row, after the row `before`. `base` is what a bare connection takes, if that is
/// to be told, and known.
fn cells(
    row: &Record,
    before: Option<&Record>,
    base: Option<Option<f64>>,
    sends: bool,
) -> Vec<String> {
    let Figures {
        joined_s,
        memory,
        cores,
        due,
        delivered,
        ..
    } = row.figures;
    let (idle, sending) = row.each();
    let mut cells = vec![
        grouped(row.count as f64),
        format!("{joined_s:.3} s"),
        grouped(row.each_second()),
        format!("{:.1} ms", row.cpu_ms_each()),
        format!("{:.1} MiB", memory.1 as f64 / KIB / KIB),
        kib(idle),
        before.map_or_else(unknown, |before| kib(row.each_since(before))),
    ];
    if let Some(base) = base {
        cells.push(base.map_or_else(unknown, |base| kib(idle - base)));
    }
    cells.push(format!("{:.1} %", cores.0 * 100.0));
    if sends {
        cells.push(kib(sending));
        cells.push(format!("{:.1} %", cores.1 * 100.0));
        cells.push(grouped(delivered as f64));
        cells.push(grouped(due as f64 - delivered as f64));
    }
    cells
}

fn unknown() -> String {
    "–".to_owned()
}

fn kib(bytes: f64) -> String {
    format!("{:.0} KiB", bytes / KIB)
}

/// How costs grow with consumers; nothing if there are no runs of them.
pub(crate) fn consumers(records: &[Record]) -> Option<String> {
    picture(
        records,
        &CONSUMERS,
        "consumers",
        "What consumers cost a producer",
    )
}

/// How costs grow with streams; nothing if there are no runs of them.
pub(crate) fn streams(records: &[Record]) -> Option<String> {
    picture(
        records,
        &[Kind::Streams],
        "streams",
        "What streams cost a producer",
    )
}

fn picture(records: &[Record], kinds: &[Kind], axis: &str, name: &str) -> Option<String> {
    let panel = |title: &str, value: fn(&Record) -> f64| Panel {
        title: title.to_owned(),
        axis: axis.to_owned(),
        lines: kinds
            .iter()
            .map(|kind| (crate::table::title(*kind), of(records, *kind)))
            .filter(|(_, rows)| !rows.is_empty())
            .map(|(title, rows)| {
                let points = rows.iter().map(|row| (row.count as f64, value(row)));
                (title, points.collect())
            })
            .collect(),
    };
    let panels = [
        panel("resident memory beyond the empty producer, KiB", |row| {
            row.each().0 * row.count as f64 / KIB
        }),
        panel("until all are there, ms", |row| row.figures.joined_s * 1e3),
        panel("CPU until then, producer, ms", |row| {
            row.figures.join_cpu_s.0 * 1e3
        }),
    ];
    let empty = panels[0].lines.is_empty();
    (!empty).then(|| curves(name, &panels))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(kind: Kind, count: usize, kib_each: u64) -> Record {
        let empty = 20 * 1024 * 1024;
        let idle = empty + count as u64 * kib_each * 1024;
        Record {
            kind,
            count,
            figures: Figures {
                joined_s: 0.5,
                join_cpu_s: (0.2, 0.3),
                memory: (empty, idle, idle + count as u64 * 2048),
                cores: (0.01, 0.25),
                due: count as u64 * 30,
                delivered: count as u64 * 30 - 1,
            },
        }
    }

    #[test]
    fn what_is_beyond_a_bare_connection_is_told() {
        let records = [
            record(Kind::Own, 100, 75),
            record(Kind::Own, 10, 80),
            record(Kind::Raw, 100, 50),
            record(Kind::Streams, 64, 10),
        ];
        insta::assert_snapshot!(tables(&records));
    }

    #[test]
    fn pictures_are_of_what_was_measured() {
        let records = [record(Kind::Own, 10, 80), record(Kind::Own, 100, 75)];
        let picture = consumers(&records).unwrap();
        assert!(picture.contains("a connection each") && !picture.contains("iroh"));
        assert_eq!(streams(&records), None);
    }
}
