//! Every example runs, ends by itself, and says what it shows; the README has the first of them.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

const WITHIN: Duration = Duration::from_secs(90);

/// Cargo builds the examples before it runs this, next to the folder of the tests.
fn folder() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    test.parent().unwrap().parent().unwrap().join("examples")
}

fn names() -> Vec<String> {
    let sources = fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    let mut names: Vec<String> = sources
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn every_example_ends_well() {
    let names = names();
    assert!(names.len() >= 10, "{names:?}");
    for name in names {
        let program = folder().join(&name);
        let began = Instant::now();
        let mut child = Command::new(&program)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        // What an example prints fits a pipe's buffer, so it can be read at the end.
        let in_time = loop {
            if child.try_wait().unwrap().is_some() {
                break true;
            }
            if began.elapsed() > WITHIN {
                child.kill().unwrap();
                break false;
            }
            std::thread::sleep(Duration::from_millis(20));
        };
        let output = child.wait_with_output().unwrap();
        let (out, err) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        println!("--- {name}\n{out}{err}");
        assert!(in_time, "{name} does not end");
        assert!(output.status.success(), "{name}: {}\n{err}", output.status);
        assert!(!out.is_empty(), "{name} says nothing");
    }
}

#[test]
fn the_readme_has_the_first_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let readme = fs::read_to_string(root.join("../README.md")).unwrap();
    let example = fs::read_to_string(root.join("hello.rs")).unwrap();
    let (_, code) = example.split_once("\n\n").unwrap();
    let block = format!("```rust,no_run\n{code}```\n");
    assert!(readme.contains(&block), "README.md must have:\n{block}");
}
