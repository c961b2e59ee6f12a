//! What a node knows of revoked tickets, and what it has verified already.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rivermesh_proto::{
    NetworkId, NodeId,
    ticket::{RevocationList, Revoked},
};
use thiserror::Error;
use tokio::{sync::watch, time::Instant};

use super::gate::Proof;

/// Credentials whose signatures are known to be right: at most some 3 KiB each.
const REMEMBERED: usize = 1024;
/// Lists of authorities that nobody on this node trusts, kept for passing them on: at most 16 KiB
/// each. When the places are taken, further authorities' lists are not passed on by this node.
const CARRIED: usize = 8;
/// How often such a list is taken at most, because anybody can make one: so many at once, and then
/// one in so long.
const CARRY_BURST: u32 = 16;
const CARRY_PAUSE: Duration = Duration::from_secs(1);

/// A credential by its hash, and who showed it.
pub(super) type Key = ([u8; 32], NodeId);

/// A revocation list was not taken. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RevokeError {
    /// The list is for another network.
    #[error("the revocation list is for another network")]
    OtherNetwork,
    /// The node passes on the lists of as many authorities as it takes.
    #[error("the node has no room for the list of an authority that it does not trust")]
    NoRoom,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Desk(Arc<Inner>);

struct Inner {
    network: NetworkId,
    lists: Mutex<Lists>,
    verified: Mutex<Verified>,
    /// Counts the lists that were taken.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Lists {
    revoked: Revoked,
    trusted: BTreeSet<NodeId>,
    /// Who told us of the list of an authority.
    from: HashMap<NodeId, NodeId>,
    /// When the last of the lists that were carried would have come, had they come with pauses.
    carried_until: Option<Instant>,
}

#[derive(Default)]
struct Verified {
    proofs: HashMap<Key, Proof>,
    /// The oldest first.
    order: VecDeque<Key>,
}

impl fmt::Debug for Desk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Desk").finish_non_exhaustive()
    }
}

impl Desk {
    pub(crate) fn new(network: NetworkId) -> Self {
        Self(Arc::new(Inner {
            network,
            lists: Mutex::default(),
            verified: Mutex::default(),
            changes: watch::Sender::new(0),
        }))
    }

    pub(crate) fn network(&self) -> NetworkId {
        self.0.network
    }

    /// Resolves whenever a list has been taken.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.0.changes.subscribe()
    }

    /// Takes the lists of these authorities, whatever else there is.
    pub(super) fn trust<'a>(&self, authorities: impl Iterator<Item = &'a NodeId>) {
        let mut lists = self.lists();
        let mut held = false;
        for authority in authorities {
            let is_new = lists.trusted.insert(*authority);
            held |= is_new && lists.revoked.get(authority).is_some();
        }
        drop(lists);
        if held {
            // What was only carried is to be kept.
            self.0.changes.send_modify(|count| *count += 1);
        }
    }

    /// Takes a list that this node has kept, and further ones of its authority.
    pub(super) fn restore(&self, list: RevocationList) -> Result<(), RevokeError> {
        self.trust([list.authority()].iter());
        self.take(list, None).map(drop)
    }

    /// The lists that are to be there after a restart: what anybody can make is not among them.
    pub(super) fn kept(&self) -> Vec<RevocationList> {
        let lists = self.lists();
        let kept = lists.revoked.iter().filter(|list| {
            let authority = list.authority();
            lists.trusted.contains(&authority) || !lists.from.contains_key(&authority)
        });
        kept.cloned().collect()
    }

    pub(super) fn revoked<T>(&self, look: impl FnOnce(&Revoked) -> T) -> T {
        look(&self.lists().revoked)
    }

    /// Whether a list with this number of this authority would be news and would be taken, as far
    /// as can be told before its signature is checked.
    pub(super) fn wants(&self, network: NetworkId, authority: &[u8; 32], number: u64) -> bool {
        if network != self.0.network {
            return false;
        }
        let Ok(authority) = NodeId::from_bytes(authority) else {
            return false;
        };
        let lists = self.lists();
        let held = lists.revoked.get(&authority);
        let newer = held.is_none_or(|list| list.revoking().number < number);
        newer && lists.room_for(&authority, Instant::now()).is_ok()
    }

    /// Takes a list; says whether it was news. `from` is the peer that told of it.
    pub(crate) fn take(
        &self,
        list: RevocationList,
        from: Option<NodeId>,
    ) -> Result<bool, RevokeError> {
        if list.network() != self.0.network {
            return Err(RevokeError::OtherNetwork);
        }
        let authority = list.authority();
        {
            let mut lists = self.lists();
            let now = Instant::now();
            // What the program gives is not slowed down by what peers tell.
            if from.is_some() || !lists.has_place(&authority) {
                lists.room_for(&authority, now)?;
            }
            if !lists.revoked.insert(list) {
                return Ok(false);
            }
            if !lists.trusted.contains(&authority) {
                let from = lists.carried_until.map_or(now, |until| until.max(now));
                lists.carried_until = Some(from + CARRY_PAUSE);
            }
            match from {
                Some(peer) => lists.from.insert(authority, peer),
                None => lists.from.remove(&authority),
            };
        }
        self.0.changes.send_modify(|count| *count += 1);
        Ok(true)
    }

    /// The lists that a peer is to be told of: those that it did not tell of itself and that are
    /// newer than what it was `told`.
    pub(super) fn news(&self, peer: NodeId, told: &HashMap<NodeId, u64>) -> Vec<RevocationList> {
        let lists = self.lists();
        let news = lists.revoked.iter().filter(|list| {
            let authority = list.authority();
            lists.from.get(&authority) != Some(&peer)
                && told
                    .get(&authority)
                    .is_none_or(|number| *number < list.revoking().number)
        });
        news.cloned().collect()
    }

    pub(super) fn verified(&self, key: &Key) -> Option<Proof> {
        self.memory().proofs.get(key).cloned()
    }

    pub(super) fn remember(&self, key: Key, proof: Proof) {
        let mut memory = self.memory();
        if memory.proofs.insert(key, proof).is_some() {
            return;
        }
        memory.order.push_back(key);
        if memory.order.len() > REMEMBERED
            && let Some(oldest) = memory.order.pop_front()
        {
            memory.proofs.remove(&oldest);
        }
    }

    fn lists(&self) -> MutexGuard<'_, Lists> {
        self.0.lists.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn memory(&self) -> MutexGuard<'_, Verified> {
        let memory = self.0.verified.lock();
        memory.unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lists {
    /// Whether there is a place for the list of an authority.
    fn has_place(&self, authority: &NodeId) -> bool {
        self.trusted.contains(authority)
            || self.revoked.get(authority).is_some()
            || self.carried() < CARRIED
    }

    /// As [`has_place`](Self::has_place), and whether a list may be taken now.
    fn room_for(&self, authority: &NodeId, now: Instant) -> Result<(), RevokeError> {
        if self.trusted.contains(authority) {
            return Ok(());
        }
        let ahead = now + CARRY_PAUSE * CARRY_BURST;
        let too_soon = self.carried_until.is_some_and(|until| until >= ahead);
        if too_soon || !self.has_place(authority) {
            return Err(RevokeError::NoRoom);
        }
        Ok(())
    }

    fn carried(&self) -> usize {
        let lists = self.revoked.iter();
        lists
            .filter(|list| !self.trusted.contains(&list.authority()))
            .count()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use iroh::SecretKey;
    use rivermesh_proto::ticket::{Revoking, Right};

    use super::*;

    fn key(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32])
    }

    fn list(authority: u8, number: u64) -> RevocationList {
        let revoking = Revoking {
            number,
            ..Revoking::default()
        };
        RevocationList::sign(NetworkId::of("lab"), &key(authority), revoking).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_anybody_can_make_takes_few_places_and_seldom() {
        let desk = Desk::new(NetworkId::of("lab"));
        let peer = Some(key(100).public());
        for number in 1..=16 {
            assert_eq!(desk.take(list(1, number), peer), Ok(true));
        }
        assert_eq!(desk.take(list(1, 17), peer), Err(RevokeError::NoRoom));
        for authority in 2..=8 {
            tokio::time::advance(CARRY_PAUSE).await;
            assert_eq!(desk.take(list(authority, 1), peer), Ok(true));
            assert_eq!(desk.take(list(1, 18), peer), Err(RevokeError::NoRoom));
        }
        tokio::time::advance(CARRY_PAUSE).await;
        assert_eq!(desk.take(list(9, 1), peer), Err(RevokeError::NoRoom));
        assert_eq!(desk.take(list(9, 1), None), Err(RevokeError::NoRoom));
        // Those that this node trusts have their places, and need not wait.
        desk.trust([key(9).public()].iter());
        for number in 1..5 {
            assert!(desk.wants(desk.network(), key(9).public().as_bytes(), number));
            assert_eq!(desk.take(list(9, number), peer), Ok(true));
            assert_eq!(desk.take(list(9, number), peer), Ok(false));
        }
        assert!(!desk.wants(desk.network(), key(9).public().as_bytes(), 4));
        assert!(!desk.wants(NetworkId::of("x"), key(9).public().as_bytes(), 5));
    }

    #[test]
    fn the_verified_are_remembered_in_so_many_places_and_no_more() {
        let (desk, holder) = (Desk::new(NetworkId::of("lab")), key(2).public());
        let authority = super::super::Authority::new("lab", key(1));
        let grant = super::super::Grant::new(holder, "*", [Right::Consume]);
        let proof = Proof::Ticket(Arc::new(authority.issue(&grant).unwrap()));
        let place = |n: usize| {
            let mut hash = [0; 32];
            hash[..8].copy_from_slice(&n.to_le_bytes());
            (hash, holder)
        };
        // One that is shown again and again takes one place.
        for n in 0..REMEMBERED {
            desk.remember(place(0), proof.clone());
            desk.remember(place(n), proof.clone());
        }
        assert!(desk.verified(&place(0)).is_some());
        for n in REMEMBERED..3 * REMEMBERED {
            desk.remember(place(n), proof.clone());
        }
        assert!(desk.verified(&place(2 * REMEMBERED - 1)).is_none());
        assert!(desk.verified(&place(2 * REMEMBERED)).is_some());
        let memory = desk.memory();
        assert_eq!(
            (memory.proofs.len(), memory.order.len()),
            (REMEMBERED, REMEMBERED)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_is_told_what_it_does_not_know() {
        let desk = Desk::new(NetworkId::of("lab"));
        let (peer, other) = (key(100).public(), key(101).public());
        let mut changes = desk.changes();
        desk.take(list(1, 7), Some(peer)).unwrap();
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        assert_eq!(desk.news(peer, &HashMap::new()), []);
        assert_eq!(desk.news(other, &HashMap::new()), [list(1, 7)]);
        let told = HashMap::from([(key(1).public(), 7)]);
        assert_eq!(desk.news(other, &told), []);
        desk.take(list(1, 8), None).unwrap();
        assert_eq!(desk.news(peer, &told), [list(1, 8)]);
    }
}
