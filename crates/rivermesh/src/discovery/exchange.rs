//! One comparison of catalogs with a peer: messages, time limits, and who works on a page.
//!
//! What a peer tells is verified on a thread of its own, one page at a time, and no more than half of the
//! time: a thread of the runtime would have items wait for it, and so would whoever wants the catalog.

use std::{sync::Arc, time::Duration};

use rivermesh_proto::{
    catalog::Change,
    code::Code,
    limits,
    sync::{self, Incoming, Initiator, Output, Party, Responder},
    wire::StreamKind,
};
use tokio::{
    sync::Mutex,
    task::{spawn_blocking, yield_now},
    time::{Instant, sleep_until, timeout},
};

use super::{SyncError, shared::Shared};
use crate::net::{Link, Reader, Writer};

/// Time for one message of an exchange to be sent, or to come.
const STEP: Duration = Duration::from_secs(5);
/// Time for a whole exchange.
const WHOLE: Duration = Duration::from_secs(60);

/// Refreshed entries that a comparison may tell of because gossip is just about to.
const ABOUT: usize = 2;

/// Records that the catalog is handed at a time: a fraction of a millisecond.
const SLICE: usize = 64;

/// What a comparison changed.
#[derive(Debug, Default)]
struct Learnt {
    refreshed: usize,
    other: bool,
}

impl Learnt {
    fn add(&mut self, changes: &[Change]) {
        let refreshed = changes
            .iter()
            .filter(|change| matches!(change, Change::Refreshed(_)))
            .count();
        self.refreshed += refreshed;
        self.other |= refreshed < changes.len();
    }

    /// Whether it was more than what gossip is about to tell anyway: in a large network some node
    /// has always just refreshed its entry.
    fn matters(&self) -> bool {
        self.other || self.refreshed > ABOUT
    }
}

/// Where pages are verified: one at a time, whoever they are from.
#[derive(Debug)]
pub(super) struct Desk {
    /// When the next page may be looked at. Who holds it works on one.
    free_at: Mutex<Instant>,
}

impl Desk {
    pub(super) fn new() -> Self {
        Self {
            free_at: Mutex::new(Instant::now()),
        }
    }

    /// Verifies the records of a page that are worth it. Rests as long as it took afterwards, so that
    /// peers that have much to tell leave half of a core at least to others.
    async fn verify(&self, mut incoming: Incoming) -> Result<Incoming, sync::SyncError> {
        // It is a queue, which is why it is held meanwhile: nobody else may begin.
        let mut free_at = self.free_at.lock().await;
        sleep_until(*free_at).await;
        let began = Instant::now();
        let work = move || incoming.verify().map(|()| incoming);
        let verified = match spawn_blocking(work).await {
            Ok(verified) => verified,
            Err(failure) => match failure.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => std::future::pending().await,
            },
        };
        *free_at = Instant::now() + began.elapsed();
        verified
    }
}

/// Compares catalogs as the side that asks; tells whether it learnt what matters.
pub(super) async fn initiate(shared: &Shared, link: &Arc<Link>) -> Result<bool, SyncError> {
    let _held = link.hold();
    let outcome = timeout(WHOLE, async {
        let (mut writer, reader) = step(link, link.open(StreamKind::Sync)).await?;
        let (initiator, open) = shared.read(|catalog| Initiator::start(link.peer(), catalog));
        step(link, writer.message(&open, limits::SYNC_PAGE)).await?;
        converse(shared, link, initiator, writer, reader).await
    })
    .await;
    count(
        shared,
        outcome.unwrap_or_else(|_| Err(failed(link, "took too long"))),
    )
}

/// Compares catalogs as the side that is asked; tells whether it learnt what matters.
pub(super) async fn respond(
    shared: &Shared,
    link: &Arc<Link>,
    mut writer: Writer,
    mut reader: Reader,
) -> Result<bool, SyncError> {
    let _held = link.hold();
    let outcome = timeout(WHOLE, async {
        let place = timeout(STEP, shared.answers.acquire()).await;
        let Ok(Ok(_place)) = place else {
            writer.reset(Code::Refused);
            reader.stop(Code::Refused);
            return Err(failed(link, "too many comparisons at once"));
        };
        let responder = Responder::new(link.peer());
        converse(shared, link, responder, writer, reader).await
    })
    .await;
    count(
        shared,
        outcome.unwrap_or_else(|_| Err(failed(link, "took too long"))),
    )
}

/// Answers the peer until all is said.
async fn converse(
    shared: &Shared,
    link: &Link,
    mut party: impl Party,
    mut writer: Writer,
    mut reader: Reader,
) -> Result<bool, SyncError> {
    let mut learnt = Learnt::default();
    loop {
        let body = step(link, reader.body(limits::SYNC_PAGE)).await?;
        let body = body.ok_or_else(|| failed(link, "the peer ended it early"))?;
        let output = turn(shared, &mut party, &body, &mut learnt).await;
        let output = output.map_err(|error| {
            link.close(Code::Protocol);
            failed(link, error)
        })?;
        if let Some(message) = &output.send {
            step(link, writer.message(message, limits::SYNC_PAGE)).await?;
        }
        if output.done {
            writer.finish();
            return Ok(learnt.matters());
        }
    }
}

/// Works on a message. The catalog is never held for long.
async fn turn(
    shared: &Shared,
    party: &mut impl Party,
    body: &[u8],
    learnt: &mut Learnt,
) -> Result<Output, sync::SyncError> {
    let mut incoming = party.read(body)?;
    if shared.read_now(|catalog, now| incoming.screen(catalog, now)) > 0 {
        incoming = shared.desk.verify(incoming).await?;
    }
    while incoming.left() > SLICE {
        let output = shared.sync(|catalog, now| party.admit(&mut incoming, SLICE, catalog, now))?;
        learnt.add(&output.changes);
        yield_now().await;
    }
    let output = shared.sync(|catalog, now| party.answer(incoming, catalog, now))?;
    learnt.add(&output.changes);
    Ok(output)
}

async fn step<T, E: std::error::Error + 'static>(
    link: &Link,
    step: impl Future<Output = Result<T, E>>,
) -> Result<T, SyncError> {
    match timeout(STEP, step).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(link, crate::net::error_chain(&error))),
        Err(_) => Err(failed(link, "the peer took too long for a message")),
    }
}

fn failed(link: &Link, reason: impl ToString) -> SyncError {
    SyncError::Failed {
        peer: link.peer(),
        reason: reason.to_string(),
    }
}

fn count<T>(shared: &Shared, outcome: Result<T, SyncError>) -> Result<T, SyncError> {
    match &outcome {
        Ok(_) => shared.meters.syncs.increment(1),
        Err(_) => shared.meters.syncs_failed.increment(1),
    }
    outcome
}
