//! `rivermesh key` and `rivermesh ticket`, and the tickets of `pub` and `sub`.

mod inspect;
mod revoke;

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use color_eyre::eyre::{Context, Result};
use rivermesh::{
    Node, NodeId, SecretKey,
    admission::{self, Authority, Credential, Grant, Right, Ticket, Verifier},
    node,
};

use crate::{
    args::{
        DelegateArgs, EntitleArgs, GrantArgs, InspectArgs, IssueArgs, KeyCommand, TicketCommand,
    },
    failure::{Usage, in_one_line},
};

/// Makes or shows a key.
///
/// # Errors
/// When the file cannot be made or read.
pub(crate) fn key(command: &KeyCommand) -> Result<bool> {
    let key = match command {
        KeyCommand::New { file } => node::make_key(file).wrap_err("no key was made")?,
        KeyCommand::Show { file } => read_key(file)?,
    };
    println!("{}", key.public());
    Ok(true)
}

/// Does what was asked for with tickets.
///
/// # Errors
/// When a file cannot be read, or what was asked for makes no ticket.
pub(crate) async fn run(command: &TicketCommand) -> Result<bool> {
    match command {
        TicketCommand::Authority { key } => authority(key),
        TicketCommand::Issue(args) => issue(args),
        TicketCommand::Delegate(args) => delegate(args),
        TicketCommand::Inspect(args) => inspected(args),
        TicketCommand::Revoke(args) => revoke::run(args).await,
    }
}

fn authority(file: &Path) -> Result<bool> {
    let key = if file.exists() {
        read_key(file)?
    } else {
        let key = node::make_key(file).wrap_err("no key was made")?;
        // A slip in the name of a file makes an authority that nobody trusts.
        eprintln!("a new authority: its key is in {}", file.display());
        key
    };
    println!("{}", key.public());
    Ok(true)
}

fn issue(args: &IssueArgs) -> Result<bool> {
    let authority = Authority::new(&args.network, read_key(&args.authority)?);
    let ticket = authority.issue(&grant(&args.grant)?);
    println!("{}", ticket.map_err(|error| Usage(in_one_line(&error)))?);
    Ok(true)
}

fn delegate(args: &DelegateArgs) -> Result<bool> {
    let ticket = ticket(&args.ticket)?;
    let key = read_key(&args.key_file)?;
    let made = admission::delegate(&ticket, &key, &grant(&args.grant)?);
    println!("{}", made.map_err(|error| Usage(in_one_line(&error)))?);
    Ok(true)
}

fn inspected(args: &InspectArgs) -> Result<bool> {
    let text = text(&args.ticket)?;
    let network = args.network.as_deref();
    let lists = args.revoked.iter().map(|file| revoke::read(file));
    let lists = lists.collect::<Result<Vec<_>>>()?;
    let (said, good) = inspect::describe(&text, (network, &lists), now_s())?;
    print!("{said}");
    Ok(good)
}

fn grant(args: &GrantArgs) -> Result<Grant> {
    let to = node_id("--to", &args.to)?;
    let rights = args
        .allow
        .iter()
        .map(|right| right.parse::<Right>())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| Usage(format!("--allow: {error}")))?;
    let mut grant = Grant::new(to, &args.stream, rights);
    if let Some(lasting) = args.lasting {
        grant = grant.lasting(lasting);
    }
    if let Some(delegations) = args.delegations {
        grant = grant.delegations(delegations);
    }
    Ok(grant)
}

/// A verifier of what the flags ask for, if they ask for anything.
///
/// # Errors
/// When an authority is no id.
pub(crate) fn verifier(args: &EntitleArgs) -> Result<Option<Verifier>> {
    if args.require_authority.is_empty() {
        return Ok(None);
    }
    let mut verifier = Verifier::new();
    for authority in &args.require_authority {
        verifier = verifier.trust(node_id("--require-authority", authority)?);
    }
    Ok(Some(verifier))
}

/// What is shown, read anew each time it is asked for.
pub(crate) type Provider =
    Box<dyn Fn() -> std::future::Ready<Result<Credential, String>> + Send + Sync>;

/// A provider of the ticket that the flags name, if they name one. Says so where it is not for this
/// node.
///
/// # Errors
/// When it cannot be read now.
pub(crate) fn provider(args: &EntitleArgs, node: &Node) -> Result<Option<Provider>> {
    let Some(named) = args.ticket.clone() else {
        return Ok(None);
    };
    if let Some(wrong) = not_for(node, &ticket(&named)?) {
        eprintln!("{wrong}");
    }
    let read = move || match ticket(&named) {
        Ok(ticket) => Ok(Credential::from(ticket)),
        Err(error) => Err(error.to_string()),
    };
    Ok(Some(Box::new(move || std::future::ready(read()))))
}

/// What is wrong with showing a ticket by this node, if it was made for another one.
pub(crate) fn not_for(node: &Node, ticket: &Ticket) -> Option<String> {
    let (holder, own) = (ticket.holder(), node.id());
    (holder != own).then(|| {
        format!(
            "--ticket: it was made for node {}, and this is node {}: give the key of that node by --key-file",
            holder.fmt_short(),
            own.fmt_short()
        )
    })
}

/// Gives a node the lists of revoked tickets that the flags name.
///
/// # Errors
/// When one cannot be read, or is for another network.
pub(crate) fn revoke(args: &EntitleArgs, node: &Node) -> Result<()> {
    for file in &args.revoked {
        let list = revoke::read(file)?;
        let taken = node.revoke(list);
        taken.map_err(|error| Usage(format!("--revoked {}: {error}", file.display())))?;
    }
    Ok(())
}

/// The wall clock, in seconds since 1970.
fn now_s() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

fn read_key(file: &Path) -> Result<SecretKey> {
    node::read_key(file).wrap_err("no key was read")
}

fn node_id(flag: &str, text: &str) -> Result<NodeId> {
    let id = text.trim().parse::<NodeId>();
    id.map_err(|_| {
        Usage(format!(
            "{flag}: {text:?} is not an id of 64 hexadecimal digits"
        ))
        .into()
    })
}

/// A ticket, or the one in `@file`.
///
/// # Errors
/// When it is none.
pub(crate) fn ticket(text_or_file: &str) -> Result<Ticket> {
    let parsed = text(text_or_file)?.parse::<Ticket>();
    parsed.map_err(|error| Usage(format!("not a ticket: {}", in_one_line(&error))).into())
}

/// A text, or what is in `@file`.
fn text(text_or_file: &str) -> Result<String> {
    match text_or_file.strip_prefix('@') {
        Some(file) => {
            fs::read_to_string(file).wrap_err_with(|| format!("cannot read the ticket in {file}"))
        }
        // No ticket and no list begins as files do.
        None if !text_or_file.starts_with("rm") && Path::new(text_or_file).exists() => {
            let hint = format!("{text_or_file} is a file; to read it, write @{text_or_file}");
            Err(Usage(hint).into())
        }
        None => Ok(text_or_file.to_owned()),
    }
}
