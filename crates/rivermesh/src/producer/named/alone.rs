//! How far one consumer with a name is: a state machine without I/O, clock or lock.
//!
//! What was sent and is not committed is *in flight*. A consumer that comes back begins at what is
//! committed, so nothing is in flight then; how far was sent before is remembered, to tell what may
//! come a second time, and to know a commit of something that was never sent.
//!
//! Items that a filter leaves out are not in flight: they count as committed as soon as everything
//! before them is.

use std::{collections::VecDeque, ops::Range, time::Instant};

use rivermesh_proto::{NodeId, Seq};

use super::{Ahead, Held, Token};

/// Who has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holder {
    node: NodeId,
    token: Token,
    /// Items in flight at most.
    max: u64,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Alone {
    committed: Seq,
    /// One past the last item that was ever sent to the name.
    sent: Seq,
    /// Everything before this was sent to the present holder, or left out by its filter.
    told: Seq,
    /// The items in flight, as ranges that rise and do not touch.
    flight: VecDeque<Range<Seq>>,
    in_flight: u64,
    holder: Option<Holder>,
    /// Since when nobody has the name.
    away: Option<Instant>,
}

impl Alone {
    /// A name that nobody has yet, from this item on.
    pub(super) fn new(start: Seq, now: Instant) -> Self {
        Self {
            committed: start,
            sent: start,
            told: start,
            flight: VecDeque::new(),
            in_flight: 0,
            holder: None,
            away: Some(now),
        }
    }

    /// A name of an earlier life of the process, in which everything before `sent` may have been sent.
    pub(super) fn recovered(committed: Seq, sent: Seq, now: Instant) -> Self {
        Self {
            sent: sent.max(committed),
            ..Self::new(committed, now)
        }
    }

    /// Everything before this is committed.
    pub(super) fn committed(&self) -> Seq {
        self.committed
    }

    /// One past the last item that was ever sent to the name.
    pub(super) fn sent(&self) -> Seq {
        self.sent
    }

    /// Items that were sent and are not committed.
    pub(super) fn in_flight(&self) -> u64 {
        self.in_flight
    }

    /// Who has the name.
    pub(super) fn holder(&self) -> Option<Token> {
        self.holder.map(|holder| holder.token)
    }

    /// Since when nobody has the name.
    pub(super) fn away(&self) -> Option<Instant> {
        self.away
    }

    /// Gives the name to a consumer, which begins at what is committed. Gives the consumer of the same
    /// node that had it: its connection is dead, or will be.
    pub(super) fn attach(
        &mut self,
        node: NodeId,
        token: Token,
        max: u64,
    ) -> Result<Option<Token>, Held> {
        let before = match self.holder {
            Some(holder) if holder.node != node => return Err(Held),
            before => before.map(|holder| holder.token),
        };
        self.holder = Some(Holder { node, token, max });
        self.away = None;
        self.flight.clear();
        self.in_flight = 0;
        self.told = self.committed;
        Ok(before)
    }

    /// Takes the name from a consumer that has gone, if it still has it.
    pub(super) fn detach(&mut self, token: Token, now: Instant) -> bool {
        let has = self.holder() == Some(token);
        if has {
            self.holder = None;
            self.away = Some(now);
        }
        has
    }

    /// How many items may be sent now.
    pub(super) fn room(&self, token: Token) -> u64 {
        match self.holder {
            Some(holder) if holder.token == token => holder.max.saturating_sub(self.in_flight),
            _ => 0,
        }
    }

    /// Notes the items that are being sent, and that everything before `upto` has been or was left
    /// out.
    pub(super) fn put_out(
        &mut self,
        token: Token,
        items: impl IntoIterator<Item = Range<Seq>>,
        upto: Seq,
    ) {
        if self.holder() != Some(token) {
            return;
        }
        for range in items {
            self.fly(range);
        }
        self.told = self.told.max(upto);
        self.sent = self.sent.max(upto);
        self.settle();
    }

    fn fly(&mut self, mut range: Range<Seq>) {
        // A commit may have gone ahead of what is sent anew.
        range.start = range.start.max(self.committed);
        if range.is_empty() {
            return;
        }
        self.in_flight += range.end - range.start;
        match self.flight.back_mut() {
            Some(last) if last.end == range.start => last.end = range.end,
            _ => self.flight.push_back(range),
        }
    }

    /// Commits everything before `upto`. True if that was new.
    pub(super) fn commit(&mut self, token: Token, upto: Seq) -> Result<bool, Ahead> {
        // One that has lost the name knows nothing of what was sent since.
        if self.holder() != Some(token) {
            return Ok(false);
        }
        if upto > self.sent {
            return Err(Ahead);
        }
        let before = self.committed;
        self.committed = self.committed.max(upto);
        while let Some(first) = self.flight.front_mut() {
            let done = upto.min(first.end).saturating_sub(first.start);
            first.start += done;
            self.in_flight -= done;
            if !first.is_empty() {
                break;
            }
            self.flight.pop_front();
        }
        self.settle();
        Ok(self.committed > before)
    }

    /// Where nothing is in flight, everything that was told is done with.
    fn settle(&mut self) {
        if self.flight.is_empty() {
            self.committed = self.committed.max(self.told);
        }
    }
}
