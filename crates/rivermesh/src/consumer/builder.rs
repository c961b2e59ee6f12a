//! How a consumer is set up.

use std::{fmt, marker::PhantomData, sync::Arc};

use rivermesh_proto::{
    StreamName,
    catalog::Peer,
    filter::{Pattern, PatternTooLong},
    ids::BadStreamName,
    subscribe::{Lag, Superseded},
};
use thiserror::Error;
use tokio::sync::watch;

use super::{
    handle::Consumer,
    inbox,
    pattern::Streams,
    receiver::Wish,
    start::{Left, Start},
    status::{Roster, Status},
    wanted::{self, FilterError, Wanted},
    worker::Worker,
};
use crate::{
    Condition, Datum, SchemaError, condition::Predicate, net::Peers, producer::registry::Producers,
    stream::Retry,
};

/// A consumer could not be made.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ConsumeError {
    /// The name is not a stream name.
    #[error("not a stream name")]
    Name(#[source] BadStreamName),
    /// The pattern is too long.
    #[error("the pattern cannot be used")]
    Pattern(#[source] PatternTooLong),
    /// The items' shape is not known or cannot be carried.
    #[error("the shape of the stream's items cannot be told")]
    Schema(#[source] SchemaError),
    /// The filter is not one, or does not fit the items.
    #[error("the filter cannot be used")]
    Filter(#[source] FilterError),
    /// The node has shut down.
    #[error("the node has shut down")]
    ShutDown,
}

/// Sets up a consumer. Made by [`Node::consumer`](crate::Node::consumer).
#[must_use]
pub struct Builder<T> {
    peers: Peers,
    producers: Producers,
    stream: Option<String>,
    pattern: Option<String>,
    max_streams: usize,
    lag: Lag,
    start: Start,
    superseded: Superseded,
    filter: Option<String>,
    require: Vec<Predicate>,
    online_when: Condition,
    buffer_bytes: u32,
    retry: Retry,
    item: PhantomData<fn() -> T>,
}

impl<T> fmt::Debug for Builder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("stream", &self.stream)
            .finish_non_exhaustive()
    }
}

impl<T: Datum> Builder<T> {
    pub(crate) fn new(peers: Peers, producers: Producers, retry: Retry) -> Self {
        Self {
            peers,
            producers,
            stream: None,
            pattern: None,
            max_streams: 1024,
            lag: Lag::default(),
            start: Start::default(),
            superseded: Superseded::default(),
            filter: None,
            require: Vec::new(),
            online_when: Condition::always(),
            buffer_bytes: 1024 * 1024,
            retry,
            item: PhantomData,
        }
    }

    /// The stream's name. Default: the name of the item's type.
    pub fn stream(mut self, name: impl Into<String>) -> Self {
        self.stream = Some(name.into());
        self
    }

    /// Takes all streams whose names follow a pattern, those included that appear later, of all
    /// producers: `*` is any run of characters, `?` any one, and a backslash takes away the meaning
    /// of what follows. Instead of [`stream`](Self::stream).
    ///
    /// Each delivery tells its [stream](super::Delivery::stream). A stream whose items have another
    /// shape than the consumer's type is not meant. Everything else holds for each stream of each
    /// producer as it does for one; [`buffer_bytes`](Self::buffer_bytes) is for all together.
    ///
    /// ```no_run
    /// # use rivermesh::{Event, Node};
    /// # async fn example(node: &Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut consumer = node.consumer::<String>().streams("weather/*").build()?;
    /// while let Some(event) = consumer.next_event().await {
    ///     if let Event::Item(delivery) = event {
    ///         println!("{:?}: {}", delivery.stream, delivery.item);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn streams(mut self, pattern: impl Into<String>) -> Self {
        self.pattern = Some(pattern.into());
        self
    }

    /// How many streams of producers are followed at most where the streams are those of a
    /// [pattern](Self::streams). Default 1,024; each costs a task and a QUIC stream. Those beyond it
    /// are counted in [`Status::left_out`](super::Status::left_out), and taken up when others end.
    pub fn max_streams(mut self, streams: usize) -> Self {
        self.max_streams = streams;
        self
    }

    /// Which items are wanted; by default all. The filter is evaluated at the producers, which send
    /// nothing else. The book's chapter on filters has the language. It can be changed later, by
    /// [`Consumer::set_filter`].
    ///
    /// ```no_run
    /// # use rivermesh::{Datum, Node};
    /// # use serde::{Deserialize, Serialize};
    /// # #[derive(Serialize, Deserialize, Datum)]
    /// # struct Reading { origin: String, temp: f32 }
    /// # async fn example(node: &Node) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut warm = node
    ///     .consumer::<Reading>()
    ///     .filter("temp > 86.0 && origin in ['JFK', 'LGA']")
    ///     .build()?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn filter(mut self, source: impl Into<String>) -> Self {
        self.filter = Some(source.into());
        self
    }

    /// Where to begin with each producer. Default [`Start::Latest`]: with what is sent from then on.
    pub fn start(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// While this consumer is behind, leaves out items that a newer one of their key has
    /// superseded, so that it catches up with the state of things. Default: nothing is left out.
    ///
    /// A consumer is behind when, as its connection is ready for more, what it is to get next is not
    /// in the newest batch of the producer's log. Then of all items that are in the log at that
    /// moment those are left out, and told as filtered, of which the log has a newer one with the
    /// same key when their turn comes; whether the filter lets that newer one through does not
    /// matter. While it is not behind it gets everything.
    ///
    /// What has left the log is missed as without this, if the newest item of some key is among it,
    /// or one without a key. A producer that keeps the newest item of each key
    /// ([`Retention::newest_per_key`](crate::producer::Retention::newest_per_key)) gives them from
    /// there.
    ///
    /// Costs the producer a look-up for each item, as long as there is such a consumer.
    pub fn conflate(mut self) -> Self {
        self.superseded = Superseded::LeaveOut;
        self
    }

    /// What a producer does when this consumer falls so far behind that the producer's log has
    /// moved past it. Default [`Lag::Skip`]. A producer may refuse a policy, and does refuse
    /// [`Lag::Block`] unless it was set up to allow it.
    pub fn lag(mut self, lag: Lag) -> Self {
        self.lag = lag;
        self
    }

    /// Follows only producers of which this is true; several requirements must all hold. Asked
    /// whenever the catalog or a round-trip time changes; a producer that no longer passes is
    /// left. Must be quick and must not block.
    ///
    /// A peer whose round-trip time is not known has none to pass with; it is measured then.
    pub fn require(mut self, qualifies: impl Fn(&Peer) -> bool + Send + Sync + 'static) -> Self {
        self.require.push(Arc::new(qualifies));
        self
    }

    /// When the consumer counts as online. Default: always.
    pub fn online_when(mut self, condition: Condition) -> Self {
        self.online_when = condition;
        self
    }

    /// Bytes of batches that may wait for the program. Default 1 MiB, at least 64 KiB; when it is
    /// full, nothing more is read from the network. One batch or item that is larger still passes.
    pub fn buffer_bytes(mut self, bytes: usize) -> Self {
        let most = u32::MAX >> 4;
        self.buffer_bytes = u32::try_from(bytes).unwrap_or(most).clamp(64 * 1024, most);
        self
    }

    /// The waits between attempts to subscribe; see [`Retry`].
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Begins to follow the stream's producers.
    ///
    /// # Errors
    /// When the name, the shape or the filter cannot be used, or the node has shut down.
    pub fn build(self) -> Result<Consumer<T>, ConsumeError> {
        let name = self.pattern.as_deref().or(self.stream.as_deref());
        // A pattern is held to what holds for names: no other could follow it.
        let name = StreamName::new(name.unwrap_or(T::NAME)).map_err(ConsumeError::Name)?;
        let streams = match self.pattern {
            Some(pattern) => Streams::Matching {
                pattern: Pattern::new(&pattern).map_err(ConsumeError::Pattern)?,
                max: self.max_streams,
            },
            None => Streams::One(name.clone()),
        };
        let schema = T::schema().map_err(ConsumeError::Schema)?;
        let filter = self
            .filter
            .map(|source| wanted::read(&source, schema.as_deref()).map(Arc::new))
            .transpose()
            .map_err(ConsumeError::Filter)?;
        if self.producers.tasks().token().is_cancelled() {
            return Err(ConsumeError::ShutDown);
        }
        let streams_are_many = streams.are_many();
        let (want, wanted) = watch::channel(Wanted { change: 0, filter });
        let (inbox, outlet) = inbox::new(self.buffer_bytes);
        let tasks = self.producers.tasks().part();
        let roster = Arc::new(Roster::default());
        let (status, watch) = watch::channel(Status {
            online: self.online_when.is_met([]),
            ..Status::default()
        });
        let worker = Worker {
            wish: Arc::new(Wish {
                stream: name.clone(),
                fingerprint: schema.as_ref().map(|schema| schema.fingerprint()),
                schema,
                lag: self.lag,
                superseded: self.superseded,
                retry: self.retry,
                wanted,
            }),
            streams: Arc::new(streams),
            start: self.start,
            left: Left::default(),
            require: self.require,
            online_when: self.online_when,
            peers: self.peers,
            catalog: self.producers.discovery().watch(),
            producers: self.producers,
            inbox,
            roster: Arc::clone(&roster),
            status,
        };
        tasks.spawn("consumer", worker.run());
        Ok(Consumer::new(
            (name, streams_are_many),
            outlet,
            want,
            watch,
            roster,
            tasks.token().clone(),
        ))
    }
}
