//! Incoming connections, until they are proven.
//!
//! An unproven connection costs a place in the [`Lobby`] for as long as its handshake takes, a few
//! phases of 5 s at most. The lobby is bounded, in all and per address; where it is full, whoever
//! has waited longest has to go. A handshake takes a few round trips, so peers that open
//! connections and keep silent would have to fill the whole lobby within that time, again and
//! again, to keep a member out.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use iroh::endpoint::{Incoming, IncomingAddr};
use rivermesh_proto::{code::Code, handshake::Role, limits};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::{dial::Refusal, peers::Peers, stream};

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
        let (place, evicted) = lock(&lobby).enter(origin(&incoming));
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

    /// Takes a connection in. The token is cancelled when it has to go.
    fn enter(&mut self, address: String) -> (u64, CancellationToken) {
        let neighbours = self
            .waiting
            .iter()
            .filter(|other| other.address == address)
            .count();
        if neighbours >= self.per_address {
            self.evict(|other| other.address == address);
        } else if self.waiting.len() >= self.capacity {
            self.evict(|_| true);
        }
        let (place, evicted) = (self.next, CancellationToken::new());
        self.next += 1;
        self.waiting.push_back(Waiting {
            place,
            address,
            evicted: evicted.clone(),
        });
        (place, evicted)
    }

    fn evict(&mut self, fits: impl Fn(&Waiting) -> bool) {
        if let Some(index) = self.waiting.iter().position(fits)
            && let Some(oldest) = self.waiting.remove(index)
        {
            oldest.evicted.cancel();
        }
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
    use super::Lobby;

    #[test]
    fn the_oldest_of_the_address_gives_way_then_the_oldest_of_all() {
        let mut lobby = Lobby::new(3, 2);
        let (_, first) = lobby.enter("a".into());
        let (second_place, second) = lobby.enter("a".into());
        let (_, third) = lobby.enter("a".into());
        assert!(first.is_cancelled() && !second.is_cancelled() && !third.is_cancelled());
        lobby.leave(second_place);
        let (_, fourth) = lobby.enter("b".into());
        let (_, fifth) = lobby.enter("c".into());
        assert_eq!(lobby.waiting.len(), 3);
        let (_, sixth) = lobby.enter("d".into());
        assert!(third.is_cancelled(), "the oldest of all");
        assert!(!fourth.is_cancelled() && !fifth.is_cancelled() && !sixth.is_cancelled());
        assert_eq!(lobby.waiting.len(), 3);
    }

    #[test]
    fn leaving_frees_the_place() {
        let mut lobby = Lobby::new(100, 1);
        for _ in 0..10 {
            let (place, token) = lobby.enter("a".into());
            lobby.leave(place);
            assert!(!token.is_cancelled());
        }
        assert!(lobby.waiting.is_empty());
    }
}
