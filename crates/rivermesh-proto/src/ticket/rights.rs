//! What a ticket allows to do.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// One thing that a ticket can allow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Right {
    /// To subscribe to a stream.
    Consume,
    /// To produce a stream, towards consumers that ask for proof.
    Produce,
    /// To pass a stream on to others, as gateways do. Nothing in this version asks for it.
    Relay,
}

impl Right {
    /// All rights, in the order of their bits on the wire.
    pub const ALL: [Self; 3] = [Self::Consume, Self::Produce, Self::Relay];

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Consume => "consume",
            Self::Produce => "produce",
            Self::Relay => "relay",
        })
    }
}

/// A text is not a right.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is not a right; there are: consume, produce, relay")]
pub struct BadRights(String);

impl FromStr for Right {
    type Err = BadRights;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|right| right.to_string() == text)
            .ok_or_else(|| BadRights(text.chars().take(40).collect()))
    }
}

/// A set of rights. On the wire one byte, bit 0 for [`Right::Consume`] and so on; other bits are
/// refused.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Rights(u8);

impl Rights {
    /// The set of no right.
    pub const NONE: Self = Self(0);
    /// The set of all rights.
    pub const ALL: Self = Self(0b111);

    /// This set and `right`.
    #[must_use]
    pub const fn with(self, right: Right) -> Self {
        Self(self.0 | right.bit())
    }

    /// Whether `right` is in the set.
    #[must_use]
    pub const fn contains(self, right: Right) -> bool {
        self.0 & right.bit() != 0
    }

    /// Whether all of this set is in `other`.
    #[must_use]
    pub const fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether no right is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The rights of the set, in the order of [`Right::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL
            .into_iter()
            .filter(move |right| self.contains(*right))
    }
}

impl From<Right> for Rights {
    fn from(right: Right) -> Self {
        Self::NONE.with(right)
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        rights.into_iter().fold(Self::NONE, Self::with)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nothing");
        }
        for (n, right) in self.iter().enumerate() {
            write!(f, "{}{right}", if n == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rights({self})")
    }
}

impl Serialize for Rights {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.0)
    }
}

impl<'de> Deserialize<'de> for Rights {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bits = u8::deserialize(deserializer)?;
        if bits & !Self::ALL.0 != 0 {
            return Err(de::Error::custom("unknown right"));
        }
        Ok(Self(bits))
    }
}
