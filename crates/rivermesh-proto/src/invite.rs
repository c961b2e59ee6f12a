//! The string a person pastes to join: network, addresses of some members, and the key if there is
//! one.
//!
//! The text is `rivermesh` and lower-case base32 (RFC 4648, without padding) of: a version byte (1),
//! a postcard body, and the first 4 bytes of the BLAKE3 hash of both, so that a mistyped or cut
//! invite is told from a wrong one. The checksum is no protection against anybody who means harm:
//! an invite is as trustworthy as the way it came.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use iroh_base::EndpointAddr;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{
    ids::{NetworkId, NetworkKey},
    limits, wire,
};

/// What every invite begins with.
pub const PREFIX: &str = "rivermesh";

/// Nodes that an invite names at most.
pub const NODES: usize = 8;

/// The longest invite, in bytes of text without white space around it.
pub const TEXT: usize = 2048;

const VERSION: u8 = 1;
const CHECKSUM: usize = 4;

/// An invitation to a network.
///
/// **An invite with a key is a secret**: whoever reads it is a member. `Display` shows all of it,
/// for that is what it is for; `Debug` does not show the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invite {
    network: String,
    key: Option<NetworkKey>,
    nodes: Vec<EndpointAddr>,
}

/// An invite cannot be made of this, or a text is not an invite.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InviteError {
    /// The text is something else.
    #[error(
        "not an invite: an invite begins with `{PREFIX}` and goes on with letters a-z and digits 2-7"
    )]
    NotAnInvite,
    /// The checksum does not fit the rest.
    #[error("the invite has a typo or is cut off: its checksum is wrong")]
    Checksum,
    /// The invite was made by another version.
    #[error("the invite has version {found}, known is {VERSION}: a newer program may read it")]
    Version {
        /// The version of the invite.
        found: u8,
    },
    /// The checksum is right, the content is not: the program that made the invite is at fault.
    #[error("the invite's content cannot be read")]
    Content(#[source] wire::DecodeError),
    /// The network's name is no name.
    #[error(
        "a network's name has 1 to {max} bytes and no control characters",
        max = limits::NETWORK_NAME
    )]
    NetworkName,
    /// The invite has more of something than it may have.
    #[error("the invite has {got} {what}, at most {limit} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        got: usize,
        /// How many are allowed.
        limit: usize,
    },
}

/// The body on the wire.
#[derive(Serialize, Deserialize)]
struct Body {
    network: String,
    key: Option<[u8; 32]>,
    nodes: Vec<EndpointAddr>,
}

impl Invite {
    /// An invite to the network `network`, where `nodes` can be met.
    ///
    /// # Errors
    /// When the name is not one (1 to [`limits::NETWORK_NAME`] bytes, no control characters), when
    /// there are more than [`NODES`] nodes or [`limits::ADDRS`] addresses of one, or when the text
    /// would be longer than [`TEXT`] bytes. [`fitting`](Self::fitting) leaves addresses out instead.
    pub fn new(
        network: impl Into<String>,
        key: Option<NetworkKey>,
        nodes: Vec<EndpointAddr>,
    ) -> Result<Self, InviteError> {
        let invite = Self {
            network: network.into(),
            key,
            nodes,
        };
        invite.check()?;
        Ok(invite)
    }

    /// An invite with as many of `nodes` and their addresses as fit: what is over a limit is left
    /// out, from the end.
    ///
    /// # Errors
    /// When the name is not one.
    pub fn fitting(
        network: impl Into<String>,
        key: Option<NetworkKey>,
        nodes: impl IntoIterator<Item = EndpointAddr>,
    ) -> Result<Self, InviteError> {
        let mut invite = Self::new(network, key, Vec::new())?;
        for node in nodes.into_iter().take(NODES) {
            invite.nodes.push(EndpointAddr::new(node.id));
            if invite.check().is_err() {
                invite.nodes.pop();
                break;
            }
            for addr in node.addrs {
                let Some(last) = invite.nodes.last_mut() else {
                    break;
                };
                last.addrs.insert(addr.clone());
                if invite.check().is_err()
                    && let Some(last) = invite.nodes.last_mut()
                {
                    last.addrs.remove(&addr);
                }
            }
        }
        Ok(invite)
    }

    /// The name of the network.
    #[must_use]
    pub fn network(&self) -> &str {
        &self.network
    }

    /// The id of the network.
    #[must_use]
    pub fn network_id(&self) -> NetworkId {
        NetworkId::of(&self.network)
    }

    /// The key of the network, if it has one.
    #[must_use]
    pub const fn key(&self) -> Option<&NetworkKey> {
        self.key.as_ref()
    }

    /// Where members can be met.
    #[must_use]
    pub fn nodes(&self) -> &[EndpointAddr] {
        &self.nodes
    }

    fn check(&self) -> Result<(), InviteError> {
        let name = &self.network;
        if name.is_empty() || name.len() > limits::NETWORK_NAME || name.contains(char::is_control) {
            return Err(InviteError::NetworkName);
        }
        at_most("nodes", self.nodes.len(), NODES)?;
        for node in &self.nodes {
            at_most("addresses of one node", node.addrs.len(), limits::ADDRS)?;
        }
        at_most("characters", self.text()?.len(), TEXT)
    }

    fn text(&self) -> Result<String, InviteError> {
        let body = Body {
            network: self.network.clone(),
            key: self.key.as_ref().map(|key| *key.secret_bytes()),
            nodes: self.nodes.clone(),
        };
        let mut bytes = postcard::to_extend(&body, vec![VERSION])
            .map_err(|error| InviteError::Content(wire::DecodeError::Invalid(error)))?;
        bytes.extend_from_slice(&checksum(&bytes));
        let mut text = BASE32_NOPAD.encode(&bytes);
        text.make_ascii_lowercase();
        text.insert_str(0, PREFIX);
        Ok(text)
    }
}

impl fmt::Display for Invite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text().map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Invite {
    type Err = InviteError;

    /// Reads an invite; white space around it and upper case are accepted.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        at_most("characters", text.len(), TEXT)?;
        let text = text.to_ascii_uppercase();
        let encoded = text
            .strip_prefix(&PREFIX.to_ascii_uppercase())
            .ok_or(InviteError::NotAnInvite)?;
        if !encoded
            .bytes()
            .all(|b| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b))
        {
            return Err(InviteError::NotAnInvite);
        }
        // The right letters, but not in a number, or with an end, that an encoder makes.
        let bytes = BASE32_NOPAD
            .decode(encoded.as_bytes())
            .map_err(|_| InviteError::Checksum)?;
        let (content, sum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or(InviteError::Checksum)?;
        if checksum(content) != *sum {
            return Err(InviteError::Checksum);
        }
        let (version, body) = content.split_first().ok_or(InviteError::Checksum)?;
        if *version != VERSION {
            return Err(InviteError::Version { found: *version });
        }
        let body: Body = wire::decode(body).map_err(InviteError::Content)?;
        Self::new(
            body.network,
            body.key.map(NetworkKey::from_bytes),
            body.nodes,
        )
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let hash = blake3::hash(bytes);
    let [a, b, c, d, ..] = *hash.as_bytes();
    [a, b, c, d]
}

const fn at_most(what: &'static str, got: usize, limit: usize) -> Result<(), InviteError> {
    if got > limit {
        return Err(InviteError::TooMany { what, got, limit });
    }
    Ok(())
}
