//! The built program, end to end: real processes, real QUIC on loopback, nothing shared between
//! tests. Each test has folders, networks and deadlines of its own.

#![expect(
    clippy::unwrap_used,
    reason = "this crate is tests, its helper functions included"
)]

mod bench;
mod demo;
mod explain;
mod named;
mod network;
mod streams;
mod tickets;
mod tool;
