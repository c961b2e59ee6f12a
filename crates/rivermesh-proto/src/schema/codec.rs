//! The canonical bytes of a schema, and the bounded decoder for them.
//!
//! The layout is what postcard makes of the types in the parent module, one tag byte per shape
//! and variant. It is written by hand for the decoder's sake: a derived one would recurse as
//! deep as hostile bytes tell it to, and accepts several spellings of one number.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{Field, InvalidSchema, Schema, Variant, VariantShape};
use crate::limits;

/// Shapes without content, at the place of their tag.
const SCALARS: [Schema; 17] = [
    Schema::Unit,
    Schema::Bool,
    Schema::I8,
    Schema::I16,
    Schema::I32,
    Schema::I64,
    Schema::I128,
    Schema::U8,
    Schema::U16,
    Schema::U32,
    Schema::U64,
    Schema::U128,
    Schema::F32,
    Schema::F64,
    Schema::Char,
    Schema::String,
    Schema::Bytes,
];
const OPTION: u8 = 17;
const SEQ: u8 = 18;
const MAP: u8 = 19;
const TUPLE: u8 = 20;
const STRUCT: u8 = 21;
const TUPLE_STRUCT: u8 = 22;
const NEW_TYPE: u8 = 23;
const UNIT_STRUCT: u8 = 24;
const ENUM: u8 = 25;
const TEXT: u8 = 26;
const RAW: u8 = 27;
const JSON: u8 = 28;
const OPAQUE: u8 = 29;

const VARIANT_UNIT: u8 = 0;
const VARIANT_NEW_TYPE: u8 = 1;
const VARIANT_TUPLE: u8 = 2;
const VARIANT_STRUCT: u8 = 3;

impl Schema {
    /// The canonical bytes: what travels, and what the fingerprint is made of.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        write(self, &mut out);
        out
    }

    /// Reads and checks a schema that a peer sent. Takes memory in proportion to the bytes, and
    /// recurses at most [`limits::SCHEMA_DEPTH`] deep.
    ///
    /// # Errors
    /// When the bytes are over [`limits::SCHEMA`], are not a schema in canonical form with
    /// nothing behind it, or the schema breaks a rule of [`Schema::validate`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidSchema> {
        if bytes.len() > limits::SCHEMA {
            return Err(InvalidSchema::TooLarge);
        }
        let mut reader = Reader { rest: bytes };
        let schema = reader.schema(1)?;
        if !reader.rest.is_empty() {
            return Err(InvalidSchema::Trailing {
                extra: reader.rest.len(),
            });
        }
        schema.validate()?;
        Ok(schema)
    }
}

impl Serialize for Schema {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.to_bytes())
    }
}

impl<'de> Deserialize<'de> for Schema {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> de::Visitor<'de> for Visitor {
            type Value = Schema;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("the bytes of a schema")
            }

            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Schema, E> {
                Schema::from_bytes(bytes).map_err(E::custom)
            }

            fn visit_seq<A: de::SeqAccess<'de>>(self, mut seq: A) -> Result<Schema, A::Error> {
                let mut bytes = Vec::new();
                while let Some(byte) = seq.next_element()? {
                    if bytes.len() == limits::SCHEMA {
                        return Err(de::Error::custom(InvalidSchema::TooLarge));
                    }
                    bytes.push(byte);
                }
                self.visit_bytes(&bytes)
            }
        }

        deserializer.deserialize_bytes(Visitor)
    }
}

fn write(schema: &Schema, out: &mut Vec<u8>) {
    match schema {
        Schema::Option(inner) => {
            out.push(OPTION);
            write(inner, out);
        }
        Schema::Seq(element) => {
            out.push(SEQ);
            write(element, out);
        }
        Schema::Map(key, value) => {
            out.push(MAP);
            write(key, out);
            write(value, out);
        }
        Schema::Tuple(parts) => {
            out.push(TUPLE);
            write_parts(parts, out);
        }
        Schema::Struct { name, fields } => {
            out.push(STRUCT);
            write_name(name, out);
            write_fields(fields, out);
        }
        Schema::TupleStruct { name, fields } => {
            out.push(TUPLE_STRUCT);
            write_name(name, out);
            write_parts(fields, out);
        }
        Schema::NewType { name, inner } => {
            out.push(NEW_TYPE);
            write_name(name, out);
            write(inner, out);
        }
        Schema::UnitStruct { name } => {
            out.push(UNIT_STRUCT);
            write_name(name, out);
        }
        Schema::Enum { name, variants } => {
            out.push(ENUM);
            write_name(name, out);
            write_number(variants.len() as u64, out);
            for variant in variants {
                write_variant(variant, out);
            }
        }
        Schema::Text => out.push(TEXT),
        Schema::Raw => out.push(RAW),
        Schema::Json => out.push(JSON),
        Schema::Opaque { name } => {
            out.push(OPAQUE);
            write_name(name, out);
        }
        scalar => {
            let place = SCALARS.iter().position(|known| known == scalar);
            debug_assert!(place.is_some(), "every other shape is a scalar");
            out.extend(place.and_then(|place| u8::try_from(place).ok()));
        }
    }
}

fn write_variant(variant: &Variant, out: &mut Vec<u8>) {
    write_name(&variant.name, out);
    write_number(variant.index.into(), out);
    match &variant.shape {
        VariantShape::Unit => out.push(VARIANT_UNIT),
        VariantShape::NewType(inner) => {
            out.push(VARIANT_NEW_TYPE);
            write(inner, out);
        }
        VariantShape::Tuple(parts) => {
            out.push(VARIANT_TUPLE);
            write_parts(parts, out);
        }
        VariantShape::Struct(fields) => {
            out.push(VARIANT_STRUCT);
            write_fields(fields, out);
        }
    }
}

fn write_parts(parts: &[Schema], out: &mut Vec<u8>) {
    write_number(parts.len() as u64, out);
    for part in parts {
        write(part, out);
    }
}

fn write_fields(fields: &[Field], out: &mut Vec<u8>) {
    write_number(fields.len() as u64, out);
    for field in fields {
        write_name(&field.name, out);
        write(&field.schema, out);
    }
}

fn write_name(name: &str, out: &mut Vec<u8>) {
    write_number(name.len() as u64, out);
    out.extend_from_slice(name.as_bytes());
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    fn schema(&mut self, depth: usize) -> Result<Schema, InvalidSchema> {
        if depth > limits::SCHEMA_DEPTH {
            return Err(InvalidSchema::TooDeep);
        }
        let tag = self.byte()?;
        if let Some(scalar) = SCALARS.get(usize::from(tag)) {
            return Ok(scalar.clone());
        }
        Ok(match tag {
            OPTION => Schema::Option(self.boxed(depth)?),
            SEQ => Schema::Seq(self.boxed(depth)?),
            MAP => Schema::Map(self.boxed(depth)?, self.boxed(depth)?),
            TUPLE => Schema::Tuple(self.parts(depth)?),
            STRUCT => Schema::Struct {
                name: self.name()?,
                fields: self.fields(depth)?,
            },
            TUPLE_STRUCT => Schema::TupleStruct {
                name: self.name()?,
                fields: self.parts(depth)?,
            },
            NEW_TYPE => Schema::NewType {
                name: self.name()?,
                inner: self.boxed(depth)?,
            },
            UNIT_STRUCT => Schema::UnitStruct { name: self.name()? },
            ENUM => Schema::Enum {
                name: self.name()?,
                variants: self.many(|reader| reader.variant(depth))?,
            },
            TEXT => Schema::Text,
            RAW => Schema::Raw,
            JSON => Schema::Json,
            OPAQUE => Schema::Opaque { name: self.name()? },
            tag => return Err(InvalidSchema::UnknownTag { tag }),
        })
    }

    /// A shape inside the one at `depth`.
    fn boxed(&mut self, depth: usize) -> Result<Box<Schema>, InvalidSchema> {
        self.schema(depth + 1).map(Box::new)
    }

    fn parts(&mut self, depth: usize) -> Result<Vec<Schema>, InvalidSchema> {
        self.many(|reader| reader.schema(depth + 1))
    }

    fn fields(&mut self, depth: usize) -> Result<Vec<Field>, InvalidSchema> {
        self.many(|reader| {
            Ok(Field {
                name: reader.name()?,
                schema: reader.schema(depth + 1)?,
            })
        })
    }

    fn variant(&mut self, depth: usize) -> Result<Variant, InvalidSchema> {
        Ok(Variant {
            name: self.name()?,
            index: u32::try_from(self.number()?).map_err(|_| InvalidSchema::BadNumber)?,
            shape: match self.byte()? {
                VARIANT_UNIT => VariantShape::Unit,
                VARIANT_NEW_TYPE => VariantShape::NewType(self.boxed(depth)?),
                VARIANT_TUPLE => VariantShape::Tuple(self.parts(depth)?),
                VARIANT_STRUCT => VariantShape::Struct(self.fields(depth)?),
                tag => return Err(InvalidSchema::UnknownTag { tag }),
            },
        })
    }

    /// A count and that many parts, each of at least one byte, so memory follows the bytes.
    fn many<T>(
        &mut self,
        mut read: impl FnMut(&mut Self) -> Result<T, InvalidSchema>,
    ) -> Result<Vec<T>, InvalidSchema> {
        let count = self.length()?;
        let mut parts = Vec::new();
        for _ in 0..count {
            parts.push(read(self)?);
        }
        Ok(parts)
    }

    fn name(&mut self) -> Result<String, InvalidSchema> {
        let length = self.length()?;
        let (name, rest) = self.rest.split_at(length);
        self.rest = rest;
        std::str::from_utf8(name)
            .map(str::to_owned)
            .map_err(|_| InvalidSchema::BadName)
    }

    /// A length or count, which is never more than the bytes that are left.
    fn length(&mut self) -> Result<usize, InvalidSchema> {
        let length = self.number()?;
        usize::try_from(length)
            .ok()
            .filter(|length| *length <= self.rest.len())
            .ok_or(InvalidSchema::Truncated)
    }

    /// A varint in its shortest form. Nothing in a schema needs more than 32 bits.
    fn number(&mut self) -> Result<u64, InvalidSchema> {
        let mut number = 0;
        for place in 0..5 {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << (7 * place);
            if byte & 0x80 == 0 {
                if byte == 0 && place > 0 {
                    return Err(InvalidSchema::BadNumber);
                }
                return Ok(number);
            }
        }
        Err(InvalidSchema::BadNumber)
    }

    fn byte(&mut self) -> Result<u8, InvalidSchema> {
        let (first, rest) = self.rest.split_first().ok_or(InvalidSchema::Truncated)?;
        self.rest = rest;
        Ok(*first)
    }
}
