//! `rivermesh ticket revoke`: the list of an authority, kept in a file.

use std::{
    fs,
    io::{self, Write},
    path::Path,
};

use color_eyre::eyre::{Context, Result, eyre};
use data_encoding::HEXLOWER_PERMISSIVE;
use rivermesh::admission::{Authority, RevocationList, Revoking, TicketId, date};

use super::{now_s, read_key, ticket};
use crate::{
    args::RevokeArgs,
    failure::{Usage, in_one_line},
    join,
};

/// Writes the list and, unless told otherwise, tells the network. False when nobody was there to be told.
///
/// # Errors
/// When a file cannot be read or written, or the node cannot start.
pub(super) async fn run(args: &RevokeArgs) -> Result<bool> {
    let key = read_key(&args.authority)?;
    let network = join::network_of(&args.net)?;
    let authority = Authority::new(&network, key);
    let list = match (before(args, &authority, &network)?, asks(args)) {
        (None, false) => {
            let text = "nothing to revoke: give --ticket, --id or --all";
            return Err(Usage(text.to_owned()).into());
        }
        // It was told before, and not to everybody.
        (Some(list), false) => list,
        (before, true) => {
            let list = revoked(args, &authority, before.as_ref())?;
            write(&args.list, &list)
                .wrap_err_with(|| format!("cannot write {}", args.list.display()))?;
            eprintln!("{}", in_words(&list, &args.list));
            list
        }
    };
    println!("{list}");
    if args.offline {
        return Ok(true);
    }
    let node = join::start(&args.net).await?;
    node.revoke(list).wrap_err("the list was not taken")?;
    tokio::time::sleep(args.wait).await;
    let catalog = node.catalog();
    let peers = catalog.iter().filter(|peer| !peer.is_local()).count();
    node.shutdown().await;
    if peers == 0 {
        eprintln!(
            "NOBODY WAS TOLD: no other node is in the network {network:?}. The same command without --ticket, --id and --all tells it again"
        );
        return Ok(false);
    }
    let known = crate::text::plural(peers as u64, "other node");
    eprintln!("told to {known} in the network {network:?}, which tell theirs");
    Ok(true)
}

/// Whether anything is to be revoked that was not before.
fn asks(args: &RevokeArgs) -> bool {
    args.all || !args.ticket.is_empty() || !args.id.is_empty()
}

/// The list that is there already.
fn before(
    args: &RevokeArgs,
    authority: &Authority,
    network: &str,
) -> Result<Option<RevocationList>> {
    if !args.list.exists() {
        return Ok(None);
    }
    let list = read(&args.list)?;
    if list.authority() != authority.id() {
        return Err(Usage("--list: the list in it is by another authority".to_owned()).into());
    }
    if list.network() != rivermesh::NetworkId::of(network) {
        let text = format!("--list: the list in it is for another network than {network:?}");
        return Err(Usage(text).into());
    }
    Ok(Some(list))
}

/// The next list: what was revoked before, and what is asked for.
fn revoked(
    args: &RevokeArgs,
    authority: &Authority,
    before: Option<&RevocationList>,
) -> Result<RevocationList> {
    let mut revoking = before.map_or_else(Revoking::default, |list| list.revoking().clone());
    let number = revoking.number.checked_add(1);
    revoking.number = number.ok_or_else(|| eyre!("the list has the highest number there is"))?;
    for text in &args.ticket {
        let ticket = ticket(text)?;
        if ticket.authority() != authority.id() {
            return Err(Usage("--ticket: it is by another authority".to_owned()).into());
        }
        // Its own link: whoever stands before it in the chain keeps what they have.
        revoking
            .ids
            .extend(ticket.links().last().map(|link| link.id));
    }
    for id in &args.id {
        revoking.ids.insert(ticket_id(id)?);
    }
    if args.all {
        // What is revoked by time need not be named; and what is issued in this very second counts
        // as issued before.
        revoking.before_s = now_s() + 1;
        revoking.ids.clear();
    }
    let list = authority.revoke(revoking);
    list.map_err(|error| Usage(in_one_line(&error)).into())
}

/// Writes the file, which alone knows what was revoked before: it is the old or the new one, whatever
/// happens.
fn write(file: &Path, list: &RevocationList) -> io::Result<()> {
    let mut beside = file.as_os_str().to_owned();
    beside.push(".new");
    let mut new = fs::File::create(&beside)?;
    new.write_all(format!("{list}\n").as_bytes())?;
    new.sync_all()?;
    fs::rename(&beside, file)
}

fn in_words(list: &RevocationList, file: &Path) -> String {
    let revoking = list.revoking();
    let ids = crate::text::plural(revoking.ids.len() as u64, "ticket");
    let all = match revoking.before_s {
        0 => String::new(),
        before => format!(", and all that were issued before {}", date(before)),
    };
    let number = revoking.number;
    format!("list {number}, in {}: revokes {ids}{all}", file.display())
}

/// The list in a file.
///
/// # Errors
/// When there is none.
pub(super) fn read(file: &Path) -> Result<RevocationList> {
    let text = fs::read_to_string(file)
        .wrap_err_with(|| format!("cannot read the list in {}", file.display()))?;
    let list = text.parse::<RevocationList>();
    list.map_err(|error| {
        let why = in_one_line(&error);
        Usage(format!("{}: not a revocation list: {why}", file.display())).into()
    })
}

fn ticket_id(text: &str) -> Result<TicketId> {
    let bytes = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok();
    let id = bytes.and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    id.map(TicketId)
        .ok_or_else(|| Usage(format!("--id: {text:?} is not 32 hexadecimal digits")).into())
}
