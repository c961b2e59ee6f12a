//! How often a member may suspect others.

use std::{collections::BTreeMap, time::Duration};

use crate::NodeId;

/// A token bucket for each reporter.
#[derive(Debug)]
pub(super) struct Reporters {
    spent: BTreeMap<NodeId, Spent>,
    burst: u32,
    every: Duration,
}

#[derive(Debug)]
struct Spent {
    tokens: u32,
    since: Duration,
}

impl Reporters {
    pub(super) const fn new(burst: u32, every: Duration) -> Self {
        Self {
            spent: BTreeMap::new(),
            burst,
            every,
        }
    }

    /// Whether the reporter may speak now.
    pub(super) fn may(&self, reporter: &[u8; 32], now: Duration) -> bool {
        self.spent
            .get(reporter)
            .is_none_or(|spent| spent.at(now, self.every).tokens < self.burst)
    }

    /// Counts one suspicion of the reporter.
    pub(super) fn spend(&mut self, reporter: NodeId, now: Duration) {
        let fresh = Spent {
            tokens: 0,
            since: now,
        };
        let spent = self.spent.entry(reporter).or_insert(fresh);
        *spent = spent.at(now, self.every);
        spent.tokens = spent.tokens.saturating_add(1);
    }

    /// Forgets a reporter that is not a member any more, which bounds the table.
    pub(super) fn forget(&mut self, reporter: &NodeId) {
        self.spent.remove(reporter);
    }
}

impl Spent {
    /// What is still spent at `now`, one token being given back each `every`.
    fn at(&self, now: Duration, every: Duration) -> Self {
        let passed = now.saturating_sub(self.since);
        let back = passed.as_nanos() / every.as_nanos().max(1);
        match u32::try_from(back) {
            Ok(back) if back < self.tokens => Self {
                tokens: self.tokens - back,
                since: self.since + every * back,
            },
            _ => Self {
                tokens: 0,
                since: now,
            },
        }
    }
}
