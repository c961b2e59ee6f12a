//! Which streams a ticket is about.

use std::{fmt, str::FromStr, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::{StreamName, ids::BadStreamName, limits};

/// Which streams a ticket is about: one stream by its name, or with `*` at the end all whose names
/// begin like this. `weather/*` covers `weather/jfk` and `weather/us/jfk`, not `weather`; `*` covers
/// all.
///
/// A star has no other place, so that nobody takes a name for a pattern that it is not.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pattern(Arc<str>);

/// A text is not a pattern of streams.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BadPattern {
    /// There is a star before the end.
    #[error("a pattern of streams has a star at its end only")]
    Star,
    /// What stands before the star, or the whole, cannot begin a name.
    #[error("a pattern of streams is a name, or the beginning of one and a star")]
    Name(#[from] BadStreamName),
}

impl Pattern {
    /// Checks and takes a pattern.
    ///
    /// # Errors
    /// When the text is not a name of a stream, with or without a star at its end.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        // A name's rules with one byte more, for the star.
        let prefix = text.strip_suffix('*');
        match prefix {
            Some("") => {}
            Some(prefix) => drop(StreamName::new(prefix)?),
            None => drop(StreamName::new(text)?),
        }
        if prefix.unwrap_or(text).contains('*') {
            return Err(BadPattern::Star);
        }
        Ok(Self(text.into()))
    }

    /// The pattern that covers all streams.
    #[must_use]
    pub fn all() -> Self {
        Self("*".into())
    }

    /// The pattern that covers this stream alone.
    ///
    /// # Errors
    /// When the name has a star in it: no pattern covers it alone.
    pub fn of(stream: &StreamName) -> Result<Self, BadPattern> {
        if stream.as_str().contains('*') {
            return Err(BadPattern::Star);
        }
        Ok(Self(stream.as_str().into()))
    }

    /// The pattern as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the pattern covers a stream.
    #[must_use]
    pub fn covers(&self, stream: &StreamName) -> bool {
        match self.0.strip_suffix('*') {
            Some(prefix) => stream.as_str().starts_with(prefix),
            None => stream.as_str() == &*self.0,
        }
    }

    /// Whether all streams of this pattern are covered by `other`.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        match (self.0.strip_suffix('*'), other.0.strip_suffix('*')) {
            (Some(ours), Some(theirs)) => ours.starts_with(theirs),
            (None, Some(theirs)) => self.0.starts_with(theirs),
            (None, None) => self == other,
            (Some(_), None) => false,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl FromStr for Pattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::new(text)
    }
}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&'de str>::deserialize(deserializer)?;
        if text.len() > limits::STREAM_NAME + 1 {
            return Err(de::Error::custom("pattern over the limit"));
        }
        Self::new(text).map_err(de::Error::custom)
    }
}
