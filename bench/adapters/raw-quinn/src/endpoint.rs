//! quinn's endpoints with the QUIC settings that Rivermesh gives to iroh.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use harness::Transport;
use quinn::{
    AckFrequencyConfig, ClientConfig, Endpoint, MtuDiscoveryConfig, ServerConfig, TransportConfig,
    VarInt, congestion,
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivatePkcs8KeyDer},
};

/// The name in the certificate.
pub(crate) const NAME: &str = "localhost";
const LOOPBACK: ([u8; 4], u16) = ([127, 0, 0, 1], 0);

/// The settings that can be changed: all but the cryptography.
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
];

/// An endpoint that accepts, and its certificate.
pub(crate) fn server(knobs: &Transport) -> anyhow::Result<(Endpoint, Vec<u8>)> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let own = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
    let certificate = own.cert.der().clone();
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let mut config = ServerConfig::with_single_cert(vec![certificate.clone()], key.into())?;
    config.transport_config(transport(knobs)?);
    let endpoint = Endpoint::server(config, SocketAddr::from(LOOPBACK));
    let endpoint = endpoint.context("cannot bind an endpoint")?;
    Ok((endpoint, certificate.to_vec()))
}

/// An endpoint that connects to one with this certificate.
pub(crate) fn client(knobs: &Transport, certificate: Vec<u8>) -> anyhow::Result<Endpoint> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(certificate))?;
    let mut config = ClientConfig::with_root_certificates(Arc::new(roots))?;
    config.transport_config(transport(knobs)?);
    let mut endpoint = Endpoint::client(SocketAddr::from(LOOPBACK))?;
    endpoint.set_default_client_config(config);
    Ok(endpoint)
}

fn transport(knobs: &Transport) -> anyhow::Result<Arc<TransportConfig>> {
    let window = |knob: Option<u32>, default| VarInt::from_u32(knob.unwrap_or(default));
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(Duration::from_secs(5).try_into()?))
        .keep_alive_interval(Some(Duration::from_secs(2)))
        .send_window(u64::from(knobs.send_window.unwrap_or(4 * 1024 * 1024)))
        .receive_window(window(knobs.receive_window, 16 * 1024 * 1024))
        .stream_receive_window(window(knobs.stream_receive_window, 512 * 1024))
        .max_concurrent_bidi_streams(VarInt::from_u32(1024))
        .max_concurrent_uni_streams(VarInt::from_u32(16))
        .datagram_receive_buffer_size(None);
    congestion(knobs, &mut config)?;
    knobs.initial_mtu.map(|bytes| config.initial_mtu(bytes));
    knobs.min_mtu.map(|bytes| config.min_mtu(bytes));
    if knobs.mtu_discovery == Some(false) {
        config.mtu_discovery_config(None);
    } else if let Some(bytes) = knobs.mtu_upper {
        let mut discovery = MtuDiscoveryConfig::default();
        discovery.upper_bound(bytes);
        config.mtu_discovery_config(Some(discovery));
    }
    knobs.gso.map(|on| config.enable_segmentation_offload(on));
    knobs.send_fairness.map(|on| config.send_fairness(on));
    if knobs.ack_threshold.is_some() || knobs.ack_delay_ms.is_some() {
        let mut acks = AckFrequencyConfig::default();
        if let Some(packets) = knobs.ack_threshold {
            acks.ack_eliciting_threshold(VarInt::from_u32(packets));
        }
        acks.max_ack_delay(knobs.ack_delay_ms.map(Duration::from_millis));
        config.ack_frequency_config(Some(acks));
    }
    if let Some(micros) = knobs.initial_rtt_us {
        config.initial_rtt(Duration::from_micros(micros));
    }
    knobs.packet_threshold.map(|n| config.packet_threshold(n));
    Ok(Arc::new(config))
}

fn congestion(knobs: &Transport, config: &mut TransportConfig) -> anyhow::Result<()> {
    if knobs.congestion.is_none() && knobs.initial_window.is_none() {
        return Ok(());
    }
    let window = knobs.initial_window;
    match knobs.congestion.as_deref() {
        None | Some("cubic") => {
            let mut cubic = congestion::CubicConfig::default();
            window.map(|bytes| cubic.initial_window(bytes));
            config.congestion_controller_factory(Arc::new(cubic));
        }
        Some("newreno") => {
            let mut newreno = congestion::NewRenoConfig::default();
            window.map(|bytes| newreno.initial_window(bytes));
            config.congestion_controller_factory(Arc::new(newreno));
        }
        Some("bbr") => {
            let mut bbr = congestion::BbrConfig::default();
            window.map(|bytes| bbr.initial_window(bytes));
            config.congestion_controller_factory(Arc::new(bbr));
        }
        Some(other) => bail!("no such congestion controller: {other}"),
    }
    Ok(())
}
