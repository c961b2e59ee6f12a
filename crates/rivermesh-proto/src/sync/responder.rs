//! The side that answers a sync.

use std::collections::{BTreeMap, VecDeque};

use super::{
    Incoming, Message, Output, Party, Side, Sums, SyncError,
    message::{ITEMS, OVERHEAD, WANTS},
};
use crate::{
    NodeId,
    catalog::{Catalog, Clock, bucket_of},
    limits,
};

/// Pages of [`Message::Have`] at most: entries and tombstones of a full catalog.
const HAVE_PAGES: usize = (2 * limits::CATALOG).div_ceil(ITEMS);

/// The side that answers a sync.
#[derive(Debug)]
pub struct Responder {
    side: Side,
    state: State,
    want: VecDeque<[u8; 32]>,
    /// Whether the initiator was told that nothing further comes.
    told_last: bool,
}

#[derive(Debug)]
enum State {
    Waiting,
    Listening {
        /// The buckets of the first page, and what is listed so far.
        buckets: Option<[u8; 32]>,
        theirs: BTreeMap<[u8; 32], u64>,
        pages: usize,
    },
    Exchanging,
    Done,
}

impl Responder {
    /// Waits for `peer` to open a sync.
    #[must_use]
    pub fn new(peer: NodeId) -> Self {
        Self {
            side: Side::new(peer),
            state: State::Waiting,
            want: VecDeque::new(),
            told_last: false,
        }
    }

    /// Decides what to send and what to ask for.
    fn plan(&mut self, buckets: &[u8; 32], mut theirs: BTreeMap<[u8; 32], u64>, catalog: &Catalog) {
        for bucket in (0..=u8::MAX).filter(|bucket| contains(buckets, usize::from(*bucket))) {
            for (node, ours) in catalog.counted(bucket) {
                match theirs.remove(node.as_bytes()) {
                    Some(known) if known == ours => {}
                    Some(known) if known > ours => self.want.push_back(*node),
                    Some(_) | None => self.side.queue.push_back(*node),
                }
            }
        }
        // The rest is not in our digest; what a tombstone remembers need not be asked for.
        for (node, known) in theirs {
            match catalog.known(&node) {
                Some(ours) if ours == known => {}
                Some(ours) if ours > known => self.side.queue.push_back(node),
                Some(_) | None => self.want.push_back(node),
            }
        }
    }

    fn delta(&mut self, catalog: &Catalog, now: Clock) -> Message {
        let records = self.side.fill(catalog, now);
        let used: usize = records.iter().map(super::Carried::most_bytes).sum();
        let room = (limits::SYNC_PAGE - OVERHEAD - used) / 32;
        let wants = self.want.len().min(room).min(WANTS);
        let want: Vec<_> = self.want.drain(..wants).collect();
        self.told_last = self.side.queue.is_empty() && self.want.is_empty();
        Message::Delta {
            records,
            want,
            last: self.told_last,
        }
    }
}

impl Party for Responder {
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
        if let (State::Exchanging, Message::Push { .. }) = (&self.state, &incoming.message) {
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
            (State::Waiting, Message::Open { total, count }) => {
                let digest = catalog.digest();
                if digest.total() == total && digest.count() == count {
                    output.send = Some(Message::Same);
                    output.done = true;
                } else {
                    let sums = Sums(Box::new(*digest.buckets()));
                    output.send = Some(Message::Buckets(sums));
                    self.state = State::Listening {
                        buckets: None,
                        theirs: BTreeMap::new(),
                        pages: 0,
                    };
                }
            }
            (
                State::Listening {
                    buckets: first,
                    mut theirs,
                    pages,
                },
                Message::Have {
                    buckets,
                    items,
                    last,
                },
            ) => {
                check_page(first, &theirs, &buckets, &items, last, pages + 1)?;
                theirs.extend(items);
                if last {
                    self.plan(&buckets, theirs, catalog);
                    output.send = Some(self.delta(catalog, now));
                    self.state = State::Exchanging;
                } else {
                    output.send = Some(Message::More);
                    self.state = State::Listening {
                        buckets: Some(buckets),
                        theirs,
                        pages: pages + 1,
                    };
                }
            }
            (State::Exchanging, Message::Push { more, .. }) => {
                if incoming.carried == 0 && more {
                    return Err(SyncError::Unexpected("a push without any progress"));
                }
                if self.told_last && !more {
                    output.done = true;
                } else {
                    output.send = Some(self.delta(catalog, now));
                    self.state = State::Exchanging;
                }
            }
            (State::Done, _) => return Err(SyncError::Unexpected("the sync is over")),
            _ => return Err(SyncError::Unexpected("not the turn of this message")),
        }
        Ok(output)
    }
}

/// Holds a page of the initiator's list to the order of ids, the buckets and the number of pages.
fn check_page(
    first: Option<[u8; 32]>,
    theirs: &BTreeMap<[u8; 32], u64>,
    buckets: &[u8; 32],
    items: &[([u8; 32], u64)],
    last: bool,
    pages: usize,
) -> Result<(), SyncError> {
    if first.is_some_and(|first| first != *buckets) {
        return Err(SyncError::Unexpected(
            "other buckets than on the first page",
        ));
    }
    if pages > HAVE_PAGES {
        return Err(SyncError::Unexpected("more pages than a catalog has"));
    }
    if items.is_empty() && !last {
        return Err(SyncError::Unexpected("an empty page"));
    }
    for (node, _) in items {
        if !contains(buckets, bucket_of(node)) {
            return Err(SyncError::Unexpected("a node outside of the buckets"));
        }
    }
    let known_twice = items.iter().any(|(node, _)| theirs.contains_key(node));
    let mut ids: Vec<_> = items.iter().map(|(node, _)| node).collect();
    ids.sort_unstable();
    if known_twice || ids.windows(2).any(|pair| pair[0] == pair[1]) {
        return Err(SyncError::Unexpected("a node twice"));
    }
    Ok(())
}

fn contains(buckets: &[u8; 32], bucket: usize) -> bool {
    buckets[bucket / 8] & (1 << (bucket % 8)) != 0
}
