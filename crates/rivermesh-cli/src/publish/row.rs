//! JSON values with a key.

use std::sync::{Arc, OnceLock};

use rivermesh::{
    Datum, DecodeError, EncodeError, Encoder, Filters, Key, Payload, Schema, SchemaError,
};
use serde_json::Value;

/// The field that is the key. An item is decoded from its bytes alone, and what its key is
/// does not stand there; the process publishes one stream.
static KEY: OnceLock<String> = OnceLock::new();

/// Says which field is the key, once.
pub(super) fn set_key(field: Option<&str>) {
    if let Some(field) = field {
        let _ = KEY.set(field.to_owned());
    }
}

/// A JSON value, as streams of them are; of an object one field may be the key.
#[derive(Debug)]
pub(super) struct Row(pub(super) Value);

impl Datum for Row {
    const NAME: &'static str = Value::NAME;

    fn schema() -> Result<Option<Arc<Schema>>, SchemaError> {
        Value::schema()
    }

    fn encode(&self, out: &mut Encoder<'_>) -> Result<(), EncodeError> {
        self.0.encode(out)
    }

    fn decode(payload: Payload<'_>) -> Result<Self, DecodeError> {
        Value::decode(payload).map(Self)
    }

    fn key(&self) -> Option<Key<'_>> {
        match self.0.get(KEY.get()?)? {
            Value::String(text) => Some(text.as_str().into()),
            Value::Bool(true) => Some("true".into()),
            Value::Bool(false) => Some("false".into()),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(number), _) => Some(number.into()),
                (None, Some(number)) => Some(number.into()),
                (None, None) => None,
            },
            _ => None,
        }
    }

    fn show(&self, filters: Filters<'_>) -> Result<(), EncodeError> {
        filters.look(&self.0, self.key())
    }
}
