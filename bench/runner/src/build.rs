//! Building adapters, each only where it is asked for.

use std::{
    io,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
};

use harness::Info;
use thiserror::Error;

use crate::plan::Adapter;

/// An adapter cannot be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum BuildError {
    /// It is not clear where programs are built.
    #[error("cannot tell where programs are built")]
    Place(#[source] io::Error),
    /// The program that builds is not there.
    #[error("cannot run {0}")]
    Run(String, #[source] io::Error),
    /// It could not be built.
    #[error("{0} cannot be built: {1}")]
    Failed(String, ExitStatus),
    /// It does not say what it is.
    #[error("{0} does not say what it is (was it built?)")]
    Info(String, #[source] io::Error),
}

/// Where things are.
#[derive(Clone, Debug)]
pub(crate) struct Places {
    /// This workspace.
    pub(crate) bench: PathBuf,
    /// Where cargo builds.
    pub(crate) target: PathBuf,
}

impl Places {
    /// From where this program was built and lies.
    pub(crate) fn find() -> Result<Self, BuildError> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let program = std::env::current_exe().map_err(BuildError::Place)?;
        let target = program.ancestors().nth(2).map(Path::to_owned);
        let target = target.ok_or_else(|| BuildError::Place(io::ErrorKind::NotFound.into()))?;
        Ok(Self {
            bench: here.parent().unwrap_or(here).to_owned(),
            target,
        })
    }

    /// An adapter's program.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.target.join("release").join(format!("adapter-{name}"))
    }

    /// The folder with the lock file that an adapter is built with.
    pub(crate) fn workspace(&self, adapter: Adapter) -> PathBuf {
        if adapter.apart {
            self.bench.join("adapters").join(adapter.name)
        } else {
            self.bench.clone()
        }
    }

    /// Builds an adapter, with `features` of its own.
    pub(crate) fn build(&self, adapter: Adapter, features: &[String]) -> Result<(), BuildError> {
        let package = format!("adapter-{}", adapter.name);
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(["build", "--release", "--locked", "-p", &package])
            .arg("--manifest-path")
            .arg(self.workspace(adapter).join("Cargo.toml"))
            .arg("--target-dir")
            .arg(&self.target)
            .stdin(Stdio::null());
        if !features.is_empty() {
            command.arg("--features").arg(features.join(","));
        }
        let status = command.status();
        let status = status.map_err(|error| BuildError::Run("cargo".into(), error))?;
        if status.success() {
            Ok(())
        } else {
            Err(BuildError::Failed(package, status))
        }
    }
}

/// Asks an adapter's program what it is.
pub(crate) fn info(program: &Path) -> Result<Info, BuildError> {
    let name = program.display().to_string();
    let output = Command::new(program).arg("info").output();
    let output = output.map_err(|error| BuildError::Info(name.clone(), error))?;
    serde_json::from_slice(&output.stdout).map_err(|error| BuildError::Info(name, error.into()))
}
