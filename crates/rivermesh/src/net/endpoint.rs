//! The iroh endpoint and its QUIC settings.

use std::net::SocketAddr;

use iroh::{
    Endpoint, RelayMode, RelayUrl, SecretKey,
    endpoint::{BindError, PortmapperConfig, presets},
};
use rivermesh_proto::wire;
use thiserror::Error;

use super::transport::Transport;

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
