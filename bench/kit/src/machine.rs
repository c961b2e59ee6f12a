//! Where and with what was measured.

use std::{fmt, fs, path::Path, process::Command};

use serde::{Deserialize, Serialize};

/// A machine and what was built on it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Machine {
    /// The processor's name.
    pub cpu: String,
    /// Cores that programs may use.
    pub cores: usize,
    /// Memory in GiB, rounded.
    pub memory_gib: u64,
    /// The version of Linux.
    pub kernel: String,
    /// What `rustc --version` says.
    pub rustc: String,
    /// The commit of this repository; with `+` when files differed from it.
    pub commit: String,
}

impl Machine {
    /// This one, where `bench` is a folder of the repository. What cannot be told is called unknown.
    #[must_use]
    pub fn this(bench: &Path) -> Self {
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

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} with {} cores and {} GiB, Linux {}, {}",
            self.cpu, self.cores, self.memory_gib, self.kernel, self.rustc
        )
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_cores() {
        let machine = Machine::this(Path::new("."));
        assert!(machine.cores > 0);
        assert!(!machine.kernel.is_empty());
    }
}
