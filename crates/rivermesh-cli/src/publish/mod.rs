//! `rivermesh pub`.

mod pump;
mod row;

use std::pin::Pin;

use color_eyre::eyre::{Context, Result};
use rivermesh::{Condition, Datum, Node, Producer, SendError};

use crate::{
    args::{InputFormat, PubArgs, Retain},
    failure::{Usage, in_one_line},
    input::{Input, Item},
    join, ticket,
};
use pump::{Outlet, Refusal};
use row::Row;

/// Publishes the input.
///
/// # Errors
/// When the input cannot be opened or read, the node cannot start, or the stream cannot be made.
pub(crate) async fn run(args: &PubArgs) -> Result<bool> {
    // One for all waits: a Ctrl-C between two of them would be lost, or taken by the wrong one.
    let mut interrupted: Interrupted = Box::pin(tokio::signal::ctrl_c());
    let sample = usize::try_from(args.sample.get()).unwrap_or(usize::MAX);
    let (path, format) = (args.file.clone(), args.format);
    // The first lines may be long in coming.
    let open = move || Input::open(path.as_deref(), format, sample);
    let opened = tokio::select! {
        opened = tokio::task::spawn_blocking(open) => opened.wrap_err("the reader died")?,
        _ = &mut interrupted => return Ok(true),
    };
    let input = opened.wrap_err_with(|| match &args.file {
        Some(file) => format!("cannot read {}", file.display()),
        None => "cannot read stdin".to_owned(),
    })?;
    let kept = args.entitle.keep_revoked.as_deref();
    let node = join::start_keeping(&args.net, kept).await?;
    let done = match input.format() {
        InputFormat::Lines if args.key.is_some() => {
            Err(Usage("lines of text have no fields, so none can be their key".to_owned()).into())
        }
        InputFormat::Lines => publish::<String>(args, &node, input, interrupted).await,
        InputFormat::Json | InputFormat::Csv => {
            row::set_key(args.key.as_deref());
            publish::<Row>(args, &node, input, interrupted).await
        }
    };
    node.shutdown().await;
    done.map(|()| true)
}

type Interrupted = Pin<Box<dyn Future<Output = std::io::Result<()>>>>;

async fn publish<T: Datum + FromItem>(
    args: &PubArgs,
    node: &Node,
    input: Input,
    mut interrupted: Interrupted,
) -> Result<()> {
    let online = match args.wait_for {
        0 => Condition::always(),
        wanted => Condition::at_least(wanted),
    };
    ticket::revoke(&args.entitle, node)?;
    let mut builder = node
        .producer::<T>()
        .stream(&args.stream)
        .online_when(online);
    if !args.retain.is_empty() {
        builder = builder.retain(Retain::all(&args.retain));
    }
    if let Some(window) = args.dedup {
        builder = builder.dedup(window);
    }
    if let Some(verifier) = ticket::verifier(&args.entitle)? {
        builder = builder.require_ticket(verifier);
    }
    if let Some(provider) = ticket::provider(&args.entitle, node)? {
        builder = builder.ticket_provider(provider);
    }
    let producer = builder
        .build()
        .map_err(|error| Usage(in_one_line(&error)))?;
    if args.wait_for > 0 {
        let what = crate::text::plural(args.wait_for as u64, "consumer");
        eprintln!("publishing {:?}, waiting for {what}", args.stream);
    }
    let mut outlet = Stream(producer.clone());
    let pumped = tokio::select! {
        tally = pump::pump(pump::read(input), &mut outlet, args.rate, args.on_error) => Some(tally?),
        _ = &mut interrupted => None,
    };
    match pumped {
        Some(tally) => {
            eprintln!("{tally}");
            let dropped = producer.stats().duplicates;
            if dropped > 0 {
                let what = crate::text::plural(dropped, "duplicate");
                eprintln!("{what} dropped, by the key");
            }
        }
        None => return Ok(()),
    }
    if args.linger {
        eprintln!("what is kept stays to be fetched; Ctrl-C ends it");
        interrupted.await.wrap_err("cannot wait for Ctrl-C")?;
    }
    Ok(())
}

struct Stream<T: Datum>(Producer<T>);

impl<T: Datum + FromItem> Outlet for Stream<T> {
    async fn send(&mut self, item: Item) -> Result<(), Refusal> {
        self.0
            .send(T::from_item(item))
            .await
            .map(drop)
            .map_err(|error| match error {
                SendError::Closed(_) => Refusal::Closed(in_one_line(&error)),
                _ => Refusal::Item(in_one_line(&error)),
            })
    }
}

/// Types of stream that `pub` makes.
trait FromItem {
    fn from_item(item: Item) -> Self;
}

impl FromItem for String {
    fn from_item(item: Item) -> Self {
        match item {
            Item::Text(text) => text,
            Item::Json(value) => value.to_string(),
        }
    }
}

impl FromItem for Row {
    fn from_item(item: Item) -> Self {
        Self(match item {
            Item::Text(text) => text.into(),
            Item::Json(value) => value,
        })
    }
}
