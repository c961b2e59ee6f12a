//! What the examples share: a network that nobody else meets, and a deadline.
//!
//! With `cargo test --doc` this package also compiles every piece of Rust in the book and in the
//! README.

use std::{error::Error, future::Future, time::Duration};

use rivermesh::{Node, Rendezvous, node::Builder};

/// What an example's `main` returns.
pub type Result<T = ()> = std::result::Result<T, Box<dyn Error>>;

/// A network whose nodes meet in a folder of their own, on loopback, so that an example meets
/// nobody else. The folder is removed with it.
#[derive(Debug)]
pub struct Room(tempfile::TempDir);

impl Room {
    /// An empty room.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new() -> Result<Self> {
        Ok(Self(tempfile::tempdir()?))
    }

    /// The settings of a node in this room. A program of your own begins with `Node::builder`.
    ///
    /// # Errors
    /// Never: the address is one.
    pub fn node(&self, name: &str) -> Result<Builder> {
        let builder = Node::builder("example")
            .name(name)
            .bind("127.0.0.1:0".parse()?)
            .rendezvous(Rendezvous::Dir(self.0.path().to_owned()));
        Ok(builder)
    }
}

/// Waits for something that happens within seconds, or tells what did not.
///
/// # Errors
/// When it has not happened after 20 s.
pub async fn soon<F: Future>(what: &str, happens: F) -> Result<F::Output> {
    let within = Duration::from_secs(20);
    let happened = tokio::time::timeout(within, happens).await;
    happened.map_err(|_| format!("{what}: not within {within:?}").into())
}

#[cfg(doctest)]
mod book {
    //! Every piece of Rust in the book and in the README is compiled.

    macro_rules! pages {
        ($($name:ident $path:literal)*) => {
            $(#[doc = include_str!(concat!("../../", $path))] mod $name {})*
        };
    }

    pages! {
        readme "README.md"
        contributing "CONTRIBUTING.md"
        introduction "docs/src/introduction.md"
        getting_started "docs/src/getting-started.md"
        concepts "docs/src/concepts.md"
        guide_producer "docs/src/guide-producer.md"
        guide_consumer "docs/src/guide-consumer.md"
        tickets "docs/src/tickets.md"
        operators "docs/src/operators.md"
        operations "docs/src/operations.md"
        coming_from "docs/src/coming-from.md"
        architecture "docs/src/architecture.md"
        protocol "docs/src/protocol.md"
        filters "docs/src/filters.md"
        benchmarks "docs/src/benchmarks.md"
    }
}
