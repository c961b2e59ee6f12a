//! Schemas as a person reads them: short, in the manner of Rust types.

use std::fmt;

use super::{Field, Schema, Variant, VariantShape};

impl fmt::Display for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unit => f.write_str("()"),
            Self::Bool => f.write_str("bool"),
            Self::I8 => f.write_str("i8"),
            Self::I16 => f.write_str("i16"),
            Self::I32 => f.write_str("i32"),
            Self::I64 => f.write_str("i64"),
            Self::I128 => f.write_str("i128"),
            Self::U8 => f.write_str("u8"),
            Self::U16 => f.write_str("u16"),
            Self::U32 => f.write_str("u32"),
            Self::U64 => f.write_str("u64"),
            Self::U128 => f.write_str("u128"),
            Self::F32 => f.write_str("f32"),
            Self::F64 => f.write_str("f64"),
            Self::Char => f.write_str("char"),
            Self::String => f.write_str("String"),
            Self::Bytes => f.write_str("Bytes"),
            Self::Option(inner) => write!(f, "Option<{inner}>"),
            Self::Seq(element) => write!(f, "Vec<{element}>"),
            Self::Map(key, value) => write!(f, "Map<{key}, {value}>"),
            Self::Tuple(parts) => match parts.split_first() {
                Some((first, rest)) if rest.len() > 1 && rest.iter().all(|p| p == first) => {
                    write!(f, "[{first}; {}]", parts.len())
                }
                _ => show_parts(parts, f),
            },
            Self::Struct { name, fields } => {
                write!(f, "{} ", Name(name))?;
                show_fields(fields, f)
            }
            Self::TupleStruct { name, fields } => {
                write!(f, "{}", Name(name))?;
                show_parts(fields, f)
            }
            Self::NewType { name, inner } => write!(f, "{}({inner})", Name(name)),
            Self::UnitStruct { name } => write!(f, "{}", Name(name)),
            Self::Enum { name, variants } => {
                write!(f, "enum {} {{", Name(name))?;
                for (place, variant) in variants.iter().enumerate() {
                    f.write_str(if place == 0 { " " } else { ", " })?;
                    write!(f, "{variant}")?;
                }
                f.write_str(" }")
            }
            Self::Text => f.write_str("UTF-8 text"),
            Self::Raw => f.write_str("raw bytes"),
            Self::Json => f.write_str("JSON"),
            Self::Opaque { name } => write!(f, "opaque {}", Name(name)),
        }
    }
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", Name(&self.name))?;
        match &self.shape {
            VariantShape::Unit => Ok(()),
            VariantShape::NewType(inner) => write!(f, "({inner})"),
            VariantShape::Tuple(parts) => show_parts(parts, f),
            VariantShape::Struct(fields) => {
                f.write_str(" ")?;
                show_fields(fields, f)
            }
        }
    }
}

/// A peer's name for something: quoted and escaped unless it is plain, so that it can neither
/// drive a terminal nor pass for punctuation.
pub(super) struct Name<'a>(pub(super) &'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-');
        if !self.0.is_empty() && self.0.chars().all(plain) {
            f.write_str(self.0)
        } else {
            write!(f, "{:?}", self.0)
        }
    }
}

fn show_parts(parts: &[Schema], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("(")?;
    for (place, part) in parts.iter().enumerate() {
        if place > 0 {
            f.write_str(", ")?;
        }
        write!(f, "{part}")?;
    }
    // `(T,)` in a tuple of one, as Rust writes it.
    f.write_str(if parts.len() == 1 { ",)" } else { ")" })
}

fn show_fields(fields: &[Field], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    f.write_str("{")?;
    for (place, field) in fields.iter().enumerate() {
        f.write_str(if place == 0 { " " } else { ", " })?;
        write!(f, "{}: {}", Name(&field.name), field.schema)?;
    }
    f.write_str(if fields.is_empty() { "}" } else { " }" })
}
