//! Which items a consumer wants: its filter, and the changes of it.

use std::sync::Arc;

use rivermesh_proto::{
    filter::{CheckError, Filter, FilterSource, ParseError},
    schema::Schema,
};
use thiserror::Error;

/// A filter is not one, or does not fit the consumer's type. Nothing has changed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum FilterError {
    /// The text is no filter.
    #[error("the text is no filter")]
    Parse(#[from] ParseError),
    /// The filter does not fit the items.
    #[error("the filter does not fit the items")]
    Check(#[from] CheckError),
}

impl FilterError {
    /// The message and, below it, the place in the filter.
    #[must_use]
    pub fn report(&self) -> String {
        match self {
            Self::Parse(error) => error.report(),
            Self::Check(error) => error.report(),
        }
    }
}

/// What a consumer wants now. Its receivers watch it.
#[derive(Clone, Debug, Default)]
pub(super) struct Wanted {
    /// The number of the change that this came with; none is 0.
    pub(super) change: u32,
    /// `None` for all items.
    pub(super) filter: Option<Arc<FilterSource>>,
}

/// Reads a filter and holds it against the schema of the consumer's type, where that has one.
pub(super) fn read(source: &str, schema: Option<&Schema>) -> Result<FilterSource, FilterError> {
    let filter = Filter::parse(source)?;
    if let Some(schema) = schema {
        filter.check(schema)?;
    }
    Ok(FilterSource::from(&filter))
}
