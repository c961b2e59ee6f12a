//! Why a text is not a filter.

use thiserror::Error;

use super::place::Place;
use crate::limits;

/// A text is not a filter. Nothing came of it; [`place`](Self::place) says where to look.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ParseError {
    /// The source has too many bytes; nothing of it was read.
    #[error("a filter has at most {max} bytes, got {got}", max = limits::FILTER)]
    TooLong {
        /// Bytes of the source.
        got: usize,
    },
    /// Parentheses, negations or the names of a path go too deep.
    #[error("{place}: more than {max} levels deep", max = limits::FILTER_DEPTH)]
    TooDeep {
        /// The first part that is too deep.
        place: Place,
    },
    /// The filter has too many parts.
    #[error("{place}: a filter has at most {max} parts", max = limits::FILTER_NODES)]
    TooManyNodes {
        /// The first part that is too much.
        place: Place,
    },
    /// The filter's lists have too many elements.
    #[error("{place}: the lists of a filter have at most {max} elements together",
        max = limits::FILTER_ELEMENTS)]
    TooManyElements {
        /// The first element that is too much.
        place: Place,
    },
    /// The filter would look through too many texts or lists.
    #[error("{place}: a filter has at most {max} of `contains`, `glob` and `in` with a field to the right",
        max = limits::FILTER_SCANS)]
    TooManyScans {
        /// The first that is too much.
        place: Place,
    },
    /// Something else was due.
    #[error("{place}: expected {expected}, found {found}")]
    Unexpected {
        /// Where.
        place: Place,
        /// What would have been right.
        expected: &'static str,
        /// What is there, cut and escaped.
        found: String,
    },
    /// Something that other dialects of CEL have.
    #[error("{place}: {what} cannot be used in a filter; {instead}")]
    Unsupported {
        /// Where.
        place: Place,
        /// What is there.
        what: String,
        /// What to write.
        instead: &'static str,
    },
    /// A number is malformed or too large.
    #[error("{place}: {reason}")]
    BadNumber {
        /// Where.
        place: Place,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A string or a name in backticks is malformed.
    #[error("{place}: {reason}")]
    BadString {
        /// Where.
        place: Place,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A glob pattern is too long.
    #[error("{place}: this glob pattern has at most {max} characters", max = limits::FILTER_GLOB)]
    LongGlob {
        /// The pattern.
        place: Place,
    },
}

impl ParseError {
    /// Where the source is at fault; `None` when it is too long as a whole.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        match self {
            Self::TooLong { .. } => None,
            Self::TooDeep { place }
            | Self::TooManyNodes { place }
            | Self::TooManyElements { place }
            | Self::TooManyScans { place }
            | Self::Unexpected { place, .. }
            | Self::Unsupported { place, .. }
            | Self::BadNumber { place, .. }
            | Self::BadString { place, .. }
            | Self::LongGlob { place } => Some(place),
        }
    }

    /// The message and, below it, the place in the source.
    #[must_use]
    pub fn report(&self) -> String {
        match self.place() {
            Some(place) => format!("{self}\n{}", place.excerpt()),
            None => self.to_string(),
        }
    }
}
