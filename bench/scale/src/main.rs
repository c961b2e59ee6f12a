//! `scale`: how the costs of a producer grow with its consumers and its streams.
//!
//! Each run starts two processes over loopback: the producer's, whose memory and CPU time are
//! measured from outside, and one with all consumers.

mod client;
mod consume;
mod endpoint;
mod measure;
mod produce;
mod protocol;
mod role;
mod table;

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use kit::{machine::Machine, page};
use serde::{Deserialize, Serialize};

use measure::{Load, Record};
use protocol::Kind;

/// The part of the page, by its markers, and the pictures beside it.
const PART: &str = "scale";
const CONSUMERS_IMAGE: &str = "images/scale-consumers.svg";
const STREAMS_IMAGE: &str = "images/scale-streams.svg";

/// Measures how the costs of a producer grow with its consumers and its streams.
///
/// Prints tables, and keeps what was measured in a file under the target folder.
#[derive(Debug, Parser)]
struct Args {
    /// What to measure. Default: all but `nodes`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<Kind>,
    /// Consumers of one producer.
    #[arg(long, value_delimiter = ',', default_value = "1,10,100,300,1000")]
    consumers: Vec<usize>,
    /// Streams.
    #[arg(long, value_delimiter = ',', default_value = "1,10,50,200")]
    streams: Vec<usize>,
    /// Consumers that are on their way at once.
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// Items a second on each stream while memory is watched.
    #[arg(long, default_value_t = 10.0)]
    rate: f64,
    /// Do not measure: take these files, of one machine and commit.
    #[arg(long, value_delimiter = ',')]
    from: Vec<PathBuf>,
    /// Write the results into the book.
    #[arg(long)]
    publish: bool,
    /// Be one of the two processes of a run.
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Clone, Copy, Debug, clap::Subcommand)]
#[command(hide = true)]
enum Role {
    /// One process of a run; led by standard input.
    #[command(hide = true)]
    Role { who: Who },
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Who {
    Producer,
    Consumers,
}

/// What a file of results begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Header {
    machine: Machine,
    commands: Vec<String>,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match args.role {
        Some(Role::Role { who }) => role(who),
        None => scale(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

#[tokio::main(worker_threads = 2)]
async fn role(who: Who) -> Result<()> {
    match who {
        Who::Producer => produce::run().await,
        Who::Consumers => consume::run().await,
    }
}

fn scale(args: &Args) -> Result<()> {
    let bench = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let (header, records) = if args.from.is_empty() {
        measured(args, &bench)?
    } else {
        read(&args.from)?
    };
    let tables = table::tables(&records);
    println!("{tables}");
    if args.publish {
        let pictures = [
            (CONSUMERS_IMAGE, table::consumers(&records)),
            (STREAMS_IMAGE, table::streams(&records)),
        ];
        let images: Vec<_> = pictures
            .into_iter()
            .filter_map(|(path, picture)| Some((path, picture?)))
            .collect();
        let part = part(&header, &tables, images.iter().map(|(path, _)| *path));
        page::publish(
            &bench.join("../docs/src/benchmarks.md"),
            PART,
            &part,
            &images,
        )?;
    }
    Ok(())
}

fn measured(args: &Args, bench: &Path) -> Result<(Header, Vec<Record>)> {
    let command = std::env::args().skip(1).filter(|arg| arg != "--publish");
    let header = Header {
        machine: Machine::this(bench),
        commands: vec![command.collect::<Vec<_>>().join(" ")],
    };
    let (path, mut file) = results()?;
    writeln!(file, "{}", serde_json::to_string(&header)?)?;
    let load = Load {
        in_flight: args.in_flight,
        per_second: args.rate,
    };
    let mut records = Vec::new();
    for (kind, count) in plan(args) {
        let record = measure::run(kind, count, load)
            .with_context(|| format!("{count} {}", table::title(kind)))?;
        eprintln!("{count} {}: {:?}", table::title(kind), record.figures);
        writeln!(file, "{}", serde_json::to_string(&record)?)?;
        records.push(record);
    }
    eprintln!("kept in {}", path.display());
    Ok((header, records))
}

/// What is measured, in turn.
fn plan(args: &Args) -> Vec<(Kind, usize)> {
    let usual = [Kind::Raw, Kind::Own, Kind::Shared, Kind::Streams];
    let kinds = match &args.only[..] {
        [] => &usual[..],
        some => some,
    };
    let each = |kind: &Kind| {
        let kind = *kind;
        let counts = match kind {
            Kind::Streams => &args.streams,
            _ => &args.consumers,
        };
        counts.iter().map(move |count| (kind, (*count).max(1)))
    };
    kinds.iter().flat_map(each).collect()
}

/// A new file under the target folder.
fn results() -> Result<(PathBuf, File)> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(2).context("no target folder")?;
    let folder = target.join("scale");
    fs::create_dir_all(&folder)?;
    let path = folder.join(format!("{}.json", harness::clock::now_ns()));
    let file = File::create(&path)?;
    Ok((path, file))
}

fn read(paths: &[PathBuf]) -> Result<(Header, Vec<Record>)> {
    let mut texts = Vec::new();
    for path in paths {
        texts.push(fs::read_to_string(path).with_context(|| path.display().to_string())?);
    }
    parse(texts.iter().map(String::as_str))
}

fn parse<'a>(texts: impl Iterator<Item = &'a str>) -> Result<(Header, Vec<Record>)> {
    let (mut header, mut records): (Option<Header>, _) = (None, Vec::new());
    for text in texts {
        let mut lines = text.lines();
        let first: Header = serde_json::from_str(lines.next().context("an empty file")?)?;
        match &mut header {
            None => header = Some(first),
            Some(all) => {
                let same = all.machine == first.machine;
                anyhow::ensure!(same, "results of different machines or commits");
                all.commands.extend(first.commands);
            }
        }
        for line in lines {
            records.push(serde_json::from_str(line)?);
        }
    }
    Ok((header.context("no results")?, records))
}

fn part<'a>(header: &Header, tables: &str, images: impl Iterator<Item = &'a str>) -> String {
    let commands: Vec<_> = header
        .commands
        .iter()
        .map(|args| format!("`{}`", format!("scale {args}").trim_end()))
        .collect();
    let mut out = format!(
        "Measured with {} at commit `{}`, on {}. Both processes share these cores.\n\n",
        commands.join(" and "),
        header.machine.commit,
        header.machine
    );
    for image in images {
        out.push_str(&format!("![How a producer's costs grow]({image})\n\n"));
    }
    out.push_str(tables);
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Figures;

    fn file(commit: &str, command: &str) -> String {
        let header = Header {
            machine: Machine {
                commit: commit.into(),
                ..Machine::default()
            },
            commands: vec![command.into()],
        };
        let record = Record {
            kind: Kind::Own,
            count: 3,
            figures: Figures::default(),
        };
        let lines = (
            serde_json::to_string(&header),
            serde_json::to_string(&record),
        );
        format!("{}\n{}\n", lines.0.unwrap(), lines.1.unwrap())
    }

    #[test]
    fn results_of_one_commit_come_together() {
        let files = [file("abc", "--only own"), file("abc", "")];
        let (header, records) = parse(files.iter().map(String::as_str)).unwrap();
        assert_eq!(records.len(), 2);
        let part = part(&header, "tables\n", ["a.svg"].into_iter());
        assert!(part.starts_with("Measured with `scale --only own` and `scale` at commit `abc`"));
        assert!(part.ends_with("![How a producer's costs grow](a.svg)\n\ntables\n"));
        let files = [file("abc", ""), file("def", "")];
        assert!(parse(files.iter().map(String::as_str)).is_err());
        assert!(parse(["{}"].into_iter()).is_err());
    }

    #[test]
    fn streams_and_consumers_have_numbers_of_their_own() {
        let args = Args::parse_from(["scale", "--only", "streams,own", "--consumers", "7,0"]);
        let plan = plan(&args);
        let wanted = [1, 10, 50, 200].map(|n| (Kind::Streams, n));
        assert_eq!(plan[..4], wanted);
        assert_eq!(plan[4..], [(Kind::Own, 7), (Kind::Own, 1)]);
    }
}
