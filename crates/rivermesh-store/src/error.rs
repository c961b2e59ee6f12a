//! What can go wrong.

use std::{io, path::PathBuf};

use rivermesh_proto::Seq;
use thiserror::Error;

/// A store could not be opened. Nothing of what it holds has changed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or another part of this one, has the store open.
    #[error("the store in {} is open already", .0.display())]
    Locked(PathBuf),
    /// The folder holds the log of another stream, or of another shape of items.
    #[error("the store holds the stream {held}, and {asked} was asked for")]
    Other {
        /// The stream that it holds, with its shape.
        held: String,
        /// The stream that was asked for, with its shape.
        asked: String,
    },
    /// There are segments, and nothing says intact which stream and epoch they are of; or the
    /// segments are gone. Opening does not begin anew in such a folder: move it away, or bring back
    /// what is missing.
    #[error("the store in {} is damaged: {what}", .path.display())]
    Damaged {
        /// The folder.
        path: PathBuf,
        /// What is missing.
        what: &'static str,
    },
    /// The folder was written by a newer version.
    #[error("the store is of version {got}, this program reads {known}")]
    Version {
        /// The version found.
        got: u32,
        /// The version that is known.
        known: u32,
    },
    /// A file could not be opened, read, cut or created.
    #[error("a file of the store cannot be used: {}", .path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: io::Error,
    },
}

/// Something could not be written. Nothing of the failed call is stored, and the call can be
/// repeated. After a failed [`persist`](crate::Store::persist) it is not known whether what was
/// appended since the last one outlives a crash; the next one that succeeds covers it.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WriteError {
    /// The system refused to write: the disk is full, most likely.
    #[error("the disk did not take it")]
    Io(#[from] io::Error),
    /// [`Config::disk_bytes`](crate::Config::disk_bytes) is reached and the oldest items are held.
    #[error("the store has {bytes} bytes, its bound is {limit}, and the oldest items are held")]
    Full {
        /// Bytes on disk.
        bytes: u64,
        /// The bound.
        limit: u64,
    },
    /// A batch does not begin where the last one ended, or is empty.
    #[error("a batch begins at {got}, expected {expected}")]
    OutOfOrder {
        /// Where the next batch must begin.
        expected: Seq,
        /// Where it begins.
        got: Seq,
    },
    /// A frame is over [`limits::FRAME`](rivermesh_proto::limits::FRAME).
    #[error("a frame of {got} bytes is over the limit")]
    TooLarge {
        /// Bytes of the frame.
        got: usize,
    },
    /// The name is empty or over 128 bytes.
    #[error("the name of a consumer has 1 to 128 bytes, got {got}")]
    Name {
        /// Bytes of the name.
        got: usize,
    },
    /// There are [`Config::names`](crate::Config::names) names already.
    #[error("the store keeps the positions of at most {limit} names")]
    Names {
        /// The bound.
        limit: usize,
    },
}

/// A file could not be read. What is damaged is not such an error, but [`Read::Gone`](crate::Read).
#[derive(Debug, Error)]
#[error("a segment cannot be read: {}", .path.display())]
pub struct ReadError {
    /// The file.
    pub path: PathBuf,
    /// What the system said.
    #[source]
    pub error: io::Error,
}
