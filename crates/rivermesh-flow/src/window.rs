//! Windows on event time: tumbling, sliding, sessions, and snapshots of the world.
//!
//! A window is over when the watermark has passed its end and the allowed lateness. The watermark is
//! judged by all sources together: each one's newest item less the slack, the least of them. A source
//! that has been silent for the idle timeout is not waited for.
//!
//! | module | story |
//! | --- | --- |
//! | `watermark` | how far event time has come |
//! | `intake` | whose item it is, and when it happened |
//! | `fixed` | tumbling and sliding windows |
//! | `session` | sessions: items not far from each other |
//! | `snapshot` | the newest item of every key, as of a time |
//! | `fold` | what becomes of a window's items |

mod fixed;
mod fold;
mod intake;
mod session;
mod snapshot;
mod watermark;

use std::time::Duration;

pub use self::{
    fixed::Windows,
    fold::{By, Count, Fold, Newest, Numbers, Quantiles, Sketch, Summary, fold},
    session::{Scope, Sessions},
    snapshot::{Snapshot, Snapshots},
};
use crate::time::{EventTime, timeout};

/// What becomes of the items of one time: a state per key, and what was not there.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Window<K, A> {
    /// Where it begins; this time is in it.
    pub start: EventTime,
    /// Where it ends; this time is not in it.
    pub end: EventTime,
    /// The state of each key that had an item, in the order in which keys became known.
    pub values: Vec<(K, A)>,
    /// The known keys that had none.
    pub missing: Vec<K>,
    /// How many items are in it.
    pub items: u64,
    /// How many of them came after the watermark had passed its end, within the allowed lateness.
    pub late: u64,
    /// How many items have come too late for a window that was over, since the window that was
    /// emitted before this one.
    pub too_late: u64,
    /// How many windows without any item lie between the one emitted before and this one, without
    /// having been emitted.
    pub gap: u64,
    /// Why it came now.
    pub fired: Fired,
}

impl<K: PartialEq, A> Window<K, A> {
    /// The state of a key, if it had an item.
    pub fn get(&self, key: &K) -> Option<&A> {
        let found = self.values.iter().find(|(of, _)| of == key);
        found.map(|(_, state)| state)
    }
}

/// Why a window came when it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Fired {
    /// All sources have passed it.
    Watermark,
    /// The sources that are not idle have passed it; at least one that is idle has not.
    Timeout,
    /// The input has ended.
    End,
    /// There was no room for another window, and this was the oldest.
    Full,
}

/// Settings that all kinds of windows share.
#[derive(Clone, Debug)]
pub struct Config {
    slack: Duration,
    lateness: Duration,
    idle: Option<Duration>,
    max_windows: usize,
    max_keys: usize,
    max_empty: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            slack: Duration::ZERO,
            lateness: Duration::ZERO,
            idle: None,
            max_windows: 1024,
            max_keys: 65_536,
            max_empty: 0,
        }
    }
}

impl Config {
    /// How far behind the newest item of its source an item is expected to come: the watermark
    /// stays that far behind. Default 0, which is right for input that is in order.
    pub fn slack(mut self, slack: Duration) -> Self {
        self.slack = slack;
        self
    }

    /// How much longer a window waits, in event time, after the watermark has passed its end. What
    /// comes in this time is in the window and is counted in [`Window::late`]. Default 0.
    pub fn lateness(mut self, lateness: Duration) -> Self {
        self.lateness = lateness;
        self
    }

    /// How long a source may be silent, by tokio's clock, before it is not waited for. Default:
    /// for ever.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.idle = Some(timeout(idle));
        self
    }

    /// How many windows are open at once, at least 1. When there would be more, the oldest is fired
    /// early, with [`Fired::Full`]. Default 1024.
    pub fn max_windows(mut self, windows: usize) -> Self {
        self.max_windows = windows.max(1);
        self
    }

    /// How many keys, and how many sources, are known, at least 1. Items of further keys are
    /// dropped and counted; items of further sources do not move the watermark. Default 65,536.
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys.max(1);
        self
    }

    /// Emits windows without any item too, between others and up to the watermark: at most
    /// `at_most` at once, so that one item from a far future cannot ask for a million. What is left
    /// out is counted in [`Window::gap`]. Default 0: all are only counted there.
    pub fn emit_empty(mut self, at_most: u64) -> Self {
        self.max_empty = at_most;
        self
    }
}
