//! The operators as methods of a stream.

use std::{hash::Hash, time::Duration};

use futures::{
    Stream, StreamExt,
    future::Either,
    stream::{Map, Select},
};

use crate::{
    EventTime, Operated, Operator,
    batch::Batch,
    dedup::{self, Dedup},
    demux::{self, Demux},
    inspect::{InspectRate, RateReader},
    merge::Pass,
    rate::{self, RateLimit},
    reorder::{self, Reorder},
    sample::Sample,
    window::{self, Fold, Scope, Sessions, Snapshots, Windows},
    zip::ZipLatest,
};

/// A stream's items as the one or the other side of [`FlowExt::zip_latest`].
pub type ZipSide<S, L, R> = Map<S, fn(<S as Stream>::Item) -> Either<L, R>>;

/// Two streams' latest items together. Made by [`FlowExt::zip_latest`].
pub type Zipped<S, U> = Operated<
    Select<
        ZipSide<S, <S as Stream>::Item, <U as Stream>::Item>,
        ZipSide<U, <S as Stream>::Item, <U as Stream>::Item>,
    >,
    ZipLatest<<S as Stream>::Item, <U as Stream>::Item>,
>;

/// Reordering without keys. Made by [`FlowExt::reorder`].
pub type Reordered<S, FT> = Operated<S, Reorder<<S as Stream>::Item, (), Unkeyed<S>, FT>>;

/// The key function of what has no keys.
pub type Unkeyed<S> = fn(&<S as Stream>::Item);

/// The operators, for any stream.
///
/// Each gives a stream that takes from its input only when it is asked. What it holds, and what
/// happens when it is cancelled or dropped, stands with the operator's type.
pub trait FlowExt: Stream + Sized {
    /// Runs an operator over the stream: one of this crate that needs more settings than these
    /// methods offer, or one of your own.
    fn through<O: Operator<Self::Item>>(self, operator: O) -> Operated<Self, O> {
        Operated::new(self, operator)
    }

    /// Emits items in event-time order, if they are not later than `lateness`. See [`Reorder`]; this
    /// is without keys and with the default bounds.
    fn reorder<FT>(self, time: FT, lateness: Duration) -> Reordered<Self, FT>
    where
        FT: Fn(&Self::Item) -> EventTime,
    {
        let unkeyed: Unkeyed<Self> = |_| ();
        let config = reorder::Config::new(lateness).max_items_per_key(usize::MAX);
        self.through(Reorder::new(unkeyed, time, config))
    }

    /// Emits the items of each key in event-time order. See [`Reorder`].
    fn reorder_by<K, FK, FT>(
        self,
        key: FK,
        time: FT,
        config: reorder::Config,
    ) -> Operated<Self, Reorder<Self::Item, K, FK, FT>>
    where
        K: Hash + Eq + Clone,
        FK: Fn(&Self::Item) -> K,
        FT: Fn(&Self::Item) -> EventTime,
    {
        self.through(Reorder::new(key, time, config))
    }

    /// A sub-stream per key. See [`Demux`].
    fn demux_by<K, FK>(self, key: FK, config: demux::Config) -> Demux<Self, K, FK>
    where
        K: Hash + Eq + Clone,
        FK: Fn(&Self::Item) -> K,
    {
        Demux::new(self, key, config)
    }

    /// This and another stream as one, each in turn while both are ready.
    ///
    /// Memory: no item is buffered. Cancelling a wait loses nothing.
    fn merge<U>(self, other: U) -> Operated<Select<Self, U>, Pass<Self::Item>>
    where
        U: Stream<Item = Self::Item>,
    {
        futures::stream::select(self, other).through(Pass::default())
    }

    /// Windows of one size, one after the other. See [`Windows`].
    fn tumbling<K, F, FK, FT>(
        self,
        size: Duration,
        config: window::Config,
        key: FK,
        time: FT,
        fold: F,
    ) -> Operated<Self, Windows<Self::Item, K, F>>
    where
        K: Hash + Eq + Clone,
        F: Fold<Self::Item>,
        FK: Fn(&Self::Item) -> K + Send + 'static,
        FT: Fn(&Self::Item) -> EventTime + Send + 'static,
    {
        self.through(Windows::tumbling(size, config, key, time, fold))
    }

    /// Sessions of each key: items with less than `gap` between them. See [`Sessions`].
    fn sessions<K, F, FK, FT>(
        self,
        gap: Duration,
        config: window::Config,
        key: FK,
        time: FT,
        fold: F,
    ) -> Operated<Self, Sessions<Self::Item, K, F>>
    where
        K: Hash + Eq + Clone,
        F: Fold<Self::Item>,
        FK: Fn(&Self::Item) -> K + Send + 'static,
        FT: Fn(&Self::Item) -> EventTime + Send + 'static,
    {
        self.through(Sessions::new(gap, Scope::PerKey, config, key, time, fold))
    }

    /// The newest item of every known key, as of each multiple of `every`. See [`Snapshots`].
    fn snapshots<K, FK, FT>(
        self,
        every: Duration,
        config: window::Config,
        key: FK,
        time: FT,
    ) -> Operated<Self, Snapshots<Self::Item, K>>
    where
        Self::Item: Clone,
        K: Hash + Eq + Clone,
        FK: Fn(&Self::Item) -> K + Send + 'static,
        FT: Fn(&Self::Item) -> EventTime + Send + 'static,
    {
        self.through(Snapshots::new(every, config, key, time))
    }

    /// At most one item of each key in `every`; those in between are dropped and counted. See
    /// [`RateLimit`].
    fn throttle<K, FK>(
        self,
        key: FK,
        every: Duration,
    ) -> Operated<Self, RateLimit<Self::Item, K, FK>>
    where
        K: Hash + Eq + Clone,
        FK: Fn(&Self::Item) -> K,
    {
        self.rate_limit(key, rate::Config::every(every))
    }

    /// At most so many items of each key. See [`RateLimit`].
    fn rate_limit<K, FK>(
        self,
        key: FK,
        config: rate::Config,
    ) -> Operated<Self, RateLimit<Self::Item, K, FK>>
    where
        K: Hash + Eq + Clone,
        FK: Fn(&Self::Item) -> K,
    {
        self.through(RateLimit::new(key, config))
    }

    /// The newest item, every so often. See [`Sample`].
    fn sample(self, every: Duration) -> Operated<Self, Sample<Self::Item>> {
        self.through(Sample::new(every))
    }

    /// Up to `n` items at once, or what has come `after` the first of them. See [`Batch`].
    fn batch(self, n: usize, after: Duration) -> Operated<Self, Batch<Self::Item>> {
        self.through(Batch::new(n, after))
    }

    /// Leaves out items with a key that was let through within `window`. See [`Dedup`].
    fn dedup<K, FK>(self, key: FK, window: Duration) -> Operated<Self, Dedup<Self::Item, K, FK>>
    where
        K: Hash + Eq + Clone,
        FK: Fn(&Self::Item) -> K,
    {
        self.through(Dedup::new(key, dedup::Config::new(window)))
    }

    /// The newest items of this and another stream, whenever either has a new one. Ends when both
    /// have ended. See [`ZipLatest`].
    fn zip_latest<U>(self, other: U) -> Zipped<Self, U>
    where
        U: Stream,
        Self::Item: Clone,
        U::Item: Clone,
    {
        let left: ZipSide<Self, Self::Item, U::Item> = self.map(Either::Left);
        let right: ZipSide<U, Self::Item, U::Item> = other.map(Either::Right);
        futures::stream::select(left, right).through(ZipLatest::default())
    }

    /// Passes items through and measures their rate over the last `window`. See [`InspectRate`].
    fn inspect_rate(
        self,
        window: Duration,
    ) -> (Operated<Self, InspectRate<Self::Item>>, RateReader) {
        let operator = InspectRate::new(window);
        let reader = operator.reader();
        (self.through(operator), reader)
    }
}

impl<S: Stream> FlowExt for S {}
