//! The results as Markdown.

use std::fmt::Write;

use harness::Delivery;
use kit::number::grouped;

use crate::record::{Cell, Figures, Mode, Record, Summary, cells, summaries};

/// The adapter that is the limit of the transport.
pub(crate) const LIMIT: &str = "raw-iroh";

/// Cores that other programs may use without a remark.
const BUSY: f64 = 0.1;

/// One table per cell.
pub(crate) fn tables(records: &[Record]) -> String {
    let mut out = String::new();
    for cell in cells(records) {
        let rows = summaries(records, cell);
        let _ = writeln!(out, "**{}**\n", title(cell));
        out.push_str(&table(&rows));
        out.push('\n');
    }
    out
}

/// What a cell is, in words.
pub(crate) fn title(cell: Cell) -> String {
    let mode = match cell.mode {
        Mode::Saturated => "saturated".to_owned(),
        Mode::Paced { rate } => format!("at {} items/s", grouped(rate)),
    };
    let consumers = match cell.consumers {
        1 => "1 consumer".to_owned(),
        n => format!("{n} consumers"),
    };
    format!("{consumers} × {}, {mode}", size(cell.size))
}

/// A size in B, KiB or MiB.
pub(crate) fn size(bytes: u32) -> String {
    match bytes {
        n if n >= 1 << 20 && n % (1 << 20) == 0 => format!("{} MiB", n >> 20),
        n if n >= 1 << 10 && n % (1 << 10) == 0 => format!("{} KiB", n >> 10),
        n => format!("{n} B"),
    }
}

fn table(rows: &[Summary]) -> String {
    let paced = rows
        .iter()
        .any(|row| matches!(row.cell.mode, Mode::Paced { .. }));
    let limit = rows
        .iter()
        .find(|row| row.adapter == LIMIT)
        .and_then(|row| row.figures.as_ref())
        .map(|figures| figures.deliveries_per_s)
        .filter(|speed| *speed > 0.0);
    let mut out = String::from("| | overload | deliveries/s | lost |");
    let mut line = String::from("| --- | --- | ---: | ---: |");
    if paced {
        out.push_str(" p50 | p90 | p99 | p99.9 | max |");
        line.push_str(" ---: | ---: | ---: | ---: | ---: |");
    } else {
        out.push_str(" lowest to highest | × raw-iroh | MB/s |");
        line.push_str(" ---: | ---: | ---: |");
    }
    out.push_str(" CPU s per million | cores busy | peak memory |\n");
    line.push_str(" ---: | ---: | ---: |\n");
    out.push_str(&line);
    let mut notes = String::new();
    for row in rows {
        let overload = match row.delivery {
            Delivery::Block => "blocks",
            Delivery::Drop => "drops",
        };
        let _ = write!(out, "| {} | {overload} |", row.label);
        match &row.figures {
            Some(figures) if paced => out.push_str(&paced_cells(row, figures)),
            Some(figures) => out.push_str(&saturated_cells(row, figures, limit)),
            None => {
                let empty = if paced { 9 } else { 7 };
                out.push_str(" did not finish |");
                out.push_str(&" |".repeat(empty));
            }
        }
        out.push('\n');
        notes.push_str(&remarks(row));
    }
    if !notes.is_empty() {
        out.push('\n');
        out.push_str(&notes);
    }
    out
}

fn saturated_cells(row: &Summary, figures: &Figures, limit: Option<f64>) -> String {
    let ratio = limit.map_or("-".to_owned(), |limit| {
        format!("{:.2}", figures.deliveries_per_s / limit)
    });
    format!(
        " {} | {} | {} to {} | {ratio} | {:.1} |{}",
        grouped(figures.deliveries_per_s),
        loss(figures),
        grouped(row.spread.0),
        grouped(row.spread.1),
        figures.mb_per_s,
        costs(figures),
    )
}

fn paced_cells(_row: &Summary, figures: &Figures) -> String {
    let (deliveries, lost) = (grouped(figures.deliveries_per_s), loss(figures));
    let mut out = format!(" {deliveries} | {lost} |");
    match &figures.latency {
        Some(q) => {
            // Items that were never sent would have waited longer than any that was.
            let more = if figures.unsent > 0 { "> " } else { "" };
            for at in [q.p50, q.p90, q.p99, q.p999, q.max] {
                let _ = write!(out, " {more}{} |", micros(at));
            }
        }
        None => out.push_str(&" - |".repeat(5)),
    }
    out.push_str(&costs(figures));
    out
}

fn costs(figures: &Figures) -> String {
    let cpu = figures
        .cpu_s_per_million
        .map_or("-".to_owned(), |cpu| format!("{cpu:.2}"));
    let memory = figures.peak_memory as f64 / f64::from(1 << 20);
    format!(" {cpu} | {:.2} | {memory:.0} MiB |", figures.cores)
}

/// What was lost, and of how much.
fn loss(figures: &Figures) -> String {
    if figures.lost == 0 {
        return "0".to_owned();
    }
    let share = figures.lost as f64 / figures.due.max(1) as f64 * 100.0;
    if share < 0.01 {
        return format!("{} (< 0.01 %)", grouped(figures.lost as f64));
    }
    format!("{} ({share:.2} %)", grouped(figures.lost as f64))
}

/// What a reader must know beside the numbers.
fn remarks(row: &Summary) -> String {
    let mut out = String::new();
    let mut note = |text: String| {
        let _ = writeln!(out, "- {}: {text}", row.label);
    };
    if row.failed > 0 {
        let why = row.why.as_deref().unwrap_or("no reason is known");
        note(format!(
            "{} of {} rounds did not finish ({why})",
            row.failed, row.rounds
        ));
    }
    let Some(figures) = &row.figures else {
        return out;
    };
    if figures.others > BUSY {
        note(format!(
            "other programs used {:.2} cores meanwhile, which makes the figures too low",
            figures.others
        ));
    }
    if figures.unsent > 0 {
        note(format!(
            "could not keep the schedule: {} items were never sent, the worst was {:.0} ms behind",
            grouped(figures.unsent as f64),
            figures.behind_ms
        ));
    }
    for (count, what) in [
        (figures.duplicates, "came twice"),
        (figures.disordered, "came out of order"),
        (figures.corrupt, "were damaged"),
    ] {
        if count > 0 {
            note(format!("{} items {what}", grouped(count as f64)));
        }
    }
    let mut ignored = figures.ignored.clone();
    ignored.sort();
    ignored.dedup();
    if !ignored.is_empty() {
        note(format!("has no setting for {}", ignored.join(", ")));
    }
    out
}

/// Microseconds in a unit that suits.
pub(crate) fn micros(us: f64) -> String {
    if us < 1000.0 {
        format!("{us:.0} µs")
    } else if us < 1e6 {
        format!("{:.2} ms", us / 1e3)
    } else {
        format!("{:.2} s", us / 1e6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    pub(crate) fn cell(mode: Mode) -> Cell {
        Cell {
            consumers: 8,
            size: 4096,
            mode,
        }
    }

    #[test]
    fn numbers_for_people() {
        assert_eq!(micros(999.4), "999 µs");
        assert_eq!(micros(1500.0), "1.50 ms");
        assert_eq!(size(65_536), "64 KiB");
        assert_eq!(size(100), "100 B");
    }

    #[test]
    fn saturated() {
        let cell = cell(Mode::Saturated);
        let mut records = vec![
            record("raw-iroh", cell, 0, 1_000_000.0, 0),
            record("rivermesh block", cell, 0, 900_000.0, 0),
            record("rivermesh skip", cell, 0, 950_000.0, 20_000),
            record("other", cell, 0, 1.0, 0),
            record("raw-iroh", cell, 1, 1_100_000.0, 0),
            record("rivermesh block", cell, 1, 920_000.0, 3),
            record("rivermesh skip", cell, 1, 950_000.0, 30_000),
            record("other", cell, 1, 1.0, 0),
        ];
        for at in [3, 7] {
            records[at].figures = None;
            records[at].why = Some("did not finish: no answer of the producer".into());
        }
        if let Some(figures) = &mut records[1].figures {
            figures.duplicates = 5;
            figures.others = 0.6;
            figures.ignored = vec!["gso".into()];
        }
        insta::assert_snapshot!(tables(&records));
    }

    #[test]
    fn paced() {
        let cell = cell(Mode::Paced { rate: 5000.0 });
        let mut records = vec![
            record("raw-iroh", cell, 0, 40_000.0, 0),
            record("other", cell, 0, 20_000.0, 1),
        ];
        if let Some(figures) = &mut records[1].figures {
            figures.unsent = 3000;
            figures.behind_ms = 250.0;
        }
        insta::assert_snapshot!(tables(&records));
    }
}
