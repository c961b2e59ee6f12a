//! With what was measured.

use std::{collections::BTreeMap, fs, path::Path};

use harness::Info;
use kit::machine::Machine;
use serde::{Deserialize, Serialize};

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
}
