//! A producer's credential, as its consumer watches it while it reads.

use std::sync::Arc;

use rivermesh_proto::{
    NodeId,
    ticket::{Credential, Denied},
};
use tokio::time::sleep;

use super::{Entitled, Gate, LOOK, Lease};

/// What a consumer holds of a producer that it follows. Without a gate it asks for nothing.
#[derive(Debug)]
pub(crate) struct Warrant {
    held: Option<(Arc<Gate>, Entitled)>,
    producer: NodeId,
    lease: Lease,
}

impl Warrant {
    /// Checks what a producer has shown.
    pub(crate) fn new(
        gate: Option<&Arc<Gate>>,
        shown: Option<&Credential>,
        producer: NodeId,
    ) -> Result<Self, Denied> {
        let lease = Lease::endless();
        let held = match gate {
            None => None,
            Some(gate) => {
                let entitled = gate.check(shown, producer)?;
                lease.set(Some(entitled.until_s));
                Some((Arc::clone(gate), entitled))
            }
        };
        Ok(Self {
            held,
            producer,
            lease,
        })
    }

    /// Whether the producer is not entitled any more, by what it has shown.
    pub(crate) fn is_over(&self) -> bool {
        self.held.as_ref().is_some_and(|(gate, entitled)| {
            self.lease.is_over() || gate.check_again(entitled, self.producer).is_err()
        })
    }

    /// Resolves when the producer is not entitled any more, by what it has shown.
    pub(crate) async fn over(&self) {
        let Some((gate, _)) = &self.held else {
            return std::future::pending().await;
        };
        let mut changes = gate.desk().changes();
        loop {
            if self.is_over() {
                return;
            }
            let left = self.lease.left().unwrap_or(LOOK);
            tokio::select! {
                () = sleep(left.min(LOOK)) => {}
                // An error means that the node ends, and all its tasks.
                Ok(()) = changes.changed() => {}
            }
        }
    }
}
