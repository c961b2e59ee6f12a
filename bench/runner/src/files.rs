//! Results as files: a header, then one JSON line per run.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{machine::Header, record::Record};

/// Results cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum FileError {
    /// The file cannot be written.
    #[error("cannot write {0}")]
    Write(PathBuf, #[source] io::Error),
    /// The file cannot be read.
    #[error("cannot read {0}")]
    Read(PathBuf, #[source] io::Error),
    /// A line is not a result.
    #[error("{0}, line {1}: not a result")]
    Line(PathBuf, usize, #[source] serde_json::Error),
    /// The results were measured on different machines or with different builds.
    #[error("{0} is of another machine, compiler or commit than the files before it")]
    Mixed(PathBuf),
}

/// A line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Line {
    Header(Header),
    Run(Box<Record>),
}

/// The file for the results of this run.
#[derive(Debug)]
pub(crate) struct Results {
    path: PathBuf,
    file: File,
}

impl Results {
    /// Creates it in `target`.
    pub(crate) fn create(target: &Path, header: &Header) -> Result<Self, FileError> {
        let folder = target.join("compare");
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let path = folder.join(format!("{}.json", now.map_or(0, |now| now.as_secs())));
        let made = fs::create_dir_all(&folder).and_then(|()| File::create(&path));
        let file = made.map_err(|error| FileError::Write(path.clone(), error))?;
        let mut results = Self { path, file };
        results.write(&Line::Header(header.clone()))?;
        Ok(results)
    }

    /// Adds the result of a run.
    pub(crate) fn keep(&mut self, record: &Record) -> Result<(), FileError> {
        self.write(&Line::Run(Box::new(record.clone())))
    }

    fn write(&mut self, line: &Line) -> Result<(), FileError> {
        let text = serde_json::to_string(line).map_err(io::Error::from);
        text.and_then(|text| writeln!(self.file, "{text}"))
            .map_err(|error| FileError::Write(self.path.clone(), error))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Reads results of several runs. Their machine and commit must be the same; their commands are
/// told one after the other.
pub(crate) fn read(paths: &[PathBuf]) -> Result<(Header, Vec<Record>), FileError> {
    let (mut header, mut records): (Option<Header>, _) = (None, Vec::new());
    for path in paths {
        let text = fs::read_to_string(path);
        let text = text.map_err(|error| FileError::Read(path.clone(), error))?;
        for (number, line) in text.lines().enumerate() {
            let line = serde_json::from_str(line)
                .map_err(|error| FileError::Line(path.clone(), number + 1, error))?;
            match line {
                Line::Run(record) => records.push(*record),
                Line::Header(next) => match &mut header {
                    None => header = Some(next),
                    Some(all) if all.machine == next.machine => {
                        all.command = format!("{}`, `compare {}", all.command, next.command);
                        all.peers.extend(next.peers);
                    }
                    Some(_) => return Err(FileError::Mixed(path.clone())),
                },
            }
        }
    }
    Ok((header.unwrap_or_default(), records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Cell, Mode, tests::record};

    #[test]
    fn results_come_back_and_are_not_mixed() {
        let folder = std::env::temp_dir().join(format!("compare-{}", std::process::id()));
        let cell = Cell {
            consumers: 1,
            size: 32,
            mode: Mode::Paced { rate: 5000.0 },
        };
        let records = [record("a", cell, 0, 1.0, 2), record("b", cell, 0, 3.0, 4)];
        let mut header = Header {
            command: "--full".into(),
            ..Header::default()
        };
        let mut results = Results::create(&folder, &header).unwrap();
        records.iter().for_each(|one| results.keep(one).unwrap());
        let path = results.path().to_owned();
        assert_eq!(
            read(std::slice::from_ref(&path)).unwrap(),
            (header.clone(), records.to_vec())
        );
        let other = folder.join("other.json");
        header.machine.cores = 99;
        let line = serde_json::to_string(&Line::Header(header)).unwrap();
        fs::write(&other, format!("{line}\n")).unwrap();
        let mixed = read(&[path.clone(), other]);
        assert!(matches!(mixed, Err(FileError::Mixed(_))));
        fs::write(&path, "{}\n").unwrap();
        assert!(matches!(read(&[path]), Err(FileError::Line(_, 1, _))));
        fs::remove_dir_all(&folder).unwrap();
    }
}
