//! A peer that speaks the protocol by hand, and whatever else it likes.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    net::SocketAddr,
    time::Duration,
};

use bytes::Bytes;
use iroh::{
    Endpoint, EndpointAddr, SecretKey,
    endpoint::{Connection, ConnectionError, RecvStream, SendStream, presets},
};
use rivermesh_proto::{
    NetworkId, StreamName,
    code::Code,
    entry::{Entry, SignedRecord, StreamAdvert},
    handshake::{Context, EXPORTER_LABEL, Handshake, Hello, Role},
    limits,
    subscribe::{Lag, Reply, Start, Subscribe, Superseded},
    sync::{Carried, Message},
    wire::{self, StreamKind},
};
use tokio::time::timeout;

use crate::{cluster::DEADLINE, recorder::now_us};

/// An endpoint that speaks the protocol's name and whatever else it likes.
#[derive(Debug)]
pub struct Attacker {
    endpoint: Endpoint,
    secret: SecretKey,
}

/// What a joining attacker says of itself; all of it can be a lie.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The entry it shows.
    pub record: Bytes,
    /// The life that it names in its hello.
    pub instance: u64,
}

impl Attacker {
    /// An attacker on a port of 127.0.0.1.
    ///
    /// # Panics
    /// When no socket can be bound.
    pub async fn new() -> Self {
        Self::with(SecretKey::generate(), SocketAddr::from(([127, 0, 0, 1], 0))).await
    }

    /// An attacker with this key, on this address and no other.
    ///
    /// # Panics
    /// When no socket can be bound.
    pub async fn with(secret: SecretKey, bind: SocketAddr) -> Self {
        let builder = Endpoint::builder(presets::Minimal)
            .secret_key(secret.clone())
            .alpns(vec![wire::ALPN.to_vec()])
            .relay_mode(iroh::RelayMode::Disabled)
            .clear_ip_transports();
        let builder = good(builder.bind_addr(bind), "the attacker's address");
        let endpoint = good(builder.bind().await, "the attacker's socket");
        Self { endpoint, secret }
    }

    /// The endpoint.
    #[must_use]
    pub const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// The key.
    #[must_use]
    pub const fn secret(&self) -> &SecretKey {
        &self.secret
    }

    /// A QUIC connection, on which nothing has been said.
    ///
    /// # Panics
    /// When there is none.
    pub async fn connect(&self, victim: EndpointAddr) -> Connection {
        good(self.try_connect(victim).await, "the attacker's connection")
    }

    /// As [`connect`](Self::connect).
    ///
    /// # Errors
    /// Why there is none, as text.
    pub async fn try_connect(&self, victim: EndpointAddr) -> Result<Connection, String> {
        match timeout(DEADLINE, self.endpoint.connect(victim, wire::ALPN)).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("took too long".to_owned()),
        }
    }

    /// An entry of this attacker, as an honest node would sign it, changed by `change`.
    #[must_use]
    pub fn entry(&self, network: &str, change: impl FnOnce(&mut Entry)) -> Entry {
        let mut entry = Entry {
            addrs: self.endpoint.addr().addrs.into_iter().take(8).collect(),
            ..entry_of(&self.secret, network)
        };
        change(&mut entry);
        entry
    }

    /// The claim of such an entry.
    ///
    /// # Panics
    /// When it cannot be signed.
    #[must_use]
    pub fn claim(&self, network: &str, change: impl FnOnce(&mut Entry)) -> Claim {
        let entry = self.entry(network, change);
        Claim {
            record: good(entry.sign(&self.secret), "the entry")
                .as_bytes()
                .clone(),
            instance: entry.instance,
        }
    }

    /// Connects as a member of an open network that says it produces these streams.
    ///
    /// # Panics
    /// When the victim does not take it in.
    pub async fn join(
        &self,
        victim: EndpointAddr,
        network: &str,
        streams: Vec<StreamAdvert>,
    ) -> Connection {
        let claim = self.claim(network, |entry| entry.streams = streams);
        good(
            self.join_as(victim, network, claim).await,
            "joining the network",
        )
    }

    /// Connects with this claim. That the handshake is over does not say that the victim takes the
    /// claim: it may close the connection then.
    ///
    /// # Errors
    /// What the victim or the transport said, as text.
    pub async fn join_as(
        &self,
        victim: EndpointAddr,
        network: &str,
        claim: Claim,
    ) -> Result<Connection, String> {
        let connection = self.try_connect(victim).await?;
        let shaken = self.shake(&connection, network, claim);
        match timeout(DEADLINE, shaken).await {
            Ok(Ok(())) => Ok(connection),
            Ok(Err(error)) => Err(error),
            Err(_) => Err("the handshake takes too long".to_owned()),
        }
    }

    async fn shake(
        &self,
        connection: &Connection,
        network: &str,
        claim: Claim,
    ) -> Result<(), String> {
        let mut exporter = [0; 32];
        connection
            .export_keying_material(&mut exporter, EXPORTER_LABEL, b"")
            .map_err(|_| "no exporter")?;
        let context = Context {
            role: Role::Dialer,
            network: NetworkId::of(network),
            keys: Vec::new(),
            local: self.endpoint.id(),
            remote: connection.remote_id(),
            exporter,
        };
        let hello = Hello {
            instance: claim.instance,
            record: claim.record,
        };
        let mut handshake = Handshake::new(context, hello).map_err(text)?;
        let (mut send, mut recv) = connection.open_bi().await.map_err(text)?;
        let first = handshake.start().ok_or("no first message")?;
        send.write_all(&first).await.map_err(text)?;
        loop {
            let body = try_message(&mut recv).await?;
            let step = handshake.on_message(&body).map_err(text)?;
            for bytes in step.send {
                send.write_all(&bytes).await.map_err(text)?;
            }
            if step.done.is_some() {
                send.finish().map_err(text)?;
                return Ok(());
            }
        }
    }
}

/// What an honest node with this key, without an address, would say of itself.
#[must_use]
pub fn entry_of(secret: &SecretKey, network: &str) -> Entry {
    Entry {
        network: NetworkId::of(network),
        node: secret.public(),
        name: "attacker".into(),
        tags: BTreeSet::new(),
        addrs: Vec::new(),
        streams: Vec::new(),
        instance: 1,
        revision: now_us(),
        refresh_s: 15,
    }
}

/// The body of the next control message.
///
/// # Panics
/// When there is none.
pub async fn message(recv: &mut RecvStream) -> Vec<u8> {
    good(
        timeout(DEADLINE, try_message(recv)).await,
        "a message in time",
    )
    .unwrap_or_else(|error| panic!("no message: {error}"))
}

/// As [`message`]; takes as long as it takes.
///
/// # Errors
/// Why there is none, as text.
pub async fn try_message(recv: &mut RecvStream) -> Result<Vec<u8>, String> {
    let mut prefix = [0; 4];
    recv.read_exact(&mut prefix).await.map_err(text)?;
    let mut body = vec![0; u32::from_le_bytes(prefix) as usize];
    recv.read_exact(&mut body).await.map_err(text)?;
    Ok(body)
}

/// The code that the victim closes the connection with.
///
/// # Panics
/// When it does not, or without a code of the table.
pub async fn closed_with(connection: &Connection) -> Code {
    let error = good(timeout(DEADLINE, connection.closed()).await, "still open");
    code_of(&error).unwrap_or_else(|| panic!("closed without a code: {error}"))
}

/// The code of the table that a connection was closed with by the other side.
///
/// # Panics
/// When the reason that came along is not the code's.
#[must_use]
pub fn code_of(error: &ConnectionError) -> Option<Code> {
    let ConnectionError::ApplicationClosed(close) = error else {
        return None;
    };
    let code = Code::from_number(close.error_code.into_inner())?;
    assert_eq!(close.reason, code.reason().as_bytes());
    Some(code)
}

/// The code that the other side resets the stream with, whatever comes before that.
///
/// # Panics
/// When it does not.
pub async fn reset_with(recv: &mut RecvStream) -> Code {
    let mut heard = vec![0; 1 << 16];
    loop {
        let read = timeout(DEADLINE, recv.read(&mut heard)).await;
        match good(read, "the stream is not reset") {
            Ok(Some(_)) => {}
            Ok(None) => panic!("the stream ended without a code"),
            Err(iroh::endpoint::ReadError::Reset(code)) => {
                let code = Code::from_number(code.into_inner());
                return code.unwrap_or_else(|| panic!("reset without a code of the table"));
            }
            Err(error) => panic!("not reset: {error}"),
        }
    }
}

/// A plain request for a stream.
///
/// # Panics
/// When the name is none.
#[must_use]
pub fn request(stream: &str) -> Subscribe {
    Subscribe {
        stream: good(StreamName::new(stream), "a stream's name"),
        fingerprint: None,
        start: Start::Latest,
        lag: Lag::Skip,
        filter: None,
        superseded: Superseded::Send,
        named: None,
        credential: None,
    }
}

/// Opens a stream of a kind and writes `bytes` after the kind.
///
/// # Panics
/// When the connection is lost.
pub async fn open(connection: &Connection, kind: StreamKind, bytes: &[u8]) -> Pair {
    let opened = timeout(DEADLINE, connection.open_bi()).await;
    let (mut send, recv) = good(good(opened, "a stream in time"), "a stream");
    let first = [&[kind.byte()][..], bytes].concat();
    good(send.write_all(&first).await, "writing");
    (send, recv)
}

/// The two halves of a stream.
pub type Pair = (SendStream, RecvStream);

/// Asks for a stream; gives the answer's body as it came.
///
/// # Panics
/// When there is no answer.
pub async fn ask(connection: &Connection, ask: &Subscribe) -> (Pair, Vec<u8>) {
    let bytes = good(ask.encode(), "the request");
    let mut pair = open(connection, StreamKind::Subscribe, &bytes).await;
    let body = message(&mut pair.1).await;
    (pair, body)
}

/// Asks for a stream and reads the answer.
///
/// # Panics
/// When there is no answer, or it is none.
pub async fn subscribe(connection: &Connection, request: &Subscribe) -> (Pair, Reply) {
    let (pair, body) = ask(connection, request).await;
    (pair, good(Reply::decode(&body), "the reply"))
}

/// Opens a gossip stream.
///
/// # Panics
/// When the connection is lost.
pub async fn gossip(connection: &Connection) -> SendStream {
    let opened = timeout(DEADLINE, connection.open_uni()).await;
    let mut send = good(good(opened, "a stream in time"), "a stream");
    good(
        send.write_all(&[StreamKind::Gossip.byte()]).await,
        "writing",
    );
    send
}

/// A gossip message that carries a record as its first sender sends it, with its prefix.
#[must_use]
pub fn broadcast(network: &str, content: &[u8]) -> Vec<u8> {
    let mut body = NetworkId::of(network).as_bytes().to_vec();
    body.extend([1, 0]);
    body.extend(blake3::hash(content).as_bytes());
    body.extend(leb128(content.len()));
    body.extend(content);
    body.extend([0, 0]);
    prefixed(&body)
}

/// A message "be my neighbour, whether you have room or not", with its prefix.
#[must_use]
pub fn be_my_neighbour(network: &str) -> Vec<u8> {
    let mut body = NetworkId::of(network).as_bytes().to_vec();
    body.extend([0, 4, 0, 0]);
    prefixed(&body)
}

/// A body with the length prefix of a control message.
#[must_use]
pub fn prefixed(body: &[u8]) -> Vec<u8> {
    let len = u32::try_from(body.len()).unwrap_or(u32::MAX);
    [&len.to_le_bytes()[..], body].concat()
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number & 0x7f) as u8;
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

/// Pushes records into the victim's catalog by comparing catalogs; at most 20,000 of different nodes. Gives how
/// many the victim asked for.
///
/// # Errors
/// What the victim or the transport said, as text.
pub async fn push(connection: &Connection, records: &[SignedRecord]) -> Result<usize, String> {
    let (mut send, mut recv) = connection.open_bi().await.map_err(text)?;
    send.write_all(&[StreamKind::Sync.byte()])
        .await
        .map_err(text)?;
    let open = Message::Open {
        total: rand::random(),
        count: u32::MAX,
    };
    turn(&mut send, &open).await?;
    answer(&mut recv).await?;
    let pages = records.chunks(6000).count();
    for (page, records) in records.chunks(6000).enumerate() {
        let items = records
            .iter()
            .map(|record| (record.node_bytes(), record.revision()));
        let have = Message::Have {
            buckets: [u8::MAX; 32],
            items: items.collect(),
            last: page + 1 == pages,
        };
        turn(&mut send, &have).await?;
        if page + 1 < pages {
            answer(&mut recv).await?;
        }
    }
    let by_node: HashMap<_, _> = records
        .iter()
        .map(|record| (record.node_bytes(), record))
        .collect();
    let (mut wanted, mut last) = delta(&mut recv).await?;
    let mut asked = wanted.len();
    loop {
        let page: Vec<_> = wanted.drain(..wanted.len().min(600)).collect();
        let records = page.iter().filter_map(|id| by_node.get(id));
        let records = records.map(|record| Carried {
            age_s: 0,
            record: SignedRecord::clone(record),
        });
        let push = Message::Push {
            records: records.collect(),
            more: !wanted.is_empty(),
        };
        turn(&mut send, &push).await?;
        if last && wanted.is_empty() {
            // The end of its side says that it has worked on all of it.
            let end = timeout(DEADLINE, recv.read_to_end(0)).await;
            end.map_err(text)?.map_err(text)?;
            return Ok(asked);
        }
        let (more, is_last) = delta(&mut recv).await?;
        asked += more.len();
        wanted.extend(more);
        last = is_last;
    }
}

async fn delta(recv: &mut RecvStream) -> Result<(VecDeque<[u8; 32]>, bool), String> {
    match answer(recv).await? {
        Message::Delta { want, last, .. } => Ok((want.into(), last)),
        other => Err(format!("not a delta: {other:?}")),
    }
}

async fn turn(send: &mut SendStream, message: &Message) -> Result<(), String> {
    let bytes = wire::encode(message, limits::SYNC_PAGE).map_err(text)?;
    send.write_all(&bytes).await.map_err(text)
}

async fn answer(recv: &mut RecvStream) -> Result<Message, String> {
    let body = timeout(DEADLINE, try_message(recv)).await.map_err(text)??;
    Message::decode(&body).map_err(text)
}

/// An attacker's packets must not be lost when its test ends before they are sent: waits until the
/// other side has all of it, or wants none of it.
pub async fn delivered(mut send: SendStream) {
    let _ = send.finish();
    let _ = timeout(Duration::from_secs(5), send.stopped()).await;
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn good<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error}"),
    }
}
