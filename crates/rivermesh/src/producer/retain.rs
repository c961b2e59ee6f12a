//! What a producer keeps for consumers that come later.

use std::time::Duration;

use super::log;

/// What a producer keeps for consumers that come later, and ask for it by
/// [`start`](crate::consumer::Builder::start).
///
/// The default is all that the log happens to hold ([`log_bytes`](super::Builder::log_bytes)).
/// Several bounds hold together. Consumers that are subscribed, or were and resume, are not held to
/// the bounds on items and bytes: for them the log is there as a whole.
///
/// ```
/// use std::time::Duration;
/// use rivermesh::producer::Retention;
///
/// // The last ten minutes, and beyond them the newest item of each key.
/// let retention = Retention::new()
///     .age(Duration::from_secs(600))
///     .newest_per_key();
/// # let _ = retention;
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Retention {
    pub(super) inner: log::Retention,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            inner: log::Retention::ALL,
        }
    }
}

impl Retention {
    /// All that the log holds.
    pub fn new() -> Self {
        Self::default()
    }

    /// Nothing: who comes later gets what is sent from then on.
    pub fn none() -> Self {
        Self::new().items(0)
    }

    /// At most this many of the newest items, exactly.
    pub fn items(mut self, items: u64) -> Self {
        self.inner.items = items;
        self
    }

    /// At most this many bytes of the newest items, in whole batches; the newest batch always. The
    /// log is made as large, where `log_bytes` is less.
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.inner.bytes = bytes;
        self
    }

    /// Nothing that was sent longer ago, by the clock that items are stamped with. Unlike the other
    /// bounds this one holds for all: such items leave the log, so a consumer that is behind by more
    /// loses them, and memory of an idle stream becomes free. Only [`Lag::Block`](crate::Lag::Block)
    /// keeps them there.
    ///
    /// Items go in batches, by the time of a batch's first item; while there is such a bound, a
    /// batch is open for a second at most. So an item goes up to a second early, and never late for
    /// who comes later. Who is subscribed may get it up to a second late.
    pub fn age(mut self, age: Duration) -> Self {
        self.inner.age = Some(age);
        self
    }

    /// Beyond all that, the newest item of each key, however old it is and whatever the other bounds
    /// say ("compaction"). It costs a look-up for each item that is sent, and a copy for each that
    /// leaves the log as the newest of its key. Items without a key are not kept beyond the log.
    ///
    /// Bounded by [`max_keys`](Self::max_keys) and [`key_bytes`](Self::key_bytes). At a bound the
    /// key is forgotten whose newest item is the oldest of those that have left the log; where there
    /// is none, a key that is new is not taken up: its items are kept as long as the log holds
    /// them. [`Stats::keys_forgotten`](super::Stats::keys_forgotten) counts both.
    pub fn newest_per_key(mut self) -> Self {
        self.inner.newest_per_key = true;
        self
    }

    /// Keys that are known at most. Default 65,536. Also for consumers that
    /// [`conflate`](crate::consumer::Builder::conflate); beyond it they get all items of the keys
    /// that are not known.
    pub fn max_keys(mut self, keys: usize) -> Self {
        // Two numbers of a `u32` have a meaning of their own.
        self.inner.table.keys = keys.min(u32::MAX as usize - 2);
        self
    }

    /// Bytes of keys, and of items kept beyond the log, at most, by an estimate that is rather too
    /// high: about 320 bytes, the key's own and the item's. Default 16 MiB. For the same purposes as
    /// [`max_keys`](Self::max_keys).
    pub fn key_bytes(mut self, bytes: usize) -> Self {
        self.inner.table.bytes = bytes;
        self
    }
}
