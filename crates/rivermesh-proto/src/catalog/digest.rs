//! A short sum of what a catalog knows, for finding out cheaply whether two know the same.
//!
//! Each known (node, revision) pair is hashed (BLAKE3, 64 bits) and added, wrapping, to the bucket
//! of the node's first byte. Addition does not depend on the order and can be undone, so keeping the
//! digest costs one hash for each change. The sum finds differences that come about by themselves; it
//! is no defence against a member that searches for colliding revisions of its own, which would
//! hide nothing but that member's own records.

use crate::NodeId;

/// Buckets of a digest: one for each value of the first byte of a node's id.
pub const BUCKETS: usize = 256;

/// The sum of what a catalog knows; equal for equal knowledge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    buckets: Box<[u64; BUCKETS]>,
    total: u64,
    count: u32,
}

impl Default for Digest {
    fn default() -> Self {
        Self {
            buckets: Box::new([0; BUCKETS]),
            total: 0,
            count: 0,
        }
    }
}

impl Digest {
    /// The sum over all buckets.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// How many nodes are in the sum.
    #[must_use]
    pub const fn count(&self) -> u32 {
        self.count
    }

    /// The sum of each bucket.
    #[must_use]
    pub const fn buckets(&self) -> &[u64; BUCKETS] {
        &self.buckets
    }

    pub(super) fn add(&mut self, node: &NodeId, revision: u64) {
        let hash = hash(node, revision);
        let bucket = &mut self.buckets[bucket_of(node)];
        *bucket = bucket.wrapping_add(hash);
        self.total = self.total.wrapping_add(hash);
        self.count = self.count.saturating_add(1);
    }

    pub(super) fn remove(&mut self, node: &NodeId, revision: u64) {
        let hash = hash(node, revision);
        let bucket = &mut self.buckets[bucket_of(node)];
        *bucket = bucket.wrapping_sub(hash);
        self.total = self.total.wrapping_sub(hash);
        self.count = self.count.saturating_sub(1);
    }
}

/// The bucket of a node. The first byte of an Ed25519 key is evenly spread, and the nodes of a
/// bucket lie next to each other in a map that is ordered by id.
pub(crate) fn bucket_of(node: &[u8; 32]) -> usize {
    usize::from(node[0])
}

fn hash(node: &NodeId, revision: u64) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(node.as_bytes());
    hasher.update(&revision.to_le_bytes());
    let mut word = [0; 8];
    word.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use iroh_base::SecretKey;

    use super::*;

    #[test]
    fn sums_do_not_depend_on_the_order_and_can_be_undone() {
        let nodes: Vec<NodeId> = (1..=20)
            .map(|i| SecretKey::from_bytes(&[i; 32]).public())
            .collect();
        let (mut a, mut b) = (Digest::default(), Digest::default());
        for node in &nodes {
            a.add(node, 7);
        }
        for node in nodes.iter().rev() {
            b.add(node, 7);
        }
        assert_eq!(a, b);
        a.remove(&nodes[3], 7);
        assert_ne!(a.total(), b.total());
        assert_ne!(
            a.buckets()[bucket_of(&nodes[3])],
            b.buckets()[bucket_of(&nodes[3])]
        );
        a.add(&nodes[3], 8);
        assert_eq!(a.count(), b.count());
        assert_ne!(a, b, "another revision is another sum");
        for node in nodes {
            b.remove(&node, 7);
        }
        assert_eq!(b, Digest::default());
    }
}
