//! Conditions on the peers at the other ends of a stream.

use std::{fmt, sync::Arc};

use rivermesh_proto::catalog::Peer;

/// A yes-or-no question about one peer.
pub(crate) type Predicate = Arc<dyn Fn(&Peer) -> bool + Send + Sync>;

/// How many peers of what kind must be connected to a stream.
///
/// A producer's condition counts its consumers, a consumer's counts its producers.
///
/// ```
/// use rivermesh::Condition;
///
/// // Two consumers that each have both tags.
/// let enough = Condition::at_least(2).tagged("eu").tagged("billing");
/// // Nobody at all.
/// let alone = Condition::at_least(1).not();
/// # let _ = (enough, alone);
/// ```
#[derive(Clone)]
pub struct Condition {
    at_least: usize,
    predicates: Vec<Predicate>,
    negated: bool,
}

impl Condition {
    /// Met at any time.
    #[must_use]
    pub fn always() -> Self {
        Self::at_least(0)
    }

    /// Met while at least this many peers are connected.
    #[must_use]
    pub fn at_least(peers: usize) -> Self {
        Self {
            at_least: peers,
            predicates: Vec::new(),
            negated: false,
        }
    }

    /// Counts only peers that have this tag as well.
    #[must_use]
    pub fn tagged(self, tag: impl Into<String>) -> Self {
        let tag = tag.into();
        self.matching(move |peer| peer.has_tag(&tag))
    }

    /// Counts only peers that this is true of as well. Called whenever the connected peers or
    /// their entries change; must be quick and must not block.
    #[must_use]
    pub fn matching(mut self, predicate: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Self {
        self.predicates.push(Arc::new(predicate));
        self
    }

    /// Met exactly while this condition is not.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "reads as one chain with the other methods"
    )]
    pub fn not(mut self) -> Self {
        self.negated = !self.negated;
        self
    }

    /// Whether the condition is met by these connected peers.
    #[must_use]
    pub fn is_met<'a>(&self, peers: impl IntoIterator<Item = &'a Peer>) -> bool {
        let counted = peers
            .into_iter()
            .filter(|peer| self.predicates.iter().all(|predicate| predicate(peer)))
            .take(self.at_least)
            .count();
        (counted >= self.at_least) != self.negated
    }
}

impl fmt::Debug for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Condition")
            .field("at_least", &self.at_least)
            .field("predicates", &self.predicates.len())
            .field("negated", &self.negated)
            .finish()
    }
}
