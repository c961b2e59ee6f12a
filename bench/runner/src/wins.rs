//! Where Rivermesh is not the first: told cell by cell, with what the peer does otherwise.

use std::fmt::Write;

use kit::number::grouped;

use crate::{
    machine::Header,
    record::{Figures, Record, Summary, cells, summaries},
    table::{LIMIT, micros, title},
};

/// The adapter that is compared with the others.
const OURS: &str = "rivermesh";
/// The bare transports: limits, not peers.
const BARE: [&str; 2] = [LIMIT, "raw-quinn"];

/// How one contestant is better in one cell.
#[derive(Clone, Debug, PartialEq)]
struct Win {
    adapter: String,
    text: String,
}

/// All cells where a peer wins, or that there is none.
pub(crate) fn wins(records: &[Record], header: &Header) -> String {
    let mut out = String::new();
    let mut compared = false;
    for cell in cells(records) {
        let rows = summaries(records, cell);
        let Some(ours) = ours(&rows) else { continue };
        compared |= rows.iter().any(is_peer);
        for win in rows
            .iter()
            .filter(|row| is_peer(row))
            .flat_map(|row| over(row, ours))
        {
            let why = header.peers.get(&win.adapter);
            let why = why.and_then(|peer| peer.info.edge.as_deref());
            let why = why.unwrap_or("nothing that is known here");
            let _ = writeln!(
                out,
                "- **{}**: {}. What it does otherwise: {why}.",
                title(cell),
                win.text
            );
        }
    }
    match (out.is_empty(), compared) {
        (true, true) => "In no cell a peer wins.\n".to_owned(),
        (true, false) => "Nothing was compared with a peer.\n".to_owned(),
        _ => out,
    }
}

fn is_peer(row: &Summary) -> bool {
    row.adapter != OURS && !BARE.contains(&row.adapter.as_str())
}

/// Rivermesh's row without loss, else the fastest.
fn ours(rows: &[Summary]) -> Option<&Figures> {
    let ours = || rows.iter().filter(|row| row.adapter == OURS);
    let figures = || ours().filter_map(|row| row.figures.as_ref());
    figures()
        .filter(|figures| figures.lost == 0)
        .max_by(|a, b| a.deliveries_per_s.total_cmp(&b.deliveries_per_s))
        .or_else(|| figures().next())
}

fn over(row: &Summary, ours: &Figures) -> Vec<Win> {
    let Some(theirs) = &row.figures else {
        return Vec::new();
    };
    let mut texts = Vec::new();
    let loss = if theirs.lost > 0 {
        let share = theirs.lost as f64 / theirs.due.max(1) as f64 * 100.0;
        format!(", but loses {share:.2} %")
    } else {
        String::new()
    };
    let label = &row.label;
    match (&theirs.latency, &ours.latency) {
        (Some(their), Some(our)) => {
            for (name, their, our) in [("p50", their.p50, our.p50), ("p99", their.p99, our.p99)] {
                if their < our {
                    let (their, our) = (micros(their), micros(our));
                    texts.push(format!(
                        "{label} has a {name} of {their} to our {our}{loss}"
                    ));
                }
            }
        }
        _ if theirs.deliveries_per_s > ours.deliveries_per_s => {
            let (their, our) = (theirs.deliveries_per_s, ours.deliveries_per_s);
            let (their, our) = (grouped(their), grouped(our));
            texts.push(format!("{label} delivers {their}/s to our {our}/s{loss}"));
        }
        _ => {}
    }
    let adapter = &row.adapter;
    let win = |text| Win {
        adapter: adapter.clone(),
        text,
    };
    texts.into_iter().map(win).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Cell, Mode, tests::record};

    #[test]
    fn a_win_is_told_with_its_loss() {
        let cell = Cell {
            consumers: 8,
            size: 256,
            mode: Mode::Saturated,
        };
        let header = Header::default();
        let mut records = vec![
            record("rivermesh block", cell, 0, 100.0, 0),
            record("rivermesh skip", cell, 0, 500.0, 10),
            record("raw-iroh", cell, 0, 900.0, 0),
        ];
        assert_eq!(
            wins(&records, &header),
            "Nothing was compared with a peer.\n"
        );
        records.push(record("nats", cell, 0, 99.0, 0));
        assert_eq!(wins(&records, &header), "In no cell a peer wins.\n");
        records.push(record("zenoh", cell, 0, 200.0, 500_000));
        assert_eq!(
            wins(&records, &header),
            "- **8 consumers × 256 B, saturated**: zenoh delivers 200/s to our 100/s, but loses \
             50.00 %. What it does otherwise: nothing that is known here.\n"
        );
    }
}
