//! How a stream is set up.

use std::{fmt, future::Future, marker::PhantomData, path::PathBuf, sync::Arc};

use rivermesh_proto::{
    Epoch, StreamName,
    catalog::Peer,
    entry::StreamAdvert,
    ids::BadStreamName,
    limits,
    schema::Schema,
    subscribe::{Lag, LagSet},
};
use thiserror::Error;

use super::{
    core::{Core, Settings},
    dedup::Dedup,
    disk::{self, Disk, Durable},
    groups::Limits,
    handle::{Handle, Producer},
    named::{self, Named},
    pick,
    registry::{Found, Producers},
    retain::Retention,
    worker,
};
use rivermesh_store::{Config as StoreConfig, OpenError as StoreError};

use crate::{
    Condition, Datum, SchemaError,
    admission::{Credential, Source, Verifier},
    discovery::ChangeError,
};

/// A stream that was begun: the handle that programs share, and its core.
type Begun<T> = (Arc<Handle<T>>, Arc<Core>);

/// A stream could not be produced. Nothing has changed.
#[derive(Error)]
#[non_exhaustive]
pub enum ProduceError<T: Datum> {
    /// The name is not a stream name.
    #[error("not a stream name")]
    Name(#[source] BadStreamName),
    /// The items' shape is not known or cannot be carried.
    #[error("the shape of the stream's items cannot be told")]
    Schema(#[source] SchemaError),
    /// The type is for consumers only.
    #[error("items of this type can be consumed, but not produced")]
    ConsumerOnly,
    /// This node produces the stream already, set up by an earlier call; here is its handle.
    #[error("this node produces the stream already")]
    AlreadyExists(Producer<T>),
    /// This node produces the stream already, with another type of item.
    #[error("this node produces the stream {0} already, with another type of item")]
    OtherType(StreamName),
    /// The node's entry has no room for another stream.
    #[error("the node cannot announce another stream")]
    Limit(#[source] ChangeError),
    /// The stream's log on disk cannot be opened.
    #[error("the stream's log on disk cannot be opened")]
    Store(#[source] StoreError),
    /// The node has shut down.
    #[error("the node has shut down")]
    ShutDown,
}

// Derived, it would ask the same of the items, and `?` would not work on streams of others.
impl<T: Datum> fmt::Debug for ProduceError<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(error) => f.debug_tuple("Name").field(error).finish(),
            Self::Schema(error) => f.debug_tuple("Schema").field(error).finish(),
            Self::ConsumerOnly => f.write_str("ConsumerOnly"),
            Self::AlreadyExists(producer) => {
                f.debug_tuple("AlreadyExists").field(producer).finish()
            }
            Self::OtherType(name) => f.debug_tuple("OtherType").field(name).finish(),
            Self::Limit(error) => f.debug_tuple("Limit").field(error).finish(),
            Self::Store(error) => f.debug_tuple("Store").field(error).finish(),
            Self::ShutDown => f.write_str("ShutDown"),
        }
    }
}

/// Sets up a stream to produce. Made by [`Node::producer`](crate::Node::producer).
#[must_use]
pub struct Builder<T> {
    producers: Producers,
    stream: Option<String>,
    settings: Settings,
    undelivered: Option<tokio::sync::mpsc::Sender<T>>,
    durable: Option<Durable>,
    item: PhantomData<fn(T)>,
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl<T: Datum> Builder<T> {
    pub(crate) fn new(producers: Producers) -> Self {
        Self {
            producers,
            stream: None,
            settings: Settings {
                log_bytes: 8 * 1024 * 1024,
                batch_bytes: 16 * 1024,
                item_bytes: limits::ITEM,
                filters: Limits {
                    bytes: 16 * 1024 * 1024,
                    evaluated: 1024,
                },
                retention: None,
                dedup: None,
                max_consumers: 4096,
                allow_lag: LagSet::default(),
                require: Vec::new(),
                online_when: Condition::at_least(1),
                named: None,
                verifier: None,
                credential: Source::None,
            },
            undelivered: None,
            durable: None,
            item: PhantomData,
        }
    }

    /// The stream's name. Default: the name of the item's type.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// Admits only consumers of which this is true; several requirements must all hold. Asked when
    /// a consumer subscribes, and again whenever the catalog or its round-trip time changes; one
    /// that no longer passes is cut. Must be quick and must not block.
    pub fn require(mut self, admits: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Self {
        self.settings.require.push(Arc::new(admits));
        self
    }

    /// Admits only consumers that show a ticket of an authority that the verifier trusts, with the
    /// right [`Consume`](crate::admission::Right::Consume) for this stream. Asked when a consumer
    /// subscribes, and again when its ticket ends, is revoked, or
    /// [`Producer::require_ticket`](super::Producer::require_ticket) says so; one that is not
    /// entitled any more is cut. Whoever has no ticket is answered as if there were no such stream.
    ///
    /// A ticket is verified once for each consumer. What is sent then costs nothing more but a look
    /// at two clocks for each write, of many items.
    pub fn require_ticket(mut self, verifier: Verifier) -> Self {
        self.settings.verifier = Some(verifier);
        self
    }

    /// What shows consumers that this node may produce the stream, if they ask. See
    /// [`ticket_provider`](Self::ticket_provider) for one that is renewed.
    pub fn ticket(mut self, ticket: impl Into<Credential>) -> Self {
        self.settings.credential = Source::Fixed(ticket.into());
        self
    }

    /// Gets what [`ticket`](Self::ticket) is given by asking: at the beginning, and each time half of
    /// what a ticket had left is over. An answer may take 30 s; after a failure the question is
    /// repeated, with growing pauses of at most 2 s.
    pub fn ticket_provider<F, A, E>(mut self, ask: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credential, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.settings.credential = Source::provider(ask);
        self
    }

    /// When items are taken. Default: [`Condition::at_least(1)`](Condition::at_least).
    pub fn online_when(mut self, condition: Condition) -> Self {
        self.settings.online_when = condition;
        self
    }

    /// Consumers that are admitted at most. Default 4,096; each costs a task and a few hundred bytes.
    pub fn max_consumers(mut self, consumers: usize) -> Self {
        self.settings.max_consumers = consumers;
        self
    }

    /// The lag policies that consumers may ask for. Default: all but [`Lag::Block`], with which a
    /// consumer can hold up the producer.
    pub fn allow_lag(mut self, policies: impl IntoIterator<Item = Lag>) -> Self {
        self.settings.allow_lag = policies.into_iter().collect();
        self
    }

    /// Bytes of recent items that the log keeps for consumers that are behind or reconnect.
    /// Default 8 MiB, at least 64 KiB; one batch may lie above it. What has left the log is kept, up to
    /// about an eighth of it, as memory for further items.
    pub fn log_bytes(mut self, bytes: usize) -> Self {
        self.settings.log_bytes = bytes.max(limits::BATCH);
        self
    }

    /// What is kept for consumers that come later; see [`Retention`]. Default: whatever the log
    /// holds.
    ///
    /// Items are taken without consumers only with an [`online_when`](Self::online_when) that allows
    /// it.
    pub fn retain(mut self, retention: Retention) -> Self {
        self.settings.retention = Some(retention.inner);
        self
    }

    /// Drops an item whose key was sent within the window before it: give a `Duration`, or a
    /// [`Dedup`] with bounds of its own. Sending such an item succeeds and gives the number of the
    /// item that was sent. [`Stats::duplicates`](super::Stats::duplicates) and the metric
    /// `rivermesh_items_duplicate_total` count them. Items without a key are never dropped. Default:
    /// nothing is dropped.
    ///
    /// It costs each item a look at the clock, a look-up and a copy of its key.
    pub fn dedup(mut self, dedup: impl Into<Dedup>) -> Self {
        self.settings.dedup = Some(dedup.into());
        self
    }

    /// Bytes at which a batch is full. Default 16 KiB, 1 to 64 KiB. A batch goes out as soon as a
    /// consumer is free to take it, full or not.
    pub fn batch_bytes(mut self, bytes: usize) -> Self {
        self.settings.batch_bytes = bytes.clamp(1024, limits::BATCH);
        self
    }

    /// Bytes that an encoded item may have. Default and maximum 1 MiB.
    pub fn item_bytes(mut self, bytes: usize) -> Self {
        self.settings.item_bytes = bytes.min(limits::ITEM);
        self
    }

    /// Bytes of memory that the filters of all consumers may take together, each distinct one
    /// counted once, by an estimate that is rather too high. Default 16 MiB. A filter like
    /// `key == "JFK"` counts about 1 KiB. A consumer whose filter has no room is refused.
    pub fn filter_bytes(mut self, bytes: usize) -> Self {
        self.settings.filters.bytes = bytes;
        self
    }

    /// Distinct filters that must be evaluated for items, of all consumers together: all but those
    /// that only compare one field with constants for equality, which are looked up. Default 1,024;
    /// each costs every item some 50 ns, and up to the time of 16 searches through the item. A
    /// consumer whose filter is over it is refused.
    pub fn max_filters(mut self, filters: usize) -> Self {
        self.settings.filters.evaluated = filters;
        self
    }

    /// Gets the items that are sent while nobody is subscribed who gets them: nobody at all
    /// (possible only with an [`online_when`](Self::online_when) that allows it), or only consumers
    /// whose filters leave them out. They stay in the log as well. An item
    /// that the channel has no room for is counted in
    /// [`Stats::undelivered_lost`](super::Stats::undelivered_lost).
    pub fn undelivered(mut self, sink: tokio::sync::mpsc::Sender<T>) -> Self {
        self.undelivered = Some(sink);
        self
    }

    /// Takes consumers with a name: the log keeps what these have not acknowledged, within the bounds
    /// that are given. Default: they are refused, because one that does not acknowledge can hold up the
    /// producer.
    ///
    /// With the default [`online_when`](Self::online_when) nothing is sent while nobody is subscribed. To
    /// send to consumers that are away, say [`Condition::always`].
    pub fn named(mut self, bounds: Named) -> Self {
        self.settings.named = Some(bounds);
        self
    }

    /// Keeps the log in a folder of this path as well, with the default [bounds](StoreConfig): 1 GiB. The
    /// epoch and the sequence numbers go on there when the stream is produced again, after a crash,
    /// too; consumers that are further behind than [`log_bytes`](Self::log_bytes) are served from
    /// disk; [consumers with a name](Self::named) go on from what they have committed; and
    /// [`send_with`](Producer::send_with) can wait until an item is on disk. Default: the log is in
    /// memory alone.
    ///
    /// A folder is of one stream with one shape of items, and one producer at a time has it open.
    /// [`build`](Self::build) reads all of it once, and blocks for that long.
    pub fn durable(self, path: impl Into<PathBuf>) -> Self {
        self.durable_within(path, StoreConfig::default())
    }

    /// As [`durable`](Self::durable), with bounds.
    pub fn durable_within(mut self, path: impl Into<PathBuf>, config: StoreConfig) -> Self {
        let path = path.into();
        self.durable = Some(Durable { path, config });
        self
    }

    /// Begins the stream and announces it.
    ///
    /// # Errors
    /// When the name or the shape cannot be used, the stream is produced already, its log on disk
    /// cannot be opened, or the node has too many streams.
    pub fn build(self) -> Result<Producer<T>, ProduceError<T>> {
        match self.find_or_build()? {
            Found::New(handle) => Ok(Producer::new(handle)),
            Found::Same(handle) => Err(ProduceError::AlreadyExists(Producer::new(handle))),
            // `find_or_build` has made an error of it.
            Found::Other => Err(ProduceError::ShutDown),
        }
    }

    /// Begins the stream, or takes another handle of it where it is produced already.
    pub(crate) fn open(self) -> Result<Producer<T>, ProduceError<T>> {
        match self.build() {
            Err(ProduceError::AlreadyExists(producer)) => Ok(producer),
            other => other,
        }
    }

    fn find_or_build(mut self) -> Result<Found<Handle<T>>, ProduceError<T>> {
        if let Some(retention) = &self.settings.retention
            && retention.bytes < usize::MAX
        {
            self.settings.log_bytes = self.settings.log_bytes.max(retention.bytes);
        }
        let name = self.stream.as_deref().unwrap_or(T::NAME);
        let name = StreamName::new(name).map_err(ProduceError::Name)?;
        let schema = T::schema()
            .map_err(ProduceError::Schema)?
            .ok_or(ProduceError::ConsumerOnly)?;
        let producers = self.producers.clone();
        if producers.tasks().token().is_cancelled() {
            return Err(ProduceError::ShutDown);
        }
        let found = producers.find_or_insert(&name, || self.begin(&name, schema))?;
        match found {
            Found::Other => Err(ProduceError::OtherType(name)),
            found => Ok(found),
        }
    }

    /// Begins a stream that the node does not produce: its log on disk, its announcement, its tasks.
    fn begin(self, name: &StreamName, schema: Arc<Schema>) -> Result<Begun<T>, ProduceError<T>> {
        let producers = self.producers;
        let mut epoch = Epoch(rand::random());
        let opened = self.durable.map(|mut durable| {
            if let Some(named) = &self.settings.named {
                // A name that is taken must be one that can be noted.
                durable.config.names = durable.config.names.max(named.count());
            }
            let fingerprint = schema.fingerprint();
            let opened = Disk::open(&durable, name, fingerprint, epoch);
            opened.map_err(ProduceError::<T>::Store)
        });
        let (disk, store) = opened.transpose()?.unzip();
        if let Some(disk) = &disk {
            epoch = disk.recovered().epoch;
        }
        let tasks = producers.tasks().part();
        let select = (
            pick::select::<T> as pick::Select,
            named::key_of::<T> as named::KeyOf,
        );
        let desk = producers.desk().clone();
        let core = Core::new(
            name.clone(),
            epoch,
            schema,
            select,
            self.settings,
            (desk, disk),
            tasks,
        );
        let core = Arc::new(core);
        let advert = StreamAdvert {
            name: name.clone(),
            fingerprint: core.fingerprint,
            epoch,
        };
        producers
            .discovery()
            .add_stream(advert)
            .map_err(ProduceError::Limit)?;
        let catalog = producers.discovery().watch();
        core.review(&catalog.borrow());
        let work = worker::run(Arc::clone(&core), catalog, producers.drain());
        core.tasks.spawn("fan-out", work);
        if let Some(store) = store {
            let writer = disk::Writer::new(Arc::clone(&core), store);
            core.tasks.spawn_last("disk", writer.run());
        }
        let handle = Handle {
            core: Arc::clone(&core),
            producers,
            undelivered: self.undelivered,
        };
        Ok((Arc::new(handle), core))
    }
}
