//! The flags of `key` and `ticket`, and those that ask for tickets and show them.

use std::{path::PathBuf, time::Duration};

use clap::{Args, Subcommand};

use super::{NetworkArgs, commands::duration};

/// What to do with a key.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a new key in a file that only its owner can read, and print its public id
    New {
        /// File to make; it must not exist
        file: PathBuf,
    },
    /// Print the public id of a key, never the key
    Show {
        /// File with the key
        file: PathBuf,
    },
}

/// What to do with a ticket.
#[derive(Debug, Subcommand)]
pub(crate) enum TicketCommand {
    /// Print the id of an authority, for --require-authority; its key is made if there is none
    Authority {
        /// File with the authority's key
        key: PathBuf,
    },
    /// Issue a ticket by an authority
    Issue(IssueArgs),
    /// Make of a ticket one for another node that allows no more
    Delegate(DelegateArgs),
    /// Say what a ticket allows, to whom, until when, through whom
    Inspect(InspectArgs),
    /// Revoke tickets by an authority: write the list of what is revoked, and tell the network.
    /// Without anything to revoke, tell it of the list as it is
    Revoke(Box<RevokeArgs>),
}

/// What a ticket is to allow.
#[derive(Debug, Args)]
pub(crate) struct GrantArgs {
    /// Node that may use the ticket: its id
    #[arg(long, value_name = "NODE")]
    pub(crate) to: String,
    /// Streams: a name, or the beginning of names and a star, such as 'weather/*'
    #[arg(long, value_name = "PATTERN")]
    pub(crate) stream: String,
    /// What is allowed: consume, produce, relay
    #[arg(long, value_name = "RIGHT,…", value_delimiter = ',', required = true)]
    pub(crate) allow: Vec<String>,
    /// For how long, such as 30m, 8h or 7d; at most 366d [default: 1h; of a delegated ticket, to the
    /// end of the one it comes from]
    #[arg(long = "for", value_name = "TIME", value_parser = duration)]
    pub(crate) lasting: Option<Duration>,
    /// How often it may be passed on, 0 to 3 [default: 3; of a delegated ticket, once less than the
    /// one it comes from]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=3))]
    pub(crate) delegations: Option<u8>,
}

#[derive(Debug, Args)]
pub(crate) struct IssueArgs {
    /// File with the authority's key
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: PathBuf,
    /// Network that the ticket counts in
    #[arg(
        long,
        value_name = "NAME",
        default_value = "default",
        env = "RIVERMESH_NETWORK",
        hide_env_values = true
    )]
    pub(crate) network: String,
    #[command(flatten)]
    pub(crate) grant: GrantArgs,
}

#[derive(Debug, Args)]
pub(crate) struct DelegateArgs {
    /// Ticket to pass on, or @FILE to read it from a file
    pub(crate) ticket: String,
    /// File with the key of the node that the ticket was made for
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: PathBuf,
    #[command(flatten)]
    pub(crate) grant: GrantArgs,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// Ticket or revocation list, or @FILE to read it from a file
    pub(crate) ticket: String,
    /// Network that it should count in, by name
    #[arg(
        long,
        value_name = "NAME",
        env = "RIVERMESH_NETWORK",
        hide_env_values = true
    )]
    pub(crate) network: Option<String>,
    /// File with a list of revoked tickets to look the ticket up in; may be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) revoked: Vec<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RevokeArgs {
    /// File with the authority's key
    #[arg(long, value_name = "FILE")]
    pub(crate) authority: PathBuf,
    /// File with the list: what is in it stays revoked, and it is written anew
    #[arg(long, value_name = "FILE")]
    pub(crate) list: PathBuf,
    /// Ticket to revoke, or @FILE; with it go all that were made of it. May be given more than once
    #[arg(long, value_name = "TICKET")]
    pub(crate) ticket: Vec<String>,
    /// Id of a ticket to revoke, as `inspect` prints it; may be given more than once
    #[arg(long, value_name = "ID")]
    pub(crate) id: Vec<String>,
    /// Revoke everything that the authority has issued until now
    #[arg(long)]
    pub(crate) all: bool,
    /// Only write the list, tell nobody
    #[arg(long)]
    pub(crate) offline: bool,
    /// How long to stay in the network so that it hears of the list
    #[arg(long, value_name = "TIME", default_value = "3s", value_parser = duration)]
    pub(crate) wait: Duration,
    #[command(flatten)]
    pub(crate) net: NetworkArgs,
}

/// What is asked of the peers of a stream, and what is shown to them.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Tickets")]
pub(crate) struct EntitleArgs {
    /// Take only peers that show a ticket by this authority, as `rivermesh ticket authority` prints
    /// it; may be given more than once
    #[arg(long, value_name = "ID")]
    pub(crate) require_authority: Vec<String>,
    /// Ticket to show, or @FILE; the file is read again before the ticket ends
    #[arg(long, value_name = "TICKET")]
    pub(crate) ticket: Option<String>,
    /// File with a list of revoked tickets to begin with, as `rivermesh ticket revoke` writes it; may
    /// be given more than once
    #[arg(long, value_name = "FILE")]
    pub(crate) revoked: Vec<PathBuf>,
    /// File in which to keep the lists of revoked tickets that this node hears of, so that they count
    /// after a restart; made if need be
    #[arg(long, value_name = "FILE")]
    pub(crate) keep_revoked: Option<PathBuf>,
}
