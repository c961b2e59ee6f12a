//! `rivermesh node` and `rivermesh ls`.

use std::{
    io::{self, Write},
    pin::pin,
};

use color_eyre::eyre::{Context, Result};
use rivermesh::{Peer, discovery};
use serde_json::{Value, json};

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

/// Lists the catalog.
///
/// # Errors
/// When the node cannot start.
pub(crate) async fn list(args: &LsArgs) -> Result<bool> {
    let node = join::start(&args.net).await?;
    tokio::time::sleep(args.wait).await;
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
