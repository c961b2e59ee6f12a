//! What the benches share: nodes on loopback, and an item with real fields.

use std::net::SocketAddr;

use rivermesh::{Datum, Node, Rendezvous};
use serde::{Deserialize, Serialize};

/// An hour of weather, as in the demo: a small item with a key, numbers and missing values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
#[datum(name = "bench/reading", key = "origin")]
pub struct Reading {
    pub origin: String,
    pub time_us: i64,
    pub temp: Option<f64>,
    pub humid: Option<f64>,
    pub wind: Option<f64>,
    pub pressure: Option<f64>,
}

impl Reading {
    /// A typical one.
    #[must_use]
    pub fn sample() -> Self {
        Self {
            origin: "JFK".into(),
            time_us: 1_357_000_000_000_000,
            temp: Some(39.02),
            humid: Some(59.37),
            wind: None,
            pressure: Some(1012.0),
        }
    }
}

/// A node on loopback in the network `name`, that joins through `others`.
///
/// # Panics
/// When the node cannot be started.
pub async fn node(name: &str, others: &[&Node]) -> Node {
    let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
    let builder = Node::builder(name)
        .bind(loopback)
        .rendezvous(Rendezvous::Off);
    let builder = others
        .iter()
        .fold(builder, |builder, node| builder.bootstrap(node.addr()));
    builder.spawn().await.expect("a node on loopback starts")
}
