//! Consumers with a name and how far behind they are, for `ls --lag`.

use color_eyre::eyre::Result;
use comfy_table::{Cell, ContentArrangement, Table, presets};
use futures::{StreamExt, stream};
use rivermesh::{Node, producer::Behind};
use serde::Serialize;

use crate::catalog;

/// Producers that are asked at the same time.
const AT_ONCE: usize = 16;

/// One name at one stream of one producer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// The producer's name, empty when it has none.
    producer: String,
    /// The producer's id in full.
    id: String,
    stream: String,
    name: String,
    /// `alone`, or how a group shares its items: `least` or `key`.
    share: String,
    /// Consumers that have the name now.
    holders: usize,
    /// Microseconds since the last of them has gone; none while there is one.
    away_us: Option<u64>,
    committed: u64,
    in_flight: u64,
    items: u64,
    bytes: u64,
    age_us: u64,
}

impl Row {
    fn new(node: &catalog::Row, stream: &str, behind: &Behind) -> Self {
        let micros =
            |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Self {
            producer: node.name.clone(),
            id: node.id.clone(),
            stream: stream.to_owned(),
            name: behind.name.to_string(),
            share: behind.share.to_string(),
            holders: behind.holders,
            away_us: behind.away_for.map(micros),
            committed: behind.committed,
            in_flight: behind.in_flight,
            items: behind.items,
            bytes: behind.bytes,
            age_us: micros(behind.age),
        }
    }
}

/// Asks all producers. Those that do not answer, or do not admit this node, are left out, and it is said
/// on stderr.
pub(crate) async fn ask(node: &Node, rows: &[catalog::Row]) -> Vec<Row> {
    let streams = rows
        .iter()
        .flat_map(|row| row.streams.iter().map(move |stream| (row, stream)));
    let asked = stream::iter(streams).map(async |(row, stream)| {
        let Ok(id) = row.id.parse() else {
            return Vec::new();
        };
        match node.lag(id, stream).await {
            Ok(names) => names
                .iter()
                .map(|name| Row::new(row, stream, name))
                .collect(),
            Err(error) => {
                eprintln!("{} of {}: {error}", stream, catalog::short(&row.id));
                Vec::new()
            }
        }
    });
    asked.buffered(AT_ONCE).concat().await
}

/// Prints the rows.
pub(crate) fn print(rows: &[Row], json: bool) -> Result<()> {
    if json {
        println!("{}", serde_json::to_string_pretty(rows)?);
    } else if rows.is_empty() {
        eprintln!("no producer knows a consumer with a name");
    } else {
        println!("{}", table(rows));
    }
    Ok(())
}

fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header([
        "STREAM",
        "NAME",
        "PRODUCER",
        "SHARE",
        "HOLDERS",
        "COMMITTED",
        "FLIGHT",
        "ITEMS",
        "BYTES",
        "AGE",
    ]);
    for row in rows {
        let producer = if row.producer.is_empty() {
            catalog::short(&row.id)
        } else {
            &row.producer
        };
        table.add_row([
            Cell::new(&row.stream),
            Cell::new(&row.name),
            Cell::new(producer),
            Cell::new(&row.share),
            Cell::new(row.holders),
            Cell::new(row.committed),
            Cell::new(row.in_flight),
            Cell::new(row.items),
            Cell::new(row.bytes),
            Cell::new(crate::text::micros(row.age_us)),
        ]);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(name: &str, holders: usize) -> Row {
        Row {
            producer: String::new(),
            id: "0123456789abcdef".into(),
            stream: "orders".into(),
            name: name.into(),
            share: "alone".into(),
            holders,
            away_us: (holders == 0).then_some(1_500_000),
            committed: 1200,
            in_flight: 3,
            items: 40,
            bytes: 5120,
            age_us: 2_300_000,
        }
    }

    #[test]
    fn as_a_table() {
        insta::assert_snapshot!(table(&[row("billing", 1), row("audit", 0)]));
    }

    #[test]
    fn as_json() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&[row("audit", 0)]).unwrap());
    }
}
