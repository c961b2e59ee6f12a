//! What a store may take.

/// Bounds of a store. Each can be different when the store is opened again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Config {
    /// Bytes on disk. Default 1 GiB. When an append would go over it, the oldest segments are
    /// deleted, but none that is [held](crate::Store::hold): then the append is refused. The newest
    /// segment always stays.
    pub disk_bytes: u64,
    /// Bytes at which a segment is full and the next one begins. Default 32 MiB, at least 4 KiB, and a
    /// quarter of `disk_bytes` at most. The disk is given back by whole segments; each costs a file, and two syncs when it begins.
    pub segment_bytes: u64,
    /// Bytes between two places of a segment that are kept in memory, 16 bytes each. Default 64 KiB:
    /// 256 KiB of memory for 1 GiB on disk. What a read may have to pass over.
    pub index_bytes: u64,
    /// Names of which committed positions are kept. Default 1,024, at most 4,096, each of at most
    /// 128 bytes.
    pub names: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            disk_bytes: 1 << 30,
            segment_bytes: 32 << 20,
            index_bytes: 64 << 10,
            names: 1024,
        }
    }
}

impl Config {
    /// Sets [`disk_bytes`](Self::disk_bytes).
    #[must_use]
    pub fn disk_bytes(mut self, bytes: u64) -> Self {
        self.disk_bytes = bytes;
        self
    }

    /// Sets [`segment_bytes`](Self::segment_bytes).
    #[must_use]
    pub fn segment_bytes(mut self, bytes: u64) -> Self {
        self.segment_bytes = bytes;
        self
    }

    /// Sets [`index_bytes`](Self::index_bytes).
    #[must_use]
    pub fn index_bytes(mut self, bytes: u64) -> Self {
        self.index_bytes = bytes;
        self
    }

    /// Sets [`names`](Self::names).
    #[must_use]
    pub fn names(mut self, names: usize) -> Self {
        self.names = names;
        self
    }

    /// The same within what is possible.
    pub(crate) fn checked(mut self) -> Self {
        // Room is given back by segments: with fewer than four, most of the bound would lie idle.
        self.segment_bytes = self.segment_bytes.min(self.disk_bytes / 4).max(4 << 10);
        self.index_bytes = self.index_bytes.max(1 << 10);
        self.names = self.names.min(4096);
        self
    }
}
