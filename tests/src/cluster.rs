//! Real nodes on loopback, kept apart from every other test by a network name of their own.

use std::time::Duration;

use rivermesh::{EndpointAddr, Node, discovery::Rendezvous, node};

/// How long tests wait for something that takes a fraction of it on an idle machine.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// The nodes of one test.
#[derive(Debug)]
pub struct Cluster {
    network: String,
    bootstrap: Vec<EndpointAddr>,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new()
    }
}

impl Cluster {
    /// A network that no other test knows.
    #[must_use]
    pub fn new() -> Self {
        Self {
            network: format!("test-{:016x}", rand::random::<u64>()),
            bootstrap: Vec::new(),
        }
    }

    /// The network's name.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.network
    }

    /// A node's builder: bound to loopback, without rendezvous, joining through the nodes that
    /// were spawned before.
    pub fn builder(&self) -> node::Builder {
        let builder = Node::builder(&self.network)
            .bind(std::net::SocketAddr::from(([127, 0, 0, 1], 0)))
            .rendezvous(Rendezvous::Off);
        self.bootstrap
            .iter()
            .cloned()
            .fold(builder, node::Builder::bootstrap)
    }

    /// Starts a node.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn spawn(&mut self) -> Node {
        self.spawn_with(|builder| builder).await
    }

    /// Starts a node that is set up further.
    ///
    /// # Panics
    /// When it cannot be started.
    pub async fn spawn_with(&mut self, setup: impl FnOnce(node::Builder) -> node::Builder) -> Node {
        match setup(self.builder()).spawn().await {
            Ok(node) => {
                // Later nodes join through the first ones.
                if self.bootstrap.len() < 2 {
                    self.bootstrap.push(node.addr());
                }
                node
            }
            Err(error) => panic!("a node of the test cluster cannot be started: {error:?}"),
        }
    }
}
