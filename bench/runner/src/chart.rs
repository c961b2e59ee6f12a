//! The saturated cells as a chart: one panel per cell, one bar per contestant.

use std::fmt::Write;

use kit::{number::grouped, svg::escape};

use crate::{
    record::{Cell, Mode, Record, Summary, cells, summaries},
    table::{LIMIT, title},
};

const PANEL: f64 = 430.0;
const LABEL: f64 = 130.0;
const BAR: f64 = 170.0;
const LINE: f64 = 18.0;
const HEAD: f64 = 30.0;
const GAP: f64 = 16.0;
/// Panels side by side.
const COLUMNS: usize = 4;
/// Above this share of loss a bar is drawn pale.
const PALE: f64 = 0.01;

/// The chart; nothing if no cell was saturated.
pub(crate) fn chart(records: &[Record]) -> Option<String> {
    let saturated = cells(records)
        .into_iter()
        .filter(|cell| cell.mode == Mode::Saturated);
    let panels: Vec<(Cell, Vec<Summary>)> = saturated
        .map(|cell| (cell, summaries(records, cell)))
        .collect();
    if panels.is_empty() {
        return None;
    }
    let columns = panels.len().min(COLUMNS);
    let most = panels.iter().map(|(_, rows)| rows.len()).max().unwrap_or(0);
    let height = HEAD + most as f64 * LINE + GAP;
    let lines = panels.len().div_ceil(columns);
    let (width, total) = (columns as f64 * PANEL, lines as f64 * height + GAP);
    let mut out = String::new();
    let _ = writeln!(
        out,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width:.0} {total:.0}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <title>Deliveries per second at full load</title>\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>"
    );
    for (number, (cell, rows)) in panels.iter().enumerate() {
        let x = (number % columns) as f64 * PANEL + GAP;
        let y = (number / columns) as f64 * height + GAP;
        panel(&mut out, *cell, rows, (x, y));
    }
    out.push_str("</svg>\n");
    Some(out)
}

fn panel(out: &mut String, cell: Cell, rows: &[Summary], (x, y): (f64, f64)) {
    let speeds = rows.iter().filter_map(|row| row.figures.as_ref());
    let most = speeds.fold(1.0, |most: f64, f| most.max(f.deliveries_per_s));
    let head = escape(&format!("{}: deliveries/s", title(cell)));
    let _ = writeln!(
        out,
        "<text x=\"{x:.0}\" y=\"{:.0}\" font-weight=\"bold\">{head}</text>",
        y + 12.0
    );
    for (number, row) in rows.iter().enumerate() {
        let top = y + HEAD + number as f64 * LINE - 8.0;
        let base = top + 11.0;
        let _ = writeln!(
            out,
            "<text x=\"{:.0}\" y=\"{base:.0}\" text-anchor=\"end\">{}</text>",
            x + LABEL,
            escape(&row.label)
        );
        let from = x + LABEL + 6.0;
        let Some(figures) = &row.figures else {
            let _ = writeln!(
                out,
                "<text x=\"{from:.0}\" y=\"{base:.0}\" fill=\"#a00\">did not finish</text>"
            );
            continue;
        };
        let share = figures.lost as f64 / figures.due.max(1) as f64;
        let opacity = if share > PALE { 0.35 } else { 1.0 };
        let width = (figures.deliveries_per_s / most * BAR).max(1.0);
        let mut text = grouped(figures.deliveries_per_s);
        if share > PALE {
            let _ = write!(text, ", {:.0} % lost", share * 100.0);
        } else if figures.lost > 0 {
            text.push_str(", some lost");
        }
        let _ = writeln!(
            out,
            "<rect x=\"{from:.0}\" y=\"{top:.0}\" width=\"{width:.1}\" height=\"14\" fill=\"{}\" \
             opacity=\"{opacity}\"/>\n\
             <text x=\"{:.1}\" y=\"{base:.0}\" font-size=\"11\">{text}</text>",
            colour(&row.adapter),
            from + width + 4.0
        );
    }
}

fn colour(adapter: &str) -> &'static str {
    match adapter {
        "rivermesh" => "#0b7285",
        LIMIT | "raw-quinn" => "#868e96",
        _ => "#e8a33d",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::tests::record;

    #[test]
    fn bars() {
        let cell = |consumers| Cell {
            consumers,
            size: 256,
            mode: Mode::Saturated,
        };
        let mut records = vec![
            record("raw-iroh", cell(1), 0, 2000.0, 0),
            record("rivermesh skip", cell(1), 0, 1000.0, 500_000),
            record("a < b & c", cell(1), 0, 500.0, 1),
            record("rivermesh", cell(8), 0, 1000.0, 0),
        ];
        records.push(record("hangs", cell(8), 0, 0.0, 0));
        records[4].figures = None;
        insta::assert_snapshot!(chart(&records).unwrap());
        assert_eq!(chart(&[]), None);
    }
}
