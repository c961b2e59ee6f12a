//! Runs the attacks one after the other, and prints what each costs the honest, as a table.
//!
//! `cargo test --release -p rivermesh-attacker --no-run && target/release/measure [NAME]`; with a name, only the
//! attacks that have it in theirs.

use std::{
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
    time::SystemTime,
};

use rivermesh_attacker::figures::{Figures, MEASURE, PREFIX};

type Failure = Box<dyn std::error::Error>;

#[expect(clippy::print_stdout, reason = "the table is what it is for")]
fn main() -> Result<ExitCode, Failure> {
    let name = std::env::args().nth(1).unwrap_or_default();
    let attacks = newest()?;
    println!(
        "| attack | p99 quiet, ms (rounds) | p99 attacked, ms (rounds) | times | MiB quiet | MiB attacked |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    let mut failed = false;
    for test in tests(&attacks, &name)? {
        let ran = Command::new(&attacks)
            .args(["--exact", &test, "--nocapture"])
            .env(MEASURE, "1")
            .output()?;
        let said = String::from_utf8_lossy(&ran.stderr);
        for line in said.lines().filter_map(|line| line.strip_prefix(PREFIX)) {
            let figures: Figures = serde_json::from_str(line)?;
            println!("| `{test}` | {figures} |");
        }
        if !ran.status.success() {
            failed = true;
            println!("| `{test}` | failed |");
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
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
