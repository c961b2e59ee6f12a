//! The side that opens a sync.

use std::collections::VecDeque;

use super::{Incoming, Message, Output, Party, Side, SyncError, message::ITEMS};
use crate::{
    NodeId,
    catalog::{BUCKETS, Catalog, Clock},
};

/// The side that opens a sync.
#[derive(Debug)]
pub struct Initiator {
    side: Side,
    state: State,
    /// How many nodes the responder may still ask for.
    may_want: usize,
}

#[derive(Debug)]
enum State {
    Opened,
    Listing {
        buckets: [u8; 32],
        items: VecDeque<([u8; 32], u64)>,
    },
    Exchanging {
        /// Whether the last `Push` said that more follows.
        pushing: bool,
    },
    Done,
}

impl Initiator {
    /// Opens a sync with `peer`; the message is the first to send.
    #[must_use]
    pub fn start(peer: NodeId, catalog: &Catalog) -> (Self, Message) {
        let initiator = Self {
            side: Side::new(peer),
            state: State::Opened,
            may_want: 0,
        };
        let digest = catalog.digest();
        let open = Message::Open {
            total: digest.total(),
            count: digest.count(),
        };
        (initiator, open)
    }

    fn have(&mut self, buckets: [u8; 32], mut items: VecDeque<([u8; 32], u64)>) -> Message {
        let page: Vec<_> = items.drain(..items.len().min(ITEMS)).collect();
        let last = items.is_empty();
        self.state = if last {
            State::Exchanging { pushing: false }
        } else {
            State::Listing { buckets, items }
        };
        Message::Have {
            buckets,
            items: page,
            last,
        }
    }
}

impl Party for Initiator {
    fn read(&mut self, bytes: &[u8]) -> Result<Incoming, SyncError> {
        let message = self.side.take(bytes);
        let message = message.inspect_err(|_| self.state = State::Done)?;
        Ok(Incoming::new(message))
    }

    fn admit(
        &mut self,
        incoming: &mut Incoming,
        most: usize,
        catalog: &mut Catalog,
        now: Clock,
    ) -> Result<Output, SyncError> {
        let mut output = Output::default();
        // What does not belong here is for `answer` to refuse.
        if let (State::Exchanging { .. }, Message::Delta { .. }) = (&self.state, &incoming.message)
        {
            let admitted = self.side.admit(incoming, most, catalog, now, &mut output);
            admitted.inspect_err(|_| self.state = State::Done)?;
        }
        Ok(output)
    }

    fn answer(
        &mut self,
        mut incoming: Incoming,
        catalog: &mut Catalog,
        now: Clock,
    ) -> Result<Output, SyncError> {
        let mut output = self.admit(&mut incoming, usize::MAX, catalog, now)?;
        // Over, unless the message is found to belong here.
        let state = std::mem::replace(&mut self.state, State::Done);
        match (state, incoming.message) {
            (State::Opened, Message::Same) => output.done = true,
            (State::Opened, Message::Buckets(sums)) => {
                let (buckets, items) = differing(&sums.0, catalog);
                self.may_want = items.len();
                output.send = Some(self.have(buckets, items));
            }
            (State::Listing { buckets, items }, Message::More) => {
                output.send = Some(self.have(buckets, items));
            }
            (State::Exchanging { pushing }, Message::Delta { want, last, .. }) => {
                if incoming.carried == 0 && want.is_empty() && !last && !pushing {
                    return Err(SyncError::Unexpected("a delta without any progress"));
                }
                self.may_want = self
                    .may_want
                    .checked_sub(want.len())
                    .ok_or(SyncError::Unexpected("more wanted than was listed"))?;
                self.side.queue.extend(want);
                let records = self.side.fill(catalog, now);
                let more = !self.side.queue.is_empty();
                output.done = last && !more;
                output.send = Some(Message::Push { records, more });
                if !output.done {
                    self.state = State::Exchanging { pushing: more };
                }
            }
            (State::Done, _) => return Err(SyncError::Unexpected("the sync is over")),
            _ => return Err(SyncError::Unexpected("not the turn of this message")),
        }
        Ok(output)
    }
}

/// The buckets whose sums differ, and what the catalog knows in them.
fn differing(theirs: &[u64; BUCKETS], catalog: &Catalog) -> ([u8; 32], VecDeque<([u8; 32], u64)>) {
    let mut buckets = [0; 32];
    let mut items = VecDeque::new();
    let ours = catalog.digest().buckets();
    for bucket in 0..=u8::MAX {
        let at = usize::from(bucket);
        if ours[at] != theirs[at] {
            buckets[at / 8] |= 1 << (at % 8);
            items.extend(catalog.counted(bucket).map(|(node, rev)| (*node, rev)));
        }
    }
    (buckets, items)
}
