//! Logs: off unless asked for, always on stderr.

use std::io;

use tracing_subscriber::{EnvFilter, fmt};

/// Starts logging. RUST_LOG wins over the number of `-v`.
pub(crate) fn start(verbose: u8) {
    let default = match verbose {
        0 => "off",
        1 => "rivermesh=info",
        2 => "rivermesh=debug,iroh=info",
        _ => "rivermesh=trace,iroh=debug",
    };
    let filter = match std::env::var("RUST_LOG") {
        Ok(filter) if !filter.is_empty() => EnvFilter::new(filter),
        _ => EnvFilter::new(default),
    };
    fmt().with_env_filter(filter).with_writer(io::stderr).init();
}
