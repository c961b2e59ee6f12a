//! Why an item was not sent, or not saved.

use std::{fmt, sync::Arc};

use rivermesh_proto::{Seq, encode::EncodeError};
use rivermesh_store::WriteError;
use thiserror::Error;

/// An item was not sent; it is handed back. Nothing of it was sent.
#[derive(Error)]
#[non_exhaustive]
pub enum SendError<T> {
    /// The stream has ended, or its node has shut down.
    #[error("the stream has ended")]
    Closed(T),
    /// The log is full of what consumers with a name have not acknowledged, and the producer was set
    /// up with [`Overflow::Error`](crate::producer::Overflow::Error). Sending it again may work later.
    #[error("the log is full of what consumers with a name have not acknowledged")]
    Unacknowledged(T),
    /// The item cannot be encoded, or is too large. Sending it again fails again.
    #[error("the item cannot be sent")]
    Encode {
        /// The item.
        item: T,
        /// What was wrong with it.
        #[source]
        error: EncodeError,
    },
    /// The disk does not take the stream's log, and memory is full of what it has not taken. Items
    /// are taken again when it does; it is tried about once a second.
    #[error("the disk does not take the stream's log")]
    Disk {
        /// The item.
        item: T,
        /// What the disk said.
        #[source]
        error: Arc<WriteError>,
    },
}

/// An item was not saved as it was asked for.
#[derive(Error)]
#[non_exhaustive]
pub enum SaveError<T> {
    /// The item was not sent, and is handed back.
    #[error("the item was not sent")]
    NotSent(#[source] SendError<T>),
    /// The stream has no log on disk: see [`Builder::durable`](crate::producer::Builder::durable). The item was
    /// not sent, and is handed back.
    #[error("the stream has no log on disk")]
    NotDurable(T),
    /// The item has been sent, with this number, and the disk has not taken it. It is tried again, so
    /// the item may come to be stored; a crash before that loses it. Do not send it again.
    #[error("item {seq} was sent, and the disk has not taken it")]
    NotSaved {
        /// The item's number.
        seq: Seq,
        /// What the disk said; nothing where the stream has ended.
        #[source]
        error: Option<Arc<WriteError>>,
    },
}

impl<T> fmt::Debug for SaveError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotSent(error) => f.debug_tuple("NotSent").field(error).finish(),
            Self::NotDurable(_) => f.write_str("NotDurable"),
            Self::NotSaved { seq, error } => f
                .debug_struct("NotSaved")
                .field("seq", seq)
                .field("error", error)
                .finish(),
        }
    }
}

/// An item was not sent without waiting; it is handed back. Nothing of it was sent.
#[derive(Error)]
#[non_exhaustive]
pub enum TrySendError<T> {
    /// The condition of `online_when` is not met; by default: nobody is subscribed.
    #[error("the stream is offline")]
    Offline(T),
    /// The log is full and may not move past a consumer that asked for `Lag::Block`, or past what a
    /// consumer with a name has not acknowledged.
    #[error("the log is full and somebody that it waits for has not caught up")]
    Full(T),
    /// The stream has ended, or its node has shut down.
    #[error("the stream has ended")]
    Closed(T),
    /// The log is full of what consumers with a name have not acknowledged, and the producer was set
    /// up with [`Overflow::Error`](crate::producer::Overflow::Error). Sending it again may work later.
    #[error("the log is full of what consumers with a name have not acknowledged")]
    Unacknowledged(T),
    /// The item cannot be encoded, or is too large. Sending it again fails again.
    #[error("the item cannot be sent")]
    Encode {
        /// The item.
        item: T,
        /// What was wrong with it.
        #[source]
        error: EncodeError,
    },
    /// The disk does not take the stream's log, and memory is full of what it has not taken.
    #[error("the disk does not take the stream's log")]
    Disk {
        /// The item.
        item: T,
        /// What the disk said.
        #[source]
        error: Arc<WriteError>,
    },
}

impl<T> SendError<T> {
    /// The item that was not sent.
    pub fn into_item(self) -> T {
        match self {
            Self::Closed(item)
            | Self::Unacknowledged(item)
            | Self::Encode { item, .. }
            | Self::Disk { item, .. } => item,
        }
    }
}

impl<T> TrySendError<T> {
    /// The item that was not sent.
    pub fn into_item(self) -> T {
        match self {
            Self::Offline(item)
            | Self::Full(item)
            | Self::Closed(item)
            | Self::Unacknowledged(item)
            | Self::Encode { item, .. }
            | Self::Disk { item, .. } => item,
        }
    }
}

impl<T> TrySendError<T> {
    /// The item, where it may be sent once something has changed; else why it cannot be sent at all.
    pub(super) fn waits(self) -> Result<T, SendError<T>> {
        match self {
            Self::Offline(item) | Self::Full(item) => Ok(item),
            Self::Closed(item) => Err(SendError::Closed(item)),
            Self::Unacknowledged(item) => Err(SendError::Unacknowledged(item)),
            Self::Encode { item, error } => Err(SendError::Encode { item, error }),
            Self::Disk { item, error } => Err(SendError::Disk { item, error }),
        }
    }
}

impl<T> fmt::Debug for SendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(_) => f.write_str("Closed"),
            Self::Unacknowledged(_) => f.write_str("Unacknowledged"),
            Self::Encode { error, .. } => f.debug_tuple("Encode").field(error).finish(),
            Self::Disk { error, .. } => f.debug_tuple("Disk").field(error).finish(),
        }
    }
}

impl<T> fmt::Debug for TrySendError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Offline(_) => f.write_str("Offline"),
            Self::Full(_) => f.write_str("Full"),
            Self::Closed(_) => f.write_str("Closed"),
            Self::Unacknowledged(_) => f.write_str("Unacknowledged"),
            Self::Encode { error, .. } => f.debug_tuple("Encode").field(error).finish(),
            Self::Disk { error, .. } => f.debug_tuple("Disk").field(error).finish(),
        }
    }
}
