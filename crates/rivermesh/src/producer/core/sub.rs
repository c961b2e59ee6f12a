//! One subscription.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Instant,
};

use rivermesh_proto::{
    NodeId,
    filter::{FilterSource, GroupId},
    subscribe::Lag,
};
use tokio_util::sync::CancellationToken;

use crate::{
    admission::{Entitled, Lease},
    producer::named::Token,
};

/// One subscription, as its sender and its stream's worker share it.
#[derive(Debug)]
pub(crate) struct Sub {
    pub(crate) peer: NodeId,
    pub(crate) lag: Lag,
    pub(crate) since: Instant,
    /// Cancelled when the consumer is no longer admitted.
    pub(crate) cut: CancellationToken,
    /// Until when the consumer is entitled.
    pub(crate) lease: Lease,
    /// By what.
    pub(in crate::producer) entitled: Mutex<Option<Entitled>>,
    /// Whether the consumer is known to know that it is admitted. One that does not, because its
    /// connection broke, begins anew, without a claim to what was sent in between; so nothing is
    /// sent on its account.
    pub(crate) confirmed: AtomicBool,
    pub(crate) items: AtomicU64,
    pub(crate) filtered: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) missed: AtomicU64,
    pub(crate) position: AtomicU64,
    filter: Mutex<Option<(GroupId, FilterSource)>>,
    /// Its hold on its name, where it has one.
    pub(in crate::producer) token: Option<Token>,
}

impl Sub {
    pub(in crate::producer) fn new(
        peer: NodeId,
        lag: Lag,
        cut: CancellationToken,
        token: Option<Token>,
    ) -> Self {
        Self {
            peer,
            lag,
            since: Instant::now(),
            cut,
            lease: Lease::endless(),
            entitled: Mutex::default(),
            confirmed: AtomicBool::new(false),
            items: AtomicU64::new(0),
            filtered: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            missed: AtomicU64::new(0),
            position: AtomicU64::new(0),
            filter: Mutex::default(),
            token,
        }
    }

    /// Notes the filter that holds now.
    pub(crate) fn turn(&self, group: Option<GroupId>, source: Option<&FilterSource>) {
        let mut filter = self.filter.lock().unwrap_or_else(PoisonError::into_inner);
        *filter = group.zip(source.cloned());
    }

    /// The filter that holds now.
    pub(crate) fn filter(&self) -> Option<(GroupId, FilterSource)> {
        let filter = self.filter.lock();
        filter.unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(in crate::producer) fn counts(&self) -> bool {
        self.confirmed.load(Ordering::Acquire) && !self.cut.is_cancelled()
    }
}
