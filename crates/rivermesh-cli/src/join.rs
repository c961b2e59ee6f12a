//! From the common flags to a running node. The only place that knows both.

use std::{env, fs, path::Path};

use color_eyre::eyre::{Context, Result};
use rivermesh::{
    Invite, Lag, NetworkKey, Node, Peer, Profile, Relay, Rendezvous, Snapshot, TransportAddr, node,
};

use crate::{
    args::{LagPolicy, NetworkArgs, ProfileName},
    catalog::{Row, short},
    failure::Usage,
    latency::micros_of,
};

/// Holds the network's key; a key is never an argument, which every user of the machine can read.
const KEY_VARIABLE: &str = "RIVERMESH_NETWORK_KEY";

/// The network that is joined when none is named.
pub(crate) const DEFAULT_NETWORK: &str = "default";

/// Starts a node as the flags say.
///
/// # Errors
/// When the flags contradict each other or a key or invite cannot be read ([`Usage`] where the
/// command line is to blame), or when the node cannot start.
pub(crate) async fn start(args: &NetworkArgs) -> Result<Node> {
    start_keeping(args, None).await
}

/// As [`start`]; keeps the lists of revoked tickets in a file, if one is given.
///
/// # Errors
/// As of [`start`], and when the file cannot be used.
pub(crate) async fn start_keeping(args: &NetworkArgs, revoked: Option<&Path>) -> Result<Node> {
    let invites = args
        .join
        .iter()
        .map(|text| invite(text))
        .collect::<Result<Vec<_>>>()?;
    let network = network(args.network.as_deref(), &invites)?;
    let relay = if args.relay {
        Relay::Public
    } else {
        Relay::Disabled
    };
    let mut builder = Node::builder(network)
        .relay(relay)
        .transport(profile(args.profile));
    if let Some(key) = network_key(args.network_key_file.as_deref())? {
        builder = builder.network_key(key);
    }
    if let Some(name) = &args.name {
        builder = builder.name(name);
    }
    if let Some(addr) = args.bind {
        builder = builder.bind(addr);
    }
    if let Some(file) = &args.key_file {
        builder = builder.key_file(file);
    }
    if let Some(file) = revoked {
        builder = builder.revocations(file);
    }
    for invite in invites {
        builder = builder.join(invite);
    }
    builder = builder.rendezvous(match &args.rendezvous_dir {
        _ if args.no_rendezvous => Rendezvous::Off,
        Some(dir) => Rendezvous::Dir(dir.clone()),
        None => Rendezvous::Default,
    });
    let builder = builder.tags(&args.tag).mdns(args.mdns).dht(args.dht);
    builder.spawn().await.wrap_err("cannot start the node")
}

/// The name of the network that the flags name.
///
/// # Errors
/// When they contradict each other.
pub(crate) fn network_of(args: &NetworkArgs) -> Result<String> {
    let invites = args.join.iter().map(|text| invite(text));
    network(
        args.network.as_deref(),
        &invites.collect::<Result<Vec<_>>>()?,
    )
}

/// The network: by flag, else by invite, else the default one.
fn network(flag: Option<&str>, invites: &[Invite]) -> Result<String> {
    let mut named = invites.iter().map(Invite::network);
    let network = flag
        .or_else(|| named.clone().next())
        .unwrap_or(DEFAULT_NETWORK);
    if let Some(other) = named.find(|name| *name != network) {
        return Err(Usage(format!(
            "an invite is for the network {other:?}, but this node joins {network:?}"
        ))
        .into());
    }
    Ok(network.to_owned())
}

/// An invite, or `@file` with one.
fn invite(text: &str) -> Result<Invite> {
    let Some(file) = text.strip_prefix('@') else {
        let invite = text.parse::<Invite>();
        if invite.as_ref().is_ok_and(|invite| invite.key().is_some()) {
            return Err(Usage(
                "--join: this invite has the network's key, which every user of the machine can read \
                 in an argument: give it as @FILE"
                    .to_owned(),
            )
            .into());
        }
        return invite.map_err(|error| Usage(format!("--join: {error}")).into());
    };
    let text = fs::read_to_string(file);
    let text = text.wrap_err_with(|| format!("cannot read the invite in {file}"))?;
    let invite = text.trim().parse::<Invite>();
    let invite = invite.map_err(|error| Usage(format!("--join {file}: {error}")))?;
    if invite.key().is_some() {
        let private = node::check_private(Path::new(file));
        private.wrap_err("this invite has the network's key")?;
    }
    Ok(invite)
}

/// The network's key: by file, else by environment.
fn network_key(file: Option<&Path>) -> Result<Option<NetworkKey>> {
    if let Some(file) = file {
        let key = node::read_network_key(file).wrap_err("no network key was read")?;
        return Ok(Some(key));
    }
    match env::var(KEY_VARIABLE) {
        Ok(text) if !text.is_empty() => {
            let key = text.parse::<NetworkKey>();
            key.map(Some)
                .map_err(|error| Usage(format!("{KEY_VARIABLE}: {error}")).into())
        }
        _ => Ok(None),
    }
}

/// The SDK's word for a profile.
fn profile(name: ProfileName) -> Profile {
    match name {
        ProfileName::Throughput => Profile::Throughput,
        ProfileName::Latency => Profile::Latency,
        ProfileName::Wan => Profile::Wan,
    }
}

/// The SDK's word for a lag policy.
pub(crate) fn lag(policy: LagPolicy) -> Lag {
    match policy {
        LagPolicy::Skip => Lag::Skip,
        LagPolicy::Newest => Lag::Newest,
        LagPolicy::Disconnect => Lag::Disconnect,
        LagPolicy::Block => Lag::Block,
    }
}

/// What people call a peer: its name, or the beginning of its id.
pub(crate) fn called(peer: &Peer) -> String {
    let id = peer.id().to_string();
    if peer.name().is_empty() {
        short(&id).to_owned()
    } else {
        peer.name().to_owned()
    }
}

/// What people call the node with this id.
pub(crate) fn name_of(catalog: &Snapshot, id: &rivermesh::NodeId) -> String {
    match catalog.get(id) {
        Some(peer) => called(peer),
        None => short(&id.to_string()).to_owned(),
    }
}

/// An address without the word that says of which kind it is, where that is plain to see.
fn address(addr: &TransportAddr) -> String {
    match addr {
        TransportAddr::Ip(addr) => addr.to_string(),
        TransportAddr::Relay(url) => url.to_string(),
        other => other.to_string(),
    }
}

/// A peer as `ls` lists it.
pub(crate) fn row(peer: &Peer) -> Row {
    Row {
        name: peer.name().to_owned(),
        id: peer.id().to_string(),
        rtt_us: peer.rtt().map(|rtt| micros_of(rtt.smoothed)),
        tags: peer.tags().iter().map(ToString::to_string).collect(),
        streams: peer
            .streams()
            .iter()
            .map(|stream| stream.name.to_string())
            .collect(),
        addresses: peer.addrs().iter().map(address).collect(),
        status: if peer.is_live() {
            "live"
        } else {
            "unreachable"
        },
    }
}
