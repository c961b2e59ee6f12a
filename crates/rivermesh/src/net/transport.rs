//! The QUIC settings of a node's connections.

use std::{sync::Arc, time::Duration};

use iroh::endpoint::{
    AckFrequencyConfig, ControllerFactory, MtuDiscoveryConfig, QuicTransportConfig, VarInt,
};
use noq_proto::congestion::{Bbr3Config, CubicConfig};

use super::endpoint::EndpointError;

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
    /// How the sending rate follows the network. Default [`Congestion::Cubic`].
    pub congestion: Congestion,
    /// Bytes of UDP payload that are sent before the path has been probed for more. Default 1,200,
    /// which every path of the internet carries (RFC 9000, section 14).
    pub initial_mtu: u16,
    /// Bytes of UDP payload up to which the path is probed (RFC 8899). Default 1,452, what Ethernet
    /// carries; 0 does not probe.
    pub max_mtu: u16,
    /// Hands the kernel many packets at once where it can cut them apart itself. Default on.
    pub segmentation_offload: bool,
    /// Divides a connection's sending fairly among its streams. Off sends what was written first
    /// first. Default on.
    pub fairness: bool,
    /// How often the other side is asked to acknowledge; `None` leaves it at every second packet.
    /// Default `None`.
    pub acknowledge: Option<Acknowledge>,
}

/// Settings of [`Transport`] that were measured to serve a kind of network. The book's page
/// *Transport* has the figures, and the commands that reproduce them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Profile {
    /// For one machine or one site, where round trips take less than some milliseconds: most
    /// deliveries per second, least CPU per delivery.
    #[default]
    Throughput,
    /// For links that lose packets, where what was lost must be there again soon: BBR, and an
    /// acknowledgement for every packet, within a millisecond. It takes more CPU, and bulk data goes slower
    /// than with [`Throughput`](Self::Throughput).
    Latency,
    /// Across the internet, where a round trip takes tens of milliseconds and packets are lost: BBR, and windows
    /// that hold what is on its way. A peer that does not read may cost up to eight times
    /// the memory.
    Wan,
}

impl From<Profile> for Transport {
    fn from(profile: Profile) -> Self {
        let usual = Self::default();
        match profile {
            Profile::Throughput => usual,
            Profile::Latency => Self {
                congestion: Congestion::Bbr,
                acknowledge: Some(Acknowledge {
                    packets: 0,
                    delay: Duration::from_millis(1),
                }),
                ..usual
            },
            Profile::Wan => Self {
                congestion: Congestion::Bbr,
                send_window: 16 * 1024 * 1024,
                receive_window: 32 * 1024 * 1024,
                stream_receive_window: 4 * 1024 * 1024,
                ..usual
            },
        }
    }
}

/// How the sending rate follows the network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Congestion {
    /// CUBIC (RFC 9438): backs off when packets are lost.
    #[default]
    Cubic,
    /// BBR version 3 (draft-ietf-ccwg-bbr): follows the bandwidth and round-trip time that it
    /// measures, so loss alone does not slow it down.
    Bbr,
}

impl Congestion {
    fn factory(self) -> Arc<dyn ControllerFactory + Send + Sync> {
        match self {
            Self::Cubic => Arc::new(CubicConfig::default()),
            Self::Bbr => Arc::new(Bbr3Config::default()),
        }
    }
}

/// What the other side is asked for by the acknowledgement frequency extension
/// (draft-ietf-quic-ack-frequency).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledge {
    /// Packets that may stay unacknowledged.
    pub packets: u32,
    /// The longest that an acknowledgement may wait. The transport holds it to between the other
    /// side's least delay and the greater of the round-trip time and 25 ms.
    pub delay: Duration,
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
            congestion: Congestion::default(),
            initial_mtu: 1200,
            max_mtu: 1452,
            segmentation_offload: true,
            fairness: true,
            acknowledge: None,
        }
    }
}

impl Transport {
    /// The settings in the transport's own words.
    pub(super) fn quic(&self) -> Result<QuicTransportConfig, EndpointError> {
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
            .congestion_controller_factory(self.congestion.factory())
            .initial_mtu(self.initial_mtu)
            .mtu_discovery_config(self.probing())
            .enable_segmentation_offload(self.segmentation_offload)
            .send_fairness(self.fairness)
            .ack_frequency_config(self.acknowledge.as_ref().map(Acknowledge::config))
            .build())
    }

    fn probing(&self) -> Option<MtuDiscoveryConfig> {
        (self.max_mtu > 0).then(|| {
            let mut config = MtuDiscoveryConfig::default();
            config.upper_bound(self.max_mtu);
            config
        })
    }
}

impl Acknowledge {
    fn config(&self) -> AckFrequencyConfig {
        let mut config = AckFrequencyConfig::default();
        config
            .ack_eliciting_threshold(VarInt::from_u32(self.packets))
            .max_ack_delay(Some(self.delay));
        config
    }
}
