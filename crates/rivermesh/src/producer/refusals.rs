//! Who was refused of late, and why: for telling it to whoever asks, and for nothing else.

use std::{
    collections::VecDeque,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use rivermesh_proto::{
    NodeId,
    subscribe::Refusal,
    ticket::{Credential, Denied},
};

/// Peers that are remembered. When there are more, the one that was refused longest ago is forgotten.
/// Each takes at most some 6 KiB, where a ticket and a filter are of the largest size, and mostly some
/// hundred bytes.
const REMEMBERED: usize = 64;

/// Why a peer is not let in, or not subscribed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// It does not meet the requirement.
    Requirement,
    /// It has shown no ticket, or one that is not good.
    Ticket(Denied),
    /// It was let in, and then refused.
    Refused(Refusal),
}

/// The last refusal of a peer.
#[derive(Clone, Debug)]
pub(super) struct Refused {
    pub(super) at: Instant,
    pub(super) reason: Reason,
    /// What it had to show.
    pub(super) shown: Option<Credential>,
}

impl Refused {
    /// When and why, in a few words. What the peer itself has said, such as its filter, is not in it.
    pub(super) fn in_words(&self) -> String {
        let reason = match &self.reason {
            Reason::Requirement => "it did not meet the requirement".to_owned(),
            Reason::Ticket(denied) => denied.to_string(),
            Reason::Refused(Refusal::Filter { .. }) => {
                "its filter cannot be read, or does not fit the stream's items".to_owned()
            }
            Reason::Refused(refusal) => refusal.to_string(),
        };
        let ago = crate::admission::span(self.at.elapsed().as_secs());
        format!("refused {ago} ago: {reason}")
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Refusals(Mutex<VecDeque<(NodeId, Refused)>>);

impl Refusals {
    /// Notes a refusal in place of an earlier one of the same peer.
    pub(super) fn note(&self, peer: NodeId, reason: Reason, shown: Option<&Credential>) {
        let refused = Refused {
            at: Instant::now(),
            reason,
            shown: shown.cloned(),
        };
        let mut all = self.all();
        all.retain(|(id, _)| *id != peer);
        if all.len() == REMEMBERED {
            all.pop_front();
        }
        all.push_back((peer, refused));
    }

    /// Notes what was decided on a peer that was let in: it is forgotten where it is admitted.
    pub(super) fn decided(
        &self,
        peer: NodeId,
        refused: Option<&Refusal>,
        shown: Option<&Credential>,
    ) {
        match refused {
            Some(refusal) => self.note(peer, Reason::Refused(refusal.clone()), shown),
            None => self.all().retain(|(id, _)| *id != peer),
        }
    }

    /// The last refusal of a peer, as far as it is remembered.
    pub(super) fn of(&self, peer: NodeId) -> Option<Refused> {
        let all = self.all();
        let found = all.iter().find(|(id, _)| *id == peer);
        found.map(|(_, refused)| refused.clone())
    }

    fn all(&self) -> MutexGuard<'_, VecDeque<(NodeId, Refused)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::*;

    #[test]
    fn the_last_of_each_peer_is_kept_and_no_more_than_there_is_room_for() {
        let peer = |n: u8| SecretKey::from_bytes(&[n; 32]).public();
        let refusals = Refusals::default();
        refusals.note(peer(0), Reason::Requirement, None);
        refusals.note(peer(0), Reason::Ticket(Denied::Missing), None);
        let last = refusals.of(peer(0)).unwrap();
        assert_eq!(last.reason, Reason::Ticket(Denied::Missing));
        assert_eq!(last.in_words(), "refused 0 s ago: no ticket was shown");
        for n in 1..=REMEMBERED {
            refusals.note(peer(n as u8), Reason::Requirement, None);
        }
        assert_eq!(refusals.all().len(), REMEMBERED);
        assert!(refusals.of(peer(0)).is_none());
        refusals.decided(peer(1), None, None);
        refusals.decided(peer(2), Some(&Refusal::Busy), None);
        let last = refusals.of(peer(2)).unwrap();
        assert_eq!(last.reason, Reason::Refused(Refusal::Busy));
        assert!(refusals.of(peer(1)).is_none());
        assert_eq!(refusals.all().len(), REMEMBERED - 1);
    }
}
