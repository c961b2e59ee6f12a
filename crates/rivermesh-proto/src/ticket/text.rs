//! The form that people copy: a word, and lower-case base32 (RFC 4648, without padding) of the bytes
//! and of the first 4 bytes of their BLAKE3 hash, which finds typing errors and nothing else.

use std::{fmt, str::FromStr};

use data_encoding::BASE32_NOPAD;
use thiserror::Error;

use super::{RevocationError, RevocationList, Ticket, TicketError};
use crate::limits;

/// What a ticket's text begins with.
pub const TICKET_PREFIX: &str = "rmticket";

/// What a revocation list's text begins with.
pub const REVOCATIONS_PREFIX: &str = "rmrevoked";

const CHECKSUM: usize = 4;

/// A text is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TextError {
    /// The text is something else.
    #[error("it begins with `{prefix}` and goes on with letters a-z and digits 2-7")]
    Other {
        /// The word that was expected.
        prefix: &'static str,
    },
    /// The text is longer than any that has sense.
    #[error("it is too long")]
    TooLong,
    /// The checksum does not fit the rest.
    #[error("it has a typo or is cut off: its checksum is wrong")]
    Checksum,
    /// It is no ticket.
    #[error(transparent)]
    Ticket(TicketError),
    /// It is no revocation list.
    #[error(transparent)]
    Revocations(RevocationError),
}

fn write(prefix: &str, bytes: &[u8]) -> String {
    let hash = blake3::hash(bytes);
    let whole = [bytes, &hash.as_bytes()[..CHECKSUM]].concat();
    let mut text = BASE32_NOPAD.encode(&whole);
    text.make_ascii_lowercase();
    text.insert_str(0, prefix);
    text
}

fn read(prefix: &'static str, text: &str, limit: usize) -> Result<Vec<u8>, TextError> {
    let text = text.trim();
    // Eight letters for five bytes.
    if text.len() > prefix.len() + (limit + CHECKSUM) * 8 / 5 + 1 {
        return Err(TextError::TooLong);
    }
    let text = text.to_ascii_uppercase();
    let other = || TextError::Other { prefix };
    let encoded = text
        .strip_prefix(&prefix.to_ascii_uppercase())
        .ok_or_else(other)?;
    let is_letter = |b: u8| b.is_ascii_uppercase() || (b'2'..=b'7').contains(&b);
    if !encoded.bytes().all(is_letter) {
        return Err(other());
    }
    let mut bytes = BASE32_NOPAD
        .decode(encoded.as_bytes())
        .map_err(|_| TextError::Checksum)?;
    let (content, sum) = bytes
        .split_last_chunk::<CHECKSUM>()
        .ok_or(TextError::Checksum)?;
    if blake3::hash(content).as_bytes()[..CHECKSUM] != *sum {
        return Err(TextError::Checksum);
    }
    bytes.truncate(bytes.len() - CHECKSUM);
    Ok(bytes)
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write(TICKET_PREFIX, self.as_bytes()))
    }
}

impl FromStr for Ticket {
    type Err = TextError;

    /// Reads a ticket; white space around it and upper case are accepted.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = read(TICKET_PREFIX, text, limits::TICKET)?;
        Self::decode(&bytes).map_err(TextError::Ticket)
    }
}

impl fmt::Display for RevocationList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&write(REVOCATIONS_PREFIX, self.as_bytes()))
    }
}

impl FromStr for RevocationList {
    type Err = TextError;

    /// Reads a list and checks its signature; white space around it and upper case are accepted.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = read(REVOCATIONS_PREFIX, text, limits::REVOCATIONS)?;
        Self::decode(&bytes).map_err(TextError::Revocations)
    }
}
