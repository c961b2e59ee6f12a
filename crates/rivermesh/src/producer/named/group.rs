//! The members of a group and what each of them has: a state machine without I/O, clock or lock.
//!
//! Every item of the stream comes here once, in order, and is given to one member. It stays until that
//! member acknowledges it. When a member leaves, what it had is *returned*, and given to others before
//! anything new is. The group is *committed* up to its lowest unacknowledged item.
//!
//! `T` is what finds an item's bytes again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    ops::Range,
    time::Instant,
};

use rivermesh_proto::{Seq, named::Acknowledged};

use super::{Ahead, Token};

/// Gaps that wait for a member to be told at most. They come of damage on disk alone.
const GAPS: usize = 256;

/// What one member may have unacknowledged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) items: usize,
    /// One item that is larger still goes to a member that has nothing else.
    pub(super) bytes: usize,
}

#[derive(Debug)]
struct Member {
    limits: Limits,
    items: usize,
    bytes: usize,
    /// Items that it ever got, to spread evenly what is acknowledged at once.
    total: u64,
    /// What it has and was not sent yet.
    outbox: BTreeSet<Seq>,
    /// Everything before this it was sent, or knows not to be for it.
    told: Seq,
    /// One past the last item that it was sent.
    reach: Seq,
    /// What is gone for all, and it was not told yet.
    gaps: VecDeque<Range<Seq>>,
}

impl Member {
    fn has_room(&self, bytes: usize) -> bool {
        self.items < self.limits.items
            && (self.items == 0 || self.bytes + bytes <= self.limits.bytes)
    }
}

#[derive(Debug)]
struct Item<T> {
    bytes: usize,
    key: u64,
    owner: Option<Token>,
    is_sent: bool,
    /// Another member had it before.
    is_returned: bool,
    place: T,
}

/// An item that is to be sent to a member.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outgoing<T> {
    pub(super) seq: Seq,
    /// Another member had it before, so it stands outside of the order.
    pub(super) is_returned: bool,
    pub(super) place: T,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Group<T> {
    by_key: bool,
    members: BTreeMap<Token, Member>,
    /// What is not acknowledged.
    items: BTreeMap<Seq, Item<T>>,
    returned: BTreeSet<Seq>,
    /// Who has items of a key, and how many: they stay together, whoever joins.
    keys: HashMap<u64, (Token, usize)>,
    /// The next item of the stream.
    next: Seq,
    away: Option<Instant>,
}

impl<T: Clone> Group<T> {
    /// A group without members, from this item on.
    pub(super) fn new(by_key: bool, start: Seq, now: Instant) -> Self {
        Self {
            by_key,
            members: BTreeMap::new(),
            items: BTreeMap::new(),
            returned: BTreeSet::new(),
            keys: HashMap::new(),
            next: start,
            away: Some(now),
        }
    }

    /// Everything before this is acknowledged.
    pub(super) fn committed(&self) -> Seq {
        let lowest = self.items.first_key_value();
        lowest.map_or(self.next, |(seq, _)| *seq)
    }

    /// The next item of the stream that is to be given to a member.
    pub(super) fn next(&self) -> Seq {
        self.next
    }

    /// Items that members have.
    pub(super) fn in_flight(&self) -> u64 {
        (self.items.len() - self.returned.len()) as u64
    }

    pub(super) fn members(&self) -> usize {
        self.members.len()
    }

    /// The members.
    pub(super) fn tokens(&self) -> impl Iterator<Item = Token> {
        self.members.keys().copied()
    }

    /// Since when it has had no member.
    pub(super) fn away(&self) -> Option<Instant> {
        self.away
    }

    /// Takes a member in. Gives where its part of the stream begins.
    pub(super) fn join(&mut self, token: Token, limits: Limits) -> Seq {
        let member = Member {
            limits,
            items: 0,
            bytes: 0,
            total: self.members.values().map(|m| m.total).min().unwrap_or(0),
            outbox: BTreeSet::new(),
            told: self.next,
            reach: self.next,
            gaps: VecDeque::new(),
        };
        self.members.insert(token, member);
        self.away = None;
        self.next
    }

    /// Lets a member go; what it had is returned.
    pub(super) fn leave(&mut self, token: Token, now: Instant) -> bool {
        if self.members.remove(&token).is_none() {
            return false;
        }
        for (seq, item) in &mut self.items {
            if item.owner == Some(token) {
                item.owner = None;
                item.is_returned = true;
                item.is_sent = false;
                self.returned.insert(*seq);
            }
        }
        self.keys.retain(|_, (owner, _)| *owner != token);
        if self.members.is_empty() {
            self.away = Some(now);
        }
        true
    }

    /// Whether a new item could be given to somebody, as far as can be told without its key.
    pub(super) fn wants(&self) -> bool {
        self.returned.is_empty() && self.members.values().any(|member| member.has_room(0))
    }

    /// Gives the items of members that have left to others, as far as these have room.
    pub(super) fn deal_returned(&mut self) {
        let waiting: Vec<Seq> = self.returned.iter().copied().collect();
        for seq in waiting {
            let Some(item) = self.items.get(&seq) else {
                continue;
            };
            let (key, bytes) = (item.key, item.bytes);
            let Some(token) = self.choose(key, bytes) else {
                // Whoever has the next item's key may have room.
                if self.by_key {
                    continue;
                }
                return;
            };
            self.returned.remove(&seq);
            self.give(token, seq, key, bytes);
            if let Some(item) = self.items.get_mut(&seq) {
                item.owner = Some(token);
            }
        }
    }

    /// Gives a new item to a member; false where there is no room for it. Items come in order; what
    /// lies between them is for nobody.
    pub(super) fn offer(&mut self, seq: Seq, bytes: usize, key: u64, place: T) -> bool {
        let Some(token) = self.choose(key, bytes) else {
            return false;
        };
        self.give(token, seq, key, bytes);
        let item = Item {
            bytes,
            key,
            owner: Some(token),
            is_sent: false,
            is_returned: false,
            place,
        };
        self.items.insert(seq, item);
        self.next = seq + 1;
        true
    }

    /// Passes over what is for nobody.
    pub(super) fn skip(&mut self, upto: Seq) {
        self.next = self.next.max(upto);
    }

    /// Passes over what is gone, and is to be told as missed. To every member: nobody can say whose it
    /// would have been.
    pub(super) fn lose(&mut self, range: Range<Seq>) {
        for member in self.members.values_mut() {
            if member.gaps.len() < GAPS {
                member.gaps.push_back(range.clone());
            }
        }
        self.skip(range.end);
    }

    /// What is to be told to a member as missed, right behind what it took last.
    pub(super) fn gap(&mut self, token: Token) -> Option<Range<Seq>> {
        let member = self.members.get_mut(&token)?;
        member.gaps.front().filter(|gap| gap.start <= member.told)?;
        let gap = member.gaps.pop_front()?;
        member.told = member.told.max(gap.end);
        Some(gap)
    }

    fn give(&mut self, token: Token, seq: Seq, key: u64, bytes: usize) {
        if let Some(member) = self.members.get_mut(&token) {
            member.items += 1;
            member.bytes += bytes;
            member.total += 1;
            member.outbox.insert(seq);
        }
        if self.by_key {
            self.keys.entry(key).or_insert((token, 0)).1 += 1;
        }
    }

    fn choose(&self, key: u64, bytes: usize) -> Option<Token> {
        if !self.by_key {
            let with_room = self.members.iter().filter(|(_, m)| m.has_room(bytes));
            let least = with_room.min_by_key(|(_, m)| (m.items, m.total));
            return least.map(|(token, _)| *token);
        }
        let token = match self.keys.get(&key) {
            Some((token, _)) => *token,
            // Rendezvous hashing (Thaler and Ravishankar, 1996): a member that comes or goes moves
            // no key between the others.
            None => *self.members.keys().max_by_key(|token| mix(key, token.0))?,
        };
        self.members.get(&token)?.has_room(bytes).then_some(token)
    }

    /// Takes what is to be sent to a member, in order, of about `max_bytes`; and up to where it then
    /// knows which items are not for it.
    pub(super) fn take(&mut self, token: Token, max_bytes: usize) -> (Vec<Outgoing<T>>, Seq) {
        let mut taken = Vec::new();
        let Some(member) = self.members.get_mut(&token) else {
            return (taken, 0);
        };
        let mut bytes = 0;
        // What lies behind a gap follows when that has been told.
        let stop = member.gaps.front().map_or(Seq::MAX, |gap| gap.start);
        while bytes < max_bytes
            && let Some(seq) = member.outbox.first().copied()
            && seq < stop
        {
            member.outbox.remove(&seq);
            let Some(item) = self.items.get_mut(&seq) else {
                continue;
            };
            item.is_sent = true;
            bytes += item.bytes;
            member.reach = member.reach.max(seq + 1);
            taken.push(Outgoing {
                seq,
                is_returned: item.is_returned,
                place: item.place.clone(),
            });
        }
        let first_left = member.outbox.iter().find(|seq| **seq >= member.told);
        let upto = first_left.map_or(self.next, |seq| *seq).min(stop);
        member.told = upto.max(member.told);
        (taken, member.told)
    }

    /// Whether there is something to be sent to a member.
    pub(super) fn has_outgoing(&self, token: Token) -> bool {
        let member = self.members.get(&token);
        member.is_some_and(|member| !member.outbox.is_empty() || !member.gaps.is_empty())
    }

    /// Up to where a member knows which items are not for it.
    pub(super) fn told(&self, token: Token) -> Seq {
        self.members.get(&token).map_or(0, |member| member.told)
    }

    /// Takes what a member has done with. What it does not have, because it has acknowledged it
    /// before, is passed over. Gives how many items were new.
    pub(super) fn acknowledge(
        &mut self,
        token: Token,
        ranges: &Acknowledged,
    ) -> Result<usize, Ahead> {
        let Some(member) = self.members.get_mut(&token) else {
            return Ok(0);
        };
        if ranges.end() > member.reach.max(member.told) {
            return Err(Ahead);
        }
        let mut done = 0;
        for (from, to) in ranges.iter() {
            let own = self.items.range(from..to);
            let own = own.filter(|(_, item)| item.owner == Some(token) && item.is_sent);
            let own: Vec<Seq> = own.map(|(seq, _)| *seq).collect();
            for seq in own {
                let Some(item) = self.items.remove(&seq) else {
                    continue;
                };
                done += 1;
                member.items -= 1;
                member.bytes -= item.bytes;
                if let Some((_, count)) = self.keys.get_mut(&item.key) {
                    *count -= 1;
                    if *count == 0 {
                        self.keys.remove(&item.key);
                    }
                }
            }
        }
        Ok(done)
    }

    /// How many items each member has.
    #[cfg(test)]
    pub(super) fn loads(&self) -> Vec<usize> {
        self.members.values().map(|member| member.items).collect()
    }
}

/// Mixes two numbers well (the finalizer of SplitMix64, Steele and others, 2014).
fn mix(key: u64, token: u64) -> u64 {
    let mut z = key ^ token.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
