//! The catalog as a table or JSON, for `ls`.

use comfy_table::{Cell, ContentArrangement, Table, presets};
use serde::Serialize;

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Row {
    /// Its name, empty when it has none.
    pub(crate) name: String,
    /// Its id in full.
    pub(crate) id: String,
    /// Smoothed round-trip time in microseconds; none before it was measured.
    pub(crate) rtt_us: Option<u64>,
    /// Its tags.
    pub(crate) tags: Vec<String>,
    /// Streams that it produces.
    pub(crate) streams: Vec<String>,
    /// Its addresses.
    pub(crate) addresses: Vec<String>,
    /// `live` or `unreachable`.
    pub(crate) status: &'static str,
}

/// The rows in the order of names, then ids.
pub(crate) fn sorted(mut rows: Vec<Row>) -> Vec<Row> {
    rows.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
    rows
}

/// The table that people see.
pub(crate) fn table(rows: &[Row]) -> String {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["NAME", "ID", "RTT", "STATUS", "TAGS", "STREAMS"]);
    for row in rows {
        let rtt = row.rtt_us.map_or("-".to_owned(), crate::text::micros);
        table.add_row([
            Cell::new(or_dash(&row.name)),
            Cell::new(short(&row.id)),
            Cell::new(rtt),
            Cell::new(row.status),
            Cell::new(or_dash(&row.tags.join(","))),
            Cell::new(or_dash(&row.streams.join(","))),
        ]);
    }
    let lines: Vec<_> = table.lines().map(|line| line.trim().to_owned()).collect();
    lines.join("\n")
}

/// The beginning of an id, enough to tell nodes apart.
pub(crate) fn short(id: &str) -> &str {
    id.get(..10).unwrap_or(id)
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "-" } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Row> {
        let row = |name: &str, id: &str, rtt_us| Row {
            name: name.into(),
            id: id.into(),
            rtt_us,
            tags: vec!["eu".into(), "fast".into()],
            streams: vec![],
            addresses: vec!["127.0.0.1:7400".into()],
            status: "live",
        };
        sorted(vec![
            row("hub", "0123456789abcdef", Some(320)),
            row("", "ff00", None),
        ])
    }

    #[test]
    fn as_a_table() {
        insta::assert_snapshot!(table(&rows()));
    }

    #[test]
    fn as_json() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&rows()).unwrap());
    }
}
