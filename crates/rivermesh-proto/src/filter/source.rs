//! A filter as it travels.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use super::{Filter, ParseError};
use crate::limits;

/// The source of a filter as a message carries it: a text of at most [`limits::FILTER`] bytes.
/// Whether it is a filter shows when it is [parsed](Self::parse).
///
/// In serde formats it is a string.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FilterSource(Box<str>);

/// A text is longer than the source of a filter may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a filter has at most {max} bytes, got {got}", max = limits::FILTER)]
pub struct TooLong {
    /// Bytes of the text.
    pub got: usize,
}

impl FilterSource {
    /// Takes a text.
    ///
    /// # Errors
    /// When it is too long.
    pub fn new(text: &str) -> Result<Self, TooLong> {
        if text.len() > limits::FILTER {
            return Err(TooLong { got: text.len() });
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Reads the filter.
    ///
    /// # Errors
    /// When the text is no filter, or over one of the other bounds.
    pub fn parse(&self) -> Result<Filter, ParseError> {
        Filter::parse(&self.0)
    }
}

impl From<&Filter> for FilterSource {
    /// The source the filter was read from.
    fn from(filter: &Filter) -> Self {
        Self(filter.source().into())
    }
}

impl fmt::Display for FilterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for FilterSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", &*self.0)
    }
}

impl Serialize for FilterSource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for FilterSource {
    /// In postcard the text is borrowed from the message and copied only when its length is right.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = FilterSource;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {} bytes", limits::FILTER)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<FilterSource, E> {
                FilterSource::new(text).map_err(E::custom)
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}
