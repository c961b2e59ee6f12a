//! What a producer keeps for consumers with a name.

use std::time::Duration;

use rivermesh_proto::limits;

/// What happens when the log is full of what consumers with a name have not acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Overflow {
    /// [`send`](crate::Producer::send) waits until enough was acknowledged. The default.
    #[default]
    Wait,
    /// [`send`](crate::Producer::send) fails with
    /// [`SendError::Unacknowledged`](crate::SendError::Unacknowledged), and hands the item back.
    Error,
}

/// What a producer keeps for consumers with a name: those that have asked for
/// [`durable_name`](crate::consumer::Builder::durable_name), and groups. For
/// [`Builder::named`](super::super::Builder::named).
///
/// The log keeps every item that some name has not acknowledged. Nothing of that is lost: when there
/// is too much of it, the publisher is told ([`Overflow`]).
///
/// Without a log on disk all of this is in memory: a producer that begins anew, in another epoch, knows
/// no names. With [`durable`](super::super::Builder::durable) what was acknowledged, and what was not,
/// is there and goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    pub(super) names: usize,
    pub(crate) bytes: usize,
    pub(super) in_flight: u32,
    pub(super) member_items: u32,
    pub(super) member_bytes: usize,
    pub(super) forget_after: Option<Duration>,
    pub(crate) overflow: Overflow,
}

impl Default for Named {
    fn default() -> Self {
        Self {
            names: 16,
            bytes: 64 * 1024 * 1024,
            in_flight: 65_536,
            member_items: 256,
            member_bytes: 1024 * 1024,
            forget_after: None,
            overflow: Overflow::Wait,
        }
    }
}

impl Named {
    /// Names that are known at most.
    pub(crate) fn count(&self) -> usize {
        self.names
    }

    /// Names that are known at most, groups included. Default 16, at most 100. A consumer whose name
    /// has no room is refused.
    #[must_use]
    pub fn names(mut self, names: usize) -> Self {
        self.names = names.min(limits::CONSUMERS_NAMED);
        self
    }

    /// Bytes that the log may hold when names have not acknowledged what is in it. Default 64 MiB; not
    /// less than [`log_bytes`](super::super::Builder::log_bytes), which bounds it otherwise. One batch
    /// may lie above it. Without effect where the log is on disk as well: there what is not acknowledged
    /// is kept, up to [`disk_bytes`](rivermesh_store::Config::disk_bytes).
    #[must_use]
    pub fn bytes(mut self, bytes: usize) -> Self {
        self.bytes = bytes;
        self
    }

    /// Items that a consumer with a name of its own may have unacknowledged, whatever it asks for.
    /// Default 65,536; each range of neighbouring ones costs 16 bytes.
    #[must_use]
    pub fn max_in_flight(mut self, items: u32) -> Self {
        self.in_flight = items.max(1);
        self
    }

    /// Items and bytes that a member of a group may have unacknowledged, whatever it asks for. Default
    /// 256 and 1 MiB; each item costs about 150 bytes more. A larger item goes to a member that has
    /// nothing else.
    #[must_use]
    pub fn max_per_member(mut self, items: u32, bytes: usize) -> Self {
        self.member_items = items.max(1);
        self.member_bytes = bytes;
        self
    }

    /// How long a name that nobody has is remembered (of a log on disk since it was opened), and what it has not acknowledged is kept. After
    /// that the name is forgotten, which is logged and counted, and its consumer begins anew when it
    /// comes back. By default a name is never forgotten, but by
    /// [`Producer::forget`](crate::Producer::forget).
    #[must_use]
    pub fn forget_after(mut self, time: Duration) -> Self {
        self.forget_after = Some(time);
        self
    }

    /// What happens when the log is full of what names have not acknowledged. Default
    /// [`Overflow::Wait`].
    #[must_use]
    pub fn overflow(mut self, overflow: Overflow) -> Self {
        self.overflow = overflow;
        self
    }
}
