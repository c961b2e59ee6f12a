//! Following a producer on this node: a cursor into the same log, without the network.

use std::sync::{Arc, atomic::Ordering};

use bytes::Bytes;
use rivermesh_proto::{
    batch::{self, Frame, Header},
    catalog::Peer,
    subscribe::{Start, Subscribe},
};

use super::{
    event::{LeaveReason, SubscribeError},
    inbox::{Dropped, Inbox, Message, Source},
    receiver::{Outcome, Place, Wish},
    status::{Progress, Roster},
};
use crate::producer::{
    core::Core,
    feed::{Feed, Pull},
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
}

impl Local {
    /// Follows the stream until it ends or the consumer is dropped.
    pub(super) async fn run(mut self) -> Outcome {
        let mut failures = 0;
        let mut last = None;
        loop {
            let ask = Subscribe {
                stream: self.wish.stream.clone(),
                fingerprint: self.wish.fingerprint,
                start: self.place.map_or(Start::Latest, |p| Start::Resume {
                    epoch: p.epoch,
                    next: p.next,
                }),
                lag: self.wish.lag,
            };
            let refusal = match self.core.admit(&self.me, &ask) {
                Ok((feed, accepted)) => {
                    self.core.confirm(feed.sub());
                    (failures, last) = (0, None);
                    let end = self.follow(feed, accepted.start).await;
                    self.roster.set(self.me.id(), false);
                    match end {
                        Ok(LeaveReason::Ended) => return Outcome::Ended,
                        Ok(_) => {
                            self.place = None;
                            self.progress.joined.store(false, Ordering::Relaxed);
                        }
                        Err(Dropped) => return Outcome::Dropped,
                    }
                    None
                }
                Err(refusal) => Some(refusal),
            };
            if let Some(refusal) = refusal {
                let theirs = &self.core.schema;
                let ours = self.wish.schema.as_ref();
                let difference = ours.and_then(|ours| rivermesh_proto::schema::diff(ours, theirs));
                let error = SubscribeError::of(&refusal, self.wish.stream.as_str(), difference);
                if last.as_ref() != Some(&error) {
                    let producer = self.me.id();
                    let message = Message::Refused {
                        producer,
                        error: error.clone(),
                    };
                    if self.inbox.message(message).await.is_err() {
                        return Outcome::Dropped;
                    }
                    last = Some(error);
                }
                if !refusal.is_retryable() {
                    return Outcome::Hopeless;
                }
                if self.core.is_closed() {
                    return Outcome::Ended;
                }
            }
            failures += 1;
            tokio::time::sleep(self.wish.retry.delay(failures)).await;
        }
    }

    async fn follow(&mut self, mut feed: Feed, start: u64) -> Result<LeaveReason, Dropped> {
        let (producer, epoch) = (self.me.id(), self.core.epoch);
        let schema = self
            .wish
            .fingerprint
            .is_none()
            .then(|| Arc::clone(&self.core.schema));
        let source = Arc::new(Source {
            producer,
            epoch,
            schema,
        });
        // A core is one life of a stream, so the place is never of another one.
        if self.place.is_none() {
            self.inbox
                .message(Message::Joined {
                    producer,
                    epoch,
                    seq: start,
                })
                .await?;
        }
        self.moved(start);
        self.roster.set(producer, true);
        let cut = feed.cut().clone();
        let mut frames: Vec<Bytes> = Vec::new();
        let reason = 'follow: loop {
            frames.clear();
            match feed.pull(&mut frames) {
                Pull::Frames => {}
                Pull::Nothing => {
                    tokio::select! {
                        biased;
                        () = cut.cancelled() => break LeaveReason::Revoked,
                        () = self.inbox.dropped() => return Err(Dropped),
                        () = feed.ready() => continue,
                    }
                }
                Pull::Ended => break LeaveReason::Ended,
                Pull::Lagged => break LeaveReason::Lagged,
            }
            for frame in &frames {
                tokio::select! {
                    biased;
                    () = cut.cancelled() => break 'follow LeaveReason::Revoked,
                    taken = self.take(&source, frame) => taken?,
                }
            }
        };
        // The program may take long to read on; the subscription does not wait for that.
        drop(feed);
        self.inbox
            .message(Message::Left {
                producer,
                epoch,
                reason,
            })
            .await?;
        Ok(reason)
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
        match Frame::parse(header.kind, body) {
            Ok(Frame::Batch(batch)) => {
                self.moved(batch.end());
                self.progress.took(&batch);
                self.inbox.batch(Arc::clone(source), batch).await
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
                    .await
            }
            Ok(Frame::End { .. }) | Err(_) => Ok(()),
        }
    }

    fn moved(&mut self, next: u64) {
        let place = Place {
            epoch: self.core.epoch,
            next,
        };
        self.place = Some(place);
        self.progress.moved(place);
    }
}
