//! Logs: only warnings unless asked for, always on stderr.

use std::io::{self, IsTerminal};

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging. RUST_LOG wins over the number of `-v`.
pub(crate) fn start(verbose: u8) {
    let default = match verbose {
        // What is said of streams, the commands say themselves.
        0 => "rivermesh::discovery=warn,rivermesh::net=warn",
        1 => "rivermesh=info",
        2 => "rivermesh=debug,iroh=info",
        _ => "rivermesh=trace,iroh=debug",
    };
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::new(filter),
        _ => EnvFilter::new(default),
    };
    let log = fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    if verbose == 0 {
        log.without_time().with_target(false).init();
    } else {
        log.init();
    }
}
