//! What discovery costs: run with
//! `cargo test --release -p rivermesh --lib discovery_cost -- --ignored --nocapture`.
//!
//! `RIVERMESH_SIZES` names the sizes of the networks, `RIVERMESH_IDLE_S` for how many seconds the
//! idle network is watched; 0 leaves that out.

use std::{collections::HashSet, sync::atomic::Ordering::Relaxed};

use super::*;

/// How long the cost of settling is counted, from the moment at which all catalogs are complete.
const SETTLING: Duration = Duration::from_secs(10);
/// The wait after that until the network counts as idle.
const SETTLED: Duration = Duration::from_secs(10);

/// This process's CPU time so far in all modes, in seconds. Linux counts 100 ticks a second.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split_whitespace();
    let ticks = fields
        .skip(11)
        .take(2)
        .filter_map(|ticks| ticks.parse::<u64>().ok());
    ticks.sum::<u64>() as f64 / 100.0
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

fn neighbours(nodes: &[TestNode]) -> usize {
    let nodes = nodes.iter();
    nodes
        .map(|node| node.discovery.shared.neighbours.load(Relaxed))
        .sum()
}

/// What was counted in all nodes together up to a moment.
struct Counts(Vec<(&'static str, u64)>);

impl Counts {
    fn take(tally: &Tally) -> Self {
        let sent = |kind: &str| tally.get(&format!("rivermesh_gossip_sent_messages_total/{kind}"));
        Self(vec![
            ("links", tally.get("rivermesh_links_opened_total/dialed")),
            ("refused", tally.get("rivermesh_handshakes_refused_total")),
            (
                "gained",
                tally.get("rivermesh_gossip_neighbours_gained_total"),
            ),
            ("lost", tally.get("rivermesh_gossip_neighbours_lost_total")),
            ("syncs", tally.get("rivermesh_syncs_total")),
            ("announced", tally.get("rivermesh_announcements_total")),
            ("records", sent("record")),
            ("offers", sent("offer")),
            ("grafts", sent("graft")),
            ("prunes", sent("prune")),
            ("membership", sent("membership")),
        ])
    }

    fn since(&self, before: &Self) -> String {
        let pairs = self.0.iter().zip(&before.0);
        let texts = pairs.map(|((name, now), (_, then))| format!("{name} {}", now - then));
        texts.collect::<Vec<_>>().join(", ")
    }
}

fn variable(name: &str, default: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| default.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement of several minutes"]
async fn discovery_cost() {
    let idle: u64 = variable("RIVERMESH_IDLE_S", "30").parse().unwrap();
    for size in variable("RIVERMESH_SIZES", "10,30,60").split(',') {
        measure(size.parse().unwrap(), Duration::from_secs(idle)).await;
    }
}

async fn measure(size: usize, idle: Duration) {
    let tally = Tally::default();
    let (before, start) = (cpu(), Instant::now());
    let nodes = counted_network("cost", size, &tally).await;
    let started = start.elapsed();
    complete(&nodes, Duration::from_secs(120)).await;
    let (done, forming) = (start.elapsed(), cpu() - before);
    let until = Counts::take(&tally);
    println!(
        "{size} nodes: bound in {started:.2?}, complete after {done:.2?} and {forming:.2} s of CPU"
    );
    println!(
        "  until then: {}",
        until.since(&Counts(vec![("", 0); until.0.len()]))
    );
    let before = cpu();
    sleep(SETTLING).await;
    let settled = Counts::take(&tally);
    println!(
        "  in the {SETTLING:?} after: {:.2} s of CPU; {}",
        cpu() - before,
        settled.since(&until),
    );
    if !idle.is_zero() {
        sleep(SETTLED).await;
        watch_idle(&nodes, &tally, idle).await;
    }
    stop_all(nodes).await;
}

async fn watch_idle(nodes: &[TestNode], tally: &Tally, within: Duration) {
    let size = nodes.len() as f64;
    let (links, counts) = (link_ids(nodes), Counts::take(tally));
    let (before, bytes, from) = (cpu(), sent(nodes), Instant::now());
    sleep(within).await;
    let seconds = from.elapsed().as_secs_f64();
    let used = (cpu() - before) / seconds * 100.0;
    let sent = (sent(nodes) - bytes) as f64 / seconds / size;
    let new = link_ids(nodes).difference(&links).count();
    println!(
        "  idle: {used:.2} % of a core in all, {:.3} % and {sent:.0} B/s sent a node, {:.1} links and \
         {:.1} neighbours a node, {new} ends of new links, {} MB resident; {}",
        used / size,
        links.len() as f64 / size,
        neighbours(nodes) as f64 / size,
        resident_mb(),
        Counts::take(tally).since(&counts),
    );
}
