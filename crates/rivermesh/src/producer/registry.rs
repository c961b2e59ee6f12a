//! The streams that a node produces, and the peers that ask for them.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use rivermesh_proto::{
    StreamName,
    code::Code,
    limits,
    subscribe::{Accepted, Refusal, Reply, Subscribe, Update},
    wire::StreamKind,
};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until, timeout_at},
};
use tracing::debug;

use super::{
    core::{Core, Sub},
    explain::Witness,
    feed::Feed,
    named::{Claim, Ear},
    question::{finish, first},
    sender::{self, Change},
    status::Status,
};
use crate::{
    admission::Desk,
    consumer::taken::Taken,
    discovery::Discovery,
    net::{ReadError, Reader, Subscription, Use},
    task::Tasks,
};

/// How soon after one change of its filter the next one of a consumer is taken: reading a filter and
/// entering it costs up to a millisecond.
const CHANGE_PAUSE: Duration = Duration::from_millis(20);

/// How soon after a ticket that is not good a consumer is listened to again: verifying one
/// checks up to four signatures.
const RENEWAL_PAUSE: Duration = Duration::from_secs(1);

/// How long a peer waits for the answer that what it shows does not let it in, and its next request that shows
/// something with it: so one connection cannot have more than 200 tickets verified in a second, and how long
/// that took does not tell whether there is such a stream.
pub(super) const REFUSAL_PAUSE: Duration = Duration::from_millis(5);

/// One produced stream: its core, and the typed handle that programs share.
struct Slot {
    core: Arc<Core>,
    handle: Weak<dyn Any + Send + Sync>,
}

/// See the module.
#[derive(Clone)]
pub(crate) struct Producers(Arc<Inner>);

struct Inner {
    slots: Mutex<HashMap<StreamName, Slot>>,
    /// Streams that have ended and whose consumers may still read.
    ending: Mutex<Vec<Weak<Core>>>,
    discovery: Discovery,
    /// The names that consumers of this node have.
    names: Taken,
    desk: Desk,
    drain: Duration,
    tasks: Tasks,
}

impl std::fmt::Debug for Producers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Producers").finish_non_exhaustive()
    }
}

/// Looking up a produced stream.
pub(crate) enum Found<H> {
    /// The stream is produced already, with this type of item.
    Same(Arc<H>),
    /// The stream is produced already, with another type of item.
    Other,
    /// The stream was not produced and now is.
    New(Arc<H>),
}

impl Producers {
    pub(crate) fn new(discovery: Discovery, desk: Desk, drain: Duration, tasks: Tasks) -> Self {
        Self(Arc::new(Inner {
            slots: Mutex::default(),
            ending: Mutex::default(),
            discovery,
            names: Taken::default(),
            desk,
            drain,
            tasks,
        }))
    }

    pub(crate) fn discovery(&self) -> &Discovery {
        &self.0.discovery
    }

    pub(crate) fn names(&self) -> &Taken {
        &self.0.names
    }

    /// What the node knows of tickets.
    pub(crate) fn desk(&self) -> &Desk {
        &self.0.desk
    }

    pub(crate) fn tasks(&self) -> &Tasks {
        &self.0.tasks
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<StreamName, Slot>> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The core of a stream that this node produces.
    pub(crate) fn get(&self, stream: &StreamName) -> Option<Arc<Core>> {
        self.slots().get(stream).map(|slot| Arc::clone(&slot.core))
    }

    /// Finds a stream's handle, or puts in the one that `make` gives.
    pub(crate) fn find_or_insert<H: Any + Send + Sync, E>(
        &self,
        stream: &StreamName,
        make: impl FnOnce() -> Result<(Arc<H>, Arc<Core>), E>,
    ) -> Result<Found<H>, E> {
        let mut slots = self.slots();
        let held = slots.get(stream).filter(|slot| !slot.core.is_closed());
        if let Some(handle) = held.and_then(|slot| slot.handle.upgrade()) {
            // Dropping the last handle takes this lock.
            drop(slots);
            return Ok(handle.downcast::<H>().map_or(Found::Other, Found::Same));
        }
        let (handle, core) = make()?;
        let weak: Weak<H> = Arc::downgrade(&handle);
        slots.insert(stream.clone(), Slot { core, handle: weak });
        Ok(Found::New(handle))
    }

    /// Takes a stream out, unless it has been produced anew since.
    pub(crate) fn remove(&self, core: &Arc<Core>) {
        let mut ending = self.ending();
        ending.retain(|ended| ended.strong_count() > 0);
        ending.push(Arc::downgrade(core));
        drop(ending);
        let mut slots = self.slots();
        if slots
            .get(&core.name)
            .is_some_and(|slot| Arc::ptr_eq(&slot.core, core))
        {
            slots.remove(&core.name);
            drop(slots);
            self.0.discovery.remove_stream(&core.name);
        }
    }

    /// Ends all streams: consumers get what the logs hold.
    pub(crate) fn close_all(&self) {
        let cores: Vec<_> = self
            .slots()
            .values()
            .map(|slot| Arc::clone(&slot.core))
            .collect();
        for core in cores {
            core.close();
        }
    }

    /// The states of all streams, those included that have ended and still have consumers.
    pub(crate) fn statuses(&self) -> Vec<watch::Receiver<Status>> {
        let mut cores: Vec<_> = self.ending().iter().filter_map(Weak::upgrade).collect();
        cores.extend(self.slots().values().map(|slot| Arc::clone(&slot.core)));
        cores.iter().map(|core| core.watch_status()).collect()
    }

    fn ending(&self) -> MutexGuard<'_, Vec<Weak<Core>>> {
        self.0.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn drain(&self) -> Duration {
        self.0.drain
    }

    /// Serves the peers that ask for streams, each in a task of its own.
    pub(crate) async fn serve(self, mut asked: mpsc::Receiver<Subscription>, witness: Witness) {
        while let Some(subscription) = asked.recv().await {
            let served = self.clone().serve_one(subscription, witness.clone());
            self.0.tasks.spawn("subscription", served);
        }
    }

    async fn serve_one(self, subscription: Subscription, witness: Witness) {
        let Subscription {
            kind,
            link,
            mut writer,
            mut reader,
        } = subscription;
        match kind {
            StreamKind::Lag => return self.tell_lag((link, writer, reader)).await,
            StreamKind::Explain => return self.tell_why(&witness, (link, writer, reader)).await,
            _ => {}
        }
        let deadline = Instant::now() + limits::HANDSHAKE_PHASE;
        let streams = (&mut writer, &mut reader);
        let Some(ask) = first::<Subscribe>(&link, streams, deadline, "a subscription").await else {
            return;
        };
        let Ok(admitted) = timeout_at(deadline, self.admit_in_turn(&link, ask)).await else {
            return writer.reset(Code::Timeout);
        };
        let (feed, reply) = match admitted {
            Ok((feed, accepted)) => {
                if let Some(claim) = feed.claim() {
                    claim.noted().await;
                }
                (Some(feed), Reply::Accepted(accepted))
            }
            Err(refusal) => (None, Reply::Refused(refusal)),
        };
        let written = timeout_at(deadline, writer.message(&reply, limits::CONTROL)).await;
        match (feed, written) {
            (Some(feed), Ok(Ok(()))) => {
                let (core, sub) = (Arc::clone(feed.core()), Arc::clone(feed.sub()));
                let ear = feed.claim().map(Claim::ear);
                let (changes, changed) = watch::channel(None);
                let sender = sender::run(feed, changed, writer, link, self.0.drain);
                core.tasks.spawn("sender", sender);
                // The consumer says that it has the reply, and then only what else it wants.
                match timeout_at(deadline, reader.message::<Update>(limits::CONTROL)).await {
                    Ok(Ok(Some(Update::Ready))) => core.confirm(&sub),
                    _ => {
                        reader.stop(Code::Timeout);
                        return sub.cut.cancel();
                    }
                }
                if !listen(&mut reader, &changes, (&core, &sub, ear)).await {
                    reader.stop(Code::BadFrame);
                    sub.cut.cancel();
                }
            }
            (None, Ok(Ok(()))) => {
                finish(writer, Instant::now() + limits::HANDSHAKE_PHASE).await;
            }
            _ => writer.reset(Code::Timeout),
        }
    }

    /// As [`admit`](Self::admit); of one peer, requests that show something are decided on one
    /// after the other, whatever stream they are for.
    async fn admit_in_turn(&self, link: &Use, ask: Subscribe) -> Result<(Feed, Accepted), Refusal> {
        if ask.credential.is_none() {
            return self.admit(link, ask).await;
        }
        let _turn = link.turn().await;
        let answer = Instant::now() + REFUSAL_PAUSE;
        let admitted = self.admit(link, ask).await;
        if matches!(admitted, Err(Refusal::NotAdmitted)) {
            sleep_until(answer).await;
        }
        admitted
    }

    async fn admit(&self, link: &Use, mut ask: Subscribe) -> Result<(Feed, Accepted), Refusal> {
        let snapshot = self.0.discovery.snapshot();
        // The handshake has put the peer's entry in; where it was evicted since, the peer is not
        // known well enough to be admitted.
        let peer = snapshot.get(&link.peer()).ok_or(Refusal::NotAdmitted)?;
        // What is not there admits nobody: a peer that may not know of a stream must not find out by
        // asking for names.
        let core = self.get(&ask.stream).ok_or(Refusal::NotAdmitted)?;
        core.resolve(peer, &mut ask).await;
        core.admit(peer, &ask)
    }
}

/// Takes what a consumer says of its filter and its ticket, and what it acknowledges, until it will
/// say no more or its sender has ended. False when it broke the protocol.
async fn listen(
    reader: &mut Reader,
    changes: &watch::Sender<Option<Change>>,
    (core, sub, ear): (&Core, &Sub, Option<Ear>),
) -> bool {
    loop {
        let said = tokio::select! {
            () = changes.closed() => return true,
            said = reader.message::<Update>(limits::CONTROL) => said,
        };
        match said {
            // A change that its sender has not come to yet gives way to a newer one.
            Ok(Some(Update::Filter { change, filter })) => {
                changes.send_replace(Some(Change { change, filter }));
            }
            Ok(Some(said @ (Update::Commit { .. } | Update::Acknowledge { .. }))) => {
                match ear.as_ref().map(|ear| ear.take(core, &said)) {
                    Some(Ok(())) => continue,
                    Some(Err(error)) => {
                        debug!(stream = %core.name, %error, "a consumer acknowledges wrongly");
                        return false;
                    }
                    // One without a name has nothing to acknowledge.
                    None => return false,
                }
            }
            Ok(Some(Update::Credential(credential))) => {
                if !core.renew(sub, &credential) {
                    tokio::time::sleep(RENEWAL_PAUSE).await;
                }
            }
            Ok(Some(Update::Ready)) | Err(ReadError::Message(_)) => return false,
            Ok(None) | Err(_) => return true,
        }
        tokio::time::sleep(CHANGE_PAUSE).await;
    }
}
