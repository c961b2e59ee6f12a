//! The latest of two streams together.

use futures::future::Either;
use tokio::time::Instant;

use crate::{operator::Operator, stats::Stats};

/// Emits the newest items of both sides as a pair, whenever either side has a new one, once both
/// have had one.
///
/// In [`Stats`], an item is emitted when it is first in a pair. One that is replaced before the
/// other side has had any is dropped.
///
/// Memory: one item of each side, and the pair that is being handed out. Cancelling a wait loses
/// nothing.
#[derive(Debug)]
pub struct ZipLatest<A, B> {
    left: Option<A>,
    right: Option<B>,
    out: Option<(A, B)>,
    /// Whether a pair has been made; before, one side may have an item that was in none.
    paired: bool,
    stats: Stats,
}

impl<A, B> Default for ZipLatest<A, B> {
    fn default() -> Self {
        Self {
            left: None,
            right: None,
            out: None,
            paired: false,
            stats: Stats::default(),
        }
    }
}

impl<A: Clone, B: Clone> Operator<Either<A, B>> for ZipLatest<A, B> {
    type Out = (A, B);

    fn push(&mut self, item: Either<A, B>, _: Instant) {
        self.stats.taken += 1;
        let replaced = match item {
            Either::Left(item) => self.left.replace(item).is_some(),
            Either::Right(item) => self.right.replace(item).is_some(),
        };
        if let (Some(left), Some(right)) = (&self.left, &self.right) {
            self.out = Some((left.clone(), right.clone()));
        } else if replaced {
            self.stats.dropped += 1;
        }
    }

    fn pull(&mut self) -> Option<(A, B)> {
        let pair = self.out.take()?;
        // The first pair is the first time for both of its items.
        self.stats.emitted += if self.paired { 1 } else { 2 };
        self.paired = true;
        Some(pair)
    }

    fn end(&mut self) {}

    fn uses_clock(&self) -> bool {
        false
    }

    fn stats(&self) -> Stats {
        let single = u64::from(self.left.is_some()) + u64::from(self.right.is_some());
        let buffered = match (self.paired, &self.out) {
            (false, _) => single,
            (true, Some(_)) => 1,
            (true, None) => 0,
        };
        Stats {
            buffered,
            ..self.stats
        }
    }
}
