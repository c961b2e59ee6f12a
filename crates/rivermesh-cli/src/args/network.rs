//! The flags that every node takes.

use std::{net::SocketAddr, path::PathBuf};

use clap::{Args, ValueEnum};

/// Which network to be part of, as whom, and how peers are found.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Network")]
pub(crate) struct NetworkArgs {
    /// Network to join; only nodes that use the same name meet. An invite names it too
    /// [default: default]
    #[arg(
        long,
        value_name = "NAME",
        env = "RIVERMESH_NETWORK",
        hide_env_values = true
    )]
    pub(crate) network: Option<String>,

    /// File with the network's secret key (64 hexadecimal digits).
    /// RIVERMESH_NETWORK_KEY holds the key itself; without one the network is open
    #[arg(long, value_name = "FILE")]
    pub(crate) network_key_file: Option<PathBuf>,

    /// Invite of a node to start from, as `rivermesh node` prints it, or @FILE to read it
    /// from a file; may be given more than once
    #[arg(long, value_name = "INVITE")]
    pub(crate) join: Vec<String>,

    /// Name for people to read; it need not be unique
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,

    /// Tag that other nodes can select by; may be given more than once
    #[arg(long, value_name = "TAG")]
    pub(crate) tag: Vec<String>,

    /// Address and UDP port to listen at [default: every interface, a free port]
    #[arg(long, value_name = "ADDR")]
    pub(crate) bind: Option<SocketAddr>,

    /// File with the node's own key, created when missing. Without it the node is a new one
    /// at each start
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,

    /// Kind of network that the QUIC settings are made for
    #[arg(long, value_enum, default_value_t)]
    pub(crate) profile: ProfileName,

    /// Use iroh's public relays to reach nodes behind firewalls
    #[arg(long)]
    pub(crate) relay: bool,

    /// Look for nodes on the local network by multicast DNS
    #[arg(long)]
    pub(crate) mdns: bool,

    /// Publish and look up addresses in the BitTorrent mainline DHT
    #[arg(long)]
    pub(crate) dht: bool,

    /// Do not look for nodes of the same user on this machine, whatever --rendezvous-dir says
    #[arg(long)]
    pub(crate) no_rendezvous: bool,

    /// Folder in which nodes on this machine find each other [default: under the user's
    /// runtime folder]
    #[arg(
        long,
        value_name = "DIR",
        env = "RIVERMESH_RENDEZVOUS_DIR",
        hide_env = true
    )]
    pub(crate) rendezvous_dir: Option<PathBuf>,
}

/// The names of the SDK's profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ProfileName {
    /// One machine or one site: most deliveries, least CPU
    #[default]
    Throughput,
    /// Links with loss, where what was lost must be there again soon
    Latency,
    /// Across the internet: long round trips, and loss
    Wan,
}
