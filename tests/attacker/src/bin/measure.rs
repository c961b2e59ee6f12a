//! Runs the attacks one after the other, and prints what each costs the honest, as a table.
//!
//! `cargo test --release -p rivermesh-attacker --no-run && target/release/measure [TIMES [NAME]]`: each attack as
//! often as that, by turns, of which the table has the median by how much slower the honest were; with a
//! name, only the attacks that have it in theirs. Needs `chrt` of util-linux.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::SystemTime,
};

use rivermesh_attacker::figures::{Figures, MEASURE, PREFIX, Summary};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<ExitCode, Failure> {
    let mut args = std::env::args().skip(1);
    let times: usize = args.next().map_or(Ok(1), |times| times.parse())?;
    let name = args.next().unwrap_or_default();
    let attacks = newest()?;
    let tests = tests(&attacks, &name)?;
    let mut seen = vec![Vec::new(); tests.len()];
    let mut failed = vec![0; tests.len()];
    for _ in 0..times {
        for (at, test) in tests.iter().enumerate() {
            match run(&attacks, test)? {
                Some(figures) => seen[at].push(figures),
                None => failed[at] += 1,
            }
        }
    }
    print(&tests, seen, &failed);
    let well = failed.iter().all(|failed| *failed == 0);
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs an attack once; gives the figures of each of its victims, or nothing where it failed.
fn run(attacks: &Path, test: &str) -> Result<Option<Vec<Figures>>, Failure> {
    let ran = Command::new(attacks)
        .args(["--exact", test, "--nocapture"])
        .env(MEASURE, "1")
        .output()?;
    let said = String::from_utf8_lossy(&ran.stderr);
    let lines = said.lines().filter_map(|line| line.strip_prefix(PREFIX));
    let figures = lines.map(serde_json::from_str).collect::<Result<_, _>>()?;
    Ok(ran.status.success().then_some(figures))
}

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn print(tests: &[String], seen: Vec<Vec<Vec<Figures>>>, failed: &[usize]) {
    println!(
        "| attack | p99 quiet, ms (rounds) | p99 attacked, ms (rounds) | times | lowest to highest | MiB quiet | MiB attacked |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- |");
    for ((test, runs), failed) in tests.iter().zip(seen).zip(failed) {
        let victims = runs.iter().map(Vec::len).max().unwrap_or(0);
        for victim in 0..victims {
            let of_one = runs.iter().filter_map(|run| run.get(victim)).copied();
            println!("| `{test}` | {}", Summary::of(of_one.collect()));
        }
        if *failed > 0 {
            println!("| `{test}` | failed {failed} times |");
        }
    }
}

/// The newest program of the attacks that was built beside this one.
fn newest() -> Result<PathBuf, Failure> {
    let own = std::env::current_exe()?;
    let folder = own.parent().ok_or("no folder")?.join("deps");
    let mut found: Option<(SystemTime, PathBuf)> = None;
    for file in std::fs::read_dir(&folder)? {
        let file = file?;
        let name = file.file_name();
        let is_attacks = name.to_string_lossy().starts_with("attacks-");
        if !is_attacks || Path::new(&name).extension().is_some() {
            continue;
        }
        let built = file.metadata()?.modified()?;
        if found.as_ref().is_none_or(|(newest, _)| *newest < built) {
            found = Some((built, file.path()));
        }
    }
    let (_, path) = found.ok_or("build the attacks first: see this program's documentation")?;
    Ok(path)
}

/// The attacks with this in their names.
fn tests(attacks: &Path, name: &str) -> Result<Vec<String>, Failure> {
    let listed = Command::new(attacks)
        .args(["--list", "--format", "terse", name])
        .stderr(Stdio::inherit())
        .output()?;
    let listed = String::from_utf8(listed.stdout)?;
    let tests = listed
        .lines()
        .filter_map(|line| line.strip_suffix(": test"));
    Ok(tests.map(str::to_owned).collect())
}
