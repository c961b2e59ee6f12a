//! JSON lines in a file, written by one process and read by another that outlives it.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufRead, BufReader, BufWriter, Write},
    path::{Path, PathBuf},
};

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

/// A journal cannot be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A whole line is not a record. A torn last line is not an error, it is left out.
    #[error("{}, line {line}: not a record", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// The records contradict each other or their order.
    #[error("{}, line {line}: {why}", path.display())]
    Record {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The contradiction.
        why: &'static str,
    },
}

/// Appends records to a file of its own.
#[derive(Debug)]
pub(super) struct Lines(BufWriter<File>);

impl Lines {
    /// # Errors
    /// When the file exists: each life of a process writes its own journal.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(path)?;
        Ok(Self(BufWriter::with_capacity(64 * 1024, file)))
    }

    pub(super) fn push(&mut self, record: &impl Serialize) -> io::Result<()> {
        serde_json::to_writer(&mut self.0, record)?;
        self.0.write_all(b"\n")
    }

    /// Hands everything to the system: it then survives the end of this process, however it comes
    /// (not the end of the machine; no test asks for that).
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// The records of a file with the numbers of their lines. A line counts once its newline is
/// written, so what a killed process left of its last line is dropped.
pub(super) fn read<T: DeserializeOwned>(path: &Path) -> Result<Vec<(usize, T)>, ReadError> {
    let io = |source| ReadError::Io {
        path: path.to_owned(),
        source,
    };
    let mut file = BufReader::new(File::open(path).map_err(io)?);
    let mut records = Vec::new();
    let mut text = Vec::new();
    for line in 1.. {
        text.clear();
        file.read_until(b'\n', &mut text).map_err(io)?;
        if text.pop() != Some(b'\n') {
            break;
        }
        let record = serde_json::from_slice(&text).map_err(|source| ReadError::Line {
            path: path.to_owned(),
            line,
            source,
        })?;
        records.push((line, record));
    }
    Ok(records)
}
