//! One subscription's way through the log: a cursor, its lag policy, its counters.
//!
//! A sender (over QUIC) and a local receiver (without) both pull frames from a [`Feed`].

use std::{
    convert::Infallible,
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use rivermesh_proto::{
    Seq,
    batch::{self, Batch, Builder, Pick},
    filter::FilterSource,
    subscribe::{Lag, Refusal, Superseded},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    core::{Core, Sub, SubId},
    log::{Begin, Cursor, Log, Outlook, Pin, Read, Thin},
    named::{Claim, Holding},
    pick::{Filtered, Wanted, all},
};

pub(super) mod behind;

/// Bytes that one pull takes at most, if no single batch is larger: what a sender holds of the log
/// while its peer does not read.
pub(super) const PULL_BYTES: usize = 128 * 1024;

/// How long a consumer may be left without word while its filter lets nothing through. What the
/// log has lost when a connection breaks is told as missed from the last word on.
pub(super) const SILENCE: Duration = Duration::from_secs(1);

/// What [`Feed::pull`] found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Pull {
    /// Frames were put out.
    Frames,
    /// What comes next is on disk, up to this number: [`Feed::fetch`] reads it.
    Behind {
        /// From here on it is in memory.
        to: Seq,
    },
    /// Nothing now; [`Feed::ready`] waits for more.
    Nothing,
    /// The stream has ended and everything of it was put out.
    Ended,
    /// The consumer fell behind and wants to be disconnected then.
    Lagged,
    /// The filter that the consumer changed to is not taken. A pull does not find this.
    Refused(Refusal),
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Feed {
    core: Arc<Core>,
    sub: Arc<Sub>,
    id: SubId,
    cursor: Cursor,
    pin: Option<Pin>,
    filter: Option<Filtered>,
    /// For a consumer with a name: what it does instead of reading as it likes.
    holding: Option<Box<Holding>>,
    /// The consumer is to be told where it stands, though there is no item for it.
    is_silent: bool,
    /// What lies between where the cursor was told and where it stands is gone.
    is_missing: bool,
    /// The part in which only newest items of keys are for the consumer.
    thin: Thin,
    /// Whether superseded items are left out while the consumer is behind.
    superseded: Superseded,
    /// Nothing is to be passed over as long as it is anywhere: somebody acknowledges what is read.
    keeps: bool,
}

impl Feed {
    pub(super) fn new(
        core: Arc<Core>,
        sub: Arc<Sub>,
        id: SubId,
        (begin, pin): (Begin, Option<Pin>),
        filter: Option<Filtered>,
        superseded: Superseded,
    ) -> Self {
        let cursor = begin.cursor;
        Self {
            core,
            sub,
            id,
            cursor,
            pin,
            filter,
            holding: None,
            is_silent: false,
            is_missing: cursor.told() < cursor.seq(),
            thin: Thin {
                until: begin.thinned,
                is_strict: false,
            },
            superseded,
            keeps: false,
        }
    }

    /// The same for somebody who acknowledges what is read.
    pub(super) fn keeping(mut self) -> Self {
        self.keeps = true;
        self
    }

    /// The same for a consumer with a name.
    pub(super) fn named(mut self, claim: Option<Claim>) -> Self {
        self.keeps = claim.is_some();
        self.holding = claim.map(|claim| Box::new(Holding::new(claim)));
        self
    }

    /// The consumer's hold on its name.
    pub(crate) fn claim(&self) -> Option<&Claim> {
        self.holding.as_ref().map(|holding| holding.claim())
    }

    pub(crate) fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The subscription.
    pub(crate) fn sub(&self) -> &Arc<Sub> {
        &self.sub
    }

    /// The number of the first item that was not put out or left out yet.
    pub(crate) fn next(&self) -> Seq {
        let own = || self.cursor.seq();
        self.holding
            .as_ref()
            .map_or_else(own, |holding| holding.told())
    }

    /// Everything before this was put out.
    pub(super) fn told(&self) -> Seq {
        let own = || self.cursor.told();
        self.holding
            .as_ref()
            .map_or_else(own, |holding| holding.told())
    }

    /// Cancelled when the consumer is no longer admitted.
    pub(crate) fn cut(&self) -> &CancellationToken {
        &self.sub.cut
    }

    /// Puts out the frames after the cursor.
    pub(crate) fn pull(&mut self, out: &mut Vec<Bytes>) -> Pull {
        // Whoever has slept, this task or the whole process, looks before it sends.
        if self.sub.lease.is_over() {
            self.sub.cut.cancel();
            return Pull::Nothing;
        }
        let told = self.told();
        let mut taken = Taken::default();
        let pull = match self.holding.take() {
            None => self.take(out, &mut taken),
            Some(mut holding) => {
                let pull = holding.pull(self, out, &mut taken);
                self.holding = Some(holding);
                pull
            }
        };
        self.account(told, taken);
        pull
    }

    /// Counts what was put out since the consumer had been told of everything before `told`.
    fn account(&self, told: Seq, mut taken: Taken) {
        let moved = self.told() - told;
        if moved + taken.again > 0 {
            let (sub, filtered) = (&self.sub, moved - taken.items - taken.missed);
            taken.items += taken.again;
            sub.items.fetch_add(taken.items, Ordering::Relaxed);
            sub.filtered.fetch_add(filtered, Ordering::Relaxed);
            sub.missed.fetch_add(taken.missed, Ordering::Relaxed);
            sub.bytes.fetch_add(taken.bytes, Ordering::Relaxed);
            self.core.count_sent(taken.items);
            self.core.count_filtered(filtered);
            self.core.count_missed(taken.missed);
        }
        self.sub.position.store(self.next(), Ordering::Relaxed);
    }

    /// Puts out the frames after the cursor, for somebody who passes them on and counts himself.
    pub(super) fn read(&mut self, out: &mut Vec<Bytes>) -> Pull {
        self.take(out, &mut Taken::default())
    }

    fn take(&mut self, out: &mut Vec<Bytes>, taken: &mut Taken) -> Pull {
        // Looked at before the log: what was sent before the end is then certainly seen.
        let closed = self.core.is_closed();
        let core = Arc::clone(&self.core);
        let mut log = core.log();
        let mut sorted = 0;
        taken.missed += self.tell_missing(&mut log, out);
        loop {
            let read = self.look(&mut log, out);
            match read {
                // So that a part of which nothing is left does not hold the log for long.
                Read::Passed => sorted += PULL_BYTES / 64,
                Read::Held { items, at_us } => {
                    drop(log);
                    sorted += self.held(&items, at_us, out, taken);
                    log = core.log();
                }
                Read::Newest { frame, items } => {
                    drop(log);
                    sorted += frame.len();
                    self.sort(&frame, Wanted::These(&items), out, taken);
                    log = core.log();
                }
                Read::Frames { items, bytes } => {
                    self.move_pin(&mut log);
                    taken.items += items;
                    taken.bytes += bytes;
                    return Pull::Frames;
                }
                Read::Unsorted { frame, from } => {
                    // Not under the lock: this decodes items, and one that has waited long in the
                    // log is no reason to keep the producer waiting.
                    drop(log);
                    sorted += frame.len();
                    self.sort(&frame, Wanted::From(from), out, taken);
                    log = core.log();
                }
                Read::Lost { to, .. } if self.is_on_disk() => {
                    return if out.is_empty() {
                        Pull::Behind { to }
                    } else {
                        Pull::Frames
                    };
                }
                Read::Lost { from, to } => {
                    if self.sub.lag == Lag::Disconnect {
                        return if out.is_empty() {
                            Pull::Lagged
                        } else {
                            Pull::Frames
                        };
                    }
                    Log::tell(&mut self.cursor, out);
                    self.cursor = match self.sub.lag {
                        Lag::Newest => log.newest(),
                        _ => log.cursor(to),
                    };
                    let to = self.cursor.seq();
                    out.push(batch::gap(from, to));
                    taken.missed += to - from;
                }
                Read::End => {
                    self.move_pin(&mut log);
                    return self.at_end(closed, out);
                }
            }
            if sorted >= PULL_BYTES {
                Log::tell(&mut self.cursor, out);
                self.move_pin(&mut log);
                return Pull::Frames;
            }
        }
    }

    /// One look into the log, in the way that is due where the cursor stands.
    fn look(&mut self, log: &mut Log, out: &mut Vec<Bytes>) -> Read {
        let group = self.filter.as_ref().map(Filtered::group);
        if self.superseded == Superseded::LeaveOut
            && self.cursor.seq() >= self.thin.until
            && log.is_behind(&self.cursor, group)
        {
            self.thin = Thin {
                until: log.next(),
                is_strict: true,
            };
        }
        if self.cursor.seq() < self.thin.until {
            return log.read_thin(&mut self.cursor, group, self.thin, out);
        }
        match group {
            None => {
                // What a part that was thinned out ended with: the log's own frames begin where the
                // cursor stands.
                Log::tell(&mut self.cursor, out);
                log.read(&mut self.cursor, PULL_BYTES, out)
            }
            Some(group) => log.read_group(&mut self.cursor, group, PULL_BYTES, out),
        }
    }

    /// Tells what was gone already when the consumer came, and how much that is.
    fn tell_missing(&mut self, log: &mut Log, out: &mut Vec<Bytes>) -> u64 {
        if !std::mem::take(&mut self.is_missing) {
            return 0;
        }
        let (from, oldest) = (self.cursor.told(), log.oldest());
        if self.cursor.seq() < oldest && self.sub.lag != Lag::Disconnect {
            // More has gone since, which makes it one gap.
            self.cursor = log.cursor(oldest);
        }
        out.push(batch::gap(from, self.cursor.seq()));
        self.cursor.put_out();
        self.cursor.seq() - from
    }

    /// Puts out items that were kept beyond the ring, and how many bytes that is.
    fn held(
        &mut self,
        items: &[(Seq, Bytes)],
        at_us: u64,
        out: &mut Vec<Bytes>,
        taken: &mut Taken,
    ) -> usize {
        let mut builder = Builder::new(4096);
        let mut picks = Vec::with_capacity(items.len());
        for (seq, item) in items {
            let offset = builder.offset();
            picks.push(Pick { seq: *seq, offset });
            let put = |buf: &mut BytesMut| -> Result<(), Infallible> {
                buf.extend_from_slice(item);
                Ok(())
            };
            let Ok(()) = builder.push(put);
        }
        let Some(frame) = builder.seal(0, at_us) else {
            return 0;
        };
        if let (Some(filter), Some(batch)) = (&mut self.filter, Batch::of_frame(&frame)) {
            let found = filter.select(&self.core, &batch, 0);
            let mut found = found.iter().map(|pick| pick.offset).peekable();
            picks.retain(|pick| found.next_if_eq(&pick.offset).is_some());
        }
        let end = self.cursor.seq();
        self.put(&frame, end, picks, out, taken);
        frame.len()
    }

    /// Puts out some items of a frame, with all that was left out up to `end`.
    fn put(
        &mut self,
        frame: &Bytes,
        end: Seq,
        picks: Vec<Pick>,
        out: &mut Vec<Bytes>,
        taken: &mut Taken,
    ) {
        if picks.is_empty() {
            return;
        }
        let (items, range) = (picks.len() as u64, self.cursor.told()..end);
        if let Some(thinned) = batch::thinned(frame, range, picks.into_iter()) {
            taken.items += items;
            taken.bytes += thinned.len() as u64;
            out.push(thinned);
            self.cursor.put_out();
        }
    }

    /// Whether what the ring holds no more is read from disk. Who wants the newest only does not want
    /// that, and a bound on the age of items holds for all but those that acknowledge.
    fn is_on_disk(&self) -> bool {
        let retention = &self.core.settings.retention;
        let is_aging = retention.is_some_and(|retention| retention.age.is_some());
        let is_wanted = self.keeps || self.sub.lag != Lag::Newest && !is_aging;
        is_wanted && self.core.disk().is_some()
    }

    /// Lets go what the cursor has passed, and tells whoever was refused because of it.
    fn move_pin(&self, log: &mut Log) {
        if let Some(pin) = self.pin
            && log.move_pin(pin, self.cursor.seq())
        {
            self.core.space.notify_waiters();
        }
    }

    fn at_end(&mut self, closed: bool, out: &mut Vec<Bytes>) -> Pull {
        if closed || self.is_silent || !out.is_empty() {
            Log::tell(&mut self.cursor, out);
            self.is_silent = false;
        }
        match (out.is_empty(), closed) {
            (false, _) => Pull::Frames,
            (true, true) => Pull::Ended,
            (true, false) => Pull::Nothing,
        }
    }

    /// Picks the items of a batch that was sealed before anybody had the filter, or of which some
    /// are superseded.
    fn sort(&mut self, frame: &Bytes, wanted: Wanted<'_>, out: &mut Vec<Bytes>, taken: &mut Taken) {
        let Some(batch) = Batch::of_frame(frame) else {
            return;
        };
        let from = match wanted {
            Wanted::From(from) => from,
            Wanted::These([]) => return,
            Wanted::These([first, ..]) => *first,
        };
        let mut picks = match &mut self.filter {
            Some(filter) => filter.select(&self.core, &batch, from),
            None => all(&batch),
        };
        if let Wanted::These(items) = wanted {
            let mut items = items.iter().peekable();
            picks.retain(|pick| {
                while items.next_if(|seq| **seq < pick.seq).is_some() {}
                items.next_if_eq(&&pick.seq).is_some()
            });
        }
        self.put(frame, batch.end(), picks, out, taken);
    }

    /// Changes the filter, from the item on whose number is given; what the old one was to leave
    /// out before that is put out.
    ///
    /// # Errors
    /// When the producer does not take the filter; the old one holds then.
    pub(crate) fn refilter(
        &mut self,
        source: Option<&FilterSource>,
        out: &mut Vec<Bytes>,
    ) -> Result<Seq, Refusal> {
        let plan = self.core.plan(source)?;
        // All members of a group have the filter of the first.
        let from = self.holding.as_mut().map(|holding| holding.rewind());
        let from = from
            .map(|from| from.ok_or(Refusal::NameDiffers))
            .transpose()?;
        let core = Arc::clone(&self.core);
        let mut log = core.log();
        if let Some(from) = from {
            self.cursor = log.cursor(from);
        }
        let missed = self.tell_missing(&mut log, out);
        self.sub.missed.fetch_add(missed, Ordering::Relaxed);
        self.core.count_missed(missed);
        let told = self.told();
        let group = log.enter(plan.as_ref()).map_err(|_| Refusal::FiltersFull)?;
        if let Some(old) = &self.filter {
            log.settle(&mut self.cursor, old.group());
        }
        Log::tell(&mut self.cursor, out);
        log.leave(self.filter.as_ref().map(Filtered::group));
        self.filter = group
            .zip(plan)
            .map(|(group, plan)| Filtered::new(&log, group, plan));
        if let Some(pin) = self.pin {
            log.move_pin(pin, self.cursor.seq());
            log.turn_pin(pin, group);
        }
        drop(log);
        if let Some(holding) = &mut self.holding {
            holding.tell(self.cursor.told());
        }
        self.sub.turn(group, source);
        let filtered = self.cursor.told() - told;
        self.sub.filtered.fetch_add(filtered, Ordering::Relaxed);
        self.core.count_filtered(filtered);
        self.core.space.notify_waiters();
        Ok(self.cursor.seq())
    }

    /// Whether a pull now would have to seal the open batch.
    pub(crate) fn would_seal(&self) -> bool {
        match &self.holding {
            None => self.reads_open(),
            Some(holding) => holding.would_seal(self),
        }
    }

    /// Whether the next item is in the open batch.
    pub(super) fn reads_open(&self) -> bool {
        let log = self.core.log();
        match &self.filter {
            None => log.is_open(self.cursor.seq()),
            Some(filter) => log.is_open_for(&self.cursor, filter.group()),
        }
    }

    /// Waits until there is more to pull, or the stream has ended.
    pub(crate) async fn ready(&mut self) {
        if let Some(holding) = &mut self.holding
            && holding.ready().await
        {
            return;
        }
        let mut data = pin!(self.core.data.notified());
        let Some(filter) = &self.filter else {
            // From here on a notification is kept for us, so looking before waiting loses none.
            data.as_mut().enable();
            if !self.core.is_closed() && !self.core.reaches(self.cursor.seq()) {
                data.await;
            }
            return;
        };
        let mut bell = pin!(filter.bell.notified());
        bell.as_mut().enable();
        data.as_mut().enable();
        if self.core.is_closed() {
            return;
        }
        let outlook = self.core.log().outlook(&self.cursor, filter.group());
        match outlook {
            Outlook::More => return,
            Outlook::Untold => {}
            Outlook::Nothing => tokio::select! {
                () = &mut bell => return,
                // Something that is not for us, most likely: the consumer is told in time.
                () = data => {}
            },
        }
        tokio::select! {
            () = bell => {}
            () = sleep(SILENCE) => self.is_silent = true,
        }
    }
}

/// What a pull has put out.
#[derive(Default)]
pub(super) struct Taken {
    pub(super) items: u64,
    pub(super) bytes: u64,
    pub(super) missed: u64,
    /// Items that stand outside of the order, because another member of the group had them.
    pub(super) again: u64,
}

impl Drop for Feed {
    fn drop(&mut self) {
        let mut log = self.core.log();
        if self.superseded == Superseded::LeaveOut {
            log.untrack();
        }
        let freed = self.pin.is_some_and(|pin| log.unpin(pin));
        // A member of a group does not read the log; the group does.
        if !self
            .holding
            .as_ref()
            .is_some_and(|holding| holding.is_member())
        {
            log.leave(self.filter.as_ref().map(Filtered::group));
        }
        drop(log);
        if freed {
            self.core.space.notify_waiters();
        }
        self.core.remove(self.id);
    }
}
