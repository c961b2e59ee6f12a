//! The folder in which nodes of one machine find each other.
//!
//! Each node keeps one small file there, `<folder>/<network>/<node id>`, with its addresses, readable
//! by its user alone and touched every [`TOUCH`]. A node without enough neighbours dials a few random
//! ones of those it finds; it never dials all, so that many nodes on one machine do not form a full
//! mesh. Files of nodes that are gone are removed by whoever comes across them. What is read is
//! held to bounds like anything from a peer, and proves nothing: the handshake does.

mod folder;

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use iroh::TransportAddr;
use rand::RngExt;
use rivermesh_proto::{NodeId, limits};
use tokio::{
    sync::mpsc,
    task::spawn_blocking,
    time::{Instant, sleep_until},
};
use tracing::{debug, warn};

use self::folder::{Folder, Note, Own};
use super::{Rendezvous, shared::Shared, worker::Input};

/// How often a node shows that it is still there.
const TOUCH: Duration = Duration::from_secs(5);
/// For this long after the start the folder is looked at often.
const EAGER: Duration = Duration::from_secs(3);
/// Neighbours from which on nobody is dialed through the folder.
const ENOUGH: usize = 3;

/// Keeps the node's own file and looks for others, until cancelled.
pub(super) async fn run(
    shared: Arc<Shared>,
    sockets: Vec<SocketAddr>,
    inputs: mpsc::Sender<Input>,
) {
    let mode = shared.config.rendezvous.clone();
    let network = shared.network;
    let folder = match spawn_blocking(move || Folder::open(&mode, network)).await {
        Ok(Ok(Some(folder))) => Arc::new(folder),
        Ok(Ok(None)) | Err(_) => return,
        Ok(Err(error)) => {
            warn!(%error, "nodes of this machine will not be found");
            return;
        }
    };
    // Dropped, and with it the file, when the task is cancelled.
    let own = Own {
        path: folder.path(shared.local),
    };
    let started = Instant::now();
    let mut touch_at = started;
    let mut posted = None;
    loop {
        let now = Instant::now();
        if touch_at <= now {
            touch_at = now + TOUCH;
            let note = note(&shared, &sockets);
            let (folder, path) = (Arc::clone(&folder), own.path.clone());
            let touch = posted.as_ref() == Some(&note);
            let written = note.clone();
            let result = spawn_blocking(move || folder.post(&path, &written, touch)).await;
            match result {
                Ok(Ok(())) => posted = Some(note),
                Ok(Err(error)) => debug!(%error, "cannot write to the rendezvous folder"),
                Err(_) => return,
            }
        }
        let neighbours = shared.neighbours.load(Ordering::Relaxed);
        let wanted = ENOUGH.saturating_sub(neighbours);
        let (looker, looking) = (Arc::clone(&folder), Arc::clone(&shared));
        let found = spawn_blocking(move || {
            let away = |node: &NodeId| {
                *node != looking.local && !looking.read(|catalog| catalog.is_connected(node))
            };
            looker.look(wanted, away)
        });
        match found.await {
            Ok(Ok(found)) if !found.is_empty() => {
                if inputs.send(Input::Met(found)).await.is_err() {
                    return;
                }
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => debug!(%error, "cannot read the rendezvous folder"),
            Err(_) => return,
        }
        let pause = match (wanted > 0, started.elapsed() < EAGER) {
            (true, true) => Duration::from_millis(rand::rng().random_range(100..250)),
            (true, false) => Duration::from_secs(2),
            (false, _) => Duration::from_secs(10),
        };
        sleep_until((Instant::now() + pause).min(touch_at)).await;
    }
}

/// Addresses at which sockets can be reached from the same machine.
pub(super) fn reachable_here(sockets: &[SocketAddr]) -> Vec<SocketAddr> {
    let here = |socket: &SocketAddr| match socket.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => (Ipv4Addr::LOCALHOST, socket.port()).into(),
        IpAddr::V6(ip) if ip.is_unspecified() => (Ipv6Addr::LOCALHOST, socket.port()).into(),
        _ => *socket,
    };
    sockets.iter().map(here).collect()
}

fn note(shared: &Shared, sockets: &[SocketAddr]) -> Note {
    let mut addrs = reachable_here(sockets);
    let own = shared.read(|catalog| catalog.view().get(&shared.local).cloned());
    for addr in own.iter().flat_map(|peer| peer.addrs()) {
        if let TransportAddr::Ip(addr) = addr
            && !addrs.contains(addr)
        {
            addrs.push(*addr);
        }
    }
    addrs.truncate(limits::ADDRS);
    let instance = own.map_or(0, |peer| peer.instance());
    Note {
        node: shared.local,
        addrs,
        pid: std::process::id(),
        instance,
    }
}
