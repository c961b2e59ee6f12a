//! `rivermesh node` and `rivermesh ls`.

use std::{
    io::{self, Write},
    pin::pin,
    time::Duration,
};

use color_eyre::eyre::{Context, Result};
use futures::{StreamExt, stream};
use rivermesh::{Node, NodeId, Peer, discovery};
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use crate::{
    args::{LsArgs, NodeArgs},
    catalog,
    join::{self, called, row},
    text::micros,
};

/// Runs a node until Ctrl-C.
///
/// # Errors
/// When the node cannot start.
pub(crate) async fn run(args: &NodeArgs) -> Result<bool> {
    let node = join::start(&args.net).await?;
    let invite = if args.invite_with_key {
        node.invite_with_key()
    } else {
        node.invite()
    };
    let say = |text: String, json: Value| {
        let line = if args.json { json.to_string() } else { text };
        writeln!(io::stdout(), "{line}")
    };
    say(
        format!(
            "node    {}\nnetwork {}\ninvite  {invite}\n\nCtrl-C ends it. To reach it: rivermesh ls --join INVITE",
            node.id(),
            node.network_name(),
        ),
        json!({
            "event": "up",
            "id": node.id().to_string(),
            "network": node.network_name(),
            "invite": invite.to_string(),
        }),
    )?;
    let mut events = node.events();
    // One for all rounds: a Ctrl-C between two of them would be lost.
    let mut interrupted = pin!(tokio::signal::ctrl_c());
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            interrupted = &mut interrupted => {
                interrupted.wrap_err("cannot wait for Ctrl-C")?;
                None
            }
        };
        let Some(event) = event else { break };
        let (what, text, peer) = match &event {
            discovery::Event::Joined(peer) => ("joined", described(peer, "joined"), peer),
            // A node that begins a stream was mostly known before it did.
            discovery::Event::Updated(peer) => ("updated", described(peer, "changed"), peer),
            discovery::Event::Left(peer) => ("left", format!("{} left", called(peer)), peer),
            discovery::Event::Unreachable(peer) => (
                "unreachable",
                format!("{} does not answer", called(peer)),
                peer,
            ),
            _ => continue,
        };
        if say(text, json!({ "event": what, "peer": row(peer) })).is_err() {
            break;
        }
    }
    node.shutdown().await;
    Ok(true)
}

/// A peer with what matters of it, after what it did.
fn described(peer: &Peer, did: &str) -> String {
    let row = row(peer);
    let rtt = row.rtt_us.map(|rtt| format!(", rtt {}", micros(rtt)));
    let streams = row.streams;
    let streams = if streams.is_empty() {
        String::new()
    } else {
        format!(", produces {}", streams.join(", "))
    };
    format!("{} {did}{}{streams}", called(peer), rtt.unwrap_or_default())
}

/// How long `ls` goes on asking peers whose round-trip time is not known yet.
const MEASURE_FOR: Duration = Duration::from_secs(3);

/// Peers that `ls` asks at most, and at the same time.
const MEASURED: (usize, usize) = (64, 16);

/// Between one question and the next to a peer: a little longer than the node takes to look at what
/// its connections measured.
const PAUSE: Duration = Duration::from_millis(60);

/// How long one peer that does not answer holds up the others.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// Lists the catalog.
///
/// # Errors
/// When the node cannot start.
pub(crate) async fn list(args: &LsArgs) -> Result<bool> {
    let node = join::start(&args.net).await?;
    sleep(args.wait).await;
    measure(&node).await;
    let peers = node.catalog();
    let rows = catalog::sorted(
        peers
            .iter()
            .filter(|peer| !peer.is_local())
            .map(|peer| row(peer))
            .collect(),
    );
    if args.lag {
        let named = crate::named::ask(&node, &rows).await;
        node.shutdown().await;
        crate::named::print(&named, args.json)?;
        return Ok(true);
    }
    node.shutdown().await;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else if rows.is_empty() {
        eprintln!("nobody else is in the network {:?}", node.network_name());
    } else {
        println!("{}", catalog::table(&rows));
    }
    Ok(true)
}

/// Asks the peers that no round-trip time is known of until one is, or time is up.
///
/// A time counts as known after a few measurements, and a connection on which nothing is said makes
/// none: who has just come would list peers without one.
async fn measure(node: &Node) {
    let unknown = || -> Vec<NodeId> {
        let catalog = node.catalog();
        let unknown = catalog
            .iter()
            .filter(|peer| !peer.is_local() && peer.is_live() && peer.rtt().is_none());
        unknown.map(|peer| peer.id()).take(MEASURED.0).collect()
    };
    let ask_all = async {
        loop {
            let peers = unknown();
            if peers.is_empty() {
                return;
            }
            // Who does not answer is listed without a time.
            let asked =
                stream::iter(peers).map(|peer| timeout(ANSWER_WITHIN, node.sync_with(peer)));
            asked
                .buffer_unordered(MEASURED.1)
                .map(drop)
                .collect::<()>()
                .await;
            sleep(PAUSE).await;
        }
    };
    // The time being up is no error: what is known is listed.
    let _ = timeout(MEASURE_FOR, ask_all).await;
}
