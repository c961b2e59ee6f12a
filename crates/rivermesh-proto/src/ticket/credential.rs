//! What is shown in a handshake: a ticket, or the token of an identity provider.

use std::fmt;

use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::{Ticket, VERSION};
use crate::limits;

/// Bytes that prove what a node may do; 1 to [`limits::TICKET`] of them, and not looked into.
///
/// `Debug` shows their number only. A ticket is no secret, a token may be.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Credential(Bytes);

/// Bytes are too few or too many for a credential.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a credential has 1 to {max} bytes, got {got}", max = limits::TICKET)]
pub struct BadCredential {
    got: usize,
}

/// What a credential seems to be, by its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Kind {
    /// A [`Ticket`].
    Ticket,
    /// A JSON Web Token (RFC 7519) in its compact form.
    Jwt,
    /// Something else.
    Unknown,
}

impl Credential {
    /// A credential of these bytes.
    ///
    /// # Errors
    /// When there are none or too many.
    pub fn new(bytes: impl Into<Bytes>) -> Result<Self, BadCredential> {
        let bytes = bytes.into();
        if bytes.is_empty() || bytes.len() > limits::TICKET {
            return Err(BadCredential { got: bytes.len() });
        }
        Ok(Self(bytes))
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Its BLAKE3 hash, which names it.
    #[must_use]
    pub fn hash(&self) -> [u8; 32] {
        *blake3::hash(&self.0).as_bytes()
    }

    /// What it seems to be.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self.0.first() {
            Some(&VERSION) => Kind::Ticket,
            // Base64 of `{"`, with which the header of each token begins.
            Some(b'e') => Kind::Jwt,
            _ => Kind::Unknown,
        }
    }
}

impl From<&Ticket> for Credential {
    fn from(ticket: &Ticket) -> Self {
        Self(ticket.as_bytes().clone())
    }
}

impl From<Ticket> for Credential {
    fn from(ticket: Ticket) -> Self {
        Self::from(&ticket)
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credential({} bytes)", self.0.len())
    }
}

impl Serialize for Credential {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Credential {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // Postcard gives at most what the message holds, which is bounded already.
        let bytes = Bytes::deserialize(deserializer)?;
        Self::new(bytes).map_err(de::Error::custom)
    }
}
