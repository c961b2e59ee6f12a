//! Items: what a type needs to travel on a stream.
//!
//! [`Datum`] comes from `#[derive(Datum)]` for any type with serde's `Serialize` and
//! `Deserialize`. Ready are [`String`] (raw UTF-8), [`Bytes`] (raw, not copied when consumed),
//! [`serde_json::Value`] (JSON text), and, for consumers only, [`Dynamic`].

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use rivermesh_proto::schema::{Schema, json};
use serde::Deserialize;
use thiserror::Error;

pub use rivermesh_macros::Datum;
pub use rivermesh_proto::{
    encode::{EncodeError, Encoder},
    schema::TraceError as SchemaError,
};

mod filters;
mod key;
mod view;

pub use self::{
    filters::Filters,
    key::{AsKey, Key},
    view::View,
};

/// An item of a stream.
///
/// ```
/// use rivermesh::Datum;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize, Datum)]
/// #[datum(name = "weather/reading", key = "origin")]
/// struct Reading {
///     origin: String,
///     temp: f32,
/// }
///
/// assert_eq!(Reading::NAME, "weather/reading");
/// let schema = Reading::schema()?.unwrap();
/// assert_eq!(schema.to_string(), "Reading { origin: String, temp: f32 }");
/// # Ok::<(), rivermesh::SchemaError>(())
/// ```
///
/// The derive writes items in postcard's format. Attributes that need a self-describing format
/// (`flatten`, `untagged`, `tag`) or that leave out fields (`skip_serializing_if`) do not work
/// with it; the first kind is reported by [`Datum::schema`] and so by the attempt to produce or
/// consume.
pub trait Datum: Sized + Send + Sync + 'static {
    /// The name of the stream when the program gives none.
    const NAME: &'static str;

    /// The shape of the items; `None` for a type that takes any shape and can be consumed only.
    /// Called for each producer and consumer, so it keeps its result.
    ///
    /// # Errors
    /// When the type has no schema; `#[datum(opaque)]` makes it travel without one.
    fn schema() -> Result<Option<Arc<Schema>>, SchemaError>;

    /// Appends the item's bytes.
    ///
    /// # Errors
    /// When the item is too large or cannot be encoded; a part of it may have been appended.
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError>;

    /// Reads the item from all of its bytes.
    ///
    /// # Errors
    /// When the bytes are not exactly one item of this type.
    fn decode(payload: Payload<'_>) -> Result<Self, DecodeError>;

    /// The item's key, if it has one.
    #[inline]
    fn key(&self) -> Option<Key<'_>> {
        None
    }

    /// Shows the item to consumers' filters: hands it and its key to [`Filters::look`]. What the
    /// item serializes to there must be what its [`schema`](Self::schema) says.
    ///
    /// # Errors
    /// That of [`Filters::look`].
    fn show(&self, filters: Filters<'_>) -> Result<(), EncodeError>;
}

/// The bytes of one received item, inside of the batch that they came in.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a> {
    batch: &'a Bytes,
    data: &'a [u8],
    schema: Option<&'a Arc<Schema>>,
}

impl<'a> Payload<'a> {
    /// The item `data`, which lies in `batch`, of a stream of this schema where it is known.
    #[inline]
    #[must_use]
    pub fn new(batch: &'a Bytes, data: &'a [u8], schema: Option<&'a Arc<Schema>>) -> Self {
        Self {
            batch,
            data,
            schema,
        }
    }

    /// The bytes.
    #[inline]
    #[must_use]
    pub fn as_slice(&self) -> &'a [u8] {
        self.data
    }

    /// The bytes, which share the memory of their batch instead of being copied. Keeping one
    /// item therefore keeps its whole batch (64 KiB, or one larger item).
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        let batch = self.batch.as_ptr_range();
        let data = self.data.as_ptr_range();
        if batch.start <= data.start && data.end <= batch.end {
            self.batch.slice_ref(self.data)
        } else {
            Bytes::copy_from_slice(self.data)
        }
    }

    /// The producer's schema, where it is known.
    #[inline]
    #[must_use]
    pub fn schema(&self) -> Option<&'a Arc<Schema>> {
        self.schema
    }

    /// Reads a value in postcard's format. It may borrow strings and bytes from the batch.
    ///
    /// # Errors
    /// When the bytes are not exactly one value.
    #[inline]
    pub fn postcard<T: Deserialize<'a>>(&self) -> Result<T, DecodeError> {
        let (value, rest) = postcard::take_from_bytes(self.data).map_err(DecodeError::Postcard)?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(DecodeError::Trailing { extra: rest.len() })
        }
    }
}

/// Bytes are not an item of the consumer's type. Only this item is lost.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes do not follow postcard's format for the type.
    #[error("the item does not decode")]
    Postcard(#[source] postcard::Error),
    /// Bytes follow the item.
    #[error("{extra} bytes follow the item")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// The bytes are not UTF-8.
    #[error("the item is not UTF-8")]
    Utf8(#[source] std::str::Utf8Error),
    /// The bytes are not JSON.
    #[error("the item is not JSON")]
    Json(#[source] serde_json::Error),
    /// The bytes do not follow the producer's schema.
    #[error("the item does not follow its schema")]
    Schema(#[source] json::DecodeError),
    /// The producer's schema is not known.
    #[error("the producer's schema is not known")]
    NoSchema,
}

impl Datum for String {
    const NAME: &'static str = "text";

    fn schema() -> Result<Option<Arc<Schema>>, SchemaError> {
        static SCHEMA: Cache = Cache::new();
        SCHEMA.get(|| Ok(Schema::Text))
    }

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.extend(self.as_bytes())
    }

    #[inline]
    fn decode(payload: Payload<'_>) -> Result<Self, DecodeError> {
        let text = std::str::from_utf8(payload.data).map_err(DecodeError::Utf8)?;
        Ok(text.to_owned())
    }

    #[inline]
    fn show(&self, filters: Filters<'_>) -> Result<(), EncodeError> {
        filters.look(self, None)
    }
}

impl Datum for Bytes {
    const NAME: &'static str = "bytes";

    fn schema() -> Result<Option<Arc<Schema>>, SchemaError> {
        static SCHEMA: Cache = Cache::new();
        SCHEMA.get(|| Ok(Schema::Raw))
    }

    #[inline]
    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.extend(self)
    }

    #[inline]
    fn decode(payload: Payload<'_>) -> Result<Self, DecodeError> {
        Ok(payload.to_bytes())
    }

    #[inline]
    fn show(&self, filters: Filters<'_>) -> Result<(), EncodeError> {
        filters.look(self, None)
    }
}

impl Datum for serde_json::Value {
    const NAME: &'static str = "json";

    fn schema() -> Result<Option<Arc<Schema>>, SchemaError> {
        static SCHEMA: Cache = Cache::new();
        SCHEMA.get(|| Ok(Schema::Json))
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        out.serialize_json(self)
    }

    fn decode(payload: Payload<'_>) -> Result<Self, DecodeError> {
        serde_json::from_slice(payload.data).map_err(DecodeError::Json)
    }

    fn show(&self, filters: Filters<'_>) -> Result<(), EncodeError> {
        filters.look(self, None)
    }
}

/// An item of any stream, read by the schema that its producer sent. For consumers only.
#[derive(Clone)]
pub struct Dynamic {
    schema: Option<Arc<Schema>>,
    payload: Bytes,
}

impl Dynamic {
    /// The item with these bytes, of a stream of this schema where it is known.
    #[must_use]
    pub fn new(schema: Option<Arc<Schema>>, payload: Bytes) -> Self {
        Self { schema, payload }
    }

    /// The producer's schema, where it is known.
    #[must_use]
    pub fn schema(&self) -> Option<&Arc<Schema>> {
        self.schema.as_ref()
    }

    /// The item's bytes. They share the memory of their batch.
    #[must_use]
    pub fn payload(&self) -> &Bytes {
        &self.payload
    }

    /// The item as JSON; `rivermesh_proto::schema::json` says how each shape looks.
    ///
    /// # Errors
    /// When the schema is not known or opaque, or the bytes do not follow it.
    pub fn to_json(&self) -> Result<serde_json::Value, DecodeError> {
        let schema = self.schema.as_ref().ok_or(DecodeError::NoSchema)?;
        json::decode(schema, &self.payload).map_err(DecodeError::Schema)
    }
}

impl fmt::Debug for Dynamic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Dynamic");
        if let Some(schema) = &self.schema {
            debug.field("schema", &format_args!("{schema}"));
        }
        debug.field("bytes", &self.payload.len()).finish()
    }
}

impl Datum for Dynamic {
    const NAME: &'static str = "dynamic";

    fn schema() -> Result<Option<Arc<Schema>>, SchemaError> {
        Ok(None)
    }

    fn encode(&self, _: &mut Encoder<'_>) -> Result<(), EncodeError> {
        Err(EncodeError::ConsumerOnly {
            type_name: "Dynamic",
        })
    }

    fn decode(payload: Payload<'_>) -> Result<Self, DecodeError> {
        Ok(Self::new(payload.schema.cloned(), payload.to_bytes()))
    }

    fn show(&self, _: Filters<'_>) -> Result<(), EncodeError> {
        Err(EncodeError::ConsumerOnly {
            type_name: "Dynamic",
        })
    }
}

/// A type's schema, found once. One for each type: the derive makes it a static of the
/// implementation, which is sound because it refuses generic types.
#[doc(hidden)]
#[derive(Debug, Default)]
pub struct Cache(OnceLock<Result<Arc<Schema>, SchemaError>>);

impl Cache {
    /// Nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The kept result, or the one that is found now.
    ///
    /// # Errors
    /// When the type has no schema.
    pub fn get(
        &self,
        find: impl FnOnce() -> Result<Schema, SchemaError>,
    ) -> Result<Option<Arc<Schema>>, SchemaError> {
        self.0
            .get_or_init(|| find().map(Arc::new))
            .clone()
            .map(Some)
    }
}

/// What the derive refers to.
#[doc(hidden)]
pub mod __datum {
    pub use std::sync::Arc;

    pub use rivermesh_proto::schema::{Schema, trace};

    pub use super::Cache;
    use super::SchemaError;

    /// The schema of a type that is compared by its name.
    ///
    /// # Errors
    /// Never; the result is for the derive's sake.
    pub fn opaque(name: &str) -> Result<Schema, SchemaError> {
        Ok(Schema::Opaque {
            name: name.to_owned(),
        })
    }
}
