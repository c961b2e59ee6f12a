//! Asking a producer why a node receives its stream, or does not.
//!
//! On a stream of kind [`Explain`](crate::wire::StreamKind::Explain) one [`ExplainRequest`], answered by
//! one [`ExplainReply`]. The answer is for people: what it says in words comes from a peer, so it is
//! short, and has no control characters that a terminal might obey.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::{
    ids::{NodeId, StreamName},
    limits,
    named::bounded,
    ticket::Credential,
    wire::{self, DecodeError, EncodeError},
};

/// What must be so before a peer receives a stream, in the order in which it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Part {
    /// The node that is asked produces the stream.
    Stream,
    /// It lists the peer, and thinks that it runs.
    Catalog,
    /// There is a connection.
    Connection,
    /// The peer has proved the network's key, where there is one.
    NetworkKey,
    /// The peer meets the stream's requirement.
    Requirement,
    /// The peer has shown a ticket that is good for the stream, where one is asked for.
    Ticket,
    /// The peer is subscribed; or there is room for it to be.
    Capacity,
    /// The peer's filter.
    Filter,
    /// How far behind the peer is.
    Lag,
}

impl Part {
    /// All parts, in order.
    pub const ALL: [Self; 9] = [
        Self::Stream,
        Self::Catalog,
        Self::Connection,
        Self::NetworkKey,
        Self::Requirement,
        Self::Ticket,
        Self::Capacity,
        Self::Filter,
        Self::Lag,
    ];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Stream => "stream",
            Self::Catalog => "catalog",
            Self::Connection => "connection",
            Self::NetworkKey => "network key",
            Self::Requirement => "requirement",
            Self::Ticket => "ticket",
            Self::Capacity => "capacity",
            Self::Filter => "filter",
            Self::Lag => "lag",
        })
    }
}

/// What was seen, in plain words: at most [`limits::FINDING`] bytes without control characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding(String);

impl Finding {
    /// Takes a text: control characters are replaced, and what is too long is cut off.
    #[must_use]
    pub fn new(text: &str) -> Self {
        const CUT: &str = "…";
        let plain = |c: char| if c.is_control() { '\u{fffd}' } else { c };
        let mut kept = String::new();
        for c in text.chars().map(plain) {
            kept.push(c);
            if kept.len() > limits::FINDING {
                let mut end = limits::FINDING - CUT.len();
                while !kept.is_char_boundary(end) {
                    end -= 1;
                }
                kept.truncate(end);
                kept.push_str(CUT);
                break;
            }
        }
        Self(kept)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Serialize for Finding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Finding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        if text.len() > limits::FINDING || text.contains(char::is_control) {
            return Err(de::Error::custom("not a finding"));
        }
        Ok(Self(text.into_owned()))
    }
}

/// One step of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Step {
    /// What it is about.
    pub part: Part,
    /// Whether it is as it must be.
    pub holds: bool,
    /// What was seen.
    pub finding: Finding,
}

/// Asks why a peer receives a stream, or does not.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExplainRequest {
    /// The stream.
    pub stream: StreamName,
    /// The peer; it may be the one that asks.
    pub peer: NodeId,
    /// What entitles the one that asks, if it has anything of the kind.
    pub credential: Option<Credential>,
}

/// The answer to an [`ExplainRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ExplainReply {
    /// What was seen, step by step; at most [`limits::STEPS`]. It ends with the first that does not
    /// hold.
    Steps(#[serde(deserialize_with = "steps")] Vec<Step>),
    /// The node does not produce the stream, or who asks may not subscribe to it.
    Refused,
}

fn steps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
    bounded(deserializer, limits::STEPS)
}

impl ExplainRequest {
    /// The message with its length prefix.
    ///
    /// # Errors
    /// Never: name and credential are within their limits.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        wire::encode(self, limits::CONTROL)
    }

    /// Reads the message from a body, without prefix.
    ///
    /// # Errors
    /// When the body is not exactly one such message.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(body)
    }
}

impl ExplainReply {
    /// The message with its length prefix.
    ///
    /// # Errors
    /// When it is over [`limits::CONTROL`]: never with as many steps as are allowed.
    pub fn encode(&self) -> Result<Vec<u8>, EncodeError> {
        wire::encode(self, limits::CONTROL)
    }

    /// Reads the message from a body, without prefix.
    ///
    /// # Errors
    /// When the body is not exactly one such message.
    pub fn decode(body: &[u8]) -> Result<Self, DecodeError> {
        wire::decode(body)
    }
}

#[cfg(test)]
mod tests {
    use iroh_base::SecretKey;
    use proptest::prelude::*;

    use super::*;
    use crate::wire::PREFIX;

    fn hex(bytes: &[u8]) -> String {
        data_encoding::HEXLOWER.encode(bytes)
    }

    fn step(part: Part, finding: &str) -> Step {
        Step {
            part,
            holds: true,
            finding: Finding::new(finding),
        }
    }

    #[test]
    fn golden_bytes() {
        let peer = SecretKey::from_bytes(&[7; 32]).public();
        let mut ask = ExplainRequest {
            stream: StreamName::new("s").unwrap(),
            peer,
            credential: None,
        };
        let id = hex(peer.as_bytes());
        assert_eq!(hex(&ask.encode().unwrap()), format!("230000000173{id}00"));
        ask.credential = Some(Credential::new(vec![1, 2]).unwrap());
        let frame = ask.encode().unwrap();
        assert_eq!(hex(&frame), format!("260000000173{id}01020102"));
        assert_eq!(ExplainRequest::decode(&frame[PREFIX..]), Ok(ask));

        let steps = Part::ALL.map(|part| Step {
            part,
            holds: part != Part::Lag,
            finding: Finding::new("a"),
        });
        let reply = ExplainReply::Steps(steps.to_vec());
        let frame = reply.encode().unwrap();
        assert_eq!(
            hex(&frame),
            "260000000009 00010161 01010161 02010161 03010161 04010161 05010161 06010161 07010161 08000161"
                .replace(' ', "")
        );
        assert_eq!(ExplainReply::decode(&frame[PREFIX..]), Ok(reply));
        let refused = ExplainReply::Refused;
        assert_eq!(hex(&refused.encode().unwrap()), "0100000001");
    }

    #[test]
    fn the_largest_answer_fits_and_one_more_step_is_refused() {
        let longest = "x".repeat(limits::FINDING);
        let full = ExplainReply::Steps(vec![step(Part::Lag, &longest); limits::STEPS]);
        let frame = full.encode().unwrap();
        assert_eq!(ExplainReply::decode(&frame[PREFIX..]), Ok(full));
        let over = ExplainReply::Steps(vec![step(Part::Lag, "x"); limits::STEPS + 1]);
        let body = postcard::to_stdvec(&over).unwrap();
        assert!(ExplainReply::decode(&body).is_err());
    }

    #[test]
    fn what_a_terminal_would_obey_is_neither_sent_nor_taken() {
        let finding = Finding::new("tags [\u{1b}[2J\n]");
        assert_eq!(finding.as_str(), "tags [\u{fffd}[2J\u{fffd}]");
        // A step by hand: a text that `new` does not make.
        let read = |text: &str| {
            let body = [&[0, 1, 2, 1][..], &postcard::to_stdvec(text).unwrap()].concat();
            ExplainReply::decode(&body)
        };
        assert!(read("fine").is_ok());
        for bad in ["\u{1b}[2J", "a\nb", &"x".repeat(limits::FINDING + 1)] {
            assert!(read(bad).is_err(), "{bad:?}");
        }
        // Lengths of 4 GiB, of the list and of a text, and nothing behind them.
        let huge = [0xff, 0xff, 0xff, 0xff, 0x0f];
        assert!(ExplainReply::decode(&[&[0][..], &huge].concat()).is_err());
        assert!(ExplainReply::decode(&[&[0, 1, 2, 1][..], &huge].concat()).is_err());
        // A part that nobody knows, and a peer that is no key.
        assert!(ExplainReply::decode(&[0, 1, 9, 1, 0]).is_err());
        let no_key = [&[1, b's'][..], &[2; 32], &[0]].concat();
        assert!(ExplainRequest::decode(&no_key).is_err());
    }

    proptest! {
        #[test]
        fn any_text_makes_a_finding_that_is_read(text: String, times in 1_usize..200) {
            let finding = Finding::new(&text.repeat(times));
            prop_assert!(finding.as_str().len() <= limits::FINDING);
            let body = postcard::to_stdvec(&finding).unwrap();
            prop_assert_eq!(postcard::from_bytes::<Finding>(&body), Ok(finding));
        }
    }
}
