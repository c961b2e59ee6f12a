//! The names of things.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::limits;

/// A node's identity: its Ed25519 public key, which is also iroh's `EndpointId`.
pub type NodeId = iroh_base::PublicKey;

/// The position of an item in what one producer sent in one epoch, counted from 0.
pub type Seq = u64;

/// A network, named by a hash of its name; two networks with different names never mix.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NetworkId([u8; 32]);

impl NetworkId {
    /// The id of the network with this name (BLAKE3 in key derivation mode).
    #[must_use]
    pub fn of(name: &str) -> Self {
        Self(blake3::derive_key(
            "rivermesh 2026-11 network id",
            name.as_bytes(),
        ))
    }

    /// The id that has these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0[..8]))
    }
}

impl fmt::Debug for NetworkId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NetworkId({self})")
    }
}

/// The secret that members of a keyed network share. Its `Debug` form shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub struct NetworkKey([u8; 32]);

/// A text is not a network key.
#[derive(Debug, Error)]
#[error("a network key is 64 hexadecimal digits, got {got} characters that are not that")]
pub struct BadNetworkKey {
    got: usize,
}

impl NetworkKey {
    /// A key from 32 secret bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// A key derived from a passphrase (BLAKE3 key derivation: no stretching, so the passphrase
    /// must have the strength of a key, 16 random words for example).
    #[must_use]
    pub fn from_passphrase(passphrase: &str) -> Self {
        Self(blake3::derive_key(
            "rivermesh 2026-11 network key",
            passphrase.as_bytes(),
        ))
    }

    /// The secret bytes.
    #[must_use]
    pub const fn secret_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The key as 64 hexadecimal digits, the form that [`FromStr`] reads.
    #[must_use]
    pub fn to_secret_hex(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0)
    }
}

impl FromStr for NetworkKey {
    type Err = BadNetworkKey;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadNetworkKey {
            got: text.chars().count(),
        };
        let bytes = data_encoding::HEXLOWER_PERMISSIVE
            .decode(text.trim().as_bytes())
            .map_err(|_| bad())?;
        Ok(Self(bytes.try_into().map_err(|_| bad())?))
    }
}

impl fmt::Debug for NetworkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NetworkKey(…)")
    }
}

/// The name of a stream: 1 to 128 bytes of UTF-8 without white space or control characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamName(std::sync::Arc<str>);

/// A text is not a stream name.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadStreamName {
    /// The text is empty.
    #[error("a stream name must not be empty")]
    Empty,
    /// The text is too long.
    #[error("a stream name has at most {max} bytes, got {got}", max = limits::STREAM_NAME)]
    TooLong {
        /// Bytes of the text.
        got: usize,
    },
    /// The text has a character that names may not have.
    #[error("a stream name has no white space or control characters, got {found:?} at byte {at}")]
    BadCharacter {
        /// The character.
        found: char,
        /// Its offset in bytes.
        at: usize,
    },
}

impl StreamName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When the text is empty, too long, or has white space or control characters.
    pub fn new(name: &str) -> Result<Self, BadStreamName> {
        if name.is_empty() {
            return Err(BadStreamName::Empty);
        }
        if name.len() > limits::STREAM_NAME {
            return Err(BadStreamName::TooLong { got: name.len() });
        }
        if let Some((at, found)) = name
            .char_indices()
            .find(|(_, c)| c.is_whitespace() || c.is_control())
        {
            return Err(BadStreamName::BadCharacter { found, at });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for StreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for StreamName {
    type Err = BadStreamName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl Serialize for StreamName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for StreamName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// A random number that names one life of one producer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Epoch(pub u64);

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Epoch({self})")
    }
}

/// A hash of the shape of a stream's items; equal shapes have equal fingerprints everywhere.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 8]);

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stream_names_are_checked() {
        assert_eq!(
            StreamName::new("weather/JFK").unwrap().as_str(),
            "weather/JFK"
        );
        assert_eq!(StreamName::new(""), Err(BadStreamName::Empty));
        assert_eq!(
            StreamName::new("a b"),
            Err(BadStreamName::BadCharacter { found: ' ', at: 1 })
        );
        assert_eq!(
            StreamName::new(&"x".repeat(129)),
            Err(BadStreamName::TooLong { got: 129 })
        );
        let bytes = postcard::to_stdvec("a\nb").unwrap();
        assert!(postcard::from_bytes::<StreamName>(&bytes).is_err());
    }

    #[test]
    fn a_network_key_does_not_show_itself() {
        let key = NetworkKey::from_passphrase("secret");
        assert_eq!(format!("{key:?}"), "NetworkKey(…)");
        assert_eq!(key.to_secret_hex().parse::<NetworkKey>().unwrap(), key);
        assert!("abc".parse::<NetworkKey>().is_err());
    }
}
