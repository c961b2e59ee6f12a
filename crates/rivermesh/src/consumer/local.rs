//! Following a producer on this node: a cursor into the same log, without the network.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use rivermesh_proto::{
    batch::{self, Frame, Header},
    catalog::Peer,
    subscribe::{Accepted, Refusal, Start, Subscribe},
    ticket::Denied,
};
use tokio::sync::watch;

use super::{
    commit::{self, Kept},
    event::{LeaveReason, SubscribeError},
    inbox::{Dropped, Inbox, Message, Source},
    pattern::Followee,
    receiver::{Outcome, Place, Wish},
    status::{Progress, Roster},
    wanted::Wanted,
};
use crate::{
    admission::{Purse, Warrant},
    producer::{
        core::Core,
        feed::{Feed, Pull},
        named::{Claim, Ear},
    },
};

/// Follows one local stream.
pub(super) struct Local {
    pub(super) core: Arc<Core>,
    pub(super) me: Arc<Peer>,
    pub(super) wish: Arc<Wish>,
    pub(super) inbox: Inbox,
    pub(super) progress: Arc<Progress>,
    pub(super) roster: Arc<Roster>,
    pub(super) place: Option<Place>,
    /// What to ask for while there is no place.
    pub(super) start: Start,
    /// Of the items before this only the newest of each key come.
    pub(super) thinned: u64,
    /// The change of the filter that holds, as the program knows.
    pub(super) change: u32,
    /// What items are committed by, for a consumer with a name.
    pub(super) kept: Kept,
}

/// How one subscription ended.
enum End {
    Left(LeaveReason),
    /// What the producer has shown does not count any more. It may have something newer.
    Unwarranted,
    /// A filter that was changed to is not taken.
    Refused(Refusal, Wanted),
}

/// Why there is no subscription.
enum No {
    Refused(Refusal),
    /// The producer is not entitled.
    NotEntitled(Denied),
}

/// What a subscription goes by while it goes on.
struct Live {
    changes: watch::Receiver<Wanted>,
    purse: Purse,
    warrant: Warrant,
}

impl Local {
    /// Follows the stream until it ends or the consumer is dropped.
    pub(super) async fn run(mut self) -> Outcome {
        let mut failures = 0;
        let mut last = None;
        loop {
            let mut purse = self.wish.wallet.open().await;
            let (changes, wanted, mut ask) = self.wish.ask(self.place, self.start);
            ask.credential = purse.show();
            self.core.resolve(&self.me, &mut ask).await;
            let no = match self.subscribe(&ask) {
                Ok((feed, accepted, warrant)) => {
                    (failures, last) = (0, None);
                    self.thinned = accepted.thinned;
                    let live = Live {
                        changes,
                        purse,
                        warrant,
                    };
                    let begin = (&accepted, wanted.change);
                    let end = self.follow(feed, begin, live).await;
                    self.kept.ended();
                    self.roster.set(&self.followee(), false);
                    match end {
                        Ok(End::Left(LeaveReason::Ended)) => return Outcome::Ended,
                        Ok(End::Left(reason)) => {
                            if let Some(place) = self.place.take() {
                                self.start = place.again(self.start, reason);
                            }
                            self.progress.joined.store(false, Ordering::Relaxed);
                            None
                        }
                        Ok(End::Unwarranted) => None,
                        Ok(End::Refused(refusal, wanted)) => Some((No::Refused(refusal), wanted)),
                        Err(Dropped) => return Outcome::Dropped,
                    }
                }
                Err(no) => Some((no, wanted)),
            };
            if let Some((no, wanted)) = no
                && let Some(outcome) = self.refused(no, &wanted, &mut last).await
            {
                return outcome;
            }
            failures += 1;
            tokio::time::sleep(self.wish.retry.delay(failures)).await;
        }
    }

    fn subscribe(&self, ask: &Subscribe) -> Result<(Feed, Accepted, Warrant), No> {
        let (feed, accepted) = self.core.admit(&self.me, ask).map_err(No::Refused)?;
        let shown = accepted.credential.as_ref();
        let warrant = Warrant::new(self.wish.gate.as_ref(), shown, self.me.id());
        let warrant = warrant.map_err(No::NotEntitled)?;
        self.core.confirm(feed.sub());
        Ok((feed, accepted, warrant))
    }

    /// Tells the program why there is no subscription; gives the outcome where there will be none.
    async fn refused(
        &mut self,
        no: No,
        wanted: &Wanted,
        last: &mut Option<SubscribeError>,
    ) -> Option<Outcome> {
        let (error, hopeless) = match no {
            No::NotEntitled(reason) => {
                if let Some(place) = self.place.take() {
                    self.start = place.again(self.start, LeaveReason::NotEligible);
                    self.progress.joined.store(false, Ordering::Relaxed);
                    if self.left(LeaveReason::NotEligible).await.is_err() {
                        return Some(Outcome::Dropped);
                    }
                }
                (SubscribeError::NotEntitled { reason }, false)
            }
            No::Refused(refusal) => {
                let theirs = &self.core.schema;
                let ours = self.wish.schema.as_ref();
                let difference = ours.and_then(|ours| rivermesh_proto::schema::diff(ours, theirs));
                let (stream, filter) = (self.wish.stream.as_str(), wanted.filter.as_deref());
                let error = SubscribeError::of(&refusal, stream, difference, filter);
                (error, !refusal.is_retryable())
            }
        };
        if last.as_ref() != Some(&error) {
            let message = Message::Refused {
                producer: self.me.id(),
                stream: self.wish.stream.clone(),
                error: error.clone(),
            };
            if self.inbox.message(message).await.is_err() {
                return Some(Outcome::Dropped);
            }
            *last = Some(error);
        }
        if hopeless {
            if self.place.is_some() && self.left(LeaveReason::Refused).await.is_err() {
                return Some(Outcome::Dropped);
            }
            let change = wanted.change;
            return Some(Outcome::Hopeless { change });
        }
        self.core.is_closed().then_some(Outcome::Ended)
    }

    async fn follow(
        &mut self,
        mut feed: Feed,
        (accepted, change): (&Accepted, u32),
        mut live: Live,
    ) -> Result<End, Dropped> {
        let source = self.begin(accepted, change).await?;
        let ear = feed.claim().map(Claim::ear);
        let cut = feed.cut().clone();
        let mut frames: Vec<Bytes> = Vec::new();
        let reason = 'follow: loop {
            frames.clear();
            if let Some(credential) = live.purse.fresh() {
                self.core.renew(feed.sub(), &credential);
            }
            if !self.acknowledge(ear.as_ref(), &source) {
                break LeaveReason::Revoked;
            }
            let wanted = changed(&mut live.changes);
            let pulled = match &wanted {
                Some(wanted) => match feed.refilter(wanted.filter.as_deref(), &mut frames) {
                    Ok(_) => Pull::Frames,
                    Err(refusal) => return Ok(End::Refused(refusal, wanted.clone())),
                },
                None => feed.pull(&mut frames),
            };
            match pulled {
                Pull::Frames => {}
                Pull::Behind { to } => {
                    tokio::select! {
                        biased;
                        () = cut.cancelled() => break LeaveReason::Revoked,
                        () = self.inbox.dropped() => return Err(Dropped),
                        () = feed.fetch(to, &mut frames) => {}
                    }
                }
                Pull::Nothing => {
                    tokio::select! {
                        biased;
                        () = cut.cancelled() => break LeaveReason::Revoked,
                        () = live.warrant.over() => return Ok(End::Unwarranted),
                        () = self.inbox.dropped() => return Err(Dropped),
                        Ok(()) = live.changes.changed() => {
                            live.changes.mark_changed();
                            continue;
                        }
                        () = live.purse.changed() => continue,
                        () = feed.ready() => continue,
                        () = commit::pending(source.commits.as_ref()) => continue,
                    }
                }
                Pull::Ended => break LeaveReason::Ended,
                Pull::Lagged => break LeaveReason::Lagged,
                Pull::Refused(_) => break LeaveReason::Refused,
            }
            for frame in &frames {
                // Between frames only: what has been taken is told to the program.
                if live.warrant.is_over() {
                    return Ok(End::Unwarranted);
                }
                tokio::select! {
                    biased;
                    () = cut.cancelled() => break 'follow LeaveReason::Revoked,
                    taken = self.take(&source, frame) => taken?,
                }
            }
            if let Some(Wanted { change, .. }) = wanted {
                self.changed(&source, change, feed.next()).await?;
            }
        };
        // The program may take long to read on; the subscription does not wait for that.
        drop(feed);
        self.left(reason).await?;
        Ok(End::Left(reason))
    }

    /// Tells the program where a subscription begins.
    async fn begin(&mut self, accepted: &Accepted, change: u32) -> Result<Arc<Source>, Dropped> {
        let (producer, epoch) = (self.me.id(), self.core.epoch);
        let schema = self
            .wish
            .fingerprint
            .is_none()
            .then(|| Arc::clone(&self.core.schema));
        let (start, redelivers) = (accepted.start, accepted.redelivers);
        let commits = self.kept.begin(self.wish.named.as_ref(), epoch);
        self.progress.commit_by(commits.as_ref());
        let source = Arc::new(Source {
            producer,
            stream: self.wish.stream.clone(),
            epoch,
            schema,
            commits,
            redelivers,
            is_again: false,
        });
        // A core is one life of a stream, so the place is never of another one. What was not committed
        // under a name comes again.
        if self.place.is_none_or(|place| start < place.next) {
            self.inbox
                .message(Message::Joined {
                    producer,
                    stream: self.wish.stream.clone(),
                    epoch,
                    seq: start,
                })
                .await?;
        }
        self.changed(&source, change, start).await?;
        self.moved(start);
        self.progress.settled(start);
        self.roster.set(&self.followee(), true);
        Ok(source)
    }

    fn followee(&self) -> Followee {
        (self.me.id(), self.wish.stream.clone())
    }

    /// Says what the program has done with; false where that cannot be.
    fn acknowledge(&self, ear: Option<&Ear>, source: &Source) -> bool {
        let (Some(ear), Some(commits)) = (ear, &source.commits) else {
            return true;
        };
        let said = commits.take();
        said.is_none_or(|said| ear.take(&self.core, &said).is_ok())
    }

    async fn left(&self, reason: LeaveReason) -> Result<(), Dropped> {
        let (producer, epoch) = (self.me.id(), self.core.epoch);
        let left = Message::Left {
            producer,
            epoch,
            reason,
        };
        self.inbox.message(left).await
    }

    /// Tells the program from where on a filter holds, unless it knows.
    async fn changed(
        &mut self,
        source: &Arc<Source>,
        change: u32,
        seq: u64,
    ) -> Result<(), Dropped> {
        let known = std::mem::replace(&mut self.change, change);
        if known == change || self.place.is_none() {
            return Ok(());
        }
        let source = Arc::clone(source);
        self.inbox
            .message(Message::FilterChanged { source, seq })
            .await
    }

    async fn take(&mut self, source: &Arc<Source>, frame: &Bytes) -> Result<(), Dropped> {
        let Some(head) = frame.first_chunk::<{ batch::HEADER }>() else {
            return Ok(());
        };
        let body = frame.slice(batch::HEADER..);
        // The log's own frames are well formed.
        let Ok(header) = Header::parse(*head) else {
            return Ok(());
        };
        let frame = Frame::parse(header.kind, body);
        if let (Some(commits), Ok(Frame::Batch(batch) | Frame::Redelivered(batch))) =
            (&source.commits, &frame)
        {
            commits.received(batch.end());
        }
        match frame {
            Ok(Frame::Batch(batch)) => {
                self.moved(batch.end());
                self.progress.took(&batch);
                let end = batch.end();
                self.inbox.batch(Arc::clone(source), batch).await?;
                self.progress.settled(end);
                Ok(())
            }
            Ok(Frame::Redelivered(batch)) => {
                self.progress.took_again(&batch);
                self.inbox.batch(Arc::new(source.again()), batch).await
            }
            Ok(Frame::Gap { from, to }) => {
                self.moved(to);
                self.progress.missed.fetch_add(to - from, Ordering::Relaxed);
                self.inbox
                    .message(Message::Missed {
                        source: Arc::clone(source),
                        from,
                        to,
                    })
                    .await?;
                self.progress.settled(to);
                Ok(())
            }
            // Its end and its filter are told to us without frames.
            Ok(Frame::End { .. } | Frame::Filter { .. } | Frame::Refused(_)) | Err(_) => Ok(()),
        }
    }

    fn moved(&mut self, next: u64) {
        let place = Place {
            epoch: self.core.epoch,
            next,
            thinned: self.thinned,
        };
        self.place = Some(place);
        self.progress.moved(place);
    }
}

/// What is wanted now, if that is not known yet.
fn changed(changes: &mut watch::Receiver<Wanted>) -> Option<Wanted> {
    let is_new = changes.has_changed().unwrap_or(false);
    is_new.then(|| changes.borrow_and_update().clone())
}
