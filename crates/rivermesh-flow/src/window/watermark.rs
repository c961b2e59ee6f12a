//! How far event time has come, judged by all sources together.

use std::time::Duration;

use tokio::time::Instant;

use crate::time::EventTime;

/// The watermark: no item older than this is expected any more.
///
/// Each source's own mark is its newest item less the slack. The watermark is the least mark of all
/// sources that are not idle, and never goes back. While all are idle it is the greatest mark that any
/// has reached: nobody is there to wait for.
#[derive(Debug)]
pub(super) struct Watermarks {
    slack: Duration,
    idle: Option<Duration>,
    sources: Vec<Source>,
    /// The least mark of sources that are not idle; nothing if one of them has not spoken.
    active: Option<EventTime>,
    current: Option<EventTime>,
    /// No source becomes idle before this.
    check: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Source {
    newest: Option<EventTime>,
    heard: Instant,
    idle: bool,
}

impl Watermarks {
    pub(super) fn new(slack: Duration, idle: Option<Duration>) -> Self {
        Self {
            slack,
            idle,
            sources: Vec::new(),
            active: None,
            current: None,
            check: None,
        }
    }

    /// Adds a source, which holds the watermark until it speaks or is idle. Gives its number.
    pub(super) fn add(&mut self, now: Instant) -> usize {
        self.sources.push(Source {
            newest: None,
            heard: now,
            idle: false,
        });
        self.active = None;
        if let Some(idle) = self.idle {
            let at = now + idle;
            self.check = Some(self.check.map_or(at, |check| check.min(at)));
        }
        self.sources.len() - 1
    }

    pub(super) fn len(&self) -> usize {
        self.sources.len()
    }

    /// The sources' silence counts from now on.
    pub(super) fn start(&mut self, now: Instant) {
        for source in &mut self.sources {
            source.heard = now;
        }
        self.check = self
            .idle
            .filter(|_| !self.sources.is_empty())
            .map(|idle| now + idle);
    }

    /// A source has an item of that time. Says whether the watermark has moved.
    pub(super) fn observe(&mut self, number: usize, time: EventTime, now: Instant) -> bool {
        let Some(source) = self.sources.get_mut(number) else {
            return false;
        };
        source.heard = now;
        let before = source.newest;
        let woke = std::mem::take(&mut source.idle);
        if before.is_some_and(|newest| newest >= time) && !woke {
            return false;
        }
        source.newest = before.max(Some(time));
        if woke && let Some(idle) = self.idle {
            let at = now + idle;
            self.check = Some(self.check.map_or(at, |check| check.min(at)));
        }
        // Only the source that held the watermark can move it.
        let held = self.active.is_none() || before.is_none() || self.active == before;
        if held || woke {
            return self.judge();
        }
        false
    }

    /// When a source may become idle.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.check
    }

    /// Looks for sources that have become idle. Says whether the watermark has moved.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        let Some(idle) = self.idle else {
            return false;
        };
        let mut any = false;
        for source in &mut self.sources {
            if !source.idle && source.heard + idle <= now {
                source.idle = true;
                any = true;
            }
        }
        let active = self.sources.iter().filter(|source| !source.idle);
        self.check = active.map(|source| source.heard + idle).min();
        any && self.judge()
    }

    pub(super) fn current(&self) -> Option<EventTime> {
        self.current
    }

    /// The watermark as it would be if idle sources were waited for.
    pub(super) fn of_all(&self) -> Option<EventTime> {
        let newest = self.sources.iter().map(|source| source.newest);
        Some(newest.min()??.minus(self.slack))
    }

    fn judge(&mut self) -> bool {
        let newest = |source: &Source| source.newest;
        let active = self.sources.iter().filter(|source| !source.idle);
        self.active = active.map(newest).min().flatten();
        let all_idle = self.sources.iter().all(|source| source.idle);
        let reached = if all_idle {
            self.sources.iter().map(newest).max().flatten()
        } else {
            self.active
        };
        let mark = reached.map(|newest| newest.minus(self.slack));
        let moved = mark > self.current;
        self.current = self.current.max(mark);
        moved
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const IDLE: Duration = Duration::from_secs(10);

    proptest! {
        /// Against the definition, computed anew from the whole history at each step.
        #[test]
        fn equals_the_definition(
            sources in 1_usize..4,
            steps in prop::collection::vec((0_usize..4, 0_u64..100, 0_u64..6), 1..80),
        ) {
            let began = Instant::now();
            let mut marks = Watermarks::new(Duration::from_micros(5), Some(IDLE));
            for _ in 0..sources {
                marks.add(began);
            }
            marks.start(began);
            let mut heard = vec![(None, began); sources];
            let (mut now, mut expected) = (began, None);
            for (source, time, seconds) in steps {
                now += Duration::from_secs(seconds);
                if marks.deadline().is_some_and(|at| at <= now) {
                    marks.tick(now);
                }
                let newest = |heard: &[(Option<u64>, Instant)]| {
                    let active: Vec<_> = heard.iter().filter(|(_, at)| now < *at + IDLE).collect();
                    if active.is_empty() {
                        heard.iter().filter_map(|(newest, _)| *newest).max()
                    } else {
                        active.iter().map(|(newest, _)| *newest).min().flatten()
                    }
                };
                expected = expected.max(newest(&heard));
                if source < sources {
                    marks.observe(source, EventTime::from_micros(time), now);
                    heard[source] = (heard[source].0.max(Some(time)), now);
                    expected = expected.max(newest(&heard));
                }
                let mark = expected.map(|time| EventTime::from_micros(time.saturating_sub(5)));
                prop_assert_eq!(marks.current(), mark);
                let all = heard.iter().map(|(newest, _)| *newest).min().flatten();
                let all = all.map(|time| EventTime::from_micros(time.saturating_sub(5)));
                prop_assert_eq!(marks.of_all(), all);
            }
        }
    }
}
