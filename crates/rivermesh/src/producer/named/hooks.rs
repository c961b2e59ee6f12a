//! What a stream's core does for consumers with a name.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rivermesh_proto::{
    NodeId, Seq,
    filter::Plan,
    subscribe::{Lag, Refusal, Subscribe, Superseded},
};
use slotmap::SlotMap;
use tokio_util::sync::CancellationToken;

use super::{Claim, Overflow, Token};
use crate::producer::{
    core::{Core, Sub, SubId},
    feed::Feed,
    log::{Lagging, Log},
    pick::Filtered,
};

impl Core {
    /// Whether an item is refused for good when names have not acknowledged too much.
    pub(crate) fn refuses_overflow(&self) -> bool {
        let named = self.settings.named;
        named.is_some_and(|named| named.overflow == Overflow::Error)
    }

    /// The name that a consumer asks for, if it does. Who had it before on the same node is cut.
    pub(in crate::producer) fn claim(
        self: &Arc<Self>,
        peer: NodeId,
        ask: &Subscribe,
        (plan, now_us): (Option<&Plan>, u64),
        subs: &SlotMap<SubId, Arc<Sub>>,
    ) -> Result<Option<Claim>, Refusal> {
        let Some(named) = &ask.named else {
            return Ok(None);
        };
        let start = |log: &mut Log| log.first_in_full(ask.start, self.epoch, now_us);
        let asking = (peer, ask);
        let (claim, before) = self.names.enter(self, asking, named, plan, start)?;
        cut(subs, before.as_slice());
        Ok(Some(claim))
    }

    /// How a group reads the log from an item on.
    pub(in crate::producer) fn group_feed(
        self: &Arc<Self>,
        peer: NodeId,
        plan: Option<Plan>,
        from: Seq,
    ) -> Result<Feed, Refusal> {
        let mut log = self.log();
        let group = log.enter(plan.as_ref()).map_err(|_| Refusal::FiltersFull)?;
        let begin = log.begin_at(from);
        let filter = group
            .zip(plan)
            .map(|(group, plan)| Filtered::new(&log, group, plan));
        drop(log);
        // Nobody sees it, and nobody cuts it.
        let sub = Sub::new(peer, Lag::Skip, CancellationToken::new(), None);
        let id = SubId::default();
        Ok(Feed::new(
            Arc::clone(self),
            Arc::new(sub),
            id,
            (begin, None),
            filter,
            Superseded::Send,
        )
        .keeping())
    }

    /// What lies behind an item: in memory, and how many bytes on disk alone.
    pub(super) fn lag(&self, from: Seq) -> (Lagging, u64) {
        let log = self.log();
        let Some(disk) = self.disk() else {
            return (log.lag(from), 0);
        };
        let oldest = log.oldest();
        let mut lag = log.lag(from);
        lag.items = log.next().saturating_sub(from);
        drop(log);
        (lag, disk.reader().bytes(from..oldest))
    }

    /// Forgets names that nobody has had for long, and brings the gauges of the others up to date.
    /// Gives in which time to do it again; `None` where there is no name.
    pub(in crate::producer) fn review_named(&self) -> Option<Duration> {
        if !self.names.is_used() {
            return None;
        }
        let now = Instant::now();
        let due = self.names.expire(self, now);
        self.names.behind(self);
        let second = Duration::from_secs(1);
        Some(due.map_or(second, |due| second.min(due.saturating_duration_since(now))))
    }

    /// Forgets a name, and cuts those that have it. False where it is not known.
    pub(crate) fn forget(&self, name: &str) -> bool {
        let Some(tokens) = self.names.forget(self, name) else {
            return false;
        };
        cut(&self.subs(), &tokens);
        true
    }
}

/// Cuts the subscriptions that have these holds on names.
fn cut(subs: &SlotMap<SubId, Arc<Sub>>, tokens: &[Token]) {
    for sub in subs.values() {
        if sub.token.is_some_and(|token| tokens.contains(&token)) {
            sub.cut.cancel();
        }
    }
}
