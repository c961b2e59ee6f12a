//! The attacks. README.md of the package has the list.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "helpers of tests fail the test"
)]

mod admission;
mod bytes;
mod clients;
mod floods;
mod handshake;
mod producer;
mod records;
mod reflection;
mod rtt;
mod suspended;
mod tickets;

use rivermesh_attacker::{arena::Arena, victim::Settings};

/// A victim that is set up like this, with its honest peer.
async fn arena(settings: Settings) -> Arena {
    Arena::new(env!("CARGO_BIN_EXE_victim"), settings).await
}
