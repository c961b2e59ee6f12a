//! Consumers with a name: what they ask for, what they acknowledge, and how far behind they are.
//!
//! A name belongs to one stream of one producer. The producer keeps what was not acknowledged under
//! it, and sends it again to whoever comes with the name. Either one consumer has the name, or, where
//! it is shared, those that do are a *group*, which gets each item once between them.
//!
//! How far the names of a stream are can be asked for: on a stream of kind
//! [`Lag`](crate::wire::StreamKind::Lag) one [`LagRequest`], answered by one [`LagReply`].

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::{
    ids::{Epoch, Seq, StreamName},
    limits,
    wire::{self, DecodeError, EncodeError},
};

/// The name of a consumer or of a group: 1 to 64 bytes of UTF-8 without white space or control
/// characters.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConsumerName(Arc<str>);

/// A text is not a consumer's name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "a consumer's name has 1 to {max} bytes without white space or control characters, got {got:?}",
    max = limits::CONSUMER_NAME
)]
pub struct BadConsumerName {
    /// The text, cut off where it is too long.
    got: String,
}

impl ConsumerName {
    /// Checks and takes a name.
    ///
    /// # Errors
    /// When the text is empty, too long, or has white space or control characters.
    pub fn new(name: &str) -> Result<Self, BadConsumerName> {
        let fits = (1..=limits::CONSUMER_NAME).contains(&name.len());
        if !fits || name.contains(|c: char| c.is_whitespace() || c.is_control()) {
            let got = name.chars().take(limits::CONSUMER_NAME).collect();
            return Err(BadConsumerName { got });
        }
        Ok(Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ConsumerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for ConsumerName {
    type Err = BadConsumerName;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::new(name)
    }
}

impl Serialize for ConsumerName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ConsumerName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

/// Who of those that have a name gets an item.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Share {
    /// One consumer has the name, and gets all items.
    #[default]
    Alone,
    /// The member of the group with the fewest unacknowledged items.
    Least,
    /// The same member for all items with one key.
    Key,
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Alone => "alone",
            Self::Least => "least",
            Self::Key => "key",
        })
    }
}

/// What a consumer with a name asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: ConsumerName,
    /// Whether the name is shared, and how.
    pub share: Share,
    /// Items that it wants to have unacknowledged at most; 0 for as many as the producer allows.
    pub max_in_flight: u32,
}

/// Items that were acknowledged: ranges that rise and do not touch, at most
/// [`limits::ACKNOWLEDGED`] of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Acknowledged(Vec<(Seq, Seq)>);

impl Acknowledged {
    /// Takes as many of the ranges `from..to` as a message has room for, from the first on. Those
    /// that are empty or do not rise are left out.
    #[must_use]
    pub fn new(ranges: impl IntoIterator<Item = (Seq, Seq)>) -> Self {
        let mut kept: Vec<(Seq, Seq)> = Vec::new();
        for (from, to) in ranges {
            let rises = kept.last().is_none_or(|last| last.1 < from);
            if from < to && rises {
                kept.push((from, to));
            }
            if kept.len() == limits::ACKNOWLEDGED {
                break;
            }
        }
        Self(kept)
    }

    /// The ranges `from..to`.
    pub fn iter(&self) -> impl Iterator<Item = (Seq, Seq)> {
        self.0.iter().copied()
    }

    /// One past the last item.
    #[must_use]
    pub fn end(&self) -> Seq {
        self.0.last().map_or(0, |range| range.1)
    }
}

impl Serialize for Acknowledged {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Acknowledged {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ranges = bounded(deserializer, limits::ACKNOWLEDGED)?;
        let read = Self::new(ranges.iter().copied());
        // What is left out would not rise, so the message is not canonical.
        if read.0 != ranges {
            return Err(de::Error::custom("ranges that do not rise"));
        }
        Ok(read)
    }
}

/// A request for how far the names of a stream are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LagRequest {
    /// The stream.
    pub stream: StreamName,
}

/// The answer to a [`LagRequest`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LagReply {
    /// The names that the producer knows.
    Names {
        /// The present life of the producer.
        epoch: Epoch,
        /// At most [`limits::CONSUMERS_NAMED`].
        #[serde(deserialize_with = "rows")]
        names: Vec<Behind>,
    },
    /// The node does not produce the stream, or the peer may not subscribe to it.
    Refused,
}

/// How far behind a name is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Behind {
    /// The name.
    pub name: ConsumerName,
    /// Whether it is shared, and how.
    pub share: Share,
    /// Consumers that have it now.
    pub holders: u32,
    /// Microseconds since the last of them has gone; none while there is one.
    pub away_us: Option<u64>,
    /// Everything before this is acknowledged.
    pub committed: Seq,
    /// Items that have been sent and are not acknowledged.
    pub in_flight: u64,
    /// Items that are not acknowledged, sent or not.
    pub items: u64,
    /// Bytes of the batches that hold them, about.
    pub bytes: u64,
    /// Microseconds since the batch of the first of them was begun; 0 where there is none.
    pub age_us: u64,
}

impl LagRequest {
    /// The message with its length prefix.
    ///
    /// # Errors
    /// Never: a name is within its limit.
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

impl LagReply {
    /// The message with its length prefix.
    ///
    /// # Errors
    /// When it is over [`limits::CONTROL`]: never with as many names as are allowed.
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

fn rows<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Behind>, D::Error> {
    bounded(deserializer, limits::CONSUMERS_NAMED)
}

/// A list of at most `most` elements: more are refused before they are kept.
pub(crate) fn bounded<'de, D, T>(deserializer: D, most: usize) -> Result<Vec<T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct List<T>(usize, std::marker::PhantomData<T>);

    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for List<T> {
        type Value = Vec<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "a list of at most {} elements", self.0)
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
            let mut kept = Vec::new();
            while let Some(element) = list.next_element()? {
                if kept.len() == self.0 {
                    return Err(de::Error::custom("a list over its limit"));
                }
                kept.push(element);
            }
            Ok(kept)
        }
    }

    deserializer.deserialize_seq(List(most, std::marker::PhantomData))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::PREFIX;

    #[test]
    fn names_are_checked() {
        assert_eq!(ConsumerName::new("billing").unwrap().as_str(), "billing");
        for bad in ["", "a b", "a\n", &"x".repeat(65)] {
            assert!(ConsumerName::new(bad).is_err(), "{bad:?}");
            let bytes = postcard::to_stdvec(bad).unwrap();
            assert!(postcard::from_bytes::<ConsumerName>(&bytes).is_err());
        }
    }

    #[test]
    fn ranges_rise_and_are_bounded() {
        let read = |ranges: &[(Seq, Seq)]| {
            postcard::from_bytes::<Acknowledged>(&postcard::to_stdvec(ranges).unwrap())
        };
        assert_eq!(read(&[(1, 2), (3, 9)]).unwrap().end(), 9);
        for bad in [
            &[(1, 1)][..],
            &[(2, 1)],
            &[(1, 3), (2, 5)],
            &[(1, 3), (3, 5)],
        ] {
            assert!(read(bad).is_err(), "{bad:?}");
            assert_eq!(
                Acknowledged::new(bad.iter().copied()).0.len(),
                bad.len() - 1
            );
        }
        let many: Vec<_> = (0..=limits::ACKNOWLEDGED as u64)
            .map(|n| (u64::MAX / 2 + 2 * n, u64::MAX / 2 + 2 * n + 1))
            .collect();
        assert!(read(&many).is_err(), "one too many");
        assert!(read(&many[1..]).is_ok());
        assert_eq!(
            Acknowledged::new(many.clone()).0,
            many[..limits::ACKNOWLEDGED]
        );
        // A length of 4 GiB, and nothing behind it.
        assert!(postcard::from_bytes::<Acknowledged>(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    }

    #[test]
    fn an_answer_of_all_names_fits_a_message() {
        let names = |count| LagReply::Names {
            epoch: Epoch(u64::MAX),
            names: vec![
                Behind {
                    name: ConsumerName::new(&"x".repeat(limits::CONSUMER_NAME)).unwrap(),
                    share: Share::Key,
                    holders: u32::MAX,
                    away_us: Some(u64::MAX),
                    committed: u64::MAX,
                    in_flight: u64::MAX,
                    items: u64::MAX,
                    bytes: u64::MAX,
                    age_us: u64::MAX,
                };
                count
            ],
        };
        let full = names(limits::CONSUMERS_NAMED);
        let message = full.encode().unwrap();
        assert_eq!(LagReply::decode(&message[PREFIX..]).unwrap(), full);
        let body = postcard::to_stdvec(&names(limits::CONSUMERS_NAMED + 1)).unwrap();
        assert!(LagReply::decode(&body).is_err());
    }

    #[test]
    fn golden_bytes() {
        let hex = |bytes: Vec<u8>| data_encoding::HEXLOWER.encode(&bytes);
        let ask = LagRequest {
            stream: StreamName::new("s").unwrap(),
        };
        assert_eq!(hex(ask.encode().unwrap()), "020000000173");
        assert_eq!(LagRequest::decode(&[1, b's']), Ok(ask));
        let reply = LagReply::Names {
            epoch: Epoch(0x1234),
            names: vec![Behind {
                name: ConsumerName::new("ab").unwrap(),
                share: Share::Least,
                holders: 2,
                away_us: Some(7),
                committed: 300,
                in_flight: 3,
                items: 4,
                bytes: 5,
                age_us: 6,
            }],
        };
        assert_eq!(
            hex(reply.encode().unwrap()),
            "1100000000b42401026162010 20107ac0203040506".replace(' ', "")
        );
        assert_eq!(hex(LagReply::Refused.encode().unwrap()), "0100000001");
        let shares = [Share::Alone, Share::Least, Share::Key];
        assert_eq!(
            shares.map(|share| hex(postcard::to_stdvec(&share).unwrap())),
            ["00", "01", "02"]
        );
    }
}
