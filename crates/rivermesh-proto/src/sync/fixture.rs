//! Runs a sync between two catalogs in one process, for tests.

use super::{Initiator, Message, Output, Party, Responder, SyncError};
use crate::catalog::{Catalog, Change, Clock};

/// What a sync cost and did.
#[derive(Debug, Default)]
pub(crate) struct Ran {
    pub(crate) messages: Vec<Message>,
    pub(crate) changes: Vec<Change>,
    /// What each side must get above.
    pub(crate) refute: [Option<u64>; 2],
}

impl Ran {
    pub(crate) fn bytes(&self) -> usize {
        self.messages.iter().map(|m| m.encode().len()).sum()
    }
}

pub(crate) fn run(a: &mut Catalog, b: &mut Catalog, now: Clock) -> Result<Ran, SyncError> {
    run_by(a, b, |party, bytes, catalog| {
        party.handle(bytes, catalog, now)
    })
}

/// As [`run`], with the steps that verify before they take hold of the catalog, and hand over few records
/// at a time.
pub(crate) fn run_in_steps(a: &mut Catalog, b: &mut Catalog, now: Clock) -> Result<Ran, SyncError> {
    run_by(a, b, |party, bytes, catalog| {
        let mut incoming = party.read(bytes)?;
        incoming.screen(catalog, now);
        incoming.verify()?;
        let mut all = Output::default();
        while incoming.left() > 2 {
            let output = party.admit(&mut incoming, 2, catalog, now)?;
            assert!(output.send.is_none() && !output.done);
            all.changes.extend(output.changes);
            all.refute = all.refute.max(output.refute);
        }
        let last = party.answer(incoming, catalog, now)?;
        all.changes.extend(last.changes);
        all.refute = all.refute.max(last.refute);
        Ok(Output {
            changes: all.changes,
            refute: all.refute,
            ..last
        })
    })
}

fn run_by(
    a: &mut Catalog,
    b: &mut Catalog,
    turn: impl Fn(&mut dyn Party, &[u8], &mut Catalog) -> Result<Output, SyncError>,
) -> Result<Ran, SyncError> {
    let (mut initiator, open) = Initiator::start(b.local(), a);
    let mut responder = Responder::new(a.local());
    let mut ran = Ran::default();
    let mut next = open;
    loop {
        let bytes = next.encode();
        ran.messages.push(next);
        let answered = turn(&mut responder, &bytes, b)?;
        ran.changes.extend(answered.changes);
        ran.refute[1] = ran.refute[1].max(answered.refute);
        let Some(answer) = answered.send else {
            assert!(answered.done, "the responder is silent");
            return Ok(ran);
        };
        let bytes = answer.encode();
        ran.messages.push(answer);
        let output = turn(&mut initiator, &bytes, a)?;
        ran.changes.extend(output.changes);
        ran.refute[0] = ran.refute[0].max(output.refute);
        let Some(message) = output.send else {
            assert!(output.done && answered.done, "the initiator is silent");
            return Ok(ran);
        };
        next = message;
    }
}
