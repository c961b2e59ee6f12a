//! One produced stream, without its items' type: the log under the stream's own short lock, who is
//! subscribed, and the one function that admits.
//!
//! An item is encoded and appended by the caller of `send`, so an item that cannot be encoded is
//! an error to that caller and nobody else. Senders sleep on `data`, refused callers on `space`.
//!
//! `sub` is one subscription, `review` what is looked at again and again.

mod review;
mod sub;

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use rivermesh_proto::{
    Epoch, Fingerprint, NodeId, Seq, StreamName,
    catalog::Peer,
    encode::{EncodeError, Encoder},
    filter::{Fault, FilterSource, Plan, Set},
    schema::Schema,
    subscribe::{Accepted, Lag, LagSet, Refusal, Subscribe, Superseded},
    ticket::Right,
};
use slotmap::{SlotMap, new_key_type};
use tokio::sync::{Notify, watch};

use super::{
    dedup::{Dedup, Duplicates},
    disk::Disk,
    feed::Feed,
    groups::Limits,
    log::{Append, Bounds, Log, NotCompacted, Retention},
    named::{Claim, KeyOf, Named, Names},
    pick::{Filtered, Select},
    refusals::Refusals,
    status::Status,
};
use crate::{
    admission::{Desk, Entitled, Gate, Source, Verifier, Wallet},
    condition::{Condition, Predicate},
    task::Tasks,
};

pub(crate) use sub::Sub;

new_key_type! {
    /// Names a subscription within its stream.
    pub(crate) struct SubId;
}

/// What a produced stream allows and demands.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) log_bytes: usize,
    pub(crate) batch_bytes: usize,
    pub(crate) item_bytes: usize,
    pub(crate) filters: Limits,
    pub(crate) retention: Option<Retention>,
    pub(crate) dedup: Option<Dedup>,
    pub(crate) max_consumers: usize,
    pub(crate) allow_lag: LagSet,
    pub(crate) require: Vec<Predicate>,
    pub(crate) online_when: Condition,
    /// What is kept for consumers with a name; `None` where they are refused.
    pub(crate) named: Option<Named>,
    /// Whose tickets a consumer must show one of; `None` asks for none.
    pub(crate) verifier: Option<Verifier>,
    /// What the producer shows to its consumers.
    pub(crate) credential: Source,
}

/// A produced stream.
pub(crate) struct Core {
    pub(crate) name: StreamName,
    pub(crate) epoch: Epoch,
    pub(crate) fingerprint: Fingerprint,
    pub(crate) schema: Arc<Schema>,
    schema_bytes: Bytes,
    pub(crate) settings: Settings,
    pub(super) select: Select,
    log: Mutex<Log>,
    /// The consumers with a name.
    pub(super) names: Names,
    /// The log on disk, where it is to be there as well.
    disk: Option<Disk>,
    /// Tells readers at the end of the log that there is more, or that the stream has ended.
    pub(crate) data: Notify,
    /// Tells whoever was refused because the log was full that it may try again.
    pub(crate) space: Notify,
    /// Tells the worker that subscriptions came or went.
    pub(crate) changed: Notify,
    subs: Mutex<SlotMap<SubId, Arc<Sub>>>,
    active: AtomicUsize,
    online: AtomicBool,
    closed: AtomicBool,
    status: watch::Sender<Status>,
    pub(crate) undelivered: AtomicU64,
    pub(crate) undelivered_lost: AtomicU64,
    /// Asks consumers for tickets; changed while the stream goes on.
    pub(super) gate: Mutex<Option<Arc<Gate>>>,
    pub(super) desk: Desk,
    /// Who was refused of late.
    pub(super) refusals: Refusals,
    wallet: Wallet,
    items_sent: metrics::Counter,
    items_filtered: metrics::Counter,
    items_missed: metrics::Counter,
    pub(super) duplicates: Duplicates,
    pub(crate) tasks: Tasks,
}

impl std::fmt::Debug for Core {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Core")
            .field("stream", &self.name)
            .field("epoch", &self.epoch)
            .finish()
    }
}

impl Core {
    pub(crate) fn new(
        name: StreamName,
        epoch: Epoch,
        schema: Arc<Schema>,
        (select, key_of): (Select, KeyOf),
        settings: Settings,
        (desk, disk): (Desk, Option<Disk>),
        tasks: Tasks,
    ) -> Self {
        let bounds = Bounds {
            log_bytes: settings.log_bytes,
            hold_bytes: settings
                .named
                .map_or(0, |named| named.bytes)
                .max(settings.log_bytes),
            batch_bytes: settings.batch_bytes,
            filters: settings.filters,
            retention: settings.retention.unwrap_or(Retention::ALL),
        };
        let label = name.to_string();
        let gate = settings.verifier.clone().map(|verifier| {
            let (desk, name) = (desk.clone(), name.clone());
            Arc::new(Gate::new(desk, verifier, name, Right::Consume))
        });
        let wallet = Wallet::new(settings.credential.clone(), &tasks);
        let mut log = Log::new(bounds);
        let names = Names::new(settings.named, key_of);
        if let Some(disk) = &disk {
            log.go_on_at(disk.recovered().next);
            names.recover(&name, disk.recovered(), &mut log);
        }
        Self {
            duplicates: Duplicates::new(settings.dedup.clone(), &label),
            fingerprint: schema.fingerprint(),
            schema_bytes: Bytes::from(schema.to_bytes()),
            schema,
            name,
            epoch,
            names,
            settings,
            select,
            log: Mutex::new(log),
            disk,
            data: Notify::new(),
            space: Notify::new(),
            changed: Notify::new(),
            subs: Mutex::default(),
            active: AtomicUsize::new(0),
            online: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            status: watch::Sender::new(Status::default()),
            undelivered: AtomicU64::new(0),
            undelivered_lost: AtomicU64::new(0),
            gate: Mutex::new(gate),
            desk,
            refusals: Refusals::default(),
            wallet,
            items_sent: metrics::counter!("rivermesh_items_sent_total", "stream" => label.clone()),
            items_filtered: metrics::counter!("rivermesh_items_filtered_total", "stream" => label.clone()),
            items_missed: metrics::counter!("rivermesh_items_missed_total", "stream" => label),
            tasks,
        }
    }

    /// Encodes and appends an item, and evaluates the consumers' filters on it.
    #[inline]
    pub(crate) fn append(
        &self,
        encode: impl FnOnce(&mut Encoder<'_>) -> Result<(), EncodeError>,
        evaluate: impl FnOnce(&mut Set) -> Result<(), EncodeError>,
        key: impl FnOnce(&mut Log),
    ) -> Result<Append, EncodeError> {
        let limit = self.settings.item_bytes;
        let encode = |buf: &mut _| encode(&mut Encoder::new(buf, limit));
        let mut log = self.log();
        if !self.grants(&log) {
            return Ok(Append::Full);
        }
        if log.is_keyed() {
            key(&mut log);
        }
        let done = log.append(now_us, encode, evaluate)?;
        drop(log);
        if let Append::Done { wakes: true, .. } = done {
            self.data.notify_waiters();
        }
        Ok(done)
    }

    #[inline]
    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        // Encoding user types runs under this lock and may panic; the log is whole even then,
        // because an unfinished item is cut off by the next one.
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn subs(&self) -> MutexGuard<'_, SlotMap<SubId, Arc<Sub>>> {
        self.subs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[inline]
    pub(crate) fn is_online(&self) -> bool {
        self.online.load(Ordering::Acquire)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }

    /// Whether nobody is subscribed.
    pub(crate) fn is_deserted(&self) -> bool {
        self.active.load(Ordering::Acquire) == 0
    }

    /// Whether an append would be taken now, as far as a look without waiting can tell.
    pub(crate) fn has_room(&self) -> bool {
        let mut log = self.log();
        let has_room = self.grants(&log) && log.has_room();
        // What is refused with an error need not be waited for.
        let is_refused = || match &self.disk {
            Some(disk) if disk.is_overfull() => self.refuses_overflow(),
            Some(disk) => disk.failure().is_some(),
            None => false,
        };
        has_room || self.refuses_overflow() && log.is_held() || is_refused()
    }

    /// The log on disk, where there is one.
    pub(crate) fn disk(&self) -> Option<&Disk> {
        self.disk.as_ref()
    }

    /// Whether the next number may be given out. If not, the disk is asked already.
    #[inline]
    fn grants(&self, log: &Log) -> bool {
        self.disk
            .as_ref()
            .is_none_or(|disk| disk.grants(log.next()))
    }

    pub(crate) fn watch_status(&self) -> watch::Receiver<Status> {
        self.status.subscribe()
    }

    /// Ends the stream: consumers get what the log holds, then its end.
    pub(crate) fn close(&self) {
        // First the log: whoever sees the stream closed finds nothing appended after that.
        self.log().close();
        self.closed.store(true, Ordering::Release);
        self.online.store(false, Ordering::Release);
        self.status.send_modify(|status| {
            status.closed = true;
            status.online = false;
        });
        self.data.notify_waiters();
        self.space.notify_waiters();
        self.changed.notify_one();
    }

    /// Reads a filter and holds it against the stream's schema.
    pub(super) fn plan(&self, source: Option<&FilterSource>) -> Result<Option<Plan>, Refusal> {
        let Some(source) = source else {
            return Ok(None);
        };
        let fault = match source.parse() {
            Ok(filter) => match filter.check(&self.schema) {
                Ok(plan) => return Ok(Some(plan)),
                Err(error) => Fault::from(&error),
            },
            Err(error) => Fault::from(&error),
        };
        Err(Refusal::Filter { fault })
    }

    /// The one function that decides on a subscription: requirement and ticket, then shape, lag
    /// policy and filter, then capacity, then where it begins. A peer that is not let in by the first
    /// two learns nothing else, and its filter is not read.
    pub(crate) fn admit(
        self: &Arc<Self>,
        peer: &Peer,
        ask: &Subscribe,
    ) -> Result<(Feed, Accepted), Refusal> {
        let entitled = self.let_in(peer, ask.credential.as_ref())?;
        let decided = self.fits(ask);
        let decided =
            decided.and_then(|plan| self.enter((peer.id(), entitled), ask, plan, now_us()));
        let shown = ask.credential.as_ref();
        self.refusals
            .decided(peer.id(), decided.as_ref().err(), shown);
        decided
    }

    /// Whether what a peer asks for fits what is produced; with its filter, read.
    fn fits(&self, ask: &Subscribe) -> Result<Option<Plan>, Refusal> {
        if self.is_closed() {
            return Err(Refusal::Closed);
        }
        if ask
            .fingerprint
            .is_some_and(|theirs| theirs != self.fingerprint)
        {
            return Err(Refusal::Schema {
                schema: self.schema_bytes.clone(),
            });
        }
        let allowed = self.settings.allow_lag;
        if !allowed.contains(ask.lag) {
            return Err(Refusal::LagNotAllowed { allowed });
        }
        self.plan(ask.filter.as_ref())
    }

    /// Enters a subscription that was decided on, if there is room.
    pub(super) fn enter(
        self: &Arc<Self>,
        peer: (NodeId, Option<Entitled>),
        ask: &Subscribe,
        plan: Option<Plan>,
        now_us: u64,
    ) -> Result<(Feed, Accepted), Refusal> {
        let (feed, thinned) = self.subscribe(peer, ask, plan, now_us)?;
        let accepted = Accepted {
            epoch: self.epoch,
            start: feed.told(),
            lag: ask.lag,
            thinned,
            schema: ask.fingerprint.is_none().then(|| self.schema_bytes.clone()),
            redelivers: feed.claim().map_or(0, |claim| claim.redelivers),
            credential: self.wallet.current(),
        };
        Ok((feed, accepted))
    }

    /// Makes room for a subscription that is admitted. Gives also the item before which only the
    /// newest items of keys are for it.
    fn subscribe(
        self: &Arc<Self>,
        (peer, entitled): (NodeId, Option<Entitled>),
        ask: &Subscribe,
        plan: Option<Plan>,
        now_us: u64,
    ) -> Result<(Feed, Seq), Refusal> {
        let cut = self.tasks.token().child_token();
        let mut subs = self.subs();
        if subs.len() >= self.settings.max_consumers {
            let max = u32::try_from(self.settings.max_consumers).unwrap_or(u32::MAX);
            return Err(Refusal::Full { max });
        }
        if let Some(disk) = &self.disk
            && self.settings.retention.is_none()
        {
            self.log().reach_back(disk.reader().first());
        }
        let claim = self.claim(peer, ask, (plan.as_ref(), now_us), &subs)?;
        // The group reads the log for its members.
        let is_member = claim.as_ref().is_some_and(Claim::is_shared);
        let token = claim.as_ref().map(Claim::token);
        let sub = Arc::new(Sub::new(peer, ask.lag, cut, token));
        sub.entitle(entitled);
        // Before the subscription is seen: a review on account of another one may count it and
        // set the stream online, and the items sent then are this consumer's, too.
        let mut log = self.log();
        let group = if is_member {
            None
        } else {
            log.enter(plan.as_ref()).map_err(|_| Refusal::FiltersFull)?
        };
        let begun = match &claim {
            Some(claim) => Ok(log.begin_at(claim.from)),
            None => log.begin(ask.start, self.epoch, now_us),
        };
        let begin = begun.map_err(|NotCompacted| {
            log.leave(group);
            Refusal::NotCompacted
        })?;
        let superseded = if is_member {
            Superseded::Send
        } else {
            ask.superseded
        };
        if superseded == Superseded::LeaveOut {
            log.track();
        }
        let blocks = ask.lag == Lag::Block && !is_member;
        let pin = blocks.then(|| log.pin(begin.cursor.seq(), group));
        let filter = group
            .zip(plan)
            .map(|(group, plan)| Filtered::new(&log, group, plan));
        drop(log);
        sub.turn(group, ask.filter.as_ref());
        sub.position.store(begin.cursor.seq(), Ordering::Relaxed);
        let id = subs.insert(Arc::clone(&sub));
        self.active.store(subs.len(), Ordering::Release);
        let core = Arc::clone(self);
        let feed = Feed::new(core, sub, id, (begin, pin), filter, superseded);
        Ok((feed.named(claim), begin.thinned))
    }

    /// Whether a peer may subscribe, as far as the requirement says.
    pub(super) fn admits(&self, peer: &Peer) -> bool {
        self.settings
            .require
            .iter()
            .all(|predicate| predicate(peer))
    }

    /// Counts a subscription from now on: its consumer knows of it.
    pub(crate) fn confirm(&self, sub: &Sub) {
        sub.confirmed.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Counts what a feed has taken for its consumer.
    pub(crate) fn count_sent(&self, items: u64) {
        self.items_sent.increment(items);
    }

    pub(crate) fn count_filtered(&self, items: u64) {
        self.items_filtered.increment(items);
    }

    pub(crate) fn count_missed(&self, items: u64) {
        self.items_missed.increment(items);
    }

    /// Whether there is an item at or after `seq`.
    pub(crate) fn reaches(&self, seq: Seq) -> bool {
        self.log().next() > seq
    }
}

/// How often a log is to be [tended](Core::tend), and so how long a batch of it may be open.
pub(super) const TEND: Duration = Duration::from_secs(1);
/// How long ago an item was sent, by this node's clock.
pub(super) fn age(sent_at_us: u64) -> Duration {
    Duration::from_micros(now_us().saturating_sub(sent_at_us))
}

pub(super) fn now_us() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}
