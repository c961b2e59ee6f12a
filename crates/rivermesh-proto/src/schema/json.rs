//! Reading an item by its schema, as JSON.
//!
//! | shape | JSON |
//! | --- | --- |
//! | integers | a number; beyond 64 bits a string of decimal digits |
//! | floats | the shortest number that reads back; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | bytes | a string, base64 with padding (RFC 4648, section 4) |
//! | unit, unit struct, none | `null` |
//! | tuples, sequences | an array |
//! | a map | an object when keys are strings or characters, otherwise an array of pairs |
//! | a new type | what it wraps |
//! | a unit variant | `"Name"` |
//! | other variants | `{"Name": content}` |

use serde_json::{Map, Number, Value};
use thiserror::Error;

use super::{Field, Schema, VariantShape};
use crate::limits;

/// Bytes of memory that an item may turn into, whatever its bytes say. See [`decode`].
const BASE_BUDGET: usize = 64 * 1024;
/// Bytes of memory that each byte of an item may turn into: enough for an object, the smallest of
/// which has one flag.
const BUDGET_PER_BYTE: usize = 1024;
/// Bytes of memory that an item may turn into at most.
const MOST_BUDGET: usize = 128 * limits::ITEM;
/// Bytes that a value takes besides its text, the room that growing arrays keep included.
const VALUE_COST: usize = 64;
/// Bytes that an object takes as soon as it has a field: a node of a B-tree, with room for eleven.
const OBJECT_COST: usize = 640;
/// Bytes that a field of an object takes besides name and value: nodes may be half full.
const FIELD_COST: usize = 64;

/// Bytes could not be read by a schema.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The item ends too early, or claims more elements than it has bytes.
    #[error("the item ends in the middle")]
    Truncated,
    /// Bytes follow the item.
    #[error("{extra} bytes follow the item")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// A number is larger than its type.
    #[error("a number does not fit its type")]
    BadNumber,
    /// A byte that says yes or no says neither.
    #[error("a flag is neither 0 nor 1")]
    BadFlag,
    /// A text is not UTF-8.
    #[error("a text is not UTF-8")]
    BadText,
    /// A character is not one.
    #[error("a character is not one")]
    BadChar,
    /// An enum has no variant of this index.
    #[error("`{of}` has no variant {index}")]
    NoVariant {
        /// The enum.
        of: String,
        /// The index.
        index: u32,
    },
    /// Only the program itself can read this type.
    #[error("items of the opaque type `{name}` can be read by their program only")]
    Opaque {
        /// The type's name.
        name: String,
    },
    /// The payload is not valid JSON.
    #[error("the item is not valid JSON")]
    Json(#[source] serde_json::Error),
    /// The item would turn into far more JSON than it has bytes.
    #[error("the item is out of proportion: {bytes} bytes are too few for so much JSON")]
    OutOfProportion {
        /// Bytes of the item.
        bytes: usize,
    },
    /// The schema is nested too deeply.
    #[error("the schema is nested more than {max} deep", max = limits::SCHEMA_DEPTH)]
    TooDeep,
}

/// Reads the bytes of one item by its schema.
///
/// Both may come from a peer. Recursion is bounded by [`limits::SCHEMA_DEPTH`]; memory by 64 KiB
/// and 1 KiB for each byte of the item, and by 128 MiB in all, so that a schema with long names and
/// many fields of no size cannot blow up a small item, nor many small objects a large one. (A
/// payload that is JSON already takes at most some 130 times its size.) Accepts exactly the bytes
/// that postcard would accept for the type, within these bounds.
///
/// # Errors
/// When the bytes do not follow the schema, end early, or go on behind it.
pub fn decode(schema: &Schema, bytes: &[u8]) -> Result<Value, DecodeError> {
    match schema {
        Schema::Text => return Ok(text(bytes)?.into()),
        Schema::Raw => return Ok(base64(bytes)),
        Schema::Json => return serde_json::from_slice(bytes).map_err(DecodeError::Json),
        Schema::Opaque { name } => return Err(DecodeError::Opaque { name: name.clone() }),
        _ => {}
    }
    let budget = BASE_BUDGET.saturating_add(bytes.len().saturating_mul(BUDGET_PER_BYTE));
    let mut reader = Reader {
        rest: bytes,
        total: bytes.len(),
        budget: budget.min(MOST_BUDGET),
    };
    let value = reader.value(schema, 1)?;
    if !reader.rest.is_empty() {
        return Err(DecodeError::Trailing {
            extra: reader.rest.len(),
        });
    }
    Ok(value)
}

struct Reader<'a> {
    rest: &'a [u8],
    total: usize,
    budget: usize,
}

impl<'a> Reader<'a> {
    fn value(&mut self, schema: &Schema, depth: usize) -> Result<Value, DecodeError> {
        if depth > limits::SCHEMA_DEPTH {
            return Err(DecodeError::TooDeep);
        }
        self.spend(VALUE_COST)?;
        Ok(match schema {
            Schema::Unit | Schema::UnitStruct { .. } => Value::Null,
            Schema::Bool => self.flag()?.into(),
            Schema::I8 => i8::from_le_bytes([self.byte()?]).into(),
            Schema::I16 => signed(zigzag(self.varint(16)?)),
            Schema::I32 => signed(zigzag(self.varint(32)?)),
            Schema::I64 => signed(zigzag(self.varint(64)?)),
            Schema::I128 => signed(zigzag(self.varint(128)?)),
            Schema::U8 => self.byte()?.into(),
            Schema::U16 => unsigned(self.varint(16)?),
            Schema::U32 => unsigned(self.varint(32)?),
            Schema::U64 => unsigned(self.varint(64)?),
            Schema::U128 => unsigned(self.varint(128)?),
            Schema::F32 => {
                let value = f32::from_le_bytes(self.array()?);
                // By way of text: 0.1f32 is to show as 0.1, not as the f64 next to it.
                float(value.to_string().parse().unwrap_or(f64::from(value)))
            }
            Schema::F64 => float(f64::from_le_bytes(self.array()?)),
            Schema::Char => self.character()?.to_string().into(),
            Schema::String => self.string()?.into(),
            Schema::Bytes => base64(self.bytes()?),
            Schema::Option(inner) => {
                if self.flag()? {
                    self.value(inner, depth + 1)?
                } else {
                    Value::Null
                }
            }
            Schema::Seq(element) => {
                let count = self.length()?;
                // The first element takes room for four.
                self.spend(count.min(1) * 2 * VALUE_COST)?;
                let mut elements = Vec::new();
                for _ in 0..count {
                    elements.push(self.value(element, depth + 1)?);
                }
                elements.into()
            }
            Schema::Map(key, value) => self.map(key, value, depth)?,
            Schema::Tuple(parts) | Schema::TupleStruct { fields: parts, .. } => {
                self.parts(parts, depth)?
            }
            Schema::Struct { fields, .. } => self.fields(fields, depth)?,
            Schema::NewType { inner, .. } => self.value(inner, depth + 1)?,
            Schema::Enum { name, variants } => {
                let index = self.varint(32)? as u32;
                let variant = variants
                    .iter()
                    .find(|variant| variant.index == index)
                    .ok_or_else(|| DecodeError::NoVariant {
                        of: name.clone(),
                        index,
                    })?;
                self.spend(variant.name.len())?;
                if variant.shape != VariantShape::Unit {
                    self.spend(OBJECT_COST + FIELD_COST)?;
                }
                let content = match &variant.shape {
                    VariantShape::Unit => return Ok(variant.name.clone().into()),
                    VariantShape::NewType(inner) => self.value(inner, depth + 1)?,
                    VariantShape::Tuple(parts) => self.parts(parts, depth)?,
                    VariantShape::Struct(fields) => self.fields(fields, depth)?,
                };
                let mut object = Map::new();
                object.insert(variant.name.clone(), content);
                object.into()
            }
            Schema::Text | Schema::Raw | Schema::Json | Schema::Opaque { .. } => {
                return Err(DecodeError::Opaque {
                    name: schema.to_string(),
                });
            }
        })
    }

    fn parts(&mut self, parts: &[Schema], depth: usize) -> Result<Value, DecodeError> {
        // Each part will spend it.
        if parts.len() > self.budget / VALUE_COST {
            return Err(self.out_of_proportion());
        }
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            values.push(self.value(part, depth + 1)?);
        }
        Ok(values.into())
    }

    fn fields(&mut self, fields: &[Field], depth: usize) -> Result<Value, DecodeError> {
        let mut object = Map::new();
        if !fields.is_empty() {
            self.spend(OBJECT_COST)?;
        }
        for field in fields {
            self.spend(FIELD_COST + field.name.len())?;
            let value = self.value(&field.schema, depth + 1)?;
            object.insert(field.name.clone(), value);
        }
        Ok(object.into())
    }

    fn map(&mut self, key: &Schema, value: &Schema, depth: usize) -> Result<Value, DecodeError> {
        let count = self.length()?;
        if is_text(key) {
            let mut object = Map::new();
            if count > 0 {
                self.spend(OBJECT_COST)?;
            }
            for _ in 0..count {
                self.spend(FIELD_COST)?;
                if let Value::String(key) = self.value(key, depth + 1)? {
                    object.insert(key, self.value(value, depth + 1)?);
                }
            }
            return Ok(object.into());
        }
        let mut pairs = Vec::new();
        for _ in 0..count {
            self.spend(VALUE_COST)?;
            let pair = vec![self.value(key, depth + 1)?, self.value(value, depth + 1)?];
            pairs.push(Value::Array(pair));
        }
        Ok(pairs.into())
    }

    fn spend(&mut self, cost: usize) -> Result<(), DecodeError> {
        self.budget = self
            .budget
            .checked_sub(cost)
            .ok_or_else(|| self.out_of_proportion())?;
        Ok(())
    }

    fn out_of_proportion(&self) -> DecodeError {
        DecodeError::OutOfProportion { bytes: self.total }
    }

    fn flag(&mut self) -> Result<bool, DecodeError> {
        match self.byte()? {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::BadFlag),
        }
    }

    fn string(&mut self) -> Result<&'a str, DecodeError> {
        text(self.bytes()?)
    }

    /// As postcard reads it: the first character of a string of at most four bytes.
    fn character(&mut self) -> Result<char, DecodeError> {
        let bytes = self.bytes()?;
        if bytes.len() > 4 {
            return Err(DecodeError::BadChar);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| DecodeError::BadChar)?;
        text.chars().next().ok_or(DecodeError::BadChar)
    }

    fn bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let length = self.length()?;
        // As base64 it is a third more.
        self.spend(length.saturating_mul(2))?;
        self.take(length)
    }

    /// A count or length. Every element takes at least a byte, so one over what is left is
    /// wrong whatever follows.
    fn length(&mut self) -> Result<usize, DecodeError> {
        let length = self.varint(64)?;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.rest.len())
            .ok_or(DecodeError::Truncated)
    }

    fn varint(&mut self, bits: u32) -> Result<u128, DecodeError> {
        let mut number = 0;
        for shift in (0..bits).step_by(7) {
            let byte = self.byte()?;
            let payload = u128::from(byte & 0x7f);
            if byte & 0x80 == 0 {
                let room = bits - shift;
                if room < 7 && payload >> room != 0 {
                    return Err(DecodeError::BadNumber);
                }
                return Ok(number | payload << shift);
            }
            number |= payload << shift;
        }
        Err(DecodeError::BadNumber)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let bytes = self.take(N)?;
        bytes.try_into().map_err(|_| DecodeError::Truncated)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self
            .rest
            .split_at_checked(length)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }
}

/// Whether values of a shape are JSON strings, and so can be the keys of an object.
fn is_text(schema: &Schema) -> bool {
    match schema {
        Schema::String | Schema::Char => true,
        Schema::NewType { inner, .. } => is_text(inner),
        _ => false,
    }
}

fn text(bytes: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(bytes).map_err(|_| DecodeError::BadText)
}

fn base64(bytes: &[u8]) -> Value {
    data_encoding::BASE64.encode(bytes).into()
}

fn zigzag(number: u128) -> i128 {
    (number >> 1) as i128 ^ -((number & 1) as i128)
}

fn unsigned(number: u128) -> Value {
    u64::try_from(number).map_or_else(|_| number.to_string().into(), Value::from)
}

fn signed(number: i128) -> Value {
    i64::try_from(number)
        .map(Value::from)
        .or_else(|_| u64::try_from(number).map(Value::from))
        .unwrap_or_else(|_| number.to_string().into())
}

fn float(value: f64) -> Value {
    if value.is_nan() {
        return "NaN".into();
    }
    Number::from_f64(value).map_or_else(
        || Value::from(if value > 0.0 { "Infinity" } else { "-Infinity" }),
        Value::Number,
    )
}
