//! `rivermesh explain`: why a node receives a stream, or does not, as its producers see it.

use std::time::Duration;

use color_eyre::eyre::Result;
use futures::future::join_all;
use rivermesh::{
    Node, NodeId, Peer, StreamName,
    admission::Credential,
    node::{AskError, Explanation},
};
use serde::Serialize;

use crate::{
    args::ExplainArgs,
    catalog::short,
    failure::{Usage, in_one_line},
    join, ticket,
};

/// Times that a producer that refuses is asked again: one that asks for a short round-trip time has to
/// measure it first.
const TRIES: u32 = 3;
const AGAIN: Duration = Duration::from_millis(500);

/// The answer as JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Report {
    /// The node's name, empty when it has none.
    node: String,
    /// Its id in full.
    id: String,
    stream: String,
    /// Whether it receives the stream from every producer.
    receives: bool,
    producers: Vec<Row>,
}

/// What one producer says.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Row {
    /// The producer's name, empty when it has none.
    producer: String,
    /// Its id in full.
    id: String,
    receives: bool,
    /// Why there are no steps, where there are none.
    error: Option<String>,
    steps: Vec<Step>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct Step {
    part: String,
    holds: bool,
    finding: String,
}

/// Asks the producers of a stream.
///
/// # Errors
/// When the node cannot start, or nobody or more than one is meant.
pub(crate) async fn run(args: &ExplainArgs) -> Result<bool> {
    let stream = StreamName::new(&args.stream).map_err(|error| Usage(in_one_line(&error)))?;
    let ticket = args.ticket.as_deref().map(ticket::ticket).transpose()?;
    let node = join::start(&args.net).await?;
    if let Some(wrong) = ticket
        .as_ref()
        .and_then(|ticket| ticket::not_for(&node, ticket))
    {
        node.shutdown().await;
        return Err(Usage(wrong).into());
    }
    tokio::time::sleep(args.wait).await;
    let report = ask(&node, &args.node, &stream, ticket.map(Credential::from)).await;
    let network = node.network_name().to_owned();
    node.shutdown().await;
    let report = report?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        print!("{}", text(&report, &network));
    }
    Ok(report.receives)
}

async fn ask(
    node: &Node,
    wanted: &str,
    stream: &StreamName,
    ticket: Option<Credential>,
) -> Result<Report> {
    let catalog = node.catalog();
    let others: Vec<_> = catalog.iter().filter(|peer| !peer.is_local()).collect();
    let (id, name) = find(wanted, others.iter().map(|peer| &***peer))?;
    let mut producers: Vec<_> = others
        .iter()
        .filter(|peer| peer.streams().iter().any(|advert| advert.name == *stream))
        .collect();
    producers.sort_by_key(|peer| (peer.name().to_owned(), peer.id().to_string()));
    let asked = producers.iter().map(async |peer| {
        let answer = answer(node, peer.id(), (id, stream), ticket.as_ref()).await;
        row(peer, answer)
    });
    let producers = join_all(asked).await;
    Ok(Report {
        node: name,
        id: id.to_string(),
        stream: stream.to_string(),
        receives: !producers.is_empty() && producers.iter().all(|row| row.receives),
        producers,
    })
}

/// The node that is meant, and its name: by its name, else by the beginning of its id, else, if it is
/// written out in full, by an id that nobody lists.
fn find<'a>(
    wanted: &str,
    peers: impl Iterator<Item = &'a Peer> + Clone,
) -> Result<(NodeId, String)> {
    let named: Vec<_> = peers.clone().filter(|peer| peer.name() == wanted).collect();
    let prefix = wanted.to_ascii_lowercase();
    let begins = |peer: &&Peer| peer.id().to_string().starts_with(&prefix);
    let found = if named.is_empty() {
        peers.filter(begins).collect()
    } else {
        named
    };
    match found[..] {
        [peer] => Ok((peer.id(), peer.name().to_owned())),
        [] => match wanted.parse::<NodeId>() {
            Ok(id) => Ok((id, String::new())),
            Err(_) => Err(Usage(format!(
                "no node of the network is called {wanted:?}, nor has an id that begins so; `rivermesh ls` lists them"
            ))
            .into()),
        },
        _ => {
            let ids: Vec<_> = found.iter().map(|peer| peer.id().to_string()).collect();
            let ids: Vec<_> = ids.iter().map(|id| short(id)).collect();
            let many = ids.join(", ");
            Err(Usage(format!("{wanted:?} is more than one node: {many}; give more of the id")).into())
        }
    }
}

async fn answer(
    node: &Node,
    producer: NodeId,
    (peer, stream): (NodeId, &StreamName),
    ticket: Option<&Credential>,
) -> Result<Explanation, AskError> {
    let mut tries = 1;
    loop {
        let asked = node.explain_at(producer, peer, stream.as_str(), ticket.cloned());
        match asked.await {
            Err(AskError::Refused) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(AGAIN).await;
            }
            answer => return answer,
        }
    }
}

fn row(producer: &Peer, answer: Result<Explanation, AskError>) -> Row {
    let (error, receives, steps) = match answer {
        Ok(explanation) => (None, explanation.receives(), explanation.steps),
        Err(AskError::Refused) => {
            let text = "it does not tell: it tells only whom it would let subscribe, by the tags, the round trip \
                        and the ticket of who asks (--tag, --key-file, --ticket); or it has just ended the stream";
            (Some(text.to_owned()), false, Vec::new())
        }
        Err(error) => (Some(in_one_line(&error)), false, Vec::new()),
    };
    let steps = steps.into_iter().map(|step| Step {
        part: step.part.to_string(),
        holds: step.holds,
        finding: step.finding,
    });
    Row {
        producer: producer.name().to_owned(),
        id: producer.id().to_string(),
        receives,
        error,
        steps: steps.collect(),
    }
}

fn text(report: &Report, network: &str) -> String {
    let named = |name: &str, id: &str| match name {
        "" => short(id).to_owned(),
        name => format!("{name} ({})", short(id)),
    };
    let (node, stream) = (named(&report.node, &report.id), &report.stream);
    let mut text = String::new();
    for row in &report.producers {
        let producer = named(&row.producer, &row.id);
        text += &format!("by {producer}\n");
        for step in &row.steps {
            let mark = if step.holds { "yes" } else { "NO" };
            text += &format!("  {:<12} {mark:<4} {}\n", step.part, step.finding);
        }
        text += &match (&row.error, row.receives) {
            (Some(error), _) => format!("  {error}\n"),
            (None, true) => format!("  so {node} receives {stream} from it\n"),
            (None, false) => format!("  so {node} does NOT receive {stream} from it\n"),
        };
    }
    if report.producers.is_empty() {
        text += &format!("nobody in the network {network:?} produces {stream}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(part: &str, holds: bool, finding: &str) -> Step {
        Step {
            part: part.into(),
            holds,
            finding: finding.into(),
        }
    }

    fn report() -> Report {
        let row = |producer: &str, error: Option<&str>, steps: Vec<Step>| Row {
            producer: producer.into(),
            id: "0123456789abcdef".into(),
            receives: error.is_none() && steps.iter().all(|step| step.holds),
            error: error.map(Into::into),
            steps,
        };
        let catalog = step("catalog", true, "listed, live, bee, revision 7");
        let ticket = step("ticket", false, "no ticket was shown");
        Report {
            node: "bee".into(),
            id: "fedcba9876543210".into(),
            stream: "weather/jfk".into(),
            receives: false,
            producers: vec![
                row("air", None, vec![catalog.clone()]),
                row("", None, vec![catalog, ticket]),
                row("old", Some("the node does not answer"), Vec::new()),
            ],
        }
    }

    #[test]
    fn as_text() {
        insta::assert_snapshot!(text(&report(), "lab"));
        let nobody = Report {
            producers: Vec::new(),
            ..report()
        };
        assert_eq!(
            text(&nobody, "lab"),
            "nobody in the network \"lab\" produces weather/jfk\n"
        );
    }

    #[test]
    fn as_json() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&report()).unwrap());
    }
}
