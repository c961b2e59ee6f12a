//! `rivermesh ticket revoke`: the list of an authority, kept in a file.

use std::{fs, path::Path};

use color_eyre::eyre::{Context, Result, eyre};
use data_encoding::HEXLOWER_PERMISSIVE;
use rivermesh::admission::{Authority, RevocationList, Revoking, TicketId};

use super::{now_s, read_key, ticket};
use crate::{
    args::RevokeArgs,
    failure::{Usage, in_one_line},
    join,
};

/// Writes the list and, unless told otherwise, tells the network.
///
/// # Errors
/// When a file cannot be read or written, or the node cannot start.
pub(super) async fn run(args: &RevokeArgs) -> Result<bool> {
    let key = read_key(&args.authority)?;
    let network = join::network_of(&args.net)?;
    let authority = Authority::new(&network, key);
    let mut revoking = if args.list.exists() {
        let before = read(&args.list)?;
        let fits = before.authority() == authority.id()
            && before.network() == rivermesh::NetworkId::of(&network);
        if !fits {
            let text = "--list: the list is by another authority, or for another network";
            return Err(Usage(text.to_owned()).into());
        }
        before.revoking().clone()
    } else {
        Revoking::default()
    };
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
    let list = authority
        .revoke(revoking)
        .map_err(|error| Usage(in_one_line(&error)))?;
    fs::write(&args.list, format!("{list}\n"))
        .wrap_err_with(|| format!("cannot write {}", args.list.display()))?;
    println!("{list}");
    if args.offline {
        return Ok(true);
    }
    let node = join::start(&args.net).await?;
    node.revoke(list).wrap_err("the list was not taken")?;
    tokio::time::sleep(args.wait).await;
    let peers = node
        .catalog()
        .iter()
        .filter(|peer| !peer.is_local())
        .count();
    node.shutdown().await;
    let known = crate::text::plural(peers as u64, "node");
    eprintln!(
        "list {} written; {known} in the network",
        args.list.display()
    );
    Ok(true)
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
