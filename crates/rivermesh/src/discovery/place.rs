//! Which addresses of an entry are dialed.

use iroh::TransportAddr;

/// Whether an address is that of one receiver. Who signs an entry chooses to whom all others send
/// packets; it must not be a whole network at once.
pub(super) fn is_one(addr: &TransportAddr) -> bool {
    let TransportAddr::Ip(addr) = addr else {
        return true;
    };
    let ip = addr.ip().to_canonical();
    let broadcast = matches!(ip, std::net::IpAddr::V4(ip) if ip.is_broadcast());
    addr.port() != 0 && !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_many_places_or_none_is_not_dialed() {
        let is_one = |addr: &str| is_one(&TransportAddr::Ip(addr.parse().unwrap()));
        for addr in ["127.0.0.1:1", "10.0.0.255:7", "[::1]:1", "[fe80::1]:65535"] {
            assert!(is_one(addr), "{addr}");
        }
        for addr in [
            "0.0.0.0:1",
            "[::]:1",
            "255.255.255.255:1",
            "224.0.0.251:5353",
            "[ff02::fb]:5353",
            "[::ffff:224.0.0.1]:1",
            "10.0.0.1:0",
        ] {
            assert!(!is_one(addr), "{addr}");
        }
    }
}
