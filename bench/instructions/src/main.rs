//! `instructions`: counts the instructions of paths that must not become dearer, under valgrind,
//! and compares them with `baseline.json`. No clock is read, so a busy machine changes nothing.
//!
//! The program runs itself under callgrind, once for each bench; only what happens within
//! [`probe::measured`] is counted.

mod baseline;
mod bench;
mod callgrind;
mod probe;
mod table;

use std::{
    io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Parser;
use thiserror::Error;

use baseline::{Baseline, BaselineError, Build, Counts};
use callgrind::CallgrindError;
use table::Verdict;

/// Counts instructions under valgrind and compares them with the baseline.
///
/// Fails when a bench takes more than the baseline by more than the baseline's tolerance.
#[derive(Debug, Parser)]
struct Args {
    /// Write what was counted as the new baseline.
    #[arg(long)]
    accept: bool,
    /// Only benches whose name contains this.
    #[arg(long, conflicts_with = "accept")]
    only: Option<String>,
    /// The baseline. Default: baseline.json beside this program's sources.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Run one bench, uncounted: what valgrind is given.
    #[arg(long, hide = true, exclusive = true)]
    run: Option<String>,
}

/// The guard did not pass.
#[derive(Debug, Error)]
#[non_exhaustive]
enum GuardError {
    /// A bench could not be run.
    #[error("bench {0}")]
    Bench(String, #[source] anyhow::Error),
    /// There is no such bench.
    #[error("no bench is called {0}")]
    Unknown(String),
    /// This program cannot be found.
    #[error("cannot tell where this program lies")]
    Program(#[source] io::Error),
    /// It could not be counted.
    #[error(transparent)]
    Callgrind(#[from] CallgrindError),
    /// The baseline cannot be used.
    #[error(transparent)]
    Baseline(#[from] BaselineError),
    /// Something became dearer, or the baseline does not fit the benches.
    #[error("{0}")]
    Failed(String),
}

fn main() -> ExitCode {
    let args = Args::parse();
    let done = match &args.run {
        Some(name) => run_one(name),
        None => guard(&args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}", kit::causes(&error));
            ExitCode::FAILURE
        }
    }
}

fn run_one(name: &str) -> Result<(), GuardError> {
    let found = bench::all().find(|bench| bench.name == name);
    let bench = found.ok_or_else(|| GuardError::Unknown(name.to_owned()))?;
    (bench.run)().map_err(|error| GuardError::Bench(name.to_owned(), error))
}

fn guard(args: &Args) -> Result<(), GuardError> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.json");
    let path = args.baseline.as_deref().unwrap_or(&here);
    let build = Build::this();
    let old = match Baseline::read(path) {
        Ok(old) => Some(old),
        Err(BaselineError::Missing(_)) if args.accept => None,
        Err(error) => return Err(error.into()),
    };
    if let Some(old) = old.as_ref().filter(|_| !args.accept)
        && let Some(why) = old.build.incomparable(&build)
    {
        println!("skipped: {why}");
        return Ok(());
    }
    let counts = count(args.only.as_deref())?;
    if args.accept {
        let new = Baseline::new(old.as_ref(), build, counts);
        new.write(path)?;
        println!("{}", table::accepted(old.as_ref(), &new));
        return Ok(());
    }
    let Some(old) = old else {
        return Ok(());
    };
    let verdict = Verdict::new(&old, &build, &counts, args.only.is_some());
    print!("{verdict}");
    verdict
        .failure()
        .map_or(Ok(()), |why| Err(GuardError::Failed(why)))
}

fn count(only: Option<&str>) -> Result<Counts, GuardError> {
    let program = std::env::current_exe().map_err(GuardError::Program)?;
    let wanted = bench::all().filter(|bench| only.is_none_or(|only| bench.name.contains(only)));
    let mut counts = Counts::new();
    for bench in wanted {
        let count = callgrind::count(&program, &["--run", bench.name])?;
        counts.insert(bench.name.to_owned(), count);
    }
    if counts.is_empty() {
        return Err(GuardError::Unknown(only.unwrap_or_default().to_owned()));
    }
    Ok(counts)
}
