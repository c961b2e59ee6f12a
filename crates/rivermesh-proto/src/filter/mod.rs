//! Filters: predicates over the items of a stream, in a subset of the Common Expression Language.
//!
//! ```text
//! temp > 86.0 && origin in ['JFK', 'LGA']
//! ```
//!
//! A consumer writes one, the producer evaluates it. From text to answer it takes four steps, and
//! only the last is taken for each item:
//!
//! 1. A [`FilterSource`] is a text of bounded length, as it travels.
//! 2. [`Filter::parse`] reads it, within bounds on depth, parts and cost
//!    ([`limits`]), and gives it one form: filters that differ in their
//!    spelling alone have the same [`canonical`](Filter::canonical) text.
//! 3. [`Filter::check`] holds it against the stream's schema, and makes a [`Plan`].
//! 4. An [`Evaluator`] evaluates one plan, a [`Set`] many, each distinct one once per item. The
//!    fields are taken from the item by serialising it, only those that somebody asks for.
//!
//! Conditions are true or false and never fail. A comparison that cannot be made is false: of a
//! field that is absent, of values of different types, with NaN; `!=` included. The book's chapter
//! on filters has the whole language.
//!
//! No step recurses deeper than the bounds allow. Parsing works in proportion to the source,
//! checking to the fields that the filter names and those that the schema has, evaluating to the
//! item.

mod ast;
mod check;
mod error;
mod fault;
mod fields;
mod glob;
mod index;
mod lex;
mod normal;
mod number;
mod parse;
mod place;
mod plan;
mod record;
mod set;
mod size;
mod source;
mod text;
mod types;
mod value;
mod walk;

#[cfg(test)]
mod tests;

use std::{fmt, sync::Arc};

pub use self::{
    check::{CheckError, Names},
    error::ParseError,
    fault::Fault,
    glob::{Pattern, PatternTooLong},
    place::Place,
    plan::Plan,
    set::{Evaluator, GroupId, Set},
    source::{FilterSource, TooLong},
    walk::WalkError,
};
use crate::{limits, schema::Schema};

/// A filter that was read, and not yet checked against a schema.
#[derive(Clone)]
pub struct Filter {
    source: Box<str>,
    parts: ast::Node,
    normal: normal::Expr,
    canonical: Arc<str>,
}

impl Filter {
    /// Reads a filter.
    ///
    /// The source may come from a peer. It is refused as soon as it is over a bound, without
    /// further work.
    ///
    /// ```
    /// use rivermesh_proto::filter::Filter;
    ///
    /// let filter = Filter::parse("'JFK' == origin&&temp>86.0")?;
    /// assert_eq!(filter.canonical(), "origin == 'JFK' && temp > 86");
    ///
    /// let error = Filter::parse("temp > 86 &").unwrap_err();
    /// assert_eq!(
    ///     error.report(),
    ///     "line 1, column 11: `&` cannot be used in a filter; the connective is `&&`\n\
    ///      temp > 86 &\n          \
    ///      ^",
    /// );
    /// # Ok::<(), rivermesh_proto::filter::ParseError>(())
    /// ```
    ///
    /// # Errors
    /// When the source is over a bound, or no filter.
    pub fn parse(source: &str) -> Result<Self, ParseError> {
        if source.len() > limits::FILTER {
            return Err(ParseError::TooLong { got: source.len() });
        }
        Self::parse_of_any_length(source)
    }

    fn parse_of_any_length(source: &str) -> Result<Self, ParseError> {
        let parts = parse::parse(source)?;
        let normal = normal::normal(&parts);
        Ok(Self {
            source: source.into(),
            canonical: text::expr(&normal).into(),
            parts,
            normal,
        })
    }

    /// Checks that the filter fits the items of a stream: that its fields exist and are compared
    /// with what they can be compared with. Of streams of JSON and of opaque types nothing is known
    /// before the items are there, so every field may exist.
    ///
    /// ```
    /// # use rivermesh_proto::{filter::Filter, schema::{Field, Schema}};
    /// # let field = |name: &str, schema| Field { name: name.into(), schema };
    /// # let fields = vec![field("origin", Schema::String), field("temp", Schema::F32)];
    /// let schema = Schema::Struct { name: "Reading".into(), fields };
    /// let error = Filter::parse("tmp > 86")?.check(&schema).unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "line 1, column 1: `Reading` has no field `tmp`; there are `temp`, `key`, `origin`",
    /// );
    /// # Ok::<(), rivermesh_proto::filter::ParseError>(())
    /// ```
    ///
    /// # Errors
    /// The first part of the source that does not fit.
    pub fn check(&self, schema: &Schema) -> Result<Plan, CheckError> {
        check::check(&self.source, schema, &self.parts)?;
        let canonical = Arc::clone(&self.canonical);
        Plan::new(canonical, schema, &self.normal, |path, missing| {
            check::missing(&self.source, schema, path, missing)
        })
    }

    /// The text it was read from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The one spelling of filters that are the same but for spaces, quotes, parentheses, the
    /// order of sides, and the like. It may be longer than a source may be, and is not for the
    /// wire.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.canonical
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Filter").field(&self.canonical).finish()
    }
}

impl std::str::FromStr for Filter {
    type Err = ParseError;

    fn from_str(source: &str) -> Result<Self, ParseError> {
        Self::parse(source)
    }
}
