//! The store as its user sees it: against a model, killed, torn, with flipped bits, on a full disk.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    clippy::print_stderr
)]

mod basics;
mod damage;
mod full;
mod kill;
mod model;
mod support;
mod torn;
