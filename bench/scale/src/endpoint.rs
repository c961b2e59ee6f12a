//! Endpoints of iroh, with the QUIC settings that matter as Rivermesh has them.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use iroh::{
    Endpoint, EndpointAddr, RelayMode, TransportAddr,
    endpoint::{PortmapperConfig, QuicTransportConfig, VarInt, presets},
};
use rivermesh::Transport;

/// Any free port of this machine alone.
pub(crate) fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Binds an endpoint on loopback.
pub(crate) async fn bind(alpn: &[u8]) -> Result<Endpoint> {
    let usual = Transport::default();
    let config = QuicTransportConfig::builder()
        .max_idle_timeout(Some(usual.idle_timeout.try_into()?))
        .keep_alive_interval(usual.keep_alive)
        .send_window(u64::from(usual.send_window))
        .receive_window(VarInt::from_u32(usual.receive_window))
        .stream_receive_window(VarInt::from_u32(usual.stream_receive_window))
        .max_concurrent_bidi_streams(VarInt::from_u32(usual.max_streams))
        .max_concurrent_uni_streams(VarInt::from_u32(16))
        .datagram_receive_buffer_size(None);
    let builder = Endpoint::builder(presets::Minimal)
        .alpns(vec![alpn.to_vec()])
        .relay_mode(RelayMode::Disabled)
        .transport_config(config.build())
        .portmapper_config(PortmapperConfig::Disabled)
        .clear_ip_transports()
        .bind_addr(loopback())?;
    builder.bind().await.context("cannot bind an endpoint")
}

/// Where it is reached.
pub(crate) fn addr(endpoint: &Endpoint) -> Result<EndpointAddr> {
    let sockets = endpoint.bound_sockets();
    let socket = sockets.first().context("the endpoint is not bound")?;
    let addr = TransportAddr::Ip(*socket);
    Ok(EndpointAddr::from_parts(endpoint.id(), [addr]))
}
