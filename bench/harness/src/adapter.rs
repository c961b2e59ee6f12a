//! What an adapter implements, and its `main`.

use std::{
    future::Future,
    io::{self, BufRead, Write},
    net::SocketAddr,
    os::unix::process::CommandExt,
    process::{Command, ExitCode},
};

use rustix::process::{Signal, set_parent_process_death_signal};
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;
use thiserror::Error;
use tokio::sync::mpsc;

use crate::{
    consuming,
    payload::Item,
    producing,
    protocol::{Order, Report, Setup},
    sink::Sink,
    spec::{Info, Spec},
};

/// Orders that may wait; the runner gives one at a time.
const ORDERS: usize = 4;

/// A peer under measurement.
pub trait Adapter: 'static {
    /// The producing end.
    type Sender: Sender;
    /// What keeps one consumer alive: dropped when the process ends.
    type Consumer: Send + 'static;

    /// What it is.
    fn info() -> Info;

    /// The command that serves on a port of 127.0.0.1, for peers that have a server.
    fn server(_port: u16) -> Option<Command> {
        None
    }

    /// Starts the producing end. Gives it, and what consumers must know to find it.
    fn produce(
        spec: &Spec,
        server: Option<SocketAddr>,
    ) -> impl Future<Output = anyhow::Result<(Self::Sender, Value)>> + Send;

    /// Starts one consumer, which takes all it receives to `sink`, in a task of its own. Done when
    /// it has asked for the items; the runner then waits until a probe has come through.
    fn consume(
        spec: &Spec,
        server: Option<SocketAddr>,
        addr: &Value,
        sink: Sink,
    ) -> impl Future<Output = anyhow::Result<Self::Consumer>> + Send;

    /// Names of the settings in [`crate::Transport`] that it has for this variant.
    fn knobs(_spec: &Spec) -> &'static [&'static str] {
        &[]
    }
}

/// The producing end of a peer.
pub trait Sender: Send + 'static {
    /// Hands an item to the peer. Waits where the peer makes its program wait. Must let other
    /// tasks run now and then, even if it never waits.
    fn send(&mut self, item: &Item<'static>) -> impl Future<Output = anyhow::Result<()>> + Send;

    /// No item is due now: what was held back, to send it with others, must go.
    fn flush(&mut self) -> impl Future<Output = anyhow::Result<()>> + Send {
        std::future::ready(Ok(()))
    }
}

/// A process of an adapter cannot go on.
#[derive(Debug, Error)]
#[non_exhaustive]
pub(crate) enum Error {
    /// The runner is gone.
    #[error("the runner is gone")]
    Gone(#[source] io::Error),
    /// The runner said what this process does not understand.
    #[error("not a setup or order: {line}")]
    Order {
        line: String,
        #[source]
        source: serde_json::Error,
    },
    /// The runner ended before it said what to do.
    #[error("no setup came")]
    NoSetup,
    /// An order for the other role.
    #[error("the order {0:?} is not for this role")]
    Role(Order),
    /// The runtime cannot start.
    #[error("no runtime")]
    Runtime(#[source] io::Error),
    /// The adapter failed.
    #[error("{0}: {1:#}")]
    Adapter(&'static str, anyhow::Error),
    /// A consumer ended, which none may.
    #[error("a consumer ended: {0}")]
    Ended(String),
    /// The server program is not there.
    #[error("cannot run the server")]
    Server(#[source] io::Error),
    /// Neither of the roles.
    #[error("usage: info | server PORT | producer | consumers")]
    Usage,
}

/// The `main` of an adapter: plays the role that the first argument names.
#[must_use]
pub fn run<A: Adapter>() -> ExitCode {
    match role::<A>() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let why = format!("{:#}", anyhow::Error::new(error));
            eprintln!("{why}");
            // The runner may be what is gone.
            let _ = say(&Report::Failed { why });
            ExitCode::FAILURE
        }
    }
}

fn role<A: Adapter>() -> Result<(), Error> {
    // No process outlives the runner, not even one that no longer reads its orders.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next()) {
        (Some("info"), None) => say(&A::info()),
        (Some("server"), Some(port)) => {
            let port = port.parse().map_err(|_| Error::Usage)?;
            let mut command = A::server(port).ok_or(Error::Usage)?;
            // Takes the place of this process, and with it the signal above.
            Err(Error::Server(command.exec()))
        }
        (Some("producer"), None) => with_setup(|setup, orders| producing::run::<A>(setup, orders)),
        (Some("consumers"), None) => with_setup(|setup, orders| consuming::run::<A>(setup, orders)),
        _ => Err(Error::Usage),
    }
}

/// Reads the setup, then runs `role` on a runtime of the shape that the setup asks for.
fn with_setup<F: Future<Output = Result<(), Error>>>(
    role: impl FnOnce(Setup, mpsc::Receiver<Result<Order, Error>>) -> F,
) -> Result<(), Error> {
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    if read.map_err(Error::Gone)? == 0 {
        return Err(Error::NoSetup);
    }
    let setup: Setup = parse(line)?;
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = setup.spec.workers {
        builder.worker_threads(workers.max(1));
    }
    let runtime = builder.enable_all().build().map_err(Error::Runtime)?;
    let done = runtime.block_on(role(setup, orders()));
    // What a peer still does is of no interest, and it may do it for ever.
    runtime.shutdown_background();
    done
}

/// The orders; the channel ends when the runner is gone. A thread of its own reads them, because a
/// blocking read of stdin would hold up the end of the runtime.
fn orders() -> mpsc::Receiver<Result<Order, Error>> {
    let (send, receive) = mpsc::channel(ORDERS);
    std::thread::spawn(move || {
        for line in io::stdin().lock().lines() {
            let order = line.map_err(Error::Gone).and_then(parse);
            let failed = order.is_err();
            if send.blocking_send(order).is_err() || failed {
                return;
            }
        }
    });
    receive
}

fn parse<T: DeserializeOwned>(line: String) -> Result<T, Error> {
    serde_json::from_str(&line).map_err(|source| Error::Order { line, source })
}

/// Tells the runner.
pub(crate) fn say(what: &impl Serialize) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    let written = serde_json::to_writer(&mut out, what).map_err(io::Error::from);
    written
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush())
        .map_err(Error::Gone)
}
