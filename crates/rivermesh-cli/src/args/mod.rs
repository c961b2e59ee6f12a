//! The command line: what can be asked for. What is done about it stands in the other modules.

mod commands;
mod examples;
mod keep;
mod network;
mod ticket;

use std::num::NonZeroUsize;

use clap::{Parser, Subcommand};

pub(crate) use commands::{
    BenchArgs, BenchConsumersArgs, CompletionsArgs, DemoAlertArgs, DemoArgs, DemoConsumerArgs,
    DemoForecasterArgs, DemoStationArgs, ExplainArgs, InputFormat, LagPolicy, LsArgs, NodeArgs,
    OnError, PubArgs, Speed, SubArgs,
};
pub(crate) use keep::Retain;
pub(crate) use network::{NetworkArgs, ProfileName};
pub(crate) use ticket::{
    DelegateArgs, EntitleArgs, GrantArgs, InspectArgs, IssueArgs, KeyCommand, RevokeArgs,
    TicketCommand,
};

/// Stream typed data between programs that find each other, without a broker.
///
/// Every command is one node of a network. Nodes that share a network name find each other on
/// one machine without any flag; across machines, give one node the invite that another prints.
#[derive(Debug, Parser)]
#[command(name = "rivermesh", version, propagate_version = true)]
#[command(max_term_width = 100, after_help = examples::ROOT)]
pub(crate) struct Cli {
    /// Log to stderr: -v what the node does, -vv why. RUST_LOG overrides it
    #[arg(short, long, action = clap::ArgAction::Count, global = true, display_order = 900)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// One thing to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a node until Ctrl-C: print its invite, and who joins and leaves
    #[command(after_help = examples::NODE)]
    Node(NodeArgs),
    /// Publish lines, JSON lines or CSV rows as a stream
    #[command(after_help = examples::PUB)]
    Pub(PubArgs),
    /// Print a stream as JSON, one item a line
    #[command(after_help = examples::SUB)]
    Sub(SubArgs),
    /// List the nodes of a network and their streams
    #[command(after_help = examples::LS)]
    Ls(LsArgs),
    /// Tell why a node receives a stream or does not, step by step, as its producers see it
    #[command(after_help = examples::EXPLAIN)]
    Explain(ExplainArgs),
    /// Make and show keys: of a node, of an authority, or of a network
    #[command(subcommand, after_help = examples::KEY)]
    Key(KeyCommand),
    /// Issue, pass on, inspect and revoke tickets: who may consume and produce what
    #[command(subcommand, after_help = examples::TICKET)]
    Ticket(TicketCommand),
    /// Show it working: seven processes stream a year of weather to each other
    #[command(after_help = examples::DEMO)]
    Demo(DemoArgs),
    /// Measure throughput, CPU and latency over loopback
    #[command(after_help = examples::BENCH)]
    Bench(BenchArgs),
    /// Print a completion script for a shell
    #[command(after_help = examples::COMPLETIONS)]
    Completions(CompletionsArgs),

    #[command(hide = true)]
    DemoStation(DemoStationArgs),
    #[command(hide = true)]
    DemoConsumer(DemoConsumerArgs),
    #[command(hide = true)]
    DemoForecaster(DemoForecasterArgs),
    #[command(hide = true)]
    DemoAlert(DemoAlertArgs),
    #[command(hide = true)]
    BenchConsumers(BenchConsumersArgs),
}

impl Command {
    /// Threads that were asked for.
    pub(crate) fn threads(&self) -> Option<NonZeroUsize> {
        match self {
            Self::Bench(args) => args.threads,
            Self::BenchConsumers(args) => args.threads,
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests;
