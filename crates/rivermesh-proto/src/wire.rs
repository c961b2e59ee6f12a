//! Bounded framing and strict decoding of control messages, and the words that name protocol and
//! kinds of streams.
//!
//! A control message is a length (`u32`, little endian) and a [postcard] body of that many bytes.
//! A reader takes the 4 bytes of the prefix, asks [`body_len`] whether the length is allowed here,
//! only then takes memory for the body, and hands the body to [`decode`].
//!
//! What may be sent as a control message is a type without recursion and without collections of
//! zero-sized elements: then decoding takes time and memory in proportion to the body alone.
//!
//! Data frames are not control messages: see [`batch`](crate::batch).

use serde::{Serialize, de::DeserializeOwned};
use thiserror::Error;

use crate::code::Code;

/// The name and version of the protocol, as agreed in the TLS handshake (ALPN, RFC 7301).
pub const ALPN: &[u8] = b"rivermesh/1";

/// Bytes of the length prefix of a control message.
pub const PREFIX: usize = 4;

/// What a QUIC stream is for: its first byte, once the handshake is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u8)]
pub enum StreamKind {
    /// Messages of the gossip protocol; unidirectional, each direction has its own stream.
    Gossip = 1,
    /// One sync of two catalogs; bidirectional.
    Sync = 2,
    /// One subscription; bidirectional, opened by the consumer.
    Subscribe = 3,
    /// How far the consumers with a name are: one request, one answer; bidirectional.
    Lag = 4,
    /// Lists of revoked tickets; unidirectional.
    Revocations = 5,
    /// Why a node receives a stream, or does not: one request, one answer; bidirectional.
    Explain = 6,
}

impl StreamKind {
    /// All kinds, in the order of their bytes.
    pub const ALL: [Self; 6] = [
        Self::Gossip,
        Self::Sync,
        Self::Subscribe,
        Self::Lag,
        Self::Revocations,
        Self::Explain,
    ];

    /// The byte on the wire.
    #[must_use]
    pub const fn byte(self) -> u8 {
        self as u8
    }

    /// The kind with this byte, if there is one.
    #[must_use]
    pub const fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            1 => Some(Self::Gossip),
            2 => Some(Self::Sync),
            3 => Some(Self::Subscribe),
            4 => Some(Self::Lag),
            5 => Some(Self::Revocations),
            6 => Some(Self::Explain),
            _ => None,
        }
    }
}

/// A message cannot be sent. Nothing was sent; the message is at fault, not the peer.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EncodeError {
    /// The message is longer than the peer would take.
    #[error("message of {len} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes of the encoded body.
        len: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// The encoded message has no bytes at all, which no peer would take.
    #[error("message is empty")]
    Empty,
    /// The value has no encoding.
    #[error("message cannot be encoded")]
    Unsupported(#[source] postcard::Error),
}

/// Bytes from a peer are not the message they should be. The stream they came on is of no use
/// any more: end it, or the connection, with [`code`](Self::code).
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The prefix announces more than is allowed.
    #[error("message of {len} bytes is over the limit of {limit}")]
    TooLarge {
        /// Bytes that were announced or received.
        len: usize,
        /// Bytes that are allowed.
        limit: usize,
    },
    /// The message has no bytes; no control message is empty.
    #[error("message is empty")]
    Empty,
    /// The body ends before the message does.
    #[error("message is cut off after {len} bytes")]
    Truncated {
        /// Bytes of the body.
        len: usize,
    },
    /// The body goes on after the message has ended.
    #[error("message is followed by {extra} bytes that do not belong to it")]
    Trailing {
        /// Bytes too many.
        extra: usize,
    },
    /// The body does not hold a value of the type that is due here.
    #[error("message is malformed")]
    Invalid(#[source] postcard::Error),
}

impl DecodeError {
    /// The code to end the connection with.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::TooLarge { .. } => Code::TooLarge,
            _ => Code::Malformed,
        }
    }
}

/// Encodes a message with its length prefix, ready to be written.
///
/// # Errors
/// When the body is empty or longer than `limit` bytes, or when the value has no encoding.
pub fn encode<T: Serialize + ?Sized>(message: &T, limit: usize) -> Result<Vec<u8>, EncodeError> {
    let mut bytes =
        postcard::to_extend(message, vec![0; PREFIX]).map_err(EncodeError::Unsupported)?;
    let len = bytes.len() - PREFIX;
    if len == 0 {
        return Err(EncodeError::Empty);
    }
    let too_large = EncodeError::TooLarge { len, limit };
    if len > limit {
        return Err(too_large);
    }
    let prefix = u32::try_from(len).map_err(|_| too_large)?.to_le_bytes();
    bytes[..PREFIX].copy_from_slice(&prefix);
    Ok(bytes)
}

/// Reads a length prefix: the bytes of the body that follows, from 1 to `limit`.
///
/// # Errors
/// When the length is 0 or over `limit`. No memory has been taken then.
pub const fn body_len(prefix: [u8; PREFIX], limit: usize) -> Result<usize, DecodeError> {
    let len = u32::from_le_bytes(prefix) as usize;
    if len == 0 {
        return Err(DecodeError::Empty);
    }
    if len > limit {
        return Err(DecodeError::TooLarge { len, limit });
    }
    Ok(len)
}

/// Decodes a body that holds one message and nothing else.
///
/// # Errors
/// When the body is empty, cut off, followed by further bytes, or not a value of `T`.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, DecodeError> {
    if body.is_empty() {
        return Err(DecodeError::Empty);
    }
    let (message, rest) = postcard::take_from_bytes(body).map_err(|error| match error {
        postcard::Error::DeserializeUnexpectedEnd => DecodeError::Truncated { len: body.len() },
        other => DecodeError::Invalid(other),
    })?;
    if !rest.is_empty() {
        return Err(DecodeError::Trailing { extra: rest.len() });
    }
    Ok(message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Message = (u64, Option<[u8; 4]>, String);

    #[test]
    fn kinds_are_stable() {
        let bytes: Vec<u8> = StreamKind::ALL.into_iter().map(StreamKind::byte).collect();
        assert_eq!(bytes, [1, 2, 3, 4, 5, 6]);
        for byte in 0..=u8::MAX {
            let kind = StreamKind::from_byte(byte);
            assert_eq!(kind.is_some(), bytes.contains(&byte));
            assert!(kind.is_none_or(|kind| kind.byte() == byte));
        }
        assert_eq!(ALPN, b"rivermesh/1");
    }

    #[test]
    fn golden_frame() {
        let message: Message = (300, Some([1, 2, 3, 4]), "hi".to_owned());
        let frame = encode(&message, 64).unwrap();
        assert_eq!(
            frame,
            [10, 0, 0, 0, 0xac, 0x02, 1, 1, 2, 3, 4, 2, b'h', b'i']
        );
    }

    #[test]
    fn the_prefix_is_checked_first() {
        assert_eq!(body_len([0; 4], 16), Err(DecodeError::Empty));
        assert_eq!(
            body_len([0xff; 4], 16),
            Err(DecodeError::TooLarge {
                len: 0xffff_ffff,
                limit: 16
            })
        );
        assert_eq!(body_len([16, 0, 0, 0], 16), Ok(16));
        assert_eq!(
            body_len([17, 0, 0, 0], 16),
            Err(DecodeError::TooLarge { len: 17, limit: 16 })
        );
        let error = body_len([0xff; 4], 16).unwrap_err();
        assert_eq!(
            error.to_string(),
            "message of 4294967295 bytes is over the limit of 16"
        );
        assert_eq!(error.code(), Code::TooLarge);
        assert_eq!(DecodeError::Empty.code(), Code::Malformed);
    }

    #[test]
    fn encoding_respects_the_limit() {
        assert_eq!(
            encode("four", 4),
            Err(EncodeError::TooLarge { len: 5, limit: 4 })
        );
        assert!(encode("four", 5).is_ok());
        assert_eq!(encode(&(), 5), Err(EncodeError::Empty));
    }

    #[test]
    fn a_length_inside_of_a_body_takes_no_memory() {
        // A string and a list that claim 4 GiB.
        let claim = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(decode::<String>(&claim).is_err());
        assert!(decode::<Vec<u64>>(&claim).is_err());
        assert!(decode::<bytes::Bytes>(&claim).is_err());
    }

    proptest! {
        #[test]
        fn round_trip(message: Message) {
            let frame = encode(&message, usize::MAX).unwrap();
            let (prefix, body) = frame.split_at(PREFIX);
            prop_assert_eq!(body_len(prefix.try_into().unwrap(), body.len()), Ok(body.len()));
            prop_assert_eq!(decode::<Message>(body).unwrap(), message);
        }

        #[test]
        fn anything_but_the_whole_body_is_refused(message: Message, extra: u8) {
            let frame = encode(&message, usize::MAX).unwrap();
            let body = &frame[PREFIX..];
            for len in 0..body.len() {
                prop_assert!(decode::<Message>(&body[..len]).is_err());
            }
            let mut long = body.to_vec();
            long.push(extra);
            prop_assert_eq!(decode::<Message>(&long), Err(DecodeError::Trailing { extra: 1 }));
        }

        #[test]
        fn garbage_is_no_panic(body: Vec<u8>) {
            let _ = decode::<Message>(&body);
            let _ = decode::<Vec<String>>(&body);
        }
    }
}
