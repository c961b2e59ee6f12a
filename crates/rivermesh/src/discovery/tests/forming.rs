//! What it takes until a network has formed.

use std::sync::atomic::Ordering::Relaxed;

use super::*;

const SIZE: usize = 24;

/// When newcomers took places by force, three of four neighbours were lost again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn newcomers_ask_for_room_and_take_hardly_anybodys_place() {
    let tally = Tally::default();
    let nodes = counted_network("forming", SIZE, &tally).await;
    complete(&nodes, SOON).await;
    until("everybody has neighbours", SOON, || {
        let neighbours = |node: &TestNode| node.discovery.shared.neighbours.load(Relaxed);
        nodes.iter().all(|node| neighbours(node) >= 3)
    })
    .await;
    let gained = tally.get("rivermesh_gossip_neighbours_gained_total");
    let lost = tally.get("rivermesh_gossip_neighbours_lost_total");
    let links = tally.get("rivermesh_links_opened_total/dialed");
    eprintln!("{gained} neighbours gained, {lost} lost, {links} links");
    assert!(gained >= 3 * SIZE as u64);
    assert!(lost * 4 <= gained, "{lost} of {gained} lost");
    stop_all(nodes).await;
}
