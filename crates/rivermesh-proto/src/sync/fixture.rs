//! Runs a sync between two catalogs in one process, for tests.

use super::{Initiator, Message, Responder, SyncError};
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
    let (mut initiator, open) = Initiator::start(b.local(), a);
    let mut responder = Responder::new(a.local());
    let mut ran = Ran::default();
    let mut next = open;
    loop {
        let bytes = next.encode();
        ran.messages.push(next);
        let answered = responder.handle(&bytes, b, now)?;
        ran.changes.extend(answered.changes);
        ran.refute[1] = ran.refute[1].max(answered.refute);
        let Some(answer) = answered.send else {
            assert!(answered.done, "the responder is silent");
            return Ok(ran);
        };
        let bytes = answer.encode();
        ran.messages.push(answer);
        let output = initiator.handle(&bytes, a, now)?;
        ran.changes.extend(output.changes);
        ran.refute[0] = ran.refute[0].max(output.refute);
        let Some(message) = output.send else {
            assert!(output.done && answered.done, "the initiator is silent");
            return Ok(ran);
        };
        next = message;
    }
}
