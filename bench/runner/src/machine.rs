//! Where and with what was measured.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use harness::Info;
use serde::{Deserialize, Serialize};

/// A machine and what was built on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: u64,
    pub(crate) kernel: String,
    pub(crate) rustc: String,
    /// The commit of this repository; with `+` when files differed from it.
    pub(crate) commit: String,
}

impl Machine {
    /// This one. What cannot be told is called unknown.
    pub(crate) fn this(bench: &Path) -> Self {
        let field = |text: &str, key: &str| {
            let mut lines = text.lines();
            let line = lines.find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory = field(&read("/proc/meminfo"), "MemTotal").unwrap_or_default();
        let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
        let git = |args: &[&str]| said(Command::new("git").arg("-C").arg(bench).args(args));
        let changed = git(&["status", "--porcelain", "--untracked-files=no"]);
        let mark = if changed.is_some() { "+" } else { "" };
        let commit = git(&["rev-parse", "--short", "HEAD"]).unwrap_or_else(unknown);
        Self {
            cpu: field(&read("/proc/cpuinfo"), "model name").unwrap_or_else(unknown),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_gib: (kib + (1 << 19)) >> 20,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: said(Command::new("rustc").arg("--version")).unwrap_or_else(unknown),
            commit: commit + mark,
        }
    }
}

fn unknown() -> String {
    "unknown".to_owned()
}

/// What a program says; nothing if it cannot be run or says nothing.
fn said(command: &mut Command) -> Option<String> {
    let output = command.output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// One adapter as it was measured.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Peer {
    pub(crate) info: Info,
    /// Of the crates that the adapter names, and its server.
    pub(crate) versions: Vec<String>,
}

impl Peer {
    /// Takes versions from the lock file in `workspace`.
    pub(crate) fn new(info: Info, workspace: &Path) -> Self {
        let lock = fs::read_to_string(workspace.join("Cargo.lock")).unwrap_or_default();
        let of = |name: &String| Some(format!("{name} {}", version(&lock, name)?));
        let mut versions: Vec<String> = info.crates.iter().filter_map(of).collect();
        versions.extend(info.server.clone());
        Self { info, versions }
    }
}

/// The highest version of a crate in a lock file.
fn version(lock: &str, name: &str) -> Option<String> {
    let wanted = format!("name = \"{name}\"");
    let lines: Vec<&str> = lock.lines().collect();
    let pairs = lines.windows(2).filter(|pair| pair[0] == wanted);
    let versions = pairs.filter_map(|pair| {
        let text = pair[1].strip_prefix("version = \"")?.strip_suffix('"')?;
        let parts = text.split('.').map(|part| part.parse().unwrap_or(0));
        Some((parts.collect::<Vec<u64>>(), text.to_owned()))
    });
    versions.max().map(|(_, text)| text)
}

/// What the first line of a file of results says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) machine: Machine,
    /// The arguments.
    pub(crate) command: String,
    /// By adapter.
    pub(crate) peers: BTreeMap<String, Peer>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_those_of_the_lock_file() {
        let lock = "[[package]]\nname = \"rand\"\nversion = \"0.9.2\"\n\n[[package]]\n\
                    name = \"rand\"\nversion = \"0.10.0\"\n\n[[package]]\nname = \"rand_core\"\n\
                    version = \"0.99.0\"\n";
        assert_eq!(version(lock, "rand").as_deref(), Some("0.10.0"));
        assert_eq!(version(lock, "serde"), None);
    }

    #[test]
    fn this_machine_has_cores() {
        let machine = Machine::this(Path::new("."));
        assert!(machine.cores > 0);
        assert!(!machine.kernel.is_empty());
    }
}
