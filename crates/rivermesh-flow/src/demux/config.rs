//! Settings.

use std::time::Duration;

use crate::{queue::Full, time::timeout};

/// Settings of [`Demux`](super::Demux).
#[derive(Clone, Debug)]
pub struct Config {
    pub(super) max_keys: usize,
    pub(super) max_items_per_key: usize,
    pub(super) max_bytes: usize,
    pub(super) idle: Option<Duration>,
    pub(super) full: Full,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_keys: 1024,
            max_items_per_key: 1024,
            max_bytes: 8 * 1024 * 1024,
            idle: None,
            full: Full::Block,
        }
    }
}

impl Config {
    /// How many sub-streams there are at once, at least 1. For a new key beyond that, the one that
    /// has been quiet the longest among those that hold no item is retired; if all hold items,
    /// [`full`](Config::full) decides. Default 1024.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys.max(1);
        self
    }

    /// How many items wait in one sub-stream, at least 1. Default 1024.
    pub fn max_items_per_key(mut self, items: usize) -> Self {
        self.max_items_per_key = items.max(1);
        self
    }

    /// How many bytes wait in all sub-streams together. One item is taken in any case where none
    /// waits. Default 8 MiB.
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// A sub-stream to which nothing has come for this long, by tokio's clock, is retired: it ends
    /// after what waits in it. The next item of its key begins another. Default: never.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(timeout(idle));
        self
    }

    /// What happens to an item for which there is no room. The default is [`Full::Block`]: the
    /// whole input waits for it. [`Full::SkipOldest`] skips what the same key has waiting, and the
    /// item itself where that makes no room. [`Full::Detach`] retires the key's sub-stream.
    pub fn full(mut self, full: Full) -> Self {
        self.full = full;
        self
    }
}
