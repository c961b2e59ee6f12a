//! The iroh endpoint and its QUIC settings.

use std::{net::SocketAddr, time::Duration};

use iroh::{
    Endpoint, RelayMode, RelayUrl, SecretKey,
    endpoint::{BindError, PortmapperConfig, QuicTransportConfig, VarInt, presets},
};
use rivermesh_proto::wire;
use thiserror::Error;

/// How a node uses relay servers, which carry packets between nodes that cannot reach each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Relay {
    /// No relay: peers are reached directly or not at all. Nothing is sent to anybody's servers.
    #[default]
    Disabled,
    /// The public relays of iroh's makers. The node tells them its address.
    Public,
    /// These relays.
    Custom(Vec<RelayUrl>),
}

impl Relay {
    fn mode(&self) -> RelayMode {
        match self {
            Self::Disabled => RelayMode::Disabled,
            Self::Public => RelayMode::Default,
            Self::Custom(urls) => RelayMode::custom(urls.iter().cloned()),
        }
    }
}

/// QUIC settings of all connections of a node.
///
/// Memory that one connection may cost: what it has sent and not yet seen acknowledged is bounded
/// by `send_window`, what it has received and nobody has read by `receive_window`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transport {
    /// Silence after which a connection is lost. Default 5 s; both sides' smaller value holds. The
    /// first packet sent after the last one received starts the time anew (RFC 9000, section
    /// 10.1), so a peer's death shows after up to this and `keep_alive` together.
    pub idle_timeout: Duration,
    /// Silence after which a sign of life is sent. Default 2 s; costs two small packets each.
    pub keep_alive: Duration,
    /// Bytes in flight to one peer, over all streams. Default 4 MiB.
    pub send_window: u32,
    /// Bytes received from one peer and not yet read, over all streams. Default 16 MiB.
    pub receive_window: u32,
    /// Bytes received on one stream and not yet read. Default 512 KiB.
    pub stream_receive_window: u32,
    /// Streams a peer may have open at once; each subscription takes one. Default 1,024.
    pub max_streams: u32,
}

impl Default for Transport {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(5),
            keep_alive: Duration::from_secs(2),
            send_window: 4 * 1024 * 1024,
            receive_window: 16 * 1024 * 1024,
            stream_receive_window: 512 * 1024,
            max_streams: 1024,
        }
    }
}

impl Transport {
    fn quic(&self) -> Result<QuicTransportConfig, EndpointError> {
        let idle = self
            .idle_timeout
            .try_into()
            .map_err(|_| EndpointError::IdleTimeout)?;
        Ok(QuicTransportConfig::builder()
            .max_idle_timeout(Some(idle))
            .keep_alive_interval(self.keep_alive)
            .send_window(u64::from(self.send_window))
            .receive_window(VarInt::from_u32(self.receive_window))
            .stream_receive_window(VarInt::from_u32(self.stream_receive_window))
            .max_concurrent_bidi_streams(VarInt::from_u32(self.max_streams))
            .max_concurrent_uni_streams(VarInt::from_u32(16))
            .datagram_receive_buffer_size(None)
            .build())
    }
}

/// What an endpoint is made of.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) secret_key: SecretKey,
    pub(crate) bind: Vec<SocketAddr>,
    pub(crate) relay: Relay,
    pub(crate) transport: Transport,
    pub(crate) mdns: bool,
    pub(crate) dht: bool,
}

/// The endpoint could not be made. Nothing is bound then.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The bind address cannot be used.
    #[error("cannot use the bind address {0}")]
    BindAddr(SocketAddr, #[source] iroh::endpoint::InvalidSocketAddr),
    /// The socket could not be bound: the port is taken, or not allowed.
    #[error("cannot bind the node's UDP socket")]
    Bind(#[source] Box<BindError>),
    /// The idle timeout is longer than QUIC can say.
    #[error("the idle timeout is too long")]
    IdleTimeout,
    /// A look-up was asked for that this build does not have.
    #[error("this build has no {0} look-up: build with the cargo feature `{0}`")]
    NoLookup(&'static str),
}

/// Binds an endpoint. Waits for no relay, DNS server or network.
pub(crate) async fn bind(options: Options) -> Result<Endpoint, EndpointError> {
    let mut builder = Endpoint::builder(presets::Minimal)
        .secret_key(options.secret_key)
        .alpns(vec![wire::ALPN.to_vec()])
        .relay_mode(options.relay.mode())
        .transport_config(options.transport.quic()?);
    if options.relay == Relay::Disabled {
        builder = builder.portmapper_config(PortmapperConfig::Disabled);
    }
    if !options.bind.is_empty() {
        builder = builder.clear_ip_transports();
    }
    for addr in options.bind {
        builder = builder
            .bind_addr(addr)
            .map_err(|source| EndpointError::BindAddr(addr, source))?;
    }
    builder = lookups(builder, options.mdns, options.dht)?;
    builder
        .bind()
        .await
        .map_err(|source| EndpointError::Bind(Box::new(source)))
}

#[cfg_attr(
    not(any(feature = "mdns", feature = "dht")),
    expect(unused_mut, reason = "only the look-ups change the builder")
)]
fn lookups(
    mut builder: iroh::endpoint::Builder,
    mdns: bool,
    dht: bool,
) -> Result<iroh::endpoint::Builder, EndpointError> {
    if mdns {
        #[cfg(feature = "mdns")]
        {
            builder =
                builder.address_lookup(iroh_mdns_address_lookup::MdnsAddressLookup::builder());
        }
        #[cfg(not(feature = "mdns"))]
        return Err(EndpointError::NoLookup("mdns"));
    }
    if dht {
        #[cfg(feature = "dht")]
        {
            builder =
                builder.address_lookup(iroh_mainline_address_lookup::DhtAddressLookup::builder());
        }
        #[cfg(not(feature = "dht"))]
        return Err(EndpointError::NoLookup("dht"));
    }
    Ok(builder)
}
