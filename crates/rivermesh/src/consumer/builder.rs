//! How a consumer is set up.

use std::{fmt, marker::PhantomData, sync::Arc};

use rivermesh_proto::{StreamName, catalog::Peer, ids::BadStreamName, subscribe::Lag};
use thiserror::Error;
use tokio::sync::watch;

use super::{
    handle::Consumer,
    inbox,
    receiver::Wish,
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
    lag: Lag,
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
            lag: Lag::default(),
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
        let name = self.stream.as_deref().unwrap_or(T::NAME);
        let name = StreamName::new(name).map_err(ConsumeError::Name)?;
        let schema = T::schema().map_err(ConsumeError::Schema)?;
        let filter = self
            .filter
            .map(|source| wanted::read(&source, schema.as_deref()).map(Arc::new))
            .transpose()
            .map_err(ConsumeError::Filter)?;
        if self.producers.tasks().token().is_cancelled() {
            return Err(ConsumeError::ShutDown);
        }
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
                retry: self.retry,
                wanted,
            }),
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
            name,
            outlet,
            want,
            watch,
            roster,
            tasks.token().clone(),
        ))
    }
}
