//! `rivermesh sub`.

mod print;

use std::io;

use color_eyre::eyre::{Context, Result};
use futures::FutureExt;
use rivermesh::{
    DecodeError, Delivery, Dynamic, Event, Node, NodeId,
    consumer::{ConsumeError, SubscribeError},
};

use crate::{
    args::SubArgs,
    failure::{Usage, in_one_line},
    join::{self, name_of},
    ticket,
};
use print::{Meta, Notice, Printer, ReaderGone};

/// Prints the stream until Ctrl-C, the asked number of items, or nobody reads.
///
/// # Errors
/// When the node cannot start, the stream's name is not one, or the output fails.
pub(crate) async fn run(args: &SubArgs) -> Result<bool> {
    let kept = args.entitle.keep_revoked.as_deref();
    let node = join::start_keeping(&args.net, kept).await?;
    let printed = tokio::select! {
        printed = print(args, &node) => printed,
        interrupted = tokio::signal::ctrl_c() => interrupted.wrap_err("cannot wait for Ctrl-C"),
    };
    node.shutdown().await;
    printed.map(|()| true)
}

async fn print(args: &SubArgs, node: &Node) -> Result<()> {
    ticket::revoke(&args.entitle, node)?;
    let mut builder = node
        .consumer::<Dynamic>()
        .lag(join::lag(args.lag))
        .start(args.from.0);
    builder = if args.stream.contains(['*', '?']) {
        builder.streams(&args.stream)
    } else {
        builder.stream(&args.stream)
    };
    if args.conflate {
        builder = builder.conflate();
    }
    if let Some(name) = args.producer.clone() {
        let wanted = name.to_ascii_lowercase();
        builder = builder
            .require(move |peer| peer.name() == name || peer.id().to_string().starts_with(&wanted));
    }
    if let Some(filter) = &args.filter {
        builder = builder.filter(filter);
    }
    if let Some(verifier) = ticket::verifier(&args.entitle)? {
        builder = builder.require_ticket(verifier);
    }
    if let Some(provider) = ticket::provider(&args.entitle, node)? {
        builder = builder.ticket_provider(provider);
    }
    let mut consumer = builder.build().map_err(|error| match error {
        ConsumeError::Filter(error) => Usage(format!("not a filter: {}", error.report())),
        error => Usage(in_one_line(&error)),
    })?;
    let mut printer = Printer::new(io::stdout());
    let mut left = args.count.map_or(u64::MAX, std::num::NonZeroU64::get);
    while left > 0 {
        // What is there is printed in one go; then it is handed on before waiting.
        let event = match consumer.next_event().now_or_never() {
            Some(event) => event,
            None => {
                if let Err(ReaderGone) = printer.flush()? {
                    return Ok(());
                }
                consumer.next_event().await
            }
        };
        let Some(event) = event else { break };
        let written = match event {
            Event::Item(delivery) => match delivery.item.to_json() {
                Ok(item) => {
                    left -= 1;
                    if args.meta {
                        printer.line(&Meta::of(&delivery, item))?
                    } else {
                        printer.line(&item)?
                    }
                }
                Err(error) => {
                    tell(args, &undecodable(node, &delivery, &error))?;
                    Ok(())
                }
            },
            other => {
                if let Some(notice) = notice(node, other) {
                    tell(args, &notice)?;
                }
                Ok(())
            }
        };
        if let Err(ReaderGone) = written {
            return Ok(());
        }
    }
    let _ = printer.flush()?;
    Ok(())
}

/// An item that came, and whose schema does not say how to show it.
fn undecodable(node: &Node, delivery: &Delivery<Dynamic>, error: &DecodeError) -> Notice {
    Notice::Undecodable {
        producer: delivery.producer.to_string(),
        name: name_of(&node.catalog(), &delivery.producer),
        epoch: delivery.epoch.to_string(),
        seq: delivery.seq,
        reason: in_one_line(error),
    }
}

fn tell(args: &SubArgs, notice: &Notice) -> Result<()> {
    if args.events {
        eprintln!("{}", serde_json::to_string(notice)?);
    } else {
        eprintln!("{notice}");
    }
    Ok(())
}

fn notice(node: &Node, event: Event<Dynamic>) -> Option<Notice> {
    let who = |id: &NodeId| (id.to_string(), name_of(&node.catalog(), id));
    Some(match event {
        Event::Joined {
            producer,
            epoch,
            seq,
            ..
        } => {
            let (producer, name) = who(&producer);
            Notice::Joined {
                producer,
                name,
                epoch: epoch.to_string(),
                seq,
            }
        }
        Event::Left {
            producer, epoch, ..
        } => {
            let (producer, name) = who(&producer);
            Notice::Left {
                producer,
                name,
                epoch: epoch.to_string(),
            }
        }
        Event::Missed {
            producer,
            epoch,
            from,
            to,
            ..
        } => {
            let (producer, name) = who(&producer);
            Notice::Missed {
                producer,
                name,
                epoch: epoch.to_string(),
                from,
                to,
            }
        }
        Event::Reset {
            producer, old, new, ..
        } => {
            let (producer, name) = who(&producer);
            Notice::Reset {
                producer,
                name,
                old: old.to_string(),
                new: new.to_string(),
            }
        }
        Event::Refused {
            producer, error, ..
        } => {
            let (producer, name) = who(&producer);
            let place = match &error {
                SubscribeError::Filter { place, .. } => Some(place.excerpt().to_owned()),
                _ => None,
            };
            Notice::Refused {
                producer,
                name,
                reason: in_one_line(&error),
                place,
            }
        }
        Event::Undecodable {
            producer,
            epoch,
            seq,
            error,
            ..
        } => {
            let (producer, name) = who(&producer);
            let (epoch, reason) = (epoch.to_string(), in_one_line(&error));
            Notice::Undecodable {
                producer,
                name,
                epoch,
                seq,
                reason,
            }
        }
        _ => return None,
    })
}
