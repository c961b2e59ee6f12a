//! Several streams as one.

mod ordered;

use std::{fmt, pin::Pin};

use futures::{Stream, stream::SelectAll};
use tokio::time::Instant;

pub use self::ordered::{Config as OrderedConfig, MergeOrdered, merge_ordered};
use crate::{
    operator::{Operated, Operator},
    stats::Stats,
};

/// The streams of a [`merge`], as one.
pub type Merged<S> = Operated<SelectAll<Pin<Box<S>>>, Pass<<S as Stream>::Item>>;

/// Merges streams as their items come: a stream that is ready is asked in turn with the others, and
/// one that waits costs nothing. Ends when all have ended.
///
/// Memory: no item is buffered. Cancelling a wait loses nothing.
pub fn merge<S: Stream>(streams: impl IntoIterator<Item = S>) -> Merged<S> {
    let boxed = streams.into_iter().map(Box::pin);
    Operated::new(futures::stream::select_all(boxed), Pass::default())
}

/// Passes items through and counts them.
pub struct Pass<T> {
    out: Option<T>,
    stats: Stats,
}

impl<T> Default for Pass<T> {
    fn default() -> Self {
        Self {
            out: None,
            stats: Stats::default(),
        }
    }
}

impl<T> Operator<T> for Pass<T> {
    type Out = T;

    fn push(&mut self, item: T, _: Instant) {
        self.stats.taken += 1;
        self.out = Some(item);
    }

    fn pull(&mut self) -> Option<T> {
        let item = self.out.take()?;
        self.stats.emitted += 1;
        Some(item)
    }

    fn end(&mut self) {}

    fn uses_clock(&self) -> bool {
        false
    }

    fn stats(&self) -> Stats {
        Stats {
            buffered: u64::from(self.out.is_some()),
            ..self.stats
        }
    }
}

impl<T> fmt::Debug for Pass<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pass").field("stats", &self.stats).finish()
    }
}
