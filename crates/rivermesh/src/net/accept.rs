//! Incoming connections, until they are proven.
//!
//! An unproven connection costs a place in the [`Lobby`] for as long as its handshake takes, a few
//! phases of 5 s at most. The lobby is bounded, in all and per address; where it is full, whoever
//! has waited longest has to go, if that was longer than a handshake takes: so peers that open
//! connections and keep silent hold a place for [`PATIENCE`] only, and take none from a member whose
//! handshake goes on. If nobody has waited that long, the newcomer is refused before it has cost
//! anything, and tries again: where hundreds come at once, work that was begun is finished.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use iroh::endpoint::{Incoming, IncomingAddr};
use rivermesh_proto::{code::Code, handshake::Role, limits};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{
    peers::{Peers, Refusal},
    stream,
};

/// How long a connection in its handshake keeps its place in a full lobby.
const PATIENCE: Duration = Duration::from_secs(1);

/// Accepts connections until the endpoint is closed.
pub(super) async fn run(peers: Peers) {
    let config = &peers.0.config;
    let lobby = Lobby::new(config.max_handshakes, config.max_handshakes_per_address);
    let lobby = Arc::new(Mutex::new(lobby));
    while let Some(incoming) = peers.0.endpoint.accept().await {
        if peers.count() >= peers.0.config.max_connections {
            incoming.refuse();
            continue;
        }
        let entered = lock(&lobby).enter(origin(&incoming), Instant::now());
        let Some((place, evicted)) = entered else {
            peers.0.refused.increment(1);
            incoming.refuse();
            continue;
        };
        let (peers, lobby) = (peers.clone(), Arc::clone(&lobby));
        let tasks = peers.0.tasks.clone();
        tasks.spawn("handshake", async move {
            tokio::select! {
                // In this order, so that an established connection is closed with a code.
                biased;
                () = accept(&peers, incoming, &evicted) => {}
                () = evicted.cancelled() => {}
            }
            if evicted.is_cancelled() {
                debug!("an incoming connection gave way to a newer one");
                peers.0.refused.increment(1);
            }
            lock(&lobby).leave(place);
        });
    }
}

async fn accept(peers: &Peers, incoming: Incoming, evicted: &CancellationToken) {
    let connection = match timeout(limits::HANDSHAKE_PHASE, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return debug!(%error, "an incoming connection failed"),
        Err(_) => return debug!("an incoming connection took too long"),
    };
    let peer = connection.remote_id();
    let closer = connection.clone();
    let established = peers.establish(connection, Role::Acceptor);
    match evicted.run_until_cancelled(established).await {
        Some(Ok(_) | Err(Refusal::Duplicate(_))) => {}
        Some(Err(Refusal::Failed { reason, .. })) => {
            debug!(peer = %peer.fmt_short(), reason, "refused a peer");
            peers.0.refused.increment(1);
        }
        None => stream::close(&closer, Code::Busy),
    }
}

/// What incoming connections are counted by: the IP address without its port, or the relay.
fn origin(incoming: &Incoming) -> String {
    match incoming.remote_addr() {
        IncomingAddr::Ip(addr) => addr.ip().to_string(),
        other => format!("{other:?}"),
    }
}

/// The connections that are in their handshake, oldest first.
struct Lobby {
    waiting: VecDeque<Waiting>,
    next: u64,
    capacity: usize,
    per_address: usize,
}

struct Waiting {
    place: u64,
    address: String,
    since: Instant,
    evicted: CancellationToken,
}

impl Lobby {
    fn new(capacity: usize, per_address: usize) -> Self {
        let (capacity, per_address) = (capacity.max(1), per_address.max(1));
        Self {
            waiting: VecDeque::new(),
            next: 0,
            capacity,
            per_address,
        }
    }

    /// Takes a connection in, if there is room. The token is cancelled when it has to go.
    fn enter(&mut self, address: String, now: Instant) -> Option<(u64, CancellationToken)> {
        let neighbours = self
            .waiting
            .iter()
            .filter(|other| other.address == address)
            .count();
        let has_room = if neighbours >= self.per_address {
            self.evict(now, |other| other.address == address)
        } else {
            self.waiting.len() < self.capacity || self.evict(now, |_| true)
        };
        if !has_room {
            return None;
        }
        let (place, evicted) = (self.next, CancellationToken::new());
        self.next += 1;
        self.waiting.push_back(Waiting {
            place,
            address,
            since: now,
            evicted: evicted.clone(),
        });
        Some((place, evicted))
    }

    /// Sends the oldest away that fits, if it has waited long enough.
    fn evict(&mut self, now: Instant, fits: impl Fn(&Waiting) -> bool) -> bool {
        let oldest = self.waiting.iter().position(fits);
        let oldest = oldest.filter(|index| {
            let waiting = self.waiting.get(*index);
            waiting.is_some_and(|oldest| now.duration_since(oldest.since) >= PATIENCE)
        });
        let Some(oldest) = oldest.and_then(|index| self.waiting.remove(index)) else {
            return false;
        };
        oldest.evicted.cancel();
        true
    }

    fn leave(&mut self, place: u64) {
        self.waiting.retain(|waiting| waiting.place != place);
    }
}

fn lock(lobby: &Mutex<Lobby>) -> MutexGuard<'_, Lobby> {
    lobby.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::{Lobby, PATIENCE};

    #[test]
    fn the_oldest_of_the_address_gives_way_then_the_oldest_of_all() {
        let mut lobby = Lobby::new(3, 2);
        let now = Instant::now();
        let mut enter = |address: &str, seconds| {
            let at = now + PATIENCE.mul_f64(seconds);
            lobby.enter(address.into(), at)
        };
        let (_, first) = enter("a", 0.0).unwrap();
        let (_, second) = enter("a", 0.5).unwrap();
        let (_, third) = enter("a", 1.0).unwrap();
        assert!(first.is_cancelled() && !second.is_cancelled() && !third.is_cancelled());
        let (_, fourth) = enter("b", 1.0).unwrap();
        let (_, fifth) = enter("c", 1.5).unwrap();
        assert!(second.is_cancelled(), "the oldest of all");
        assert!(!third.is_cancelled() && !fourth.is_cancelled() && !fifth.is_cancelled());
        assert_eq!(lobby.waiting.len(), 3);
    }

    #[test]
    fn who_comes_to_a_full_lobby_takes_no_place_of_a_handshake_that_goes_on() {
        let mut lobby = Lobby::new(3, 2);
        let now = Instant::now();
        let (place, first) = lobby.enter("a".into(), now).unwrap();
        let (_, second) = lobby.enter("a".into(), now).unwrap();
        let soon = now + PATIENCE / 2;
        assert!(
            lobby.enter("a".into(), soon).is_none(),
            "two of the address"
        );
        let (_, third) = lobby.enter("b".into(), soon).unwrap();
        assert!(lobby.enter("c".into(), soon).is_none(), "three in all");
        assert!(!first.is_cancelled() && !second.is_cancelled() && !third.is_cancelled());
        lobby.leave(place);
        assert!(lobby.enter("c".into(), soon).is_some(), "a place is free");
    }

    #[test]
    fn leaving_frees_the_place() {
        let mut lobby = Lobby::new(100, 1);
        let now = Instant::now();
        for _ in 0..10 {
            let (place, token) = lobby.enter("a".into(), now).unwrap();
            lobby.leave(place);
            assert!(!token.is_cancelled());
        }
        assert!(lobby.waiting.is_empty());
    }
}
