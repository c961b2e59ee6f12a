//! `compare`: who delivers how much, with what loss, latency, CPU time and memory.

mod args;
mod build;
mod chart;
mod files;
mod machine;
mod measure;
mod plan;
mod publish;
mod record;
mod session;
mod table;
mod wins;

use std::process::ExitCode;

use clap::Parser;
use harness::{Spec, Transport};
use kit::{machine::Machine, number::grouped};
use thiserror::Error;

use args::Args;
use build::{BuildError, Places};
use files::{FileError, Results};
use machine::{Header, Peer};
use measure::Times;
use plan::Contestant;
use record::{Cell, Record};

/// The comparison cannot be made.
#[derive(Debug, Error)]
#[non_exhaustive]
enum CompareError {
    /// The selection makes no sense.
    #[error(transparent)]
    Select(#[from] plan::SelectError),
    /// An adapter cannot be used.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// Results cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Results cannot be published.
    #[error(transparent)]
    Publish(#[from] kit::page::PageError),
}

fn main() -> ExitCode {
    match compare(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", kit::causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn compare(args: &Args) -> Result<(), CompareError> {
    let places = Places::find()?;
    let (header, records) = if args.from.is_empty() {
        let contestants = contestants(args, &places)?;
        if args.only_build {
            return Ok(());
        }
        let header = header(&contestants, &places);
        let mut results = Results::create(&places.target, &header)?;
        let records = rounds(args, &contestants, |record| Ok(results.keep(record)?))?;
        eprintln!("one JSON line per run: {}", results.path().display());
        (header, records)
    } else {
        files::read(&args.from)?
    };
    println!("{}", table::tables(&records));
    println!("{}", wins::wins(&records, &header));
    if let Some(page) = &args.publish {
        let own = places.bench.join("../docs/src/comparison.md");
        let page = if page.as_os_str().is_empty() {
            &own
        } else {
            page
        };
        publish::publish(page, &records, &header)?;
        eprintln!("published in {}", page.display());
    }
    Ok(())
}

fn header(contestants: &[Contestant], places: &Places) -> Header {
    let peer = |contestant: &Contestant| {
        let adapter = plan::ADAPTERS.iter().find(|a| a.name == contestant.adapter);
        let workspace = adapter.map_or(places.bench.clone(), |a| places.workspace(*a));
        let peer = Peer::new(contestant.info.clone(), &workspace);
        (contestant.adapter.clone(), peer)
    };
    // Paths of this machine are of no interest to a reader.
    let args = std::env::args().skip(1).filter(|arg| arg != "--no-build");
    Header {
        machine: Machine::this(&places.bench),
        command: args.collect::<Vec<_>>().join(" "),
        peers: contestants.iter().map(peer).collect(),
    }
}

/// Builds what is asked for, and asks it what it is.
fn contestants(args: &Args, places: &Places) -> Result<Vec<Contestant>, CompareError> {
    let mut all = Vec::new();
    let plain = [(String::new(), Transport::default())];
    let transports = if args.transport.is_empty() {
        &plain[..]
    } else {
        &args.transport[..]
    };
    let mut built: Vec<&str> = Vec::new();
    for chosen in args.chosen()? {
        let Some(adapter) = plan::ADAPTERS.iter().find(|a| a.name == chosen.adapter) else {
            continue;
        };
        if !args.no_build && !built.contains(&adapter.name) {
            places.build(*adapter, &args.features)?;
            built.push(adapter.name);
        }
        let program = places.program(adapter.name);
        let info = build::info(&program)?;
        for variant in plan::variants(&info, &chosen)? {
            for (name, transport) in transports {
                all.push(Contestant {
                    label: plan::label(adapter.name, &info, &variant, name),
                    adapter: adapter.name.to_owned(),
                    variant: variant.clone(),
                    info: info.clone(),
                    program: program.clone(),
                    transport: transport.clone(),
                });
            }
        }
    }
    for with in &args.with {
        let info = build::info(&with.program)?;
        let chosen = plan::Chosen {
            adapter: "this program",
            variant: with.variant.clone(),
        };
        let variants = plan::variants(&info, &chosen)?;
        all.extend(variants.into_iter().map(|variant| Contestant {
            label: plan::label(&with.label, &info, &variant, ""),
            adapter: with.label.clone(),
            variant,
            info: info.clone(),
            program: with.program.clone(),
            transport: transports[0].1.clone(),
        }));
    }
    Ok(all)
}

/// All cells; in each, the rounds of all contestants in turn, so that what the machine does besides
/// falls on all alike.
fn rounds(
    args: &Args,
    contestants: &[Contestant],
    mut keep: impl FnMut(&Record) -> Result<(), CompareError>,
) -> Result<Vec<Record>, CompareError> {
    let (numbers, sizes) = args.matrix();
    let mut records = Vec::new();
    for mode in args.modes() {
        for &consumers in &numbers {
            for &size in &sizes {
                let cell = Cell {
                    consumers,
                    size,
                    mode,
                };
                for round in 0..args.rounds {
                    for contestant in contestants {
                        let record = one(args, contestant, cell, round);
                        keep(&record)?;
                        records.push(record);
                    }
                }
            }
        }
    }
    Ok(records)
}

fn one(args: &Args, contestant: &Contestant, cell: Cell, round: u32) -> Record {
    let spec = Spec {
        consumers: cell.consumers,
        size: cell.size,
        variant: contestant.variant.name.clone(),
        workers: args.workers,
        batch: args.batch,
        depth: args.depth,
        transport: contestant.transport.clone(),
    };
    let times = Times {
        warm_up: args.warm_up(),
        window: args.window(),
    };
    let result = measure::run(contestant, &spec, cell.mode, times);
    let (figures, why) = match result {
        Ok(figures) => (Some(figures), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let said = match (&figures, &why) {
        (Some(figures), _) => format!(
            "{} deliveries/s, {} lost",
            grouped(figures.deliveries_per_s),
            grouped(figures.lost as f64)
        ),
        (None, why) => why.clone().unwrap_or_default(),
    };
    let label = &contestant.label;
    eprintln!(
        "{}, round {}: {label}: {said}",
        table::title(cell),
        round + 1
    );
    Record {
        label: label.clone(),
        adapter: contestant.adapter.clone(),
        variant: contestant.variant.name.clone(),
        delivery: contestant.variant.delivery,
        round,
        cell,
        figures,
        why,
    }
}
