//! One proven connection to a peer, and who uses it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use iroh::endpoint::Connection;
use rivermesh_proto::{NodeId, code::Code, wire::StreamKind};
use tokio::sync::{Mutex, MutexGuard};

use super::stream::{self, Reader, WriteError, Writer};

/// A proven connection to a peer: both sides have shown the network key and their entries.
#[derive(Debug)]
pub(crate) struct Link {
    connection: Connection,
    peer: NodeId,
    instance: u64,
    dialed: bool,
    uses: AtomicUsize,
    retired: AtomicBool,
    /// The last round-trip time that [`Link::measure`] gave, in nanoseconds.
    measured: AtomicU64,
    /// Held by the request of the peer whose ticket is looked at.
    turn: Mutex<()>,
}

impl Link {
    pub(crate) fn new(connection: Connection, instance: u64, dialed: bool) -> Self {
        let peer = connection.remote_id();
        Self {
            connection,
            peer,
            instance,
            dialed,
            uses: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            measured: AtomicU64::new(0),
            turn: Mutex::new(()),
        }
    }

    /// The node at the other end.
    pub(crate) fn peer(&self) -> NodeId {
        self.peer
    }

    /// Which life of the peer's process this is.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// Whether this node dialed; otherwise the peer did.
    pub(crate) fn dialed(&self) -> bool {
        self.dialed
    }

    /// Names this connection among all of this process.
    pub(crate) fn id(&self) -> usize {
        self.connection.stable_id()
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// The transport's estimate of the round-trip time on the path in use, if it is another one than
    /// the last time: the same once more is no further evidence.
    ///
    /// The transport measures by acknowledgements (RFC 9002, section 5). What a peer says of its own
    /// delay never makes the estimate less than the shortest time that was measured.
    pub(crate) fn measure(&self) -> Option<Duration> {
        let paths = self.connection.paths();
        let selected = paths.iter().find(iroh::endpoint::Path::is_selected);
        let rtt = selected.or_else(|| paths.iter().next())?.rtt();
        let nanos = u64::try_from(rtt.as_nanos()).unwrap_or(u64::MAX);
        (self.measured.swap(nanos, Ordering::Relaxed) != nanos).then_some(rtt)
    }

    /// Opens a stream of this kind in both directions.
    pub(crate) async fn open(&self, kind: StreamKind) -> Result<(Writer, Reader), WriteError> {
        stream::open(&self.connection, Some(kind)).await
    }

    /// Opens a stream of this kind that only we write to.
    pub(crate) async fn open_uni(&self, kind: StreamKind) -> Result<Writer, WriteError> {
        stream::open_uni(&self.connection, kind).await
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.connection.close_reason().is_some()
    }

    /// Closes the connection at once, with all its streams.
    pub(crate) fn close(&self, code: Code) {
        stream::close(&self.connection, code);
    }

    /// Waits until no other request of the peer is held up by this, in the order of asking.
    pub(crate) async fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// Marks the link as used; an unused one is closed after a while.
    pub(crate) fn hold(self: &Arc<Self>) -> Use {
        self.uses.fetch_add(1, Ordering::SeqCst);
        Use(Arc::clone(self))
    }

    pub(crate) fn is_used(&self) -> bool {
        self.uses.load(Ordering::SeqCst) > 0
    }

    /// Closes the link when its last user is done, for another connection is kept.
    pub(super) fn retire(&self) {
        // In this order here and the opposite one below: whoever comes last sees what the other did.
        self.retired.store(true, Ordering::SeqCst);
        if !self.is_used() {
            self.close(Code::Duplicate);
        }
    }
}

/// Somebody's use of a [`Link`]; ends when dropped.
#[derive(Debug)]
pub(crate) struct Use(Arc<Link>);

impl std::ops::Deref for Use {
    type Target = Arc<Link>;

    fn deref(&self) -> &Arc<Link> {
        &self.0
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        let last = self.0.uses.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && self.0.retired.load(Ordering::SeqCst) {
            self.0.close(Code::Duplicate);
        }
    }
}
