//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{Parser, ValueEnum};
use harness::{
    Transport,
    spec::{MAX_CONSUMERS, MAX_SIZE, MIN_SIZE},
};

use crate::{plan, record::Mode};

/// Compares Rivermesh with the limit of its transport and with its peers: one producing and one
/// consuming process on loopback, deliveries counted at the consumers.
///
/// Builds what it needs (`adapter-NAME`), runs the rounds of all contestants in turn, prints
/// tables, and writes one JSON line per run to `target/compare/`.
#[derive(Clone, Debug, Parser)]
#[command(name = "compare")]
pub(crate) struct Args {
    /// Who: adapters, or `adapter:variant`. Default: all that there are.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub(crate) only: Vec<String>,

    /// Numbers of consumers.
    #[arg(long, value_delimiter = ',', default_value = "8", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CONSUMERS)))]
    pub(crate) consumers: Vec<u32>,

    /// Sizes of an item in bytes.
    #[arg(long, value_delimiter = ',', default_value = "256", value_parser = clap::value_parser!(u32).range(i64::from(MIN_SIZE)..=i64::from(MAX_SIZE)))]
    pub(crate) size: Vec<u32>,

    /// The whole matrix: 1, 8, 32 and 64 consumers; 32 B, 256 B, 4 KiB and 64 KiB.
    #[arg(long, conflicts_with_all = ["consumers", "size"])]
    pub(crate) full: bool,

    /// How items are sent.
    #[arg(long, value_delimiter = ',', value_enum, default_values = ["saturated", "paced"])]
    pub(crate) mode: Vec<ModeName>,

    /// Items per second where they are paced.
    #[arg(long, default_value = "5000", value_parser = positive)]
    pub(crate) rate: f64,

    /// Seconds that are measured.
    #[arg(long, default_value = "3", value_parser = positive)]
    pub(crate) seconds: f64,

    /// Seconds of load before that.
    #[arg(long, default_value = "1", value_parser = positive)]
    pub(crate) warm_up: f64,

    /// Rounds; the tables have their medians.
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) rounds: u32,

    /// Worker threads of each process. Default: one per core.
    #[arg(long)]
    pub(crate) workers: Option<usize>,

    /// Bytes of a batch, where an adapter has such a setting.
    #[arg(long)]
    pub(crate) batch: Option<usize>,

    /// Batches that may wait for one consumer (raw-iroh and raw-quinn).
    #[arg(long)]
    pub(crate) depth: Option<usize>,

    /// Settings of the QUIC transport, as JSON or `NAME=JSON`; repeat it to compare several.
    /// `{}` is as Rivermesh has it. See `Transport` in `harness/src/spec.rs`.
    #[arg(long, value_name = "[NAME=]JSON", value_parser = transport)]
    pub(crate) transport: Vec<(String, Transport)>,

    /// Another build of an adapter to compare with, as `LABEL=PROGRAM[:VARIANT]`. Repeatable.
    #[arg(long, value_name = "LABEL=PROGRAM", value_parser = with)]
    pub(crate) with: Vec<With>,

    /// Cargo features for the adapters that are built, such as `aws-lc` for raw-iroh.
    #[arg(long, value_delimiter = ',')]
    pub(crate) features: Vec<String>,

    /// Take the programs as they are.
    #[arg(long)]
    pub(crate) no_build: bool,

    /// Write tables and chart into this page, between its markers; alone: into the book's page.
    #[arg(long, value_name = "PAGE", num_args = 0..=1, default_missing_value = "")]
    pub(crate) publish: Option<PathBuf>,

    /// Measure nothing; take the results of earlier runs (files in `target/compare/`). Repeatable.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["no_build", "only_build"])]
    pub(crate) from: Vec<PathBuf>,

    /// Build only.
    #[arg(long, conflicts_with = "no_build")]
    pub(crate) only_build: bool,
}

/// How items are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ModeName {
    /// As fast as the peer takes them.
    Saturated,
    /// By a schedule.
    Paced,
}

/// A program that is compared beside those that are built here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct With {
    pub(crate) label: String,
    pub(crate) program: PathBuf,
    pub(crate) variant: Option<String>,
}

impl Args {
    /// The modes that are asked for.
    pub(crate) fn modes(&self) -> Vec<Mode> {
        let modes = self.mode.iter().map(|mode| match mode {
            ModeName::Saturated => Mode::Saturated,
            ModeName::Paced => Mode::Paced { rate: self.rate },
        });
        modes.collect()
    }

    /// Numbers of consumers and sizes.
    pub(crate) fn matrix(&self) -> (Vec<u32>, Vec<u32>) {
        if self.full {
            (vec![1, 8, 32, 64], vec![32, 256, 4096, 65_536])
        } else {
            (self.consumers.clone(), self.size.clone())
        }
    }

    /// The adapters that are asked for.
    pub(crate) fn chosen(&self) -> Result<Vec<plan::Chosen>, plan::SelectError> {
        if self.only.is_empty() && self.with.is_empty() {
            let all = plan::ADAPTERS.iter();
            return all.map(|adapter| plan::choose(adapter.name)).collect();
        }
        self.only.iter().map(|text| plan::choose(text)).collect()
    }

    pub(crate) fn window(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }

    pub(crate) fn warm_up(&self) -> Duration {
        Duration::from_secs_f64(self.warm_up)
    }
}

fn positive(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|_| "not a number".to_owned())?;
    if number > 0.0 && number <= 1e9 {
        Ok(number)
    } else {
        Err("must be more than 0 and at most 10⁹".to_owned())
    }
}

fn transport(text: &str) -> Result<(String, Transport), String> {
    let (name, json) = match text.split_once('=') {
        Some((name, json)) if !name.contains('{') => (name.to_owned(), json),
        _ => (String::new(), text),
    };
    let transport: Transport = serde_json::from_str(json).map_err(|error| error.to_string())?;
    let name = match (name.as_str(), transport.set().is_empty()) {
        ("", false) => json.trim().trim_matches(['{', '}']).replace(['"', '|'], ""),
        _ => name,
    };
    Ok((name, transport))
}

fn with(text: &str) -> Result<With, String> {
    let (label, rest) = text.split_once('=').ok_or("LABEL=PROGRAM is wanted")?;
    let (program, variant) = match rest.rsplit_once(':') {
        Some((program, variant)) => (program, Some(variant.to_owned())),
        None => (rest, None),
    };
    Ok(With {
        label: label.to_owned(),
        program: program.into(),
        variant,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn a_transport_has_a_name() {
        let (name, settings) = transport(r#"big={"initial_mtu": 9000}"#).unwrap();
        assert_eq!((name.as_str(), settings.initial_mtu), ("big", Some(9000)));
        assert_eq!(transport("{}").unwrap().0, "");
        assert_eq!(
            transport(r#"{"gso": false}"#).unwrap().0,
            "gso: false".to_owned()
        );
        assert!(transport(r#"{"speed": 9}"#).is_err());
    }

    #[test]
    fn another_build_has_a_label() {
        let with = with("old=/x/adapter-rivermesh:block").unwrap();
        assert_eq!(
            (with.label.as_str(), with.variant.as_deref()),
            ("old", Some("block"))
        );
    }

    #[test]
    fn nonsense_is_refused() {
        for args in [
            ["compare", "--size", "15"],
            ["compare", "--consumers", "0"],
            ["compare", "--rate", "0"],
            ["compare", "--seconds", "NaN"],
        ] {
            assert!(Args::try_parse_from(args).is_err(), "{args:?}");
        }
    }
}
