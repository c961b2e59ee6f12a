//! What a consumer with a name has done with, on its way to the producers.
//!
//! The program notes it here, from wherever it is; the receiver takes what has come together and says
//! it to its producer. Nothing here waits.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rivermesh_proto::{
    Epoch, Seq,
    named::{Acknowledged, BadConsumerName, ConsumerName, Named, Share},
    subscribe::Update,
};
use thiserror::Error;
use tokio::{sync::Notify, time::sleep};

/// How long commits are gathered where there is no hurry.
const GATHER: Duration = Duration::from_millis(1);
/// Items in flight up to which every commit is said at once.
const STRICT: u64 = 64;

/// An acknowledgement was not taken. What it named is sent again, to this consumer or to another one
/// of its name.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitError {
    /// The consumer has no name, so nothing is kept for it.
    #[error("the consumer has no name to commit under")]
    NotNamed,
    /// The subscription that the items came by is over: its producer began anew, or, in a group, the
    /// connection broke, and others have the items now.
    #[error("the subscription that the items came by is over")]
    Over,
    /// The producer is not followed now.
    #[error("the producer is not followed")]
    NotFollowed,
    /// The consumer has not received that much.
    #[error("the items have not been received")]
    NotReceived,
}

/// What is said of one producer's items, and what is not said yet.
#[derive(Debug)]
pub(super) struct Commits {
    is_shared: bool,
    /// Items in flight at most, as far as this side knows.
    window: u64,
    pending: Mutex<Pending>,
    bell: Notify,
    hurry: Notify,
}

#[derive(Debug, Default)]
struct Pending {
    is_over: bool,
    /// One past the last item that has come.
    reach: Seq,
    /// Everything before this is done with, and up to where that was said.
    upto: Seq,
    said: Seq,
    /// In a group: items that are done with and were not said, as ranges from → to.
    done: BTreeMap<Seq, Seq>,
    count: u64,
}

impl Commits {
    /// For a subscription with a name.
    pub(super) fn new(named: &Named) -> Self {
        let is_shared = named.share != Share::Alone;
        let window = match (named.max_in_flight, is_shared) {
            (0, true) => 256,
            (0, false) => 65_536,
            (max, _) => u64::from(max),
        };
        Self {
            is_shared,
            window,
            pending: Mutex::default(),
            bell: Notify::new(),
            hurry: Notify::new(),
        }
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that items have come.
    pub(super) fn received(&self, end: Seq) {
        let mut pending = self.pending();
        pending.reach = pending.reach.max(end);
    }

    /// No more commits are taken.
    pub(super) fn close(&self) {
        self.pending().is_over = true;
    }

    /// Says again what was said: the connection broke, and it may not have come through.
    pub(super) fn repeat(&self) {
        self.pending().said = 0;
        self.bell.notify_one();
    }

    /// Notes that the items `from..to` are done with; of a name that is not shared, everything before
    /// them is as well.
    pub(super) fn commit(&self, from: Seq, to: Seq) -> Result<(), CommitError> {
        let mut pending = self.pending();
        if pending.is_over {
            return Err(CommitError::Over);
        }
        if to > pending.reach {
            return Err(CommitError::NotReceived);
        }
        if self.is_shared {
            pending.done(from, to);
        } else if to > pending.upto {
            pending.count += to - pending.upto.max(from);
            pending.upto = to;
        } else {
            return Ok(());
        }
        let in_hurry = self.window <= STRICT || pending.count >= self.window / 4;
        drop(pending);
        self.bell.notify_one();
        if in_hurry {
            self.hurry.notify_one();
        }
        Ok(())
    }

    /// Waits until there is something to say.
    pub(super) async fn next(&self) -> Update {
        loop {
            self.bell.notified().await;
            tokio::select! {
                biased;
                () = self.hurry.notified() => {}
                () = sleep(GATHER) => {}
            }
            if let Some(update) = self.take() {
                return update;
            }
        }
    }

    /// Waits until something was committed.
    async fn rings(&self) {
        self.bell.notified().await;
    }

    /// What there is to say now.
    pub(super) fn take(&self) -> Option<Update> {
        let mut pending = self.pending();
        if !self.is_shared {
            if pending.upto <= pending.said {
                return None;
            }
            pending.said = pending.upto;
            pending.count = 0;
            return Some(Update::Commit { upto: pending.upto });
        }
        if pending.done.is_empty() {
            return None;
        }
        let items = Acknowledged::new(pending.done.iter().map(|(from, to)| (*from, *to)));
        // What a message has no room for is said by the next one.
        pending.done = pending.done.split_off(&items.end());
        pending.count = 0;
        if !pending.done.is_empty() {
            self.bell.notify_one();
        }
        Some(Update::Acknowledge { items })
    }
}

impl Pending {
    /// Adds a range, and joins it with those that it touches.
    fn done(&mut self, mut from: Seq, mut to: Seq) {
        self.count += to - from;
        while let Some((&start, &end)) = self.done.range(..=to).next_back()
            && end >= from
        {
            self.done.remove(&start);
            (from, to) = (from.min(start), to.max(end));
        }
        self.done.insert(from, to);
    }
}

/// What was committed in a life of a producer; kept from one subscription to the next.
#[derive(Debug, Default)]
pub(super) struct Kept(Option<(Epoch, Arc<Commits>)>);

impl Kept {
    /// What the items of a subscription that begins are committed by.
    pub(super) fn begin(&mut self, named: Option<&Named>, epoch: Epoch) -> Option<Arc<Commits>> {
        let named = named?;
        if let Some((of, commits)) = &self.0 {
            if *of == epoch && !commits.is_shared {
                commits.repeat();
                return Some(Arc::clone(commits));
            }
            commits.close();
        }
        let commits = Arc::new(Commits::new(named));
        self.0 = Some((epoch, Arc::clone(&commits)));
        Some(commits)
    }

    /// A subscription has ended. What a member of a group had goes to others.
    pub(super) fn ended(&self) {
        if let Some((_, commits)) = &self.0
            && commits.is_shared
        {
            commits.close();
        }
    }
}

/// Nobody is left to say what the program commits.
impl Drop for Kept {
    fn drop(&mut self) {
        if let Some((_, commits)) = &self.0 {
            commits.close();
        }
    }
}

/// Waits until there is something to say, where there is a name.
pub(super) async fn next(commits: Option<&Arc<Commits>>) -> Update {
    match commits {
        Some(commits) => commits.next().await,
        None => std::future::pending().await,
    }
}

/// Waits until something was committed, where there is a name.
pub(super) async fn pending(commits: Option<&Arc<Commits>>) {
    match commits {
        Some(commits) => commits.rings().await,
        None => std::future::pending().await,
    }
}

/// What a delivery is committed by.
#[derive(Clone, Default)]
pub(super) struct Ack {
    commits: Option<Arc<Commits>>,
    from: Seq,
    to: Seq,
}

impl Ack {
    #[inline]
    pub(super) fn new(commits: Option<&Arc<Commits>>, from: Seq, to: Seq) -> Self {
        Self {
            commits: commits.map(Arc::clone),
            from,
            to,
        }
    }

    pub(super) fn commit(&self) -> Result<(), CommitError> {
        let commits = self.commits.as_ref().ok_or(CommitError::NotNamed)?;
        commits.commit(self.from, self.to)
    }

    /// Commits an item of a group, which no other commit speaks for.
    pub(super) fn commit_if_shared(&self) -> Result<(), CommitError> {
        match &self.commits {
            Some(commits) if commits.is_shared => commits.commit(self.from, self.to),
            _ => Ok(()),
        }
    }
}

// Where an item came from stands in the delivery already.
impl PartialEq for Ack {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Ack {}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack").finish_non_exhaustive()
    }
}

/// Commits what was handed out, when the program comes for more.
#[derive(Debug, Default)]
pub(super) struct Auto(Vec<Ack>);

impl Auto {
    /// Notes what is handed out.
    pub(super) fn push(&mut self, ack: Ack) {
        if let Some(last) = self.0.last_mut()
            && let (Some(a), Some(b)) = (&last.commits, &ack.commits)
            && Arc::ptr_eq(a, b)
            && last.to <= ack.from
            && (last.to == ack.from || !a.is_shared)
        {
            last.to = ack.to;
            return;
        }
        self.0.push(ack);
    }

    /// Commits all of it.
    #[inline]
    pub(super) fn commit(&mut self) {
        if !self.0.is_empty() {
            for ack in self.0.drain(..) {
                // What is refused is sent again.
                let _ = ack.commit();
            }
        }
    }
}

/// How a consumer wants to acknowledge, as it was set up.
#[derive(Clone, Debug, Default)]
pub(super) struct Setup {
    pub(super) name: Option<(String, Share)>,
    pub(super) max_in_flight: u32,
    pub(super) auto: bool,
}

impl Setup {
    pub(super) fn named(&self) -> Result<Option<Named>, BadConsumerName> {
        let Some((name, share)) = &self.name else {
            return Ok(None);
        };
        Ok(Some(Named {
            name: ConsumerName::new(name)?,
            share: *share,
            max_in_flight: self.max_in_flight,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commits(share: Share, max_in_flight: u32) -> Commits {
        let name = ConsumerName::new("billing").unwrap();
        let commits = Commits::new(&Named {
            name,
            share,
            max_in_flight,
        });
        commits.received(1000);
        commits
    }

    #[test]
    fn commits_come_together() {
        let commits = commits(Share::Alone, 0);
        assert_eq!(commits.take(), None);
        for seq in [3, 9, 5] {
            commits.commit(seq, seq + 1).unwrap();
        }
        assert_eq!(commits.take(), Some(Update::Commit { upto: 10 }));
        assert_eq!(commits.take(), None);
        commits.repeat();
        assert_eq!(commits.take(), Some(Update::Commit { upto: 10 }));
        assert_eq!(commits.commit(1000, 1001), Err(CommitError::NotReceived));
        commits.close();
        assert_eq!(commits.commit(10, 11), Err(CommitError::Over));
    }

    #[test]
    fn in_a_group_each_item_counts() {
        let commits = commits(Share::Least, 0);
        for (from, to) in [(3, 4), (9, 12), (4, 5), (1, 2), (2, 3), (11, 13)] {
            commits.commit(from, to).unwrap();
        }
        let items = Acknowledged::new([(1, 5), (9, 13)]);
        assert_eq!(commits.take(), Some(Update::Acknowledge { items }));
        assert_eq!(commits.take(), None);
    }

    #[test]
    fn more_than_a_message_holds_is_said_by_the_next() {
        let commits = commits(Share::Least, 0);
        commits.received(10_000);
        for n in 0..600 {
            commits.commit(2 * n, 2 * n + 1).unwrap();
        }
        let mut said = Vec::new();
        while let Some(Update::Acknowledge { items }) = commits.take() {
            said.extend(items.iter());
        }
        assert_eq!(
            said,
            (0..600).map(|n| (2 * n, 2 * n + 1)).collect::<Vec<_>>()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_strict_commit_is_said_at_once_and_others_are_gathered() {
        let begin = tokio::time::Instant::now();
        let strict = commits(Share::Alone, 1);
        strict.commit(0, 1).unwrap();
        assert_eq!(strict.next().await, Update::Commit { upto: 1 });
        assert_eq!(begin.elapsed(), Duration::ZERO);
        let wide = commits(Share::Alone, 1000);
        wide.commit(0, 1).unwrap();
        assert_eq!(wide.next().await, Update::Commit { upto: 1 });
        assert_eq!(begin.elapsed(), GATHER);
        wide.commit(1, 251).unwrap();
        assert_eq!(wide.next().await, Update::Commit { upto: 251 });
        assert_eq!(begin.elapsed(), GATHER, "a quarter of the window is not");
    }
}
