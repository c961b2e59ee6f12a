//! What discovery costs: run with
//! `cargo test --release -p rivermesh discovery_cost -- --ignored --nocapture`.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed};

use super::*;

/// Ticks of this process's CPU time, in all modes; 100 a second on Linux.
fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok())
        .sum()
}

fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages = statm
        .split_whitespace()
        .nth(1)
        .and_then(|pages| pages.parse::<u64>().ok());
    pages.unwrap_or_default() * 4096 / 1_000_000
}

fn sent(nodes: &[TestNode]) -> u64 {
    let metrics = nodes.iter().map(|node| node.endpoint.metrics());
    metrics.map(|metrics| metrics.socket.send_ipv4.get()).sum()
}

fn link_ids(nodes: &[TestNode]) -> HashSet<(NodeId, NodeId, usize)> {
    let links = nodes.iter().map(|node| (node.id(), node.peers.links()));
    links
        .flat_map(|(id, links)| links.into_iter().map(move |l| (id, l.peer(), l.id())))
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of several minutes"]
async fn discovery_cost() {
    let sizes = std::env::var("RIVERMESH_SIZES").unwrap_or_else(|_| "10,30,60".to_owned());
    for size in sizes.split(',').map(|size| size.parse::<usize>().unwrap()) {
        let before = cpu_ticks();
        let start = Instant::now();
        let nodes = network("cost", size).await;
        let started = start.elapsed();
        complete(&nodes, Duration::from_secs(120)).await;
        let complete = start.elapsed();
        let cpu = cpu_ticks() - before;
        // The tree settles, and the first syncs find nothing any more.
        sleep(Duration::from_secs(20)).await;
        let before = link_ids(&nodes);
        let (ticks, bytes, from) = (cpu_ticks(), sent(&nodes), Instant::now());
        sleep(Duration::from_secs(30)).await;
        let seconds = from.elapsed().as_secs_f64();
        let links: usize = nodes.iter().map(|node| node.peers.links().len()).sum();
        let neighbours: usize = nodes
            .iter()
            .map(|node| node.discovery.shared.neighbours.load(Relaxed))
            .sum();
        let new = link_ids(&nodes).difference(&before).count();
        let idle = (cpu_ticks() - ticks) as f64 / 100.0 / seconds;
        let sent = (sent(&nodes) - bytes) as f64 / seconds / size as f64;
        println!(
            "{size} nodes: bound in {started:?}, complete after {complete:?} and {:.2} s of CPU; \
             idle: {:.2} % of a core in all, {:.3} % and {sent:.0} B/s sent a node, {:.1} links \
             and {:.1} neighbours a node, {new} ends of new links, {} MB resident",
            cpu as f64 / 100.0,
            idle * 100.0,
            idle * 100.0 / size as f64,
            links as f64 / size as f64,
            neighbours as f64 / size as f64,
            resident_mb(),
        );
        stop_all(nodes).await;
    }
}
