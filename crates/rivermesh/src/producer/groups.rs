//! The groups of a log's readers: those that share a filter, and which items each group gets.
//!
//! All filters are evaluated once for each item, when it is appended. What is kept of that is one
//! [`Match`] for each item and group that gets it, in the batch that holds the item, and for each
//! group the list of batches in the ring that have something for it. So an item costs what gets it,
//! and not how many groups there are; and a reader finds its next item without looking at the
//! batches in between.
//!
//! A group knows of the items from when it began ([`Groups::since`]) on. Of items before that its
//! readers find out by evaluating the filter on what the log holds.

use std::{collections::VecDeque, sync::Arc};

use rivermesh_proto::{
    Seq,
    filter::{GroupId, Plan, Set},
};
use thiserror::Error;
use tokio::sync::Notify;

/// Matches of the open batch at which it is sealed: 96 KiB of them.
const OPEN_MATCHES: usize = 8 * 1024;

/// What the filters of all readers may take together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Bytes of all distinct filters, about.
    pub(crate) bytes: usize,
    /// Distinct filters that take more than a look-up.
    pub(crate) evaluated: usize,
}

/// There is no room for another filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("there is no room for another filter")]
pub(crate) struct Full;

/// An item of a batch that a group gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Match {
    pub(super) group: u32,
    /// Which item of the batch.
    pub(super) index: u32,
    /// Where in the frame it begins.
    pub(super) offset: u32,
}

/// A batch in the ring that has something for a group.
#[derive(Clone, Copy, Debug)]
struct Held {
    batch: u64,
    /// One past the last item for the group.
    end: Seq,
    count: u32,
}

/// Where the next item for a group is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// In the sealed batch of this number.
    Batch(u64),
    /// In the open batch.
    Open,
    /// Not there yet.
    Nothing,
}

#[derive(Debug)]
struct Group {
    since: Seq,
    users: usize,
    memory: usize,
    is_evaluated: bool,
    /// One past the last item that it gets.
    end: Seq,
    /// One past the last item for it that has left the ring.
    lost: Seq,
    held: VecDeque<Held>,
    /// The last batch in which it was told of an item.
    told_in: Option<u64>,
    bell: Arc<Notify>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Groups {
    set: Set,
    groups: Vec<Option<Group>>,
    /// Readers without a filter.
    unfiltered: usize,
    limits: Limits,
    memory: usize,
    evaluated: usize,
    /// The matches of the open batch.
    open: Vec<Match>,
}

impl Groups {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            set: Set::new(),
            groups: Vec::new(),
            unfiltered: 0,
            limits,
            memory: 0,
            evaluated: 0,
            open: Vec::new(),
        }
    }

    /// The filters, to be evaluated on the item that is about to be appended.
    pub(super) fn set(&mut self) -> &mut Set {
        &mut self.set
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.set.len()
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.set.is_empty()
    }

    /// Whether there is a reader that gets everything.
    pub(super) fn has_unfiltered(&self) -> bool {
        self.unfiltered > 0
    }

    /// Counts a reader that gets everything.
    pub(super) fn enter_unfiltered(&mut self) {
        self.unfiltered += 1;
    }

    /// Takes back one [`enter_unfiltered`](Self::enter_unfiltered).
    pub(super) fn leave_unfiltered(&mut self) {
        self.unfiltered = self.unfiltered.saturating_sub(1);
    }

    /// The group of a filter, if it is there.
    pub(super) fn find(&self, plan: &Plan) -> Option<GroupId> {
        self.set.find(plan)
    }

    /// Counts a reader of a filter. A group that is new knows of the items from `since` on, with
    /// which a batch must begin.
    pub(super) fn enter(&mut self, plan: &Plan, since: Seq) -> Result<GroupId, Full> {
        if let Some(id) = self.set.find(plan) {
            if let Some(group) = self.group_mut(id) {
                group.users += 1;
            }
            return Ok(self.set.insert(plan));
        }
        let (memory, is_evaluated) = (plan.memory(), plan.is_evaluated());
        if self.memory.saturating_add(memory) > self.limits.bytes
            || is_evaluated && self.evaluated >= self.limits.evaluated
        {
            return Err(Full);
        }
        self.memory += memory;
        self.evaluated += usize::from(is_evaluated);
        let id = self.set.insert(plan);
        if self.groups.len() <= id.index() {
            self.groups.resize_with(id.index() + 1, || None);
        }
        self.groups[id.index()] = Some(Group {
            since,
            users: 1,
            memory,
            is_evaluated,
            end: since,
            lost: since,
            held: VecDeque::new(),
            told_in: None,
            bell: Arc::default(),
        });
        Ok(id)
    }

    /// Takes back one [`enter`](Self::enter).
    pub(super) fn leave(&mut self, id: GroupId) {
        if let Some(group) = self.group_mut(id) {
            group.users -= 1;
        }
        if self.set.remove(id)
            && let Some(group) = self.groups.get_mut(id.index()).and_then(Option::take)
        {
            self.memory -= group.memory;
            self.evaluated -= usize::from(group.is_evaluated);
        }
    }

    fn group(&self, id: GroupId) -> Option<&Group> {
        self.groups.get(id.index())?.as_ref()
    }

    fn group_mut(&mut self, id: GroupId) -> Option<&mut Group> {
        self.groups.get_mut(id.index())?.as_mut()
    }

    /// The first item that the group knows of.
    pub(super) fn since(&self, id: GroupId) -> Seq {
        self.group(id).map_or(Seq::MAX, |group| group.since)
    }

    /// One past the last item for the group that has left the ring.
    pub(super) fn lost(&self, id: GroupId) -> Seq {
        self.group(id).map_or(0, |group| group.lost)
    }

    /// Whether several readers share the group.
    pub(super) fn is_shared(&self, id: GroupId) -> bool {
        self.group(id).is_some_and(|group| group.users > 1)
    }

    /// Rings when there is an item for the group, and none was there since a reader has looked.
    pub(super) fn bell(&self, id: GroupId) -> Arc<Notify> {
        self.group(id)
            .map_or_else(Arc::default, |group| Arc::clone(&group.bell))
    }

    /// Rings for all groups.
    pub(super) fn ring(&self) {
        for group in self.groups.iter().flatten() {
            group.bell.notify_waiters();
        }
    }

    /// Where the first item at or after `seq` is that the group gets. Only of items from
    /// [`since`](Self::since) on.
    pub(super) fn pending(&self, id: GroupId, seq: Seq) -> Pending {
        let Some(group) = self.group(id).filter(|group| group.end > seq) else {
            return Pending::Nothing;
        };
        let place = group.held.partition_point(|held| held.end <= seq);
        match group.held.get(place) {
            Some(held) => Pending::Batch(held.batch),
            None => Pending::Open,
        }
    }

    /// How many items from about `seq` on the ring has for the group: those of whole batches.
    pub(super) fn waiting(&self, id: GroupId, seq: Seq) -> u64 {
        let Some(group) = self.group(id).filter(|group| group.end > seq) else {
            return 0;
        };
        let held = group.held.iter().filter(|held| held.end > seq);
        let sealed: u64 = held.map(|held| u64::from(held.count)).sum();
        let own = |found: &&Match| found.group as usize == id.index();
        sealed + self.open.iter().filter(own).count() as u64
    }

    /// Notes the item that the filters were evaluated on last, when it has been appended. True if
    /// nobody gets it.
    pub(super) fn note(&mut self, seq: Seq, index: u32, offset: usize, batch: u64) -> bool {
        for id in self.set.matched() {
            let Some(group) = &mut self.groups[id.index()] else {
                continue;
            };
            group.end = seq + 1;
            self.open.push(Match {
                // Both come from a u32, and an offset in a frame is far below that.
                group: id.index() as u32,
                index,
                offset: offset as u32,
            });
            if group.told_in != Some(batch) {
                group.told_in = Some(batch);
                group.bell.notify_waiters();
            }
        }
        !self.has_unfiltered() && self.set.matched().is_empty()
    }

    /// Whether the open batch has as many matches as it may.
    pub(super) fn is_full(&self) -> bool {
        self.open.len() >= OPEN_MATCHES
    }

    /// Bytes of the open batch's matches.
    pub(super) fn open_bytes(&self) -> usize {
        size_of_val(&*self.open)
    }

    /// The matches of the open batch, which is sealed as this one, and about how many bytes they
    /// take.
    pub(super) fn seal(&mut self, batch: u64, first: Seq) -> (Box<[Match]>, usize) {
        if self.open.is_empty() {
            return (Box::default(), 0);
        }
        self.open.sort_unstable();
        let mut bytes = size_of_val(&*self.open);
        for run in self.open.chunk_by(|a, b| a.group == b.group) {
            // A group that is new begins with a batch, so none is here by the number of another.
            if let (Some(Some(group)), Some(last)) =
                (self.groups.get_mut(run[0].group as usize), run.last())
            {
                bytes += size_of::<Held>();
                group.held.push_back(Held {
                    batch,
                    end: first + u64::from(last.index) + 1,
                    count: run.len() as u32,
                });
            }
        }
        (std::mem::take(&mut self.open).into_boxed_slice(), bytes)
    }

    /// Forgets a batch that has left the ring.
    pub(super) fn evict(&mut self, batch: u64, matches: &[Match]) {
        for run in matches.chunk_by(|a, b| a.group == b.group) {
            let Some(Some(group)) = self.groups.get_mut(run[0].group as usize) else {
                continue;
            };
            // Not of a newer group that has taken the number of an old one: its batches are newer.
            while let Some(held) = group.held.front()
                && held.batch <= batch
            {
                group.lost = held.end;
                group.held.pop_front();
            }
            let (len, room) = (group.held.len(), group.held.capacity());
            if room > 64 && len < room / 4 {
                group.held.shrink_to(2 * len);
            }
        }
    }
}
