//! An item before the filters of its consumers.

use rivermesh_proto::{
    encode::EncodeError,
    filter::{Evaluator, Set},
};
use serde::Serialize;

use super::Key;

/// The filters that an item is shown to by [`Datum::show`](super::Datum::show).
#[derive(Debug)]
pub struct Filters<'a>(Inner<'a>);

#[derive(Debug)]
enum Inner<'a> {
    All(&'a mut Set),
    One {
        evaluator: &'a mut Evaluator,
        matches: &'a mut bool,
    },
}

impl<'a> Filters<'a> {
    /// All filters of a stream.
    #[inline]
    pub(crate) fn all(set: &'a mut Set) -> Self {
        Self(Inner::All(set))
    }

    /// One filter; `matches` gets its answer.
    pub(crate) fn one(evaluator: &'a mut Evaluator, matches: &'a mut bool) -> Self {
        Self(Inner::One { evaluator, matches })
    }

    /// Takes the fields that filters ask for out of an item, and evaluates the filters. Other
    /// fields are not serialized, and nothing of the item is kept.
    ///
    /// # Errors
    /// When the item's `Serialize` implementation fails.
    #[inline]
    pub fn look<T: Serialize + ?Sized>(
        self,
        item: &T,
        key: Option<Key<'_>>,
    ) -> Result<(), EncodeError> {
        let key = key.as_ref().map(Key::as_bytes);
        match self.0 {
            Inner::All(set) => set.evaluate(item, key).map(drop),
            Inner::One { evaluator, matches } => {
                evaluator.matches(item, key).map(|found| *matches = found)
            }
        }
        .map_err(EncodeError::Filter)
    }
}
