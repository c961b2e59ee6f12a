//! The numbers to compare with, as they are kept in the repository.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    process::Command,
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Instructions by the bench's name.
pub(crate) type Counts = BTreeMap<String, u64>;

const TOLERANCE_PERCENT: f64 = 5.0;
const OTHER_COMPILER_PERCENT: f64 = 25.0;
/// Of the processor: signatures and hashes are worked out otherwise where it lacks it.
const FEATURE: &str = "avx2";

/// The baseline cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum BaselineError {
    /// There is none.
    #[error("there is no baseline {0}: make one with --accept")]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("cannot read or write {0}")]
    File(PathBuf, #[source] io::Error),
    /// It is not a baseline.
    #[error("{0} is not a baseline")]
    Content(PathBuf, #[source] serde_json::Error),
}

/// What counts depend on besides the code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Build {
    /// The architecture, and `+avx2` where the processor has it.
    pub(crate) target: String,
    /// What `rustc --version` says.
    pub(crate) rustc: String,
}

impl Build {
    /// Of this program, on this machine.
    pub(crate) fn this() -> Self {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let has = info.split_ascii_whitespace().any(|word| word == FEATURE);
        let plus = if has {
            format!("+{FEATURE}")
        } else {
            String::new()
        };
        let output = Command::new("rustc").arg("--version").output();
        let said = output.map(|o| String::from_utf8_lossy(&o.stdout).trim().to_owned());
        Self {
            target: format!("{}{plus}", std::env::consts::ARCH),
            rustc: said.unwrap_or_else(|_| "unknown".to_owned()),
        }
    }

    /// Why counts of `other` cannot be held against those of this one.
    pub(crate) fn incomparable(&self, other: &Self) -> Option<String> {
        (self.target != other.target).then(|| {
            format!(
                "the baseline is of {}, this machine is {}, and instructions of one say nothing of \
                 the other",
                self.target, other.target
            )
        })
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Baseline {
    /// By how much a bench may differ.
    pub(crate) tolerance_percent: f64,
    /// The same where the compiler is another one than the baseline's.
    pub(crate) other_compiler_percent: f64,
    #[serde(flatten)]
    pub(crate) build: Build,
    pub(crate) instructions: Counts,
}

impl Baseline {
    /// Takes counts; keeps the tolerances of the baseline before it.
    pub(crate) fn new(old: Option<&Self>, build: Build, instructions: Counts) -> Self {
        Self {
            tolerance_percent: old.map_or(TOLERANCE_PERCENT, |old| old.tolerance_percent),
            other_compiler_percent: old
                .map_or(OTHER_COMPILER_PERCENT, |old| old.other_compiler_percent),
            build,
            instructions,
        }
    }

    pub(crate) fn read(path: &Path) -> Result<Self, BaselineError> {
        let text = fs::read_to_string(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BaselineError::Missing(path.to_owned()),
            _ => BaselineError::File(path.to_owned(), error),
        })?;
        serde_json::from_str(&text).map_err(|error| BaselineError::Content(path.to_owned(), error))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<(), BaselineError> {
        let text = serde_json::to_string_pretty(self).map_err(io::Error::from);
        text.and_then(|text| fs::write(path, text + "\n"))
            .map_err(|error| BaselineError::File(path.to_owned(), error))
    }

    /// By how much counts of `build` may differ, in percent.
    pub(crate) fn tolerance(&self, build: &Build) -> f64 {
        if self.build.rustc == build.rustc {
            self.tolerance_percent
        } else {
            self.other_compiler_percent
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn baseline(counts: &[(&str, u64)]) -> Baseline {
        let build = Build {
            target: "x86_64+avx2".into(),
            rustc: "rustc 1.0".into(),
        };
        let counts = counts.iter().map(|(name, n)| ((*name).to_owned(), *n));
        Baseline::new(None, build, counts.collect())
    }

    #[test]
    fn it_comes_back_and_keeps_its_tolerances() {
        let path = std::env::temp_dir().join(format!("baseline-{}.json", std::process::id()));
        assert!(matches!(
            Baseline::read(&path),
            Err(BaselineError::Missing(_))
        ));
        let mut old = baseline(&[("a", 7)]);
        old.tolerance_percent = 1.5;
        old.write(&path).unwrap();
        let read = Baseline::read(&path).unwrap();
        assert_eq!(read, old);
        let new = Baseline::new(Some(&read), old.build.clone(), Counts::new());
        assert_eq!(new.tolerance_percent, 1.5);
        fs::write(&path, "{}").unwrap();
        assert!(matches!(
            Baseline::read(&path),
            Err(BaselineError::Content(..))
        ));
        fs::remove_file(&path).unwrap();
    }

    #[test]
    fn another_compiler_is_compared_more_widely_and_another_machine_not_at_all() {
        let old = baseline(&[]);
        let mut build = old.build.clone();
        assert_eq!(old.tolerance(&build), TOLERANCE_PERCENT);
        build.rustc = "rustc 2.0".into();
        assert_eq!(old.tolerance(&build), OTHER_COMPILER_PERCENT);
        assert_eq!(old.build.incomparable(&build), None);
        build.target = "aarch64".into();
        assert!(old.build.incomparable(&build).unwrap().contains("aarch64"));
    }
}
