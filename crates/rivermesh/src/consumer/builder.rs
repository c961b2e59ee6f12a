//! How a consumer is set up.

use std::{fmt, future::Future, marker::PhantomData, sync::Arc};

use rivermesh_proto::{
    StreamName,
    catalog::Peer,
    filter::{Pattern, PatternTooLong},
    ids::BadStreamName,
    named::{BadConsumerName, Share},
    subscribe::{Lag, Superseded},
    ticket::Right,
};
use thiserror::Error;
use tokio::sync::watch;

use super::{
    commit::{Auto, Setup},
    handle::{Acking, Consumer},
    inbox,
    pattern::Streams,
    receiver::Wish,
    start::{Left, Start},
    status::{Roster, Status},
    wanted::{self, FilterError, Wanted},
    worker::Worker,
};
use crate::{
    Condition, Datum, SchemaError,
    admission::{Credential, Gate, Source, Verifier, Wallet},
    condition::Predicate,
    net::Peers,
    producer::registry::Producers,
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
    /// The name that the consumer is to acknowledge under is none.
    #[error("not a name for a consumer")]
    ConsumerName(#[source] BadConsumerName),
    /// Another consumer of this node has the name for this stream, or for one of those that the
    /// patterns have in common.
    #[error("another consumer of this node has this name")]
    NameInUse,
    /// A consumer that acknowledges gets every item from its commit on, so it cannot begin with
    /// [`Start::LastPerKey`], which leaves items out. Begin with [`Start::Earliest`], or without a
    /// name.
    #[error("a consumer with a name gets every item, and cannot begin with the newest of each key")]
    NewestUnderName,
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
    verifier: Option<Verifier>,
    credential: Source,
    online_when: Condition,
    buffer_bytes: u32,
    retry: Retry,
    commit: Setup,
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
            verifier: None,
            credential: Source::None,
            online_when: Condition::always(),
            buffer_bytes: 1024 * 1024,
            retry,
            commit: Setup::default(),
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

    /// Follows only producers that show a ticket of an authority that the verifier trusts, with the
    /// right [`Produce`](crate::admission::Right::Produce) for this stream. Asked when the consumer
    /// subscribes, and again when the ticket ends or is revoked: then the producer is asked for
    /// another one, and is left if it has none.
    pub fn require_ticket(mut self, verifier: Verifier) -> Self {
        self.verifier = Some(verifier);
        self
    }

    /// What shows producers that this node may consume the stream, if they ask. See
    /// [`ticket_provider`](Self::ticket_provider) for one that is renewed.
    pub fn ticket(mut self, ticket: impl Into<Credential>) -> Self {
        self.credential = Source::Fixed(ticket.into());
        self
    }

    /// Gets what [`ticket`](Self::ticket) is given by asking: at the beginning, and each time half of
    /// what a ticket had left is over. A newer one is shown to the producers that are followed, which
    /// go on without a break. An answer may take 30 s; after a failure the question is repeated, with
    /// growing pauses of at most 2 s. The first answer is waited for before anybody is asked for the
    /// stream.
    pub fn ticket_provider<F, A, E>(mut self, ask: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credential, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.credential = Source::provider(ask);
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

    /// Gives the consumer a name under which it acknowledges. Each producer remembers what was committed
    /// under the name, keeps what was not, and sends it again after a reconnect or to the next consumer of
    /// that name, which may be this program started anew. So every item is delivered at least once. A
    /// producer must allow it ([`producer::Builder::named`](crate::producer::Builder::named)).
    ///
    /// The program says what it has done with by [`Delivery::commit`](super::Delivery::commit),
    /// [`Batch::commit`](super::Batch::commit) or [`Consumer::commit_up_to`], or has it said for it
    /// ([`auto_commit`](Self::auto_commit)). A name is for one consumer at a time: one on another node
    /// is refused, one on this node is an error here, also where a pattern takes its stream.
    ///
    /// A name that is new to a producer begins as any consumer does, but not with
    /// [`Start::LastPerKey`], which is an error here.
    pub fn durable_name(mut self, name: impl Into<String>) -> Self {
        self.commit.name = Some((name.into(), Share::Alone));
        self
    }

    /// Makes the consumer a member of a group: of all consumers of one group, each item of a producer goes
    /// to one, the one that has the fewest unacknowledged items. What a member has not acknowledged when
    /// it leaves or dies goes to the others. Acknowledges as with a [`durable_name`](Self::durable_name),
    /// whose place this takes, but item by item, in any order.
    ///
    /// All members have the same filter; who has another one than the first is refused, and cannot change
    /// it.
    pub fn group(mut self, name: impl Into<String>) -> Self {
        self.commit.name = Some((name.into(), Share::Least));
        self
    }

    /// As [`group`](Self::group), but all items with one key go to the same member for as long as it
    /// has any of them unacknowledged, and as long as no member comes or goes. A member that has all it may have
    /// stops the group's other members, too, when the next item is for it. Items without a key
    /// all go to one member.
    pub fn group_by_key(mut self, name: impl Into<String>) -> Self {
        self.commit.name = Some((name.into(), Share::Key));
        self
    }

    /// Items that may be delivered to a consumer with a name and not be acknowledged, at each producer.
    /// With 1 the next item comes when the last one is acknowledged. Default, and at most: what the
    /// producer allows.
    pub fn max_in_flight(mut self, items: u32) -> Self {
        self.commit.max_in_flight = items.max(1);
        self
    }

    /// Commits by itself, when the program comes for the next item, items or batch, what it was given
    /// before. Default: only the program commits.
    pub fn auto_commit(mut self) -> Self {
        self.commit.auto = true;
        self
    }

    /// Begins to follow the stream's producers.
    ///
    /// # Errors
    /// When a name, the shape or the filter cannot be used, or the node has shut down.
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
        let named = self.commit.named().map_err(ConsumeError::ConsumerName)?;
        if named.is_some() && self.start == Start::LastPerKey {
            return Err(ConsumeError::NewestUnderName);
        }
        let streams = Arc::new(streams);
        let taken = |named| self.producers.names().take(&streams, named);
        let held = named.as_ref().map(taken).transpose();
        let acking = Acking {
            is_named: named.is_some(),
            auto: (self.commit.auto && named.is_some()).then(Auto::default),
            name: held.map_err(|_| ConsumeError::NameInUse)?.flatten(),
        };
        let (want, wanted) = watch::channel(Wanted { change: 0, filter });
        let (inbox, outlet) = inbox::new(self.buffer_bytes);
        let tasks = self.producers.tasks().part();
        let roster = Arc::new(Roster::default());
        let gate = self.verifier.map(|verifier| {
            let desk = self.producers.desk().clone();
            Arc::new(Gate::new(desk, verifier, name.clone(), Right::Produce))
        });
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
                named,
                gate,
                wallet: Wallet::new(self.credential, &tasks),
            }),
            streams,
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
            acking,
        ))
    }
}
