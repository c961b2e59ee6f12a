//! Who may speak at all: the first exchange on a connection.
//!
//! The dialer opens the first bidirectional stream, and on it:
//!
//! ```text
//! dialer                                     acceptor
//!   Greeting { network, proof }  ───────────▶  same network? proof valid?
//!   same network? proof valid?   ◀───────────  Greeting { network, proof }, Hello
//!   Hello                        ───────────▶
//! ```
//!
//! Membership is proven before anything else is read or revealed: the acceptor says nothing, not
//! even a greeting, to a dialer who has not proven the network key, and the dialer sends its
//! [`Hello`] only to an acceptor who has. What an outsider learns is the hash of the network's name
//! that a dialer sends first.
//!
//! # The proof
//!
//! A proof is BLAKE3 in its keyed mode, a MAC by its specification (O'Connor, Aumasson, Neves,
//! Wilcox-O'Hearn: "BLAKE3, one function, fast everywhere", 2020, sections 2.3 and 4.1) under the
//! network key, over a domain tag, the ALPN, the network, the exporter secret of the TLS session
//! (RFC 8446 section 7.5, RFC 5705), the ids of both nodes and the role of the prover. So a proof
//! is worth nothing on another connection (the exporter differs), for another pair of nodes, or
//! when sent back to the one who made it (the role differs). Proofs are compared in constant time.
//!
//! A proof lets the other side test guesses of the key without further contact. This is harmless
//! for a key of 32 random bytes, and the reason why a passphrase must be as strong as one.
//!
//! # Networks without a key
//!
//! No proof is shown then, and anybody who knows the network's name is let in. A node with a key
//! and one without refuse each other and say why.
//!
//! # Changing the key
//!
//! [`Context::keys`] may have several keys: the first is shown when dialing, any is accepted, and
//! the acceptor answers with the one it was shown. To change a key without an outage, first let every
//! node accept both (`[old, new]`), then show the new one (`[new, old]`), then drop the old one.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, de};
use thiserror::Error;

use crate::{
    code::Code,
    ids::{NetworkId, NetworkKey, NodeId},
    limits,
    wire::{self, DecodeError, EncodeError},
};

/// The label under which [`Context::exporter`] is taken from the TLS session, with an empty
/// context. It begins with the word that RFC 5705, section 4, reserves for labels that are not
/// registered.
pub const EXPORTER_LABEL: &[u8] = b"EXPERIMENTAL rivermesh/1 handshake";

/// Bytes of [`Context::exporter`].
pub const EXPORTER_LEN: usize = 32;

/// The longest body of a [`Greeting`], in bytes.
pub const GREETING: usize = 256;

/// The first words of what is authenticated: no other use of the key begins like this.
const DOMAIN: &[u8; 32] = b"rivermesh network key proof v1\0\0";

/// Which side of the connection a node is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// The node that opened the connection, and speaks first.
    Dialer,
    /// The node that took it.
    Acceptor,
}

impl Role {
    /// The role of the other side.
    #[must_use]
    pub const fn peer(self) -> Self {
        match self {
            Self::Dialer => Self::Acceptor,
            Self::Acceptor => Self::Dialer,
        }
    }
}

/// The first message of each side: which network, and the proof of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Greeting {
    /// The network the sender is a member of.
    pub network: NetworkId,
    /// The proof that the sender holds the network's key, if the network has one.
    pub proof: Option<[u8; 32]>,
}

/// The second message of each side: who speaks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// A random number that names this run of the node: when two connections between the same two
    /// nodes meet, a different number tells a restarted peer from a second dial.
    pub instance: u64,
    /// The sender's own signed entry, encoded, at most [`limits::ENTRY`] bytes; not looked into
    /// here.
    #[serde(deserialize_with = "record")]
    pub record: Bytes,
}

/// What the outcome of a handshake depends on.
#[derive(Clone)]
pub struct Context {
    /// The side of this node.
    pub role: Role,
    /// The network of this node.
    pub network: NetworkId,
    /// The keys of the network: the first is shown, any is accepted. Empty for an open network.
    pub keys: Vec<NetworkKey>,
    /// This node.
    pub local: NodeId,
    /// The peer, as the TLS handshake has authenticated it.
    pub remote: NodeId,
    /// 32 bytes exported from the finished TLS session under [`EXPORTER_LABEL`].
    pub exporter: [u8; EXPORTER_LEN],
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("role", &self.role)
            .field("network", &self.network)
            .field("keys", &self.keys.len())
            .field("local", &self.local)
            .field("remote", &self.remote)
            .finish_non_exhaustive()
    }
}

/// What follows from a message of the peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// Messages to send, in this order, with their length prefixes.
    pub send: Vec<Vec<u8>>,
    /// The peer's hello: once it is here, and `send` is sent, the handshake is over.
    pub done: Option<Hello>,
}

/// The handshake has failed. Nothing more may be sent: close the connection with
/// [`code`](Self::code).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The peer is a member of another network.
    #[error("the peer belongs to network {theirs}, not to {ours}")]
    WrongNetwork {
        /// The network of this node.
        ours: NetworkId,
        /// The network the peer named.
        theirs: NetworkId,
    },
    /// This node has a network key, and the peer has shown no proof of one.
    #[error("this node has a network key, the peer has none")]
    PeerWithoutKey,
    /// The peer has shown a proof of a network key, and this node has no key.
    #[error("the peer has a network key, this node has none")]
    PeerWithKey,
    /// Both have a network key, but not the same; or somebody passes on the proof of another.
    #[error("the peer holds another network key than this node")]
    WrongKey,
    /// The peer sent bytes that are not the message that was due.
    #[error("{expected} of the peer cannot be read")]
    Decode {
        /// The message that was due.
        expected: &'static str,
        /// What was wrong with it.
        #[source]
        source: DecodeError,
    },
    /// There was a message when none was due: after the end, after an error, or before the dialer
    /// has started.
    #[error("no message was due")]
    Unexpected,
}

impl HandshakeError {
    /// The code to close the connection with.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::WrongNetwork { .. }
            | Self::PeerWithoutKey
            | Self::PeerWithKey
            | Self::WrongKey => Code::Unauthorized,
            Self::Decode { source, .. } => source.code(),
            Self::Unexpected => Code::Protocol,
        }
    }
}

/// One side of one handshake.
///
/// The caller sends what [`start`](Self::start) gives, then reads messages of at most
/// [`expects`](Self::expects) bytes and passes each to [`on_message`](Self::on_message), until there
/// is a hello or an error. It keeps the time, too: see [`limits::HANDSHAKE_PHASE`].
#[derive(Debug)]
pub struct Handshake {
    context: Context,
    /// The encoded hello of this node.
    hello: Vec<u8>,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// The dialer has not spoken yet.
    Start,
    /// The peer's greeting is due.
    Greeting,
    /// The peer's hello is due.
    Hello,
    /// Nothing is due: over, in one way or the other.
    Over,
}

impl Handshake {
    /// A handshake in which this node will say `hello`.
    ///
    /// # Errors
    /// When the record is over [`limits::ENTRY`]: no peer would take it.
    pub fn new(context: Context, hello: Hello) -> Result<Self, EncodeError> {
        if hello.record.len() > limits::ENTRY {
            return Err(EncodeError::TooLarge {
                len: hello.record.len(),
                limit: limits::ENTRY,
            });
        }
        let state = match context.role {
            Role::Dialer => State::Start,
            Role::Acceptor => State::Greeting,
        };
        Ok(Self {
            context,
            hello: wire::encode(&hello, limits::HANDSHAKE)?,
            state,
        })
    }

    /// The dialer's first message with its length prefix; `None` for the acceptor, or when called
    /// again.
    pub fn start(&mut self) -> Option<Vec<u8>> {
        if self.state != State::Start {
            return None;
        }
        self.state = State::Greeting;
        self.greeting(self.context.keys.first()).ok()
    }

    /// How many bytes the body of the peer's next message may have; 0 if no message is due.
    #[must_use]
    pub const fn expects(&self) -> usize {
        match self.state {
            State::Greeting => GREETING,
            State::Hello => limits::HANDSHAKE,
            State::Start | State::Over => 0,
        }
    }

    /// Takes the body of the peer's next message, without prefix.
    ///
    /// # Errors
    /// When the peer is not a member, or does not keep to the protocol. The handshake is over then.
    pub fn on_message(&mut self, body: &[u8]) -> Result<Step, HandshakeError> {
        let expected = match self.state {
            State::Greeting => "the greeting",
            State::Hello => "the hello",
            State::Start | State::Over => "",
        };
        let limit = self.expects();
        // Over, unless what follows says otherwise.
        let state = std::mem::replace(&mut self.state, State::Over);
        let decode_error = |source| HandshakeError::Decode { expected, source };
        if limit > 0 && body.len() > limit {
            let len = body.len();
            return Err(decode_error(DecodeError::TooLarge { len, limit }));
        }
        match state {
            State::Greeting => self.on_greeting(&wire::decode(body).map_err(decode_error)?),
            State::Hello => self.on_hello(wire::decode(body).map_err(decode_error)?),
            State::Start | State::Over => Err(HandshakeError::Unexpected),
        }
    }

    fn on_greeting(&mut self, greeting: &Greeting) -> Result<Step, HandshakeError> {
        let key = self.verify(greeting)?;
        let mut step = Step::default();
        if self.context.role == Role::Acceptor {
            let own = self.greeting(key);
            // A greeting is far below its limit, so this cannot fail; no proof must not become a
            // hello without one, all the same.
            step.send.push(own.map_err(|_| HandshakeError::Unexpected)?);
        }
        step.send.push(std::mem::take(&mut self.hello));
        self.state = State::Hello;
        Ok(step)
    }

    fn on_hello(&mut self, hello: Hello) -> Result<Step, HandshakeError> {
        Ok(Step {
            send: Vec::new(),
            done: Some(hello),
        })
    }

    /// Checks the peer's greeting, and finds the key that it has proven.
    fn verify(&self, greeting: &Greeting) -> Result<Option<&NetworkKey>, HandshakeError> {
        if greeting.network != self.context.network {
            return Err(HandshakeError::WrongNetwork {
                ours: self.context.network,
                theirs: greeting.network,
            });
        }
        let keys = match self.context.role {
            Role::Acceptor => &self.context.keys[..],
            // The dialer has shown its first key, and who holds it answers with it.
            Role::Dialer => &self.context.keys[..self.context.keys.len().min(1)],
        };
        let proof = match (keys.is_empty(), greeting.proof) {
            (true, None) => return Ok(None),
            (true, Some(_)) => return Err(HandshakeError::PeerWithKey),
            (false, None) => return Err(HandshakeError::PeerWithoutKey),
            (false, Some(proof)) => blake3::Hash::from_bytes(proof),
        };
        let prover = self.context.role.peer();
        // `blake3::Hash` compares in constant time, arrays of bytes do not.
        keys.iter()
            .find(|key| self.proof(key, prover) == proof)
            .map(Some)
            .ok_or(HandshakeError::WrongKey)
    }

    fn greeting(&self, key: Option<&NetworkKey>) -> Result<Vec<u8>, EncodeError> {
        let proof = key.map(|key| *self.proof(key, self.context.role).as_bytes());
        let network = self.context.network;
        wire::encode(&Greeting { network, proof }, GREETING)
    }

    /// The proof of `key` by the side `prover`. All parts have a fixed length, so none can be taken
    /// for a part of another.
    fn proof(&self, key: &NetworkKey, prover: Role) -> blake3::Hash {
        let context = &self.context;
        let (dialer, acceptor) = match context.role {
            Role::Dialer => (&context.local, &context.remote),
            Role::Acceptor => (&context.remote, &context.local),
        };
        let role = match prover {
            Role::Dialer => 0,
            Role::Acceptor => 1,
        };
        blake3::Hasher::new_keyed(key.secret_bytes())
            .update(DOMAIN)
            .update(wire::ALPN)
            .update(context.network.as_bytes())
            .update(&context.exporter)
            .update(dialer.as_bytes())
            .update(acceptor.as_bytes())
            .update(&[role])
            .finalize()
    }
}

fn record<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Bytes, D::Error> {
    let record = Bytes::deserialize(deserializer)?;
    if record.len() > limits::ENTRY {
        return Err(de::Error::custom("record over the limit"));
    }
    Ok(record)
}
