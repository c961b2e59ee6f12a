//! The results as a part of a page of the book.

use std::{fmt::Write, path::Path};

use kit::page::{self, PageError};

use crate::{chart, machine::Header, record::Record, table, wins};

/// The part of the page, by its markers.
const PART: &str = "compare";
/// The chart, beside the page.
const IMAGE: &str = "images/compare.svg";

/// Writes the results between the markers of `page`, and the chart beside it.
pub(crate) fn publish(page: &Path, records: &[Record], header: &Header) -> Result<(), PageError> {
    let chart = chart::chart(records);
    let part = part(records, header, chart.is_some());
    let images: Vec<_> = chart.into_iter().map(|chart| (IMAGE, chart)).collect();
    page::publish(page, PART, &part, &images)
}

fn part(records: &[Record], header: &Header, chart: bool) -> String {
    let machine = &header.machine;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "Measured with `compare {}` at commit `{}`, on {machine}. \
         Both processes, and a server where there is one, share these cores.\n",
        header.command, machine.commit
    );
    if chart {
        let _ = writeln!(out, "![Deliveries per second at full load]({IMAGE})\n");
    }
    let _ = writeln!(out, "### Set-ups\n");
    for (name, peer) in &header.peers {
        let versions = peer.versions.join(", ");
        let _ = writeln!(out, "- **{name}** ({versions}): {}.", peer.info.about);
        for variant in &peer.info.variants {
            let _ = writeln!(out, "  - {}: {}.", variant.name, variant.about);
        }
    }
    let _ = writeln!(out, "\n### Where a peer wins\n");
    out.push_str(&wins::wins(records, header));
    let _ = writeln!(out, "\n### Tables\n");
    out.push_str(&table::tables(records));
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use kit::machine::Machine;

    use super::*;
    use crate::{
        machine::Peer,
        record::{Cell, Mode, tests::record},
    };

    #[test]
    fn a_page() {
        let cell = Cell {
            consumers: 1,
            size: 32,
            mode: Mode::Saturated,
        };
        let records = [
            record("rivermesh", cell, 0, 1000.0, 0),
            record("zenoh", cell, 0, 2000.0, 0),
        ];
        let info = harness::Info {
            about: "sessions".into(),
            edge: Some("it encrypts nothing".into()),
            variants: vec![harness::Variant::new(
                "tcp",
                harness::Delivery::Block,
                "TCP",
            )],
            crates: Vec::new(),
            server: None,
        };
        let peer = Peer {
            info,
            versions: vec!["zenoh 1.0.0".into()],
        };
        let header = Header {
            machine: Machine {
                cpu: "a processor".into(),
                cores: 2,
                memory_gib: 8,
                kernel: "6.0".into(),
                rustc: "rustc 1.95.0".into(),
                commit: "abc".into(),
            },
            command: "--full".into(),
            peers: [("zenoh".to_owned(), peer)].into(),
        };
        insta::assert_snapshot!(part(&records, &header, true));
    }
}
