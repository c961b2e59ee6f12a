//! The task per producer followed: subscribing, resuming, reading.

use std::{
    pin::pin,
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use iroh::TransportAddr;
use rivermesh_proto::{
    Epoch, NodeId, Seq,
    batch::{self, Batch, Frame, FrameError, Sequence},
    catalog::{Peer, Snapshot},
    code::Code,
    limits,
    schema::Schema,
    subscribe::{Accepted, Refusal, Reply, Start},
    wire::StreamKind,
};
use tokio::{sync::watch, time::timeout};
use tracing::debug;

pub(super) use super::wish::{Place, Wish};
use super::{
    commit::Kept,
    event::{LeaveReason, SubscribeError},
    inbox::{Dropped, Inbox, Message, Source},
    pattern::Followee,
    speak::speak,
    status::{Progress, Roster},
};
use crate::{
    admission::Warrant,
    net::{Peers, ReadError, Reader},
    stream::Retry,
};

/// Why a receiver gave up; its worker decides what follows.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The producer ended this life of the stream.
    Ended,
    /// Asking again cannot help until the producer's entry changes, or another filter is wanted than
    /// that of this change.
    Hopeless { change: u32 },
    /// The program dropped its consumer.
    Dropped,
}

impl From<Dropped> for Outcome {
    fn from(Dropped: Dropped) -> Self {
        Self::Dropped
    }
}

/// Follows one producer. See [`Receiver::run`].
pub(super) struct Receiver {
    pub(super) producer: NodeId,
    pub(super) wish: Arc<Wish>,
    pub(super) peers: Peers,
    pub(super) inbox: Inbox,
    pub(super) catalog: watch::Receiver<Snapshot>,
    pub(super) progress: Arc<Progress>,
    pub(super) roster: Arc<Roster>,
    pub(super) place: Option<Place>,
    /// What to ask for while there is no place.
    pub(super) start: Start,
    /// Of the items before this only the newest of each key come.
    pub(super) thinned: Seq,
    /// The change of the filter that holds, as the program knows.
    pub(super) change: u32,
    /// What items are committed by, for a consumer with a name.
    pub(super) kept: Kept,
}

/// What a producer's entry says that another attempt depends on.
#[derive(PartialEq)]
struct Facts {
    instance: u64,
    addrs: Vec<TransportAddr>,
    epoch: Option<Epoch>,
}

/// How one subscription ended.
pub(super) enum End {
    /// The connection or the stream was lost: resume.
    Lost,
    /// The producer said so.
    Said(LeaveReason),
    /// The producer does not take a filter that was changed.
    Refused(Refusal),
    Outcome(Outcome),
}

impl Receiver {
    /// Follows the producer until there is no point in going on. Cancelled by its worker.
    pub(super) async fn run(mut self) -> Outcome {
        let mut failures = 0;
        let mut refused = None;
        loop {
            let seen = self.facts();
            let end = self.subscribe(&mut failures, &mut refused).await;
            self.roster.set(&self.followee(), false);
            match end {
                End::Outcome(outcome) => return outcome,
                End::Said(LeaveReason::Ended) => {
                    let left = self.left(LeaveReason::Ended).await;
                    return left.map_or(Outcome::Dropped, |()| Outcome::Ended);
                }
                End::Said(reason) => {
                    if self.left(reason).await.is_err() {
                        return Outcome::Dropped;
                    }
                    // What was missed in between is not the producer's to make up for, unless it was
                    // asked for what is kept.
                    if let Some(place) = self.place.take() {
                        self.start = place.again(self.start, reason);
                    }
                    self.progress.joined.store(false, Ordering::Relaxed);
                    failures = failures.max(1);
                }
                End::Lost | End::Refused(_) => {}
            }
            if failures > 0 {
                self.pause(failures, seen).await;
            }
            failures += 1;
        }
    }

    pub(super) fn followee(&self) -> Followee {
        (self.producer, self.wish.stream.clone())
    }

    pub(super) async fn left(&self, reason: LeaveReason) -> Result<(), Dropped> {
        let Some(Place { epoch, .. }) = self.place else {
            return Ok(());
        };
        self.inbox
            .message(Message::Left {
                producer: self.producer,
                epoch,
                reason,
            })
            .await
    }

    /// What an entry says that makes another attempt worth while at once.
    fn facts(&self) -> Option<Facts> {
        let catalog = self.catalog.borrow();
        let peer: &Peer = catalog.get(&self.producer)?;
        let epoch = peer
            .produces(self.wish.stream.as_str())
            .map(|advert| advert.epoch);
        Some(Facts {
            instance: peer.instance(),
            addrs: peer.addrs().to_vec(),
            epoch,
        })
    }

    /// Waits before another attempt: full jitter under a growing cap, cut short when the producer
    /// says something new of itself.
    async fn pause(&mut self, failures: u32, seen: Option<Facts>) {
        let mut sleep = pin!(tokio::time::sleep(self.wish.retry.delay(failures)));
        loop {
            tokio::select! {
                () = &mut sleep => return,
                changed = self.catalog.changed() => {
                    if changed.is_err() || self.facts() != seen {
                        return;
                    }
                }
            }
        }
    }

    async fn subscribe(&mut self, failures: &mut u32, refused: &mut Option<SubscribeError>) -> End {
        let link = match self.peers.connect(self.producer).await {
            Ok(link) => link,
            Err(error) => {
                debug!(producer = %self.producer.fmt_short(), %error, "cannot connect");
                return End::Lost;
            }
        };
        let mut purse = self.wish.wallet.open().await;
        let (changes, wanted, mut ask) = self.wish.ask(self.place, self.start);
        ask.credential = purse.show();
        let opened = timeout(limits::HANDSHAKE_PHASE, link.open(StreamKind::Subscribe));
        let Ok(Ok((mut writer, mut reader))) = opened.await else {
            return End::Lost;
        };
        let asked = async {
            writer.message(&ask, limits::CONTROL).await.ok()?;
            reader.message::<Reply>(limits::CONTROL).await.ok()?
        };
        let Ok(Some(reply)) = timeout(limits::HANDSHAKE_PHASE, asked).await else {
            // Without this, dropping the writer would end our side, as if we had the reply.
            writer.reset(Code::Timeout);
            return End::Lost;
        };
        let accepted = match reply {
            Reply::Accepted(accepted) => accepted,
            Reply::Refused(refusal) => return self.refused(&refusal, &wanted, refused).await,
        };
        let warrant = match self.warrant(&accepted, refused).await {
            Ok(warrant) => warrant,
            Err(end) => {
                reader.stop(Code::Closed);
                return end;
            }
        };
        let begun = Instant::now();
        *refused = None;
        let source = match self.accepted(accepted, wanted.change).await {
            Ok(source) => source,
            Err(end) => {
                reader.stop(Code::BadFrame);
                return end;
            }
        };
        self.roster.set(&self.followee(), true);
        let end = tokio::select! {
            biased;
            end = self.read(&mut reader, &source, &warrant) => end,
            never = speak(&mut writer, changes, source.commits.clone(), purse) => match never {},
        };
        self.kept.ended();
        if let End::Refused(refusal) = &end {
            self.roster.set(&self.followee(), false);
            let wanted = self.wish.wanted.borrow().clone();
            let end = self.refused(refusal, &wanted, refused).await;
            if matches!(end, End::Outcome(Outcome::Hopeless { .. })) {
                let _ = self.left(LeaveReason::Refused).await;
            }
            return end;
        }
        // A producer that accepts and then breaks off is no better than one that cannot be reached.
        if begun.elapsed() >= self.wish.retry.max {
            *failures = 0;
        }
        if !matches!(end, End::Said(_)) {
            reader.stop(Code::Closed);
        }
        end
    }

    /// Reports how the subscription begins, compared with where the last one ended.
    async fn accepted(&mut self, accepted: Accepted, change: u32) -> Result<Arc<Source>, End> {
        let Accepted {
            epoch,
            start,
            schema,
            thinned,
            redelivers,
            ..
        } = accepted;
        let producer = self.producer;
        let schema = match schema.map(|bytes| Schema::from_bytes(&bytes)).transpose() {
            Ok(schema) => schema.map(Arc::new),
            Err(error) => {
                debug!(producer = %producer.fmt_short(), %error, "the producer's schema is malformed");
                return Err(End::Outcome(Outcome::Hopeless { change }));
            }
        };
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
        self.thinned = thinned;
        self.begin(&source, start, change).await?;
        Ok(source)
    }

    /// Tells the program where a subscription begins.
    async fn begin(&mut self, source: &Arc<Source>, start: Seq, change: u32) -> Result<(), End> {
        let (producer, epoch) = (self.producer, source.epoch);
        if let Some(place) = self.place
            && place.epoch != epoch
        {
            self.tell(Message::Reset {
                producer,
                old: place.epoch,
                new: epoch,
            })
            .await?;
        }
        let expected = match self.place {
            Some(place) if place.epoch == epoch => place.next,
            Some(_) => 0,
            None => start,
        };
        let goes_back = start < expected;
        if goes_back && self.wish.named.is_none() {
            // It would give again what was given before.
            debug!(producer = %producer.fmt_short(), start, expected, "resumed too early");
            return Err(End::Lost);
        }
        // What was not committed under a name comes again.
        let expected = expected.min(start);
        // The same life goes on without a word: what lies between is told by a gap, if anything.
        if goes_back || self.place.is_none_or(|place| place.epoch != epoch) {
            self.tell(Message::Joined {
                producer,
                stream: self.wish.stream.clone(),
                epoch,
                seq: expected,
            })
            .await?;
        }
        let known = std::mem::replace(&mut self.change, change);
        if self.place.is_some() && known != change {
            let source = Arc::clone(source);
            let seq = expected;
            self.tell(Message::FilterChanged { source, seq }).await?;
        }
        self.moved(epoch, expected);
        self.progress.settled(expected);
        if start > expected {
            let passed = self.pass(source, expected, start).await;
            passed.map_err(|dropped| End::Outcome(dropped.into()))?;
        }
        Ok(())
    }

    /// Passes over what comes before the start of a subscription. Where the producer knows the name that
    /// is done with: the filter left it out, or others of the name had it.
    async fn pass(&mut self, source: &Arc<Source>, from: Seq, to: Seq) -> Result<(), Dropped> {
        if !self.wish.is_shared() && source.redelivers == 0 {
            return self.missed(source, from, to).await;
        }
        match Batch::of_frame(&batch::filtered(from..to)) {
            Some(batch) => self.batch(source, batch).await,
            None => Ok(()),
        }
    }

    pub(super) async fn tell(&self, message: Message) -> Result<(), End> {
        self.inbox
            .message(message)
            .await
            .map_err(|dropped| End::Outcome(dropped.into()))
    }

    async fn read(&mut self, reader: &mut Reader, source: &Arc<Source>, warrant: &Warrant) -> End {
        let mut over = pin!(warrant.over());
        let mut sequence = Sequence::at(self.place.map_or(0, |place| place.next));
        loop {
            let frame = tokio::select! {
                biased;
                () = self.inbox.dropped() => return End::Outcome(Outcome::Dropped),
                // Between frames only: what has been read is told to the program. Whether the
                // producer has another one shows when it is asked anew, and reading goes on there.
                () = &mut over => return End::Lost,
                frame = reader.frame() => frame,
            };
            let frame = match frame {
                Ok(Some(frame)) => frame,
                Ok(None) => return End::Lost,
                Err(error) => return self.failed(&error, reader),
            };
            if let Err(error) = sequence.accept(&frame) {
                return self.failed(&error.into(), reader);
            }
            let taken = match frame {
                Frame::Batch(batch) => self.batch(source, batch).await,
                Frame::Redelivered(batch) if self.wish.is_shared() => {
                    self.again(source, batch).await
                }
                // Who shares nothing gets everything in order.
                Frame::Redelivered(_) => {
                    return self.failed(&FrameError::UnknownKind(7).into(), reader);
                }
                Frame::Gap { from, to } => self.missed(source, from, to).await,
                Frame::Filter { change, from } => self.changed(source, change, from).await,
                Frame::End { code } => return End::Said(reason(code)),
                Frame::Refused(refusal) => return End::Refused(refusal),
            };
            if taken.is_err() {
                return End::Outcome(Outcome::Dropped);
            }
        }
    }

    async fn batch(&mut self, source: &Arc<Source>, batch: Batch) -> Result<(), Dropped> {
        self.moved(source.epoch, batch.end());
        self.progress.took(&batch);
        if let Some(commits) = &source.commits {
            commits.received(batch.end());
        }
        let end = batch.end();
        self.inbox.batch(Arc::clone(source), batch).await?;
        self.progress.settled(end);
        Ok(())
    }

    /// Items that another member of the group had.
    async fn again(&mut self, source: &Arc<Source>, batch: Batch) -> Result<(), Dropped> {
        self.progress.took_again(&batch);
        if let Some(commits) = &source.commits {
            commits.received(batch.end());
        }
        self.inbox.batch(Arc::new(source.again()), batch).await
    }

    async fn missed(&mut self, source: &Arc<Source>, from: Seq, to: Seq) -> Result<(), Dropped> {
        self.moved(source.epoch, to);
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

    async fn changed(
        &mut self,
        source: &Arc<Source>,
        change: u32,
        seq: Seq,
    ) -> Result<(), Dropped> {
        self.change = change;
        let source = Arc::clone(source);
        self.inbox
            .message(Message::FilterChanged { source, seq })
            .await
    }

    fn moved(&mut self, epoch: Epoch, next: Seq) {
        let thinned = self.thinned;
        let place = Place {
            epoch,
            next,
            thinned,
        };
        self.place = Some(place);
        self.progress.moved(place);
    }

    fn failed(&self, error: &ReadError, reader: &mut Reader) -> End {
        debug!(producer = %self.producer.fmt_short(), %error, "a subscription broke");
        match error {
            ReadError::Reset(code) => match Code::from_number(*code) {
                Some(Code::Revoked) => End::Said(LeaveReason::Revoked),
                Some(Code::Lagged) => End::Said(LeaveReason::Lagged),
                _ => End::Lost,
            },
            ReadError::Frame(_) | ReadError::Message(_) => {
                reader.stop(Code::BadFrame);
                End::Lost
            }
            _ => End::Lost,
        }
    }
}

fn reason(code: u32) -> LeaveReason {
    match Code::from_number(u64::from(code)) {
        Some(Code::Lagged) => LeaveReason::Lagged,
        Some(Code::Revoked) => LeaveReason::Revoked,
        _ => LeaveReason::Ended,
    }
}

impl Retry {
    /// The wait before attempt `failures + 1`: uniformly random up to a cap that doubles
    /// ("full jitter", AWS Architecture Blog, 2015).
    pub(crate) fn delay(&self, failures: u32) -> Duration {
        let cap = self.max.min(self.min.saturating_mul(1 << failures.min(16)));
        cap.mul_f64(rand::random::<f64>())
    }
}
