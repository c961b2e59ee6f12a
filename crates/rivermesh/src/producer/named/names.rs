//! All names of a stream: who gets one, and what the log holds for them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rivermesh_proto::{
    NodeId, Seq, StreamName,
    filter::Plan,
    named::{self, ConsumerName, Share},
    subscribe::{Refusal, Subscribe, Update},
};
use rivermesh_store::Recovered;
use tracing::warn;

use super::{
    Ahead, Token,
    config::Named,
    reader::{KeyOf, Reader},
    room::{Room, State},
    status::Behind,
};
use crate::producer::{core::Core, disk::Disk, log::Log};

/// How long a name that is new waits for the disk.
const NOTE: Duration = Duration::from_secs(3);

type Rooms = BTreeMap<ConsumerName, Arc<Room>>;

/// See the module.
///
/// Locks are taken in this order: the stream's subscriptions, the names, one name's state, the log.
#[derive(Debug)]
pub(crate) struct Names {
    /// `None` where the stream takes no names.
    bounds: Option<Named>,
    pub(super) key_of: KeyOf,
    rooms: Mutex<Rooms>,
    tokens: AtomicU64,
}

/// A consumer's hold on a name; given back when dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    pub(super) core: Arc<Core>,
    pub(super) room: Arc<Room>,
    pub(super) token: Token,
    /// Where the consumer begins.
    pub(crate) from: Seq,
    /// Items before this may come a second time.
    pub(crate) redelivers: Seq,
    /// What to wait for until a crash does not take back that the name is there.
    noting: Option<u64>,
}

impl Claim {
    /// Whether the name is shared.
    pub(crate) fn is_shared(&self) -> bool {
        self.room.share != Share::Alone
    }

    /// The hold as the consumer's subscription has it.
    pub(crate) fn token(&self) -> Token {
        self.token
    }

    /// Waits until a name that is new is on disk, where there is one: whoever knows that it has the name
    /// finds it there after a crash.
    pub(crate) async fn noted(&self) {
        if let (Some(change), Some(disk)) = (self.noting, self.core.disk()) {
            // A disk that takes nothing is no reason to refuse: what it does not take is in memory.
            let _ = tokio::time::timeout(NOTE, disk.noted(change)).await;
        }
    }

    /// What is needed to take the consumer's acknowledgements, however long the claim lives.
    pub(crate) fn ear(&self) -> Ear {
        Ear {
            room: Arc::clone(&self.room),
            token: self.token,
        }
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.core.names.leave(&self.core, &self.room, self.token);
    }
}

/// Takes a consumer's acknowledgements.
#[derive(Clone, Debug)]
pub(crate) struct Ear {
    room: Arc<Room>,
    token: Token,
}

impl Ear {
    /// Takes what the consumer says that it has done with.
    ///
    /// # Errors
    /// When it was never sent to the consumer.
    pub(crate) fn take(&self, core: &Core, said: &Update) -> Result<(), Ahead> {
        if self.room.acknowledge(self.token, said)? {
            core.names.hold(core);
        }
        Ok(())
    }
}

impl Names {
    pub(crate) fn new(bounds: Option<Named>, key_of: KeyOf) -> Self {
        Self {
            bounds,
            key_of,
            rooms: Mutex::default(),
            tokens: AtomicU64::new(0),
        }
    }

    fn rooms(&self) -> MutexGuard<'_, Rooms> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a consumer the name that it asks for, and tells who had it before. `start` is where a
    /// name begins that is new.
    pub(crate) fn enter(
        &self,
        core: &Arc<Core>,
        (peer, ask): (NodeId, &Subscribe),
        named: &named::Named,
        plan: Option<&Plan>,
        start: impl FnOnce(&mut Log) -> Seq,
    ) -> Result<(Claim, Option<Token>), Refusal> {
        let bounds = self.bounds.as_ref().ok_or(Refusal::NamesNotAllowed)?;
        let mut rooms = self.rooms();
        let known = rooms.get(&named.name).map(Arc::clone);
        let room = match known {
            Some(room) if room.share != named.share => return Err(Refusal::NameDiffers),
            Some(room) => room,
            None if rooms.len() >= bounds.names => {
                let max = u32::try_from(bounds.names).unwrap_or(u32::MAX);
                return Err(Refusal::NamesFull { max });
            }
            None => begin(core, named, &rooms, start),
        };
        let token = Token(self.tokens.fetch_add(1, Ordering::Relaxed));
        let mut state = room.state();
        let was_away = state.away().is_some();
        let attached = gather(&mut state, core, (peer, ask), plan)
            .and_then(|()| state.attach(peer, token, named, bounds));
        drop(state);
        let (from, redelivers, before) = attached.inspect_err(|_| {
            // A name that was to be new is not, and keeps nothing.
            if core.disk().is_none() && core.log().hold(lowest(&rooms)) {
                core.space.notify_waiters();
            }
        })?;
        let is_new = rooms
            .insert(named.name.clone(), Arc::clone(&room))
            .is_none();
        // What a name that is new has not seen may be missed; of one that is known it is done with.
        let redelivers = if is_new { 0 } else { redelivers };
        if was_away && !is_new {
            core.log().leave(None);
        }
        drop(rooms);
        room.bell.notify_waiters();
        let noting = core.disk().filter(|_| is_new).map(Disk::note);
        let claim = Claim {
            core: Arc::clone(core),
            room,
            token,
            from,
            redelivers,
            noting,
        };
        Ok((claim, before))
    }

    fn leave(&self, core: &Core, room: &Arc<Room>, token: Token) {
        let rooms = self.rooms();
        let mut state = room.state();
        let was_there = state.away().is_none();
        let reader = state.detach(token, Instant::now());
        let is_left = was_there && state.away().is_some();
        drop(state);
        if is_left
            && rooms
                .get(&room.name)
                .is_some_and(|known| Arc::ptr_eq(known, room))
        {
            // As long as the name is known, what is sent is for somebody. Without a filter there is
            // no error.
            let _ = core.log().enter(None);
        }
        drop(rooms);
        // It has locks of its own to take.
        drop(reader);
        room.bell.notify_waiters();
        core.changed.notify_one();
    }

    /// Tells the log what to keep: the one on disk where there is one, else the one in memory.
    pub(super) fn hold(&self, core: &Core) {
        if let Some(disk) = core.disk() {
            disk.note();
            return;
        }
        let rooms = self.rooms();
        let relieved = core.log().hold(lowest(&rooms));
        drop(rooms);
        if relieved {
            core.space.notify_waiters();
        }
    }

    /// Forgets a name, and gives those that have it.
    pub(crate) fn forget(&self, core: &Core, name: &str) -> Option<Vec<Token>> {
        let mut rooms = self.rooms();
        let name = ConsumerName::new(name).ok()?;
        let room = rooms.remove(&name)?;
        let state = room.state();
        let (tokens, is_away) = (state.tokens(), state.away().is_some());
        drop(state);
        if is_away {
            core.log().leave(None);
        }
        drop(rooms);
        room.lag.set(0.0);
        self.hold(core);
        Some(tokens)
    }

    /// Forgets the names that nobody has had for long, and gives when to look again.
    pub(crate) fn expire(&self, core: &Core, now: Instant) -> Option<Instant> {
        let after = self.bounds.as_ref()?.forget_after?;
        let rooms: Vec<Arc<Room>> = self.rooms().values().cloned().collect();
        let mut next = None;
        for room in rooms {
            let Some(away) = room.state().away() else {
                continue;
            };
            let due = away + after;
            if due > now {
                next = Some(next.map_or(due, |next: Instant| next.min(due)));
                continue;
            }
            let (stream, name, committed) = (&core.name, &room.name, room.committed());
            warn!(%stream, %name, committed, ?after, "a consumer's name is forgotten");
            metrics::counter!("rivermesh_named_forgotten_total", "stream" => stream.to_string())
                .increment(1);
            self.forget(core, room.name.as_str());
        }
        next
    }

    /// How far behind all names are.
    pub(crate) fn behind(&self, core: &Core) -> Vec<Behind> {
        let rooms: Vec<Arc<Room>> = self.rooms().values().cloned().collect();
        let show = |room: &Arc<Room>| {
            let state = room.state();
            let (committed, in_flight) = (state.committed(), state.in_flight());
            let (holders, away) = (state.tokens().len(), state.away());
            drop(state);
            let (lag, on_disk) = core.lag(committed);
            room.lag.set(lag.items as f64);
            Behind {
                name: room.name.clone(),
                share: room.share,
                holders,
                away_for: away.map(|since| since.elapsed()),
                committed,
                in_flight,
                items: lag.items,
                bytes: lag.bytes + on_disk,
                age: lag
                    .since_us
                    .map_or(Duration::ZERO, crate::producer::core::age),
            }
        };
        rooms.iter().map(show).collect()
    }

    /// The stream has ended: nobody is behind any more.
    pub(crate) fn close(&self) {
        for room in self.rooms().values() {
            room.lag.set(0.0);
        }
    }

    /// Takes up the names of an earlier life of the process. What is sent is for them, too.
    pub(crate) fn recover(&self, stream: &StreamName, found: &Recovered, log: &mut Log) {
        if self.bounds.is_none() {
            return;
        }
        let mut rooms = self.rooms();
        for (text, committed) in &found.commits {
            let Some((name, share)) = of_text(text) else {
                warn!(%stream, text, "the disk has a position of what is no name");
                continue;
            };
            let lag = gauge(stream, &name);
            // It cannot be ahead, unless the disk is damaged.
            let committed = (*committed).min(found.next);
            let key = name.clone();
            let room = Room::new((name, share), committed, found.next, Instant::now(), lag);
            rooms.insert(key, Arc::new(room));
            // Without a filter there is no error.
            let _ = log.enter(None);
        }
    }

    /// How far all names are, as the disk is to know it.
    pub(crate) fn positions(&self) -> BTreeMap<String, Seq> {
        let rooms = self.rooms();
        let position = |room: &Arc<Room>| (text_of(room), room.committed());
        rooms.values().map(position).collect()
    }

    /// Up to where everybody is done; [`Seq::MAX`] where there is no name.
    pub(crate) fn lowest(&self) -> Seq {
        lowest(&self.rooms())
    }

    /// Whether there is any name.
    pub(crate) fn is_used(&self) -> bool {
        self.bounds.is_some() && !self.rooms().is_empty()
    }
}

/// Sees to it that a group reads the log, with the filter of its first member.
fn gather(
    state: &mut State,
    core: &Arc<Core>,
    (peer, ask): (NodeId, &Subscribe),
    plan: Option<&Plan>,
) -> Result<(), Refusal> {
    let State::Group(shared) = state else {
        return Ok(());
    };
    if shared.group.members() > 0 && shared.filter != ask.filter {
        return Err(Refusal::NameDiffers);
    }
    if shared.reader.is_none() {
        let feed = core.group_feed(peer, plan.cloned(), shared.group.next())?;
        shared.reader = Some(Reader::new(feed));
        shared.filter.clone_from(&ask.filter);
    }
    Ok(())
}

/// A name that is new: from its first item on, the log keeps what it has not acknowledged.
fn begin(
    core: &Core,
    named: &named::Named,
    rooms: &Rooms,
    start: impl FnOnce(&mut Log) -> Seq,
) -> Arc<Room> {
    let mut log = core.log();
    let mut start = start(&mut log);
    if let Some(disk) = core.disk() {
        start = start.max(disk.reader().first());
    } else {
        start = start.max(log.oldest());
        // Nobody waits for this: it keeps more than before.
        log.hold(lowest(rooms).min(start));
    }
    drop(log);
    let lag = gauge(&core.name, &named.name);
    let room = (named.name.clone(), named.share);
    Arc::new(Room::new(room, start, start, Instant::now(), lag))
}

/// A name on disk, which says how it is shared.
fn text_of(room: &Room) -> String {
    format!("{}:{}", room.share, room.name)
}

fn of_text(text: &str) -> Option<(ConsumerName, Share)> {
    let (share, name) = text.split_once(':')?;
    let all = [Share::Alone, Share::Least, Share::Key];
    let share = all.into_iter().find(|known| known.to_string() == share)?;
    Some((ConsumerName::new(name).ok()?, share))
}

fn lowest(rooms: &Rooms) -> Seq {
    let committed = rooms.values().map(|room| room.committed());
    committed.min().unwrap_or(Seq::MAX)
}

fn gauge(stream: &StreamName, name: &ConsumerName) -> metrics::Gauge {
    let (stream, name) = (stream.to_string(), name.to_string());
    metrics::gauge!("rivermesh_named_lag_items", "stream" => stream, "name" => name)
}
