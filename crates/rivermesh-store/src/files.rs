//! The folder: what its files are called, and changes of it that outlive a crash.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

use crate::identity::Block;

/// The file that is locked while the store is open.
const LOCK: &str = "lock";
/// The file that says whose log it is.
const IDENTITY: &str = "stream";
const SUFFIX: &str = ".seg";

/// The folder of a store.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.into() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.path.join(LOCK)
    }

    pub(crate) fn identity(&self) -> PathBuf {
        self.path.join(IDENTITY)
    }

    pub(crate) fn segment(&self, number: u64) -> PathBuf {
        self.path.join(format!("{number:020}{SUFFIX}"))
    }

    /// The numbers of the segments that are there, in order. Other files are let be.
    pub(crate) fn segments(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for entry in fs::read_dir(&self.path)? {
            let name = entry?.file_name();
            let digits = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            if let Some(number) = digits.and_then(|digits| digits.parse().ok())
                && self.segment(number).file_name() == Some(name.as_os_str())
            {
                numbers.push(number);
            }
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Writes the file that says whose log it is, so that it is there whole or not at all.
    pub(crate) fn write_identity(&self, block: &Block) -> io::Result<()> {
        let new = self.path.join("stream.new");
        let mut file = File::create(&new)?;
        file.write_all(&block.to_bytes())?;
        file.sync_all()?;
        fs::rename(&new, self.identity())?;
        self.sync()
    }

    /// Deletes a segment; one that is gone already is no error.
    pub(crate) fn remove(&self, number: u64) -> io::Result<()> {
        match fs::remove_file(self.segment(number)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    /// Lets what was created, renamed or deleted in the folder outlive a crash of the machine.
    #[cfg(unix)]
    pub(crate) fn sync(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    /// Windows has no such call, and needs none: the file system's journal orders it.
    #[cfg(not(unix))]
    pub(crate) fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
