//! The results as a part of a page of the book.

use std::{
    fmt::Write,
    fs, io,
    path::{Path, PathBuf},
};

use thiserror::Error;

use crate::{chart, machine::Header, record::Record, table, wins};

const BEGIN: &str = "<!-- compare: begin -->";
const END: &str = "<!-- compare: end -->";
/// The chart, beside the page.
const IMAGE: &str = "images/compare.svg";

/// Results could not be published. The page is as it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum PublishError {
    /// A file cannot be read or written.
    #[error("cannot read or write {0}")]
    File(PathBuf, #[source] io::Error),
    /// The page does not say where.
    #[error("{0} lacks the lines {BEGIN:?} and {END:?}")]
    Markers(PathBuf),
}

/// Writes the results between the markers of `page`, and the chart beside it.
pub(crate) fn publish(
    page: &Path,
    records: &[Record],
    header: &Header,
) -> Result<(), PublishError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error| PublishError::File(path, error)
    };
    let text = fs::read_to_string(page).map_err(failed(page))?;
    let image = page.parent().unwrap_or(Path::new(".")).join(IMAGE);
    let chart = chart::chart(records);
    let part = part(records, header, chart.is_some());
    let text = replaced(&text, &part).ok_or_else(|| PublishError::Markers(page.to_owned()))?;
    if let Some(chart) = chart {
        if let Some(folder) = image.parent() {
            fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        fs::write(&image, chart).map_err(failed(&image))?;
    }
    fs::write(page, text).map_err(failed(page))
}

fn replaced(page: &str, part: &str) -> Option<String> {
    let begin = page.find(BEGIN)? + BEGIN.len();
    let end = begin + page.get(begin..)?.find(END)?;
    Some(format!("{}\n\n{part}\n{}", &page[..begin], &page[end..]))
}

fn part(records: &[Record], header: &Header, chart: bool) -> String {
    let machine = &header.machine;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "Measured with `compare {}` at commit `{}`, on {} with {} cores and {} GiB, Linux {}, {}. \
         Both processes, and a server where there is one, share these cores.\n",
        header.command,
        machine.commit,
        machine.cpu,
        machine.cores,
        machine.memory_gib,
        machine.kernel,
        machine.rustc
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
    use super::*;
    use crate::{
        machine::{Machine, Peer},
        record::{Cell, Mode, tests::record},
    };

    #[test]
    fn only_what_stands_between_the_markers_is_replaced() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let wanted = format!("a\n{BEGIN}\n\nnew\n\n{END}\nb\n");
        assert_eq!(replaced(&page, "new\n").as_deref(), Some(wanted.as_str()));
        assert_eq!(replaced(&format!("{END} {BEGIN}"), "new"), None);
        assert_eq!(replaced("nothing", "new"), None);
    }

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
