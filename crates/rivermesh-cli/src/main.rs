//! The `rivermesh` command line: nodes, streams and measurements from a shell.

mod args;
mod bench;
mod catalog;
mod demo;
mod explain;
mod failure;
mod family;
mod input;
mod join;
mod latency;
mod logging;
mod named;
mod node;
mod publish;
mod subscribe;
mod text;
mod ticket;

use std::{io, process::ExitCode};

use clap::{CommandFactory, Parser};
use color_eyre::eyre::{Context, Result};

use args::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    logging::start(cli.verbose);
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Some(threads) = cli.command.threads() {
        runtime.worker_threads(threads.get());
    }
    let runtime = runtime
        .enable_all()
        .build()
        .wrap_err("cannot start the runtime");
    let result = runtime.and_then(|runtime| {
        let result = runtime.block_on(Box::pin(run(cli)));
        // A read of stdin that still blocks must not hold up the end.
        runtime.shutdown_background();
        result
    });
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failure::exit(&error),
    }
}

/// Does what was asked for; false when it was done and the outcome is bad.
async fn run(cli: Cli) -> Result<bool> {
    match cli.command {
        Command::Node(args) => Box::pin(node::run(&args)).await,
        Command::Pub(args) => Box::pin(publish::run(&args)).await,
        Command::Sub(args) => Box::pin(subscribe::run(&args)).await,
        Command::Ls(args) => Box::pin(node::list(&args)).await,
        Command::Explain(args) => Box::pin(explain::run(&args)).await,
        Command::Key(command) => ticket::key(&command),
        Command::Ticket(command) => Box::pin(ticket::run(&command)).await,
        Command::Demo(args) => Box::pin(demo::run(&args, cli.verbose)).await,
        Command::Bench(args) => Box::pin(bench::run(&args)).await,
        Command::Completions(args) => {
            let mut command = shown(&Cli::command());
            clap_complete::generate(args.shell, &mut command, "rivermesh", &mut io::stdout());
            Ok(true)
        }
        Command::DemoStation(args) => Box::pin(demo::station(&args)).await,
        Command::DemoConsumer(args) => Box::pin(demo::consumer(&args)).await,
        Command::DemoForecaster(args) => Box::pin(demo::forecaster(&args)).await,
        Command::DemoAlert(args) => Box::pin(demo::alert(&args)).await,
        Command::BenchConsumers(args) => Box::pin(bench::consumers(&args)).await,
    }
}

/// A command without the subcommands that only the program itself uses.
fn shown(command: &clap::Command) -> clap::Command {
    let subcommands = command.get_subcommands();
    clap::Command::new("rivermesh")
        .args(command.get_arguments().cloned())
        .subcommands(subcommands.filter(|one| !one.is_hide_set()).cloned())
}
