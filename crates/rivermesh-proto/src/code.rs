//! The one table of close codes (for connections) and reset codes (for streams).
//!
//! A code is on the wire, so a number is never used again for something else; the test below
//! keeps them stable. Codes below 0x100 end connections, from 0x100 on they end streams.

/// Why a connection or a stream was ended, as the peer is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
#[repr(u32)]
pub enum Code {
    /// The node shuts down or has no more use for the connection.
    Done = 0x00,
    /// The peer did not prove the network key, or belongs to another network.
    Unauthorized = 0x01,
    /// The peer sent bytes that are not a valid message.
    Malformed = 0x02,
    /// The peer sent a message over a limit.
    TooLarge = 0x03,
    /// A phase of the handshake took too long.
    Timeout = 0x04,
    /// Another connection between the same two nodes is kept instead.
    Duplicate = 0x05,
    /// The node has no room for another connection.
    Busy = 0x06,
    /// The peer speaks another version of the protocol.
    Version = 0x07,
    /// Nothing used the connection for a while.
    Idle = 0x08,
    /// The peer broke a rule of the protocol.
    Protocol = 0x09,

    /// The consumer does not want the stream any more, or the producer has ended it.
    Closed = 0x100,
    /// The subscription was refused; the reason stands in the reply.
    Refused = 0x101,
    /// The producer no longer admits this consumer.
    Revoked = 0x102,
    /// The consumer fell behind and had asked to be disconnected then.
    Lagged = 0x103,
    /// A message on the stream was not valid.
    BadFrame = 0x104,
    /// The kind of stream is not known.
    UnknownKind = 0x105,
    /// An internal task failed.
    Internal = 0x106,
}

impl Code {
    /// All codes, in the order of their numbers.
    pub const ALL: [Self; 17] = [
        Self::Done,
        Self::Unauthorized,
        Self::Malformed,
        Self::TooLarge,
        Self::Timeout,
        Self::Duplicate,
        Self::Busy,
        Self::Version,
        Self::Idle,
        Self::Protocol,
        Self::Closed,
        Self::Refused,
        Self::Revoked,
        Self::Lagged,
        Self::BadFrame,
        Self::UnknownKind,
        Self::Internal,
    ];

    /// The number on the wire.
    #[must_use]
    pub const fn number(self) -> u32 {
        self as u32
    }

    /// The code with this number, if there is one.
    #[must_use]
    pub fn from_number(number: u64) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|code| u64::from(code.number()) == number)
    }

    /// The reason in a few words, sent along when a connection is closed.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unauthorized => "not a member of this network",
            Self::Malformed => "malformed message",
            Self::TooLarge => "message over a limit",
            Self::Timeout => "handshake took too long",
            Self::Duplicate => "another connection is kept",
            Self::Busy => "no room for another connection",
            Self::Version => "protocol version not supported",
            Self::Idle => "idle",
            Self::Protocol => "protocol violation",
            Self::Closed => "closed",
            Self::Refused => "refused",
            Self::Revoked => "no longer admitted",
            Self::Lagged => "fell behind",
            Self::BadFrame => "malformed frame",
            Self::UnknownKind => "unknown kind of stream",
            Self::Internal => "internal failure",
        }
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} (code {:#x})", self.reason(), self.number())
    }
}

#[cfg(test)]
mod tests {
    use super::Code;

    #[test]
    fn numbers_are_stable_and_distinct() {
        let numbers: Vec<u32> = Code::ALL.into_iter().map(Code::number).collect();
        let expected: Vec<u32> = (0x00..=0x09).chain(0x100..=0x106).collect();
        assert_eq!(numbers, expected);
        for code in Code::ALL {
            assert_eq!(Code::from_number(u64::from(code.number())), Some(code));
        }
        assert_eq!(Code::from_number(0x0a), None);
        assert_eq!(Code::from_number(u64::MAX), None);
    }
}
