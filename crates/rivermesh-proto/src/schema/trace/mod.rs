//! Finding the shape of a Rust type by watching its `Deserialize` implementation.
//!
//! A type tells its deserializer what it expects next. Tracing hands it made-up values, notes
//! each expectation in a tree, and repeats until every variant of every enum was visited. When
//! the type turns a made-up value down (a `NonZeroU8` turns down 0, a date turns down `""`),
//! that leaf gets another sample and the pass is run again. The number of samples, of passes and
//! of nodes is bounded, so tracing ends for every type.

mod access;
mod de;
mod node;
mod samples;
mod state;

use std::marker::PhantomData;

use serde::de::DeserializeOwned;
use thiserror::Error;

use self::{node::Node, state::State};
use super::{InvalidSchema, Schema};
use crate::limits;

/// Passes over one type. Each finds something new or tries another sample.
const MAX_PASSES: u32 = 20_000;

/// A type has no schema.
///
/// Each of these can be answered by `#[datum(opaque)]` on the item's type: it then travels all
/// the same, compared by name alone, and only programs that have the type can read it.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The type wants to be told by the data what the data is, which postcard cannot do.
    #[error(
        "`{path}` lets the data say what it is (an untagged or internally tagged enum, `flatten`, \
         or a type such as `serde_json::Value`), which postcard cannot carry"
    )]
    SelfDescribing {
        /// The place in the type.
        path: String,
    },
    /// The type contains itself.
    #[error(
        "type `{name}` contains itself (at `{path}`); only types of finite depth have a schema"
    )]
    Recursive {
        /// The type.
        name: String,
        /// Where tracing stopped.
        path: String,
    },
    /// Types are nested too deeply.
    #[error("`{path}` is nested more than {max} deep", max = limits::SCHEMA_DEPTH)]
    TooDeep {
        /// The place in the type.
        path: String,
    },
    /// The type turned down every sample value.
    #[error("`{path}` accepted none of the sample values: {message}")]
    Rejected {
        /// The place in the type.
        path: String,
        /// What the type said last.
        message: String,
    },
    /// The type expects different things at the same place.
    #[error("the shape of `{path}` depends on other data, which a schema cannot say")]
    Inconsistent {
        /// The place in the type.
        path: String,
    },
    /// The type did not read all that it said it would.
    #[error("`{path}` was announced but never read")]
    Unread {
        /// The place in the type.
        path: String,
    },
    /// Tracing took too long.
    #[error("type `{name}` has too many combinations to trace")]
    TooManyPasses {
        /// The type.
        name: String,
    },
    /// The shape breaks a rule for schemas.
    #[error("the shape of `{name}` is not allowed")]
    Invalid {
        /// The type.
        name: String,
        /// The rule.
        #[source]
        source: InvalidSchema,
    },
}

/// The shape of a type as postcard sees it.
///
/// Takes microseconds to milliseconds, so keep the result. What only `Serialize` knows goes
/// unseen: an attribute such as `skip_serializing_if` makes postcard write fewer fields than are
/// read, which no reader of postcard survives.
///
/// # Errors
/// When the type is recursive, wants a self-describing format, turns down all samples, or is
/// larger than schemas may be.
pub fn trace<T: DeserializeOwned>() -> Result<Schema, TraceError> {
    let name = short_name::<T>();
    let mut state = State::new(name.clone());
    let mut root = Node::default();
    for _ in 0..MAX_PASSES {
        state.begin_pass();
        let outcome = de::visit(&mut state, &mut root, 1, PhantomData::<T>);
        if let Some(fatal) = state.fatal.take() {
            return Err(fatal);
        }
        if outcome.is_err() || state.failed {
            continue;
        }
        if root.is_done() {
            let schema = root.schema();
            return match schema.validate() {
                Ok(()) => Ok(schema),
                Err(source) => Err(TraceError::Invalid { name, source }),
            };
        }
        if !state.progress {
            let mut path = name;
            root.first_undone(&mut path);
            return Err(TraceError::Unread { path });
        }
    }
    Err(TraceError::TooManyPasses { name })
}

/// A type's name without modules, in its generic arguments too.
fn short_name<T>() -> String {
    let in_path = |c: char| c.is_alphanumeric() || matches!(c, '_' | ':');
    let full = std::any::type_name::<T>();
    full.split_inclusive(|c| !in_path(c))
        .map(|part| part.rfind("::").map_or(part, |at| &part[at + 2..]))
        .collect()
}
