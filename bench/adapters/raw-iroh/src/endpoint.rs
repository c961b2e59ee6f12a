//! Endpoints as Rivermesh makes them (crates/rivermesh/src/net/endpoint.rs), with knobs.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use harness::Transport;
use iroh::{
    Endpoint, EndpointAddr, RelayMode, TransportAddr,
    endpoint::{
        AckFrequencyConfig, ControllerFactory, MtuDiscoveryConfig, PortmapperConfig,
        QuicTransportConfig, VarInt, presets,
    },
};
use noq_proto::congestion::{Bbr3Config, CubicConfig, NewRenoConfig};

pub(crate) const ALPN: &[u8] = b"bench/raw/1";

/// The settings that can be changed: all.
pub(crate) const KNOBS: &[&str] = &[
    "congestion",
    "initial_window",
    "send_window",
    "receive_window",
    "stream_receive_window",
    "initial_mtu",
    "min_mtu",
    "mtu_discovery",
    "mtu_upper",
    "gso",
    "send_fairness",
    "ack_threshold",
    "ack_delay_ms",
    "initial_rtt_us",
    "packet_threshold",
    "crypto",
];

/// Binds an endpoint on loopback.
pub(crate) async fn bind(knobs: &Transport) -> anyhow::Result<Endpoint> {
    let mut builder = Endpoint::builder(presets::Minimal)
        .alpns(vec![ALPN.to_vec()])
        .relay_mode(RelayMode::Disabled)
        .transport_config(config(knobs)?)
        .portmapper_config(PortmapperConfig::Disabled)
        .clear_ip_transports()
        .bind_addr(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    if let Some(name) = &knobs.crypto {
        builder = builder.crypto_provider(Arc::new(match name.as_str() {
            "ring" => rustls::crypto::ring::default_provider(),
            #[cfg(feature = "aws-lc")]
            "aws-lc" => rustls::crypto::aws_lc_rs::default_provider(),
            other => bail!("no such cryptography in this build: {other}"),
        }));
    }
    builder.bind().await.context("cannot bind an endpoint")
}

/// Where an endpoint is reached on this machine.
pub(crate) fn loopback(endpoint: &Endpoint) -> anyhow::Result<EndpointAddr> {
    let sockets = endpoint.bound_sockets();
    let socket = sockets.first().context("the endpoint is not bound")?;
    let addr = TransportAddr::Ip(*socket);
    Ok(EndpointAddr::from_parts(endpoint.id(), [addr]))
}

fn config(knobs: &Transport) -> anyhow::Result<QuicTransportConfig> {
    let window = |knob: Option<u32>, default| VarInt::from_u32(knob.unwrap_or(default));
    let mut config = QuicTransportConfig::builder()
        .max_idle_timeout(Some(Duration::from_secs(5).try_into()?))
        .keep_alive_interval(Duration::from_secs(2))
        .send_window(u64::from(knobs.send_window.unwrap_or(4 * 1024 * 1024)))
        .receive_window(window(knobs.receive_window, 16 * 1024 * 1024))
        .stream_receive_window(window(knobs.stream_receive_window, 512 * 1024))
        .max_concurrent_bidi_streams(VarInt::from_u32(1024))
        .max_concurrent_uni_streams(VarInt::from_u32(16))
        .datagram_receive_buffer_size(None);
    if let Some(factory) = congestion(knobs)? {
        config = config.congestion_controller_factory(factory);
    }
    if let Some(bytes) = knobs.initial_mtu {
        config = config.initial_mtu(bytes);
    }
    if let Some(bytes) = knobs.min_mtu {
        config = config.min_mtu(bytes);
    }
    if knobs.mtu_discovery == Some(false) {
        config = config.mtu_discovery_config(None);
    } else if let Some(bytes) = knobs.mtu_upper {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(bytes);
        config = config.mtu_discovery_config(Some(discovery));
    }
    if let Some(on) = knobs.gso {
        config = config.enable_segmentation_offload(on);
    }
    if let Some(on) = knobs.send_fairness {
        config = config.send_fairness(on);
    }
    if knobs.ack_threshold.is_some() || knobs.ack_delay_ms.is_some() {
        let mut acks = AckFrequencyConfig::default();
        if let Some(packets) = knobs.ack_threshold {
            acks.ack_eliciting_threshold(VarInt::from_u32(packets));
        }
        acks.max_ack_delay(knobs.ack_delay_ms.map(Duration::from_millis));
        config = config.ack_frequency_config(Some(acks));
    }
    if let Some(micros) = knobs.initial_rtt_us {
        config = config.initial_rtt(Duration::from_micros(micros));
    }
    if let Some(packets) = knobs.packet_threshold {
        config = config.packet_threshold(packets);
    }
    Ok(config.build())
}

type Factory = Arc<dyn ControllerFactory + Send + Sync>;

fn congestion(knobs: &Transport) -> anyhow::Result<Option<Factory>> {
    if knobs.congestion.is_none() && knobs.initial_window.is_none() {
        return Ok(None);
    }
    let window = knobs.initial_window;
    Ok(Some(match knobs.congestion.as_deref() {
        None | Some("cubic") => {
            let mut config = CubicConfig::default();
            window.map(|bytes| config.initial_window(bytes));
            Arc::new(config)
        }
        Some("newreno") => {
            let mut config = NewRenoConfig::default();
            window.map(|bytes| config.initial_window(bytes));
            Arc::new(config)
        }
        Some("bbr") => {
            let mut config = Bbr3Config::default();
            window.map(|bytes| config.initial_window(bytes));
            Arc::new(config)
        }
        Some(other) => bail!("no such congestion controller: {other}"),
    }))
}
