//! The shape of an item, its fingerprint, and reading items by it.
//!
//! A [`Schema`] describes the bytes of an item the way postcard lays them out, so whoever holds
//! it can read items of a type it has never seen. A producer derives it from its Rust type with
//! [`trace`], sends it on request, and a consumer compares it with its own by [`Fingerprint`];
//! when they differ, [`diff`] says where. [`json::decode`] reads an item by a schema.
//!
//! A schema is a finite tree: recursive types have none. Schemas come from peers, so decoding
//! one ([`Schema::from_bytes`]) is bounded in bytes and depth and checks every rule that a traced
//! schema keeps by itself.

mod codec;
mod diff;
pub mod json;
mod show;
mod trace;

#[cfg(test)]
mod tests;

use thiserror::Error;

pub use diff::{Difference, diff};
pub use trace::{TraceError, trace};

use crate::{ids::Fingerprint, limits};

/// The shape of an item.
///
/// All but the last four variants describe postcard's data model; [`Text`](Self::Text),
/// [`Raw`](Self::Raw), [`Json`](Self::Json) and [`Opaque`](Self::Opaque) describe a whole payload
/// and stand at the top only.
///
/// In serde formats a schema is one byte string, its canonical bytes, so that decoding it inside
/// another message is as bounded as [`Schema::from_bytes`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Schema {
    /// Nothing; no bytes.
    Unit,
    /// One byte, 0 or 1.
    Bool,
    /// One byte, two's complement.
    I8,
    /// Zigzag varint.
    I16,
    /// Zigzag varint.
    I32,
    /// Zigzag varint.
    I64,
    /// Zigzag varint.
    I128,
    /// One byte.
    U8,
    /// Varint.
    U16,
    /// Varint.
    U32,
    /// Varint.
    U64,
    /// Varint.
    U128,
    /// Four bytes, little endian.
    F32,
    /// Eight bytes, little endian.
    F64,
    /// A character as a UTF-8 string of its own.
    Char,
    /// Length (varint) and UTF-8.
    String,
    /// Length (varint) and bytes.
    Bytes,
    /// One byte, 0 or 1, then the value if 1.
    Option(Box<Schema>),
    /// Count (varint) and elements.
    Seq(Box<Schema>),
    /// Count (varint) and pairs.
    Map(Box<Schema>, Box<Schema>),
    /// The elements one after the other; arrays are tuples.
    Tuple(Vec<Schema>),
    /// The fields one after the other.
    Struct {
        /// The type's name.
        name: String,
        /// The fields in the order of their bytes.
        fields: Vec<Field>,
    },
    /// The fields one after the other.
    TupleStruct {
        /// The type's name.
        name: String,
        /// The fields in the order of their bytes.
        fields: Vec<Schema>,
    },
    /// As the wrapped type.
    NewType {
        /// The type's name.
        name: String,
        /// What is wrapped.
        inner: Box<Schema>,
    },
    /// No bytes.
    UnitStruct {
        /// The type's name.
        name: String,
    },
    /// The index of the variant (varint), then its content.
    Enum {
        /// The type's name.
        name: String,
        /// The variants, by rising index.
        variants: Vec<Variant>,
    },
    /// The whole payload is UTF-8 text.
    Text,
    /// The whole payload is bytes without a shape.
    Raw,
    /// The whole payload is one JSON text.
    Json,
    /// The whole payload is bytes that only a program with this type can read.
    Opaque {
        /// The type's name.
        name: String,
    },
}

/// One named field.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Field {
    /// The name, as serde sees it.
    pub name: String,
    /// The shape.
    pub schema: Schema,
}

/// One variant of an enum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Variant {
    /// The name, as serde sees it.
    pub name: String,
    /// The number that stands for it in the bytes.
    pub index: u32,
    /// What it holds.
    pub shape: VariantShape,
}

/// What a variant of an enum holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum VariantShape {
    /// Nothing.
    Unit,
    /// One value.
    NewType(Box<Schema>),
    /// Several values without names.
    Tuple(Vec<Schema>),
    /// Named fields.
    Struct(Vec<Field>),
}

/// Bytes are not a schema, or a shape breaks a rule that schemas keep.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidSchema {
    /// The schema takes too many bytes.
    #[error("a schema has at most {max} bytes", max = limits::SCHEMA)]
    TooLarge,
    /// Types are nested too deeply.
    #[error("types are nested more than {max} deep", max = limits::SCHEMA_DEPTH)]
    TooDeep,
    /// The bytes end too early.
    #[error("the schema ends in the middle")]
    Truncated,
    /// Bytes follow the schema.
    #[error("{extra} bytes follow the schema")]
    Trailing {
        /// How many.
        extra: usize,
    },
    /// A tag is not known.
    #[error("unknown tag {tag} in a schema")]
    UnknownTag {
        /// The tag.
        tag: u8,
    },
    /// A number is not in its shortest form or too large.
    #[error("malformed number in a schema")]
    BadNumber,
    /// A name is not UTF-8, or has control characters.
    #[error("malformed name in a schema")]
    BadName,
    /// A name or an index occurs twice, or indices do not rise.
    #[error("`{name}` of `{of}` occurs twice or out of order")]
    Repeated {
        /// The type.
        of: String,
        /// The field or variant.
        name: String,
    },
    /// A sequence or map has elements that take no bytes, so that a few bytes could claim 2^64
    /// of them.
    #[error("a sequence of {element} has elements that take no bytes")]
    ZeroSized {
        /// The element's shape.
        element: String,
    },
    /// A shape of a whole payload stands inside another.
    #[error("{shape} cannot be a part of another shape")]
    NotAtTop {
        /// The inner shape.
        shape: String,
    },
}

impl Schema {
    /// A hash of the canonical bytes: the first 8 bytes of BLAKE3 in key derivation mode. Equal
    /// for equal schemas everywhere; a peer that wants a collision can make one, which costs it
    /// nothing but its own items' decoding.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let hash = blake3::derive_key("rivermesh 2026-11 schema fingerprint", &self.to_bytes());
        let mut short = [0; 8];
        short.copy_from_slice(&hash[..8]);
        Fingerprint(short)
    }

    /// Checks all rules: bytes, depth, names, order, no elements of no size, whole-payload
    /// shapes at the top only.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn validate(&self) -> Result<(), InvalidSchema> {
        match self {
            Self::Text | Self::Raw | Self::Json => {}
            Self::Opaque { name } => check_name(name)?,
            other => other.check(1)?,
        }
        if self.to_bytes().len() > limits::SCHEMA {
            return Err(InvalidSchema::TooLarge);
        }
        Ok(())
    }

    /// The type's own name, for shapes that have one.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Struct { name, .. }
            | Self::TupleStruct { name, .. }
            | Self::NewType { name, .. }
            | Self::UnitStruct { name }
            | Self::Enum { name, .. }
            | Self::Opaque { name } => Some(name),
            _ => None,
        }
    }

    /// Whether every value takes no bytes at all.
    fn takes_no_bytes(&self) -> bool {
        match self {
            Self::Unit | Self::UnitStruct { .. } => true,
            Self::Tuple(parts) | Self::TupleStruct { fields: parts, .. } => {
                parts.iter().all(Self::takes_no_bytes)
            }
            Self::Struct { fields, .. } => fields.iter().all(|f| f.schema.takes_no_bytes()),
            Self::NewType { inner, .. } => inner.takes_no_bytes(),
            _ => false,
        }
    }

    /// The rules for a shape at `depth`, the top being 1. Depth is checked on the way down, so
    /// nothing recurses past the limit.
    fn check(&self, depth: usize) -> Result<(), InvalidSchema> {
        if depth > limits::SCHEMA_DEPTH {
            return Err(InvalidSchema::TooDeep);
        }
        if let Some(name) = self.name() {
            check_name(name)?;
        }
        match self {
            Self::Option(inner) | Self::NewType { inner, .. } => inner.check(depth + 1),
            Self::Seq(element) => {
                element.check(depth + 1)?;
                check_element(element.takes_no_bytes(), element)
            }
            Self::Map(key, value) => {
                key.check(depth + 1)?;
                value.check(depth + 1)?;
                check_element(key.takes_no_bytes() && value.takes_no_bytes(), value)
            }
            Self::Tuple(parts) | Self::TupleStruct { fields: parts, .. } => {
                parts.iter().try_for_each(|part| part.check(depth + 1))
            }
            Self::Struct { name, fields } => check_fields(name, fields, depth),
            Self::Enum { name, variants } => check_variants(name, variants, depth),
            Self::Text | Self::Raw | Self::Json | Self::Opaque { .. } => {
                Err(InvalidSchema::NotAtTop {
                    shape: self.to_string(),
                })
            }
            _ => Ok(()),
        }
    }
}

fn check_name(name: &str) -> Result<(), InvalidSchema> {
    if name.chars().any(char::is_control) {
        return Err(InvalidSchema::BadName);
    }
    Ok(())
}

fn check_element(takes_no_bytes: bool, element: &Schema) -> Result<(), InvalidSchema> {
    if takes_no_bytes {
        return Err(InvalidSchema::ZeroSized {
            element: element.to_string(),
        });
    }
    Ok(())
}

fn check_fields(of: &str, fields: &[Field], depth: usize) -> Result<(), InvalidSchema> {
    let mut seen = std::collections::HashSet::with_capacity(fields.len());
    for field in fields {
        check_name(&field.name)?;
        if !seen.insert(field.name.as_str()) {
            return Err(repeated(of, &field.name));
        }
        field.schema.check(depth + 1)?;
    }
    Ok(())
}

fn check_variants(of: &str, variants: &[Variant], depth: usize) -> Result<(), InvalidSchema> {
    let mut seen = std::collections::HashSet::with_capacity(variants.len());
    let mut last = None;
    for variant in variants {
        check_name(&variant.name)?;
        if !seen.insert(variant.name.as_str()) || last.is_some_and(|last| variant.index <= last) {
            return Err(repeated(of, &variant.name));
        }
        last = Some(variant.index);
        match &variant.shape {
            VariantShape::Unit => {}
            VariantShape::NewType(inner) => inner.check(depth + 1)?,
            VariantShape::Tuple(parts) => {
                parts.iter().try_for_each(|part| part.check(depth + 1))?;
            }
            VariantShape::Struct(fields) => check_fields(&variant.name, fields, depth)?,
        }
    }
    Ok(())
}

fn repeated(of: &str, name: &str) -> InvalidSchema {
    InvalidSchema::Repeated {
        of: of.to_owned(),
        name: name.to_owned(),
    }
}
