//! Skeleton.

mod datum;

pub use datum::{
    __datum, AsKey, Datum, DecodeError, Dynamic, EncodeError, Encoder, Key, Payload, SchemaError,
};
