//! The one function that decides on every record from outside.
//!
//! The checks go from cheap to dear: what the header says (network, sender, version, clock), room,
//! and only then the body and the signature. So a record that is not news costs a look-up.

use std::{cmp::Ordering, sync::Arc, time::Duration};

use thiserror::Error;

use super::{
    Catalog, Cause, Change, Clock, MAX_AGE, MISSED_REFRESHES, Peer, Reachability, Slot,
    announce_interval, micros, places,
};
use crate::{
    NodeId,
    entry::{Entry, EntryError, Kind, Record, SignedRecord},
    limits,
};

/// Which way a record came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// By gossip, from whomever.
    Gossip,
    /// In a sync, from a peer that had it for this long. The age can only shorten an entry's life:
    /// without it, a chain of newcomers could hand on a dead node's entry for ever.
    Sync {
        /// Time since the peer, or the one that told it, heard of the node.
        age: Duration,
    },
    /// In the handshake of a connection whose other end is `peer`: proof of life.
    Handshake {
        /// The authenticated other end.
        peer: NodeId,
    },
}

/// A record whose body was read and whose signature fits.
#[derive(Clone, Debug)]
pub struct Verified {
    record: SignedRecord,
    body: Record,
}

impl Verified {
    /// Verifies a record, which costs some 50 µs.
    ///
    /// # Errors
    /// As [`SignedRecord::verify`].
    pub fn of(record: SignedRecord) -> Result<Self, EntryError> {
        let body = record.verify()?;
        Ok(Self { record, body })
    }
}

/// What came of a record that was taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Admitted {
    /// What became different. `None` when only something to be remembered was added.
    pub change: Option<Change>,
    /// Who gave way for this one, each as [`Change::Left`]: at most as many as the entry takes places
    /// ([`limits::ENTRY_PLACE`]).
    pub displaced: Vec<Change>,
    /// Somebody believes something of the local node that it does not say now: a former life's
    /// record, or that it is not reachable. It must announce itself with a revision above this one
    /// ([`Revisions::above`](crate::entry::Revisions::above)).
    pub refute: Option<u64>,
    /// Whether the record was news, and so is worth passing on.
    pub forward: bool,
}

/// Why a record was not taken. The catalog did not change.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Refused {
    /// The record breaks a rule, or its signature does not fit.
    #[error("the record is not valid")]
    Invalid(#[from] EntryError),
    /// The record is meant for another network.
    #[error("the record is of another network")]
    Network,
    /// A handshake brought another node's record.
    #[error("a handshake brought the record of another node")]
    NotOwn,
    /// The record is known.
    #[error("the record is known")]
    Known,
    /// A newer record is known; [`Catalog::record`] has it.
    #[error("revision {known} is known, which is newer")]
    Older {
        /// The revision that is known.
        known: u64,
    },
    /// The node departed at this very revision.
    #[error("the node departed")]
    Departed,
    /// The node was unreachable for too long at this very revision. A newer entry, or the node
    /// itself in a handshake, is accepted.
    #[error("the node was dropped at this revision")]
    Evicted,
    /// The revision is more than [`limits::CLOCK_SKEW`] ahead of the local clock.
    #[error("the revision is {by:?} ahead of this node's clock")]
    AheadOfClock {
        /// How far ahead.
        by: Duration,
    },
    /// The revision is more than [`MAX_AGE`] behind the local clock.
    #[error("the revision is {by:?} behind this node's clock")]
    TooOld {
        /// How far behind.
        by: Duration,
    },
    /// The entry was not refreshed within its own promise when it was passed on.
    #[error("the entry has expired")]
    Expired,
    /// The catalog is full: too few of the listed nodes are unreachable, and either the node is not
    /// here in person, or all others have been.
    #[error("the catalog is full")]
    Full,
    /// A suspicion of a node that is not listed.
    #[error("the suspected node is not listed")]
    UnknownNode,
    /// A suspicion by a node that is not listed.
    #[error("the reporter is not listed")]
    UnknownReporter,
    /// A suspicion of a node that the local node is connected to.
    #[error("this node is connected to the suspected one")]
    Connected,
    /// A suspicion of the local node at a revision that it has not signed, as far as it knows. If a
    /// former life did, a sync or a handshake brings the entry, which proves it.
    #[error("the suspicion names a revision that this node does not know of itself")]
    Unproven,
    /// The reporter suspects too often.
    #[error("the reporter suspects too often")]
    TooManySuspicions,
}

impl Refused {
    /// Whether the sender broke a rule. A peer checks what it passes on, so it must not happen
    /// in a sync or a handshake; gossip forwards unread.
    #[must_use]
    pub const fn is_fault(&self) -> bool {
        matches!(self, Self::Invalid(_) | Self::Network | Self::NotOwn)
    }
}

impl Catalog {
    /// Decides on a record from outside.
    ///
    /// # Errors
    /// When the record is not taken; nothing has changed then. Most refusals are part of
    /// normal life; [`Refused::is_fault`] tells those that are not.
    pub fn admit(
        &mut self,
        record: SignedRecord,
        source: Source,
        now: Clock,
    ) -> Result<Admitted, Refused> {
        self.decide(record, None, source, now)
    }

    /// As [`admit`](Self::admit), of a record that was verified before the catalog was at hand: that is what
    /// costs time.
    ///
    /// # Errors
    /// As [`admit`](Self::admit), but for what [`Verified::of`] has found.
    pub fn admit_verified(
        &mut self,
        verified: Verified,
        source: Source,
        now: Clock,
    ) -> Result<Admitted, Refused> {
        self.decide(verified.record, Some(verified.body), source, now)
    }

    /// Whether a record that somebody passes on is worth verifying: false only where
    /// [`admit`](Self::admit) would refuse it now without doing so. Costs a few look-ups.
    #[must_use]
    pub fn may_take(&self, record: &SignedRecord, now: Clock) -> bool {
        let (node, revision) = (record.node_bytes(), record.revision());
        if record.network_bytes() != *self.network.as_bytes() {
            return false;
        }
        if record.kind() == Kind::Suspicion {
            return self.slots.get(&node).is_some_and(|slot| {
                let told = match revision.cmp(&slot.record.revision()) {
                    Ordering::Less => return false,
                    Ordering::Equal => slot.suspicion.as_ref(),
                    Ordering::Greater => slot.pending.as_ref(),
                };
                told.is_none_or(|told| told.revision() < revision)
                    && record.signer_bytes() != *self.local
                    && !self.connected.contains(&node)
            });
        }
        let known = self.known(&node);
        if node == *self.local {
            return known.is_none_or(|known| revision >= known)
                && self.record(&self.local) != Some(record);
        }
        let has_room = || {
            let held = self.slots.get(&node).map_or(0, Slot::places);
            places(record) <= held || self.over(record, held) == 0 || !self.lost.is_empty()
        };
        known.is_none_or(|known| revision > known)
            && check_clock(revision, now).is_ok()
            && (record.kind() == Kind::Departure || has_room())
    }

    /// By how many places the catalog would be over its capacity with an entry whose node holds these.
    fn over(&self, record: &SignedRecord, held: usize) -> usize {
        (self.places - held + places(record)).saturating_sub(self.config.capacity)
    }

    fn decide(
        &mut self,
        record: SignedRecord,
        body: Option<Record>,
        source: Source,
        now: Clock,
    ) -> Result<Admitted, Refused> {
        if record.network_bytes() != *self.network.as_bytes() {
            return Err(Refused::Network);
        }
        if let Source::Handshake { peer } = source
            && record.signer_bytes() != *peer
        {
            return Err(Refused::NotOwn);
        }
        match record.kind() {
            Kind::Suspicion => self.admit_suspicion(record, body, now),
            Kind::Entry | Kind::Departure if record.node_bytes() == *self.local => {
                self.show_own(&record, body)
            }
            Kind::Entry => self.admit_entry(record, body, source, now),
            Kind::Departure => self.admit_departure(record, body, now),
        }
    }

    fn admit_entry(
        &mut self,
        record: SignedRecord,
        body: Option<Record>,
        source: Source,
        now: Clock,
    ) -> Result<Admitted, Refused> {
        let (node, revision) = (record.node_bytes(), record.revision());
        let in_person = matches!(source, Source::Handshake { .. });
        let mut held = 0;
        if let Some(slot) = self.slots.get_mut(&node) {
            held = slot.places();
            let known = slot.record.revision();
            if revision < known {
                return Err(Refused::Older { known });
            }
            if revision == known {
                if !(in_person && slot.record == record) {
                    return Err(Refused::Known);
                }
                if slot.lost.is_none() {
                    slot.met = true;
                    return Err(Refused::Known);
                }
                // Verified when it was listed.
                let node = self.view.get_bytes(&node).map(|peer| peer.id());
                return Ok(node.map_or_else(Admitted::default, |node| self.revive(&node, now)));
            }
        } else if let Some(tombstone) = self.tombstones.get(&node) {
            let known = tombstone.record.revision();
            match tombstone.cause {
                _ if revision < known => return Err(Refused::Older { known }),
                Cause::Departed if revision == known => return Err(Refused::Departed),
                Cause::Evicted if revision == known && !in_person => return Err(Refused::Evicted),
                Cause::Departed | Cause::Evicted => {}
            }
        }
        check_clock(revision, now)?;
        let over = self.over(&record, held);
        let grows = places(&record) > held;
        let give_way = if grows && over > 0 {
            let others = self.give_way(over, &node, in_person);
            others.ok_or(Refused::Full)?
        } else {
            Vec::new()
        };
        let Record::Entry(entry) = verified(&record, body)? else {
            return Err(Refused::Invalid(EntryError::Malformed("not an entry")));
        };
        let lifetime = self.lifetime(entry.refresh());
        let age = match source {
            Source::Sync { age } => age,
            Source::Gossip | Source::Handshake { .. } => Duration::ZERO,
        };
        if age >= lifetime {
            return Err(Refused::Expired);
        }
        let displaced = give_way.iter().filter_map(|node| self.evict(node, now));
        let displaced = displaced.collect();
        let change = self.list(entry, record, now.mono + (lifetime - age), in_person, now);
        Ok(Admitted {
            change: Some(change),
            displaced,
            refute: None,
            forward: true,
        })
    }

    /// Who leaves a full catalog so that this many places are free for a node: who has been unreachable
    /// for longest; then, for a node that is here in person, those that never were and that nobody
    /// here is connected to. Of those the ones that are to be listed for longest without being heard
    /// of again: to keep made-up entries listed has to cost more than to make them up. `None` where
    /// that is not enough.
    fn give_way(&self, places: usize, to: &[u8; 32], in_person: bool) -> Option<Vec<NodeId>> {
        let lost = self.lost.iter().map(|(_, node)| node);
        let hearsay = |slot: &Slot| !slot.met && slot.lost.is_none();
        // A flood of made-up entries comes by here for each of them: nothing is looked through then.
        let due = in_person.then(|| self.due.iter().rev().map(|(_, node)| node));
        let due = due.into_iter().flatten();
        let due = due.filter(|node| self.slots.get(*node).is_some_and(hearsay));
        let mut free = 0;
        let mut leaving = Vec::new();
        for node in lost.chain(due).filter(|node| node.as_bytes() != to) {
            leaving.push(*node);
            free += self.slots.get(node).map_or(0, Slot::places);
            if free >= places {
                return Some(leaving);
            }
        }
        None
    }

    fn admit_departure(
        &mut self,
        record: SignedRecord,
        body: Option<Record>,
        now: Clock,
    ) -> Result<Admitted, Refused> {
        let (node, revision) = (record.node_bytes(), record.revision());
        let listed = self.slots.get(&node);
        let known = listed.map(|slot| &slot.record).or_else(|| {
            self.tombstones
                .get(&node)
                .map(|tombstone| &tombstone.record)
        });
        match known.map(SignedRecord::revision) {
            Some(known) if revision == known => return Err(Refused::Known),
            Some(known) if revision < known => return Err(Refused::Older { known }),
            Some(_) | None => {}
        }
        check_clock(revision, now)?;
        let lifetime = listed.map_or_else(
            || self.lifetime(announce_interval(self.slots.len())),
            |slot| slot.lifetime,
        );
        let Record::Departure(departure) = verified(&record, body)? else {
            return Err(Refused::Invalid(EntryError::Malformed("not a departure")));
        };
        Ok(self.depart(departure.node, record, lifetime, now))
    }

    fn admit_suspicion(
        &mut self,
        record: SignedRecord,
        body: Option<Record>,
        now: Clock,
    ) -> Result<Admitted, Refused> {
        let (node, revision) = (record.node_bytes(), record.revision());
        let reporter = record.signer_bytes();
        let slot = self.slots.get(&node).ok_or(Refused::UnknownNode)?;
        let known = slot.record.revision();
        if revision < known {
            return Err(Refused::Older { known });
        }
        if reporter == *self.local || (revision == known && slot.suspicion.is_some()) {
            return Err(Refused::Known);
        }
        let own = node == *self.local;
        if own && revision > known {
            return Err(Refused::Unproven);
        }
        if self.connected.contains(&node) {
            return Err(Refused::Connected);
        }
        let pending = slot.pending.as_ref().map(SignedRecord::revision);
        if revision > known && pending.is_some_and(|pending| pending >= revision) {
            return Err(Refused::Known);
        }
        check_clock(revision, now)?;
        if !self.slots.contains_key(&reporter) {
            return Err(Refused::UnknownReporter);
        }
        if !self.reporters.may(&reporter, now.mono) {
            return Err(Refused::TooManySuspicions);
        }
        let Record::Suspicion(suspicion) = verified(&record, body)? else {
            return Err(Refused::Invalid(EntryError::Malformed("not a suspicion")));
        };
        self.reporters.spend(suspicion.reporter, now.mono);
        let mut admitted = Admitted {
            forward: true,
            ..Admitted::default()
        };
        if own {
            admitted.refute = Some(revision);
            return Ok(admitted);
        }
        let node = suspicion.node;
        let mut newly_lost = false;
        if let Some(slot) = self.slots.get_mut(&node) {
            if revision == known {
                newly_lost = slot.lost.is_none();
                slot.suspicion = Some(record);
            } else {
                slot.pending = Some(record);
            }
        }
        if newly_lost {
            let peer = self.set_lost(&node, Some(now.mono));
            admitted.change = peer.map(Change::Unreachable);
        }
        Ok(admitted)
    }

    /// Somebody shows the local node a record of itself.
    ///
    /// Neither clock nor age is checked: whatever its own key signed, it has to get above it.
    fn show_own(&self, record: &SignedRecord, body: Option<Record>) -> Result<Admitted, Refused> {
        let own = self.record(&self.local);
        if own == Some(record) {
            return Err(Refused::Known);
        }
        let known = own.map_or(0, SignedRecord::revision);
        if record.revision() < known {
            return Err(Refused::Older { known });
        }
        verified(record, body)?;
        Ok(Admitted {
            refute: Some(record.revision()),
            ..Admitted::default()
        })
    }

    /// A node proved in person that it runs, with the entry that is known.
    fn revive(&mut self, node: &NodeId, now: Clock) -> Admitted {
        if let Some(slot) = self.slots.get_mut(node) {
            slot.met = true;
            slot.expires_at = now.mono + slot.lifetime;
        }
        Admitted {
            change: self.set_lost(node, None).map(Change::Updated),
            ..Admitted::default()
        }
    }

    /// Puts a verified entry on the list that is newer than what is known.
    pub(super) fn list(
        &mut self,
        entry: Entry,
        record: SignedRecord,
        expires_at: Duration,
        in_person: bool,
        now: Clock,
    ) -> Change {
        let node = entry.node;
        let revision = entry.revision;
        let lifetime = self.lifetime(entry.refresh());
        self.unbury(&node);
        let old = self.view.get(&node).cloned();
        let mut met = in_person;
        let mut suspicion = None;
        let mut pending = None;
        self.places += places(&record);
        if let Some(slot) = self.slots.get_mut(&node) {
            self.places -= slot.places();
            met |= slot.met;
            self.digest.remove(&node, slot.record.revision());
            if let Some(since) = slot.lost.take() {
                self.lost.remove(&(since, node));
            }
            if let Some(due) = slot.due.take() {
                self.due.remove(&(due, node));
            }
            match slot.pending.take() {
                Some(earlier) if earlier.revision() > revision => pending = Some(earlier),
                Some(earlier) if earlier.revision() == revision => suspicion = Some(earlier),
                Some(_) | None => {}
            }
        }
        self.digest.add(&node, revision);
        // A suspicion that overtook this entry counts, unless we know better.
        if in_person || self.connected.contains(&node) {
            suspicion = None;
        }
        let suspected = suspicion.is_some();
        let slot = Slot {
            record,
            met,
            lifetime,
            expires_at,
            lost: None,
            suspicion,
            pending,
            due: None,
        };
        self.slots.insert(node, slot);
        let refreshed = old
            .as_ref()
            .is_some_and(|old| old.is_live() && old.entry.same_content(&entry));
        let peer = self.view.put(Peer {
            entry: Arc::new(entry),
            rtt: old.as_ref().and_then(|old| old.rtt),
            reachability: Reachability::Live,
            local: node == self.local,
        });
        if suspected && let Some(peer) = self.set_lost(&node, Some(now.mono)) {
            return Change::Unreachable(peer);
        }
        self.schedule(&node);
        match old {
            None => Change::Joined(peer),
            Some(_) if refreshed => Change::Refreshed(peer),
            Some(_) => Change::Updated(peer),
        }
    }

    /// Takes a node off the list that said goodbye with a verified departure.
    pub(super) fn depart(
        &mut self,
        node: NodeId,
        record: SignedRecord,
        lifetime: Duration,
        now: Clock,
    ) -> Admitted {
        let left = self.unlist(&node).map(|(slot, peer)| {
            self.digest.remove(&node, slot.record.revision());
            Change::Left(peer)
        });
        let until = now.mono + lifetime + self.config.forget_after;
        self.bury(node, record, Cause::Departed, until, now);
        Admitted {
            change: left,
            displaced: Vec::new(),
            refute: None,
            forward: true,
        }
    }

    /// How long an entry stands without being refreshed.
    pub(super) fn lifetime(&self, refresh: Duration) -> Duration {
        refresh * MISSED_REFRESHES + self.config.grace
    }
}

/// What a record says, which costs much unless it is known.
fn verified(record: &SignedRecord, body: Option<Record>) -> Result<Record, EntryError> {
    body.map_or_else(|| record.verify(), Ok)
}

/// Holds a revision to the bounds around the local clock.
fn check_clock(revision: u64, now: Clock) -> Result<(), Refused> {
    let most = now.wall_us.saturating_add(micros(limits::CLOCK_SKEW));
    if revision > most {
        let by = Duration::from_micros(revision.saturating_sub(now.wall_us));
        return Err(Refused::AheadOfClock { by });
    }
    let least = now.wall_us.saturating_sub(micros(MAX_AGE));
    if revision < least {
        let by = Duration::from_micros(now.wall_us.saturating_sub(revision));
        return Err(Refused::TooOld { by });
    }
    Ok(())
}
