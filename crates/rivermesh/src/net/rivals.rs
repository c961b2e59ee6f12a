//! Links come and go; of two connections between the same two nodes, one is kept.

use std::sync::Arc;

use rivermesh_proto::{NodeId, code::Code};
use tracing::trace;

use super::{
    dial::Refusal,
    link::Link,
    peers::{Peers, lock},
};

/// What becomes of a link where there is another one to the same peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Choice {
    /// It is not taken; the old one is kept.
    Old,
    /// It is taken, and the old one is of no use any more.
    New,
    /// It is taken, and what has begun on the old one goes on there: both sides dialed at once, and
    /// either connection works.
    Both,
}

impl Peers {
    /// Takes a new link in, unless another one to the same peer is kept instead.
    pub(super) fn register(&self, link: Arc<Link>) -> Result<(), Refusal> {
        let local = self.0.endpoint.id();
        let (replaced, choice) = {
            let mut links = self.map();
            let rival = links.get(&link.peer()).filter(|rival| !rival.is_closed());
            // Many may have been in their handshake when there was room.
            let places = self.0.config.max_connections;
            if rival.is_none() && !link.dialed() && links.len() >= places {
                drop(links);
                link.close(Code::Busy);
                return Err(Refusal::Failed {
                    reason: Code::Busy.to_string(),
                    code: None,
                });
            }
            let choice = rival.map_or(Choice::New, |rival| choose(local, &link, rival));
            if let (Some(rival), Choice::Old) = (rival, choice) {
                let rival = rival.hold();
                drop(links);
                link.close(Code::Duplicate);
                return Err(Refusal::Duplicate(rival));
            }
            (links.insert(link.peer(), Arc::clone(&link)), choice)
        };
        self.0.arrived.notify_waiters();
        self.0.opened[usize::from(!link.dialed())].increment(1);
        if let Some(old) = replaced {
            trace!(peer = %link.peer().fmt_short(), ?choice, "a newer connection replaces the one before");
            match choice {
                Choice::Both => self.retire(old),
                _ => old.close(Code::Duplicate),
            }
        }
        self.0.tasks.spawn("link", self.clone().serve(link));
        Ok(())
    }

    /// Lets a link go that another one replaces, as soon as nobody uses it: a subscription on it may
    /// be one whose producer ends now, and could not be had again on the other link.
    fn retire(&self, link: Arc<Link>) {
        let before = lock(&self.0.retired).insert(link.peer(), Arc::clone(&link));
        if let Some(before) = before {
            before.close(Code::Duplicate);
        }
        link.retire();
        if link.is_closed() {
            self.forget(&link);
        }
    }

    pub(super) fn forget(&self, link: &Link) {
        lock(&self.0.retired).retain(|_, retired| retired.id() != link.id());
    }
}

/// Whether a new link takes the place of another one to the same peer. Both sides see the same
/// facts and come to the same answer.
fn choose(local: NodeId, new: &Link, old: &Link) -> Choice {
    let facts = |link: &Link| (link.instance(), link.dialed());
    decide(local, new.peer(), facts(new), facts(old))
}

fn decide(local: NodeId, peer: NodeId, new: (u64, bool), old: (u64, bool)) -> Choice {
    let ((new_instance, new_dialed), (old_instance, old_dialed)) = (new, old);
    // The peer's process was restarted, and the old connection leads nowhere; or the same side
    // dialed again, and has lost the old one.
    if new_instance != old_instance || new_dialed == old_dialed {
        return Choice::New;
    }
    // Both dialed at once: the connection that the smaller id dialed is kept.
    if new_dialed == (local < peer) {
        Choice::Both
    } else {
        Choice::Old
    }
}

#[cfg(test)]
mod tests {
    use iroh::SecretKey;

    use super::{Choice, decide};

    #[test]
    fn both_sides_keep_the_same_connection() {
        let mut ids = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]).public());
        ids.sort();
        let [small, large] = ids;
        // Seen from `small`: its own connection is `dialed`; seen from `large` it is not.
        assert_eq!(decide(small, large, (7, true), (7, false)), Choice::Both);
        assert_eq!(decide(small, large, (7, false), (7, true)), Choice::Old);
        assert_eq!(decide(large, small, (8, false), (8, true)), Choice::Both);
        assert_eq!(decide(large, small, (8, true), (8, false)), Choice::Old);
    }

    #[test]
    fn a_restarted_peer_and_a_second_dial_replace() {
        let ids = [1, 2].map(|n| SecretKey::from_bytes(&[n; 32]).public());
        for local_first in [true, false] {
            let (local, peer) = if local_first {
                (ids[0], ids[1])
            } else {
                (ids[1], ids[0])
            };
            for dialed in [true, false] {
                assert_eq!(decide(local, peer, (2, dialed), (1, !dialed)), Choice::New);
                assert_eq!(decide(local, peer, (1, dialed), (1, dialed)), Choice::New);
            }
        }
    }
}
