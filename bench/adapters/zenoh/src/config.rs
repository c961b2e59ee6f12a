//! Configurations of sessions.

use std::net::{TcpListener, UdpSocket};

use anyhow::anyhow;
use serde_json::{Value, json};
use zenoh::Config;

/// The name in the certificate.
const NAME: &str = "localhost";
/// Where the settings of TLS, and with it QUIC, stand.
const TLS: &str = "transport/link/tls";

/// What carries the bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Tcp,
    Quic,
}

/// For the session that listens on loopback; and what [`connecting`] must know of it.
///
/// A session does not tell which port it got, so it gets one that was free just now.
pub(crate) fn listening(link: Link) -> anyhow::Result<(Config, Value)> {
    let mut config = base()?;
    let (locator, certificate) = match link {
        Link::Tcp => {
            let free = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?;
            (format!("tcp/{free}"), String::new())
        }
        Link::Quic => {
            let own = rcgen::generate_simple_self_signed([NAME.to_owned()])?;
            let certificate = own.cert.pem();
            let key = base64(&own.signing_key.serialize_pem());
            set(
                &mut config,
                &format!("{TLS}/listen_private_key_base64"),
                &key,
            )?;
            let shown = base64(&certificate);
            set(
                &mut config,
                &format!("{TLS}/listen_certificate_base64"),
                &shown,
            )?;
            let free = UdpSocket::bind(("127.0.0.1", 0))?.local_addr()?;
            (format!("quic/{NAME}:{}", free.port()), certificate)
        }
    };
    set(&mut config, "listen/endpoints", &json!([locator]))?;
    let addr = json!({ "locator": locator, "certificate": certificate });
    Ok((config, addr))
}

/// For a session that connects to `locator`.
pub(crate) fn connecting(link: Link, locator: &str, certificate: &str) -> anyhow::Result<Config> {
    let mut config = base()?;
    set(&mut config, "listen/endpoints", &json!([]))?;
    if link == Link::Quic {
        let root = format!("{TLS}/root_ca_certificate_base64");
        set(&mut config, &root, &base64(certificate))?;
    }
    set(&mut config, "connect/endpoints", &json!([locator]))?;
    Ok(config)
}

fn base() -> anyhow::Result<Config> {
    let mut config = Config::default();
    set(&mut config, "mode", &json!("peer"))?;
    set(&mut config, "scouting/multicast/enabled", &json!(false))?;
    set(&mut config, "scouting/gossip/enabled", &json!(false))?;
    Ok(config)
}

fn set(config: &mut Config, key: &str, value: &Value) -> anyhow::Result<()> {
    let set = config.insert_json5(key, &value.to_string());
    set.map_err(|error| anyhow!("{key}: {error}"))
}

fn base64(text: &str) -> Value {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for three in text.as_bytes().chunks(3) {
        let number = (0..3).fold(0_u32, |all, at| {
            all << 8 | u32::from(three.get(at).copied().unwrap_or(0))
        });
        for at in 0..4 {
            out.push(if at <= three.len() {
                char::from(ALPHABET[(number >> (18 - 6 * at)) as usize & 63])
            } else {
                '='
            });
        }
    }
    Value::String(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_as_in_rfc_4648() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
        ];
        for (text, wanted) in cases {
            assert_eq!(base64(text), json!(wanted));
        }
    }
}
