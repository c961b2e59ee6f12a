//! What a path of a filter leads to, by the stream's schema.

use super::{
    ast::{Path, Segment},
    text::{ITEM, KEY},
};
use crate::schema::{Field, Schema, Variant, VariantShape};

/// What a path leads to.
#[derive(Clone, Copy, Debug)]
pub(super) enum Type<'s> {
    /// Known per item only: JSON, and opaque types.
    Any,
    /// The item's key.
    Key,
    Bool,
    Number(&'s Schema),
    /// As [`Self::Number`], of 32 bits: literals are narrowed to it.
    Float32,
    Text,
    Enum(&'s str, &'s [Variant]),
    /// With the type of the elements; `None` when they differ.
    List(Option<&'s Schema>),
    /// With the type of the values; `None` when its keys are no texts.
    Map(Option<&'s Schema>),
    Struct(&'s str, &'s [Field]),
    Tuple(&'s [Schema]),
    Bytes,
    Unit,
}

/// Where the value of a path comes from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Source {
    Key,
    /// From the item down; the item itself has no segments.
    Item(Box<[Segment]>),
}

/// What a path does not lead to.
#[derive(Debug)]
pub(super) struct Missing<'s> {
    /// The segment that leads nowhere.
    pub(super) at: usize,
    /// What it would have to be a part of.
    pub(super) within: Type<'s>,
    /// Whether it is the first of a name, where `key` would be good too.
    pub(super) is_first: bool,
}

/// Follows a path through a schema.
pub(super) fn resolve<'s>(
    schema: &'s Schema,
    path: &Path,
) -> Result<(Source, Type<'s>), Missing<'s>> {
    let mut ty = Type::of(schema);
    let mut rest = path.segments.as_slice();
    let first = match rest.first() {
        Some(Segment::Name(name)) if !path.quoted => &**name,
        _ => "",
    };
    // A field of the name goes before what the name stands for otherwise.
    let is_field = match ty {
        Type::Any => matches!(schema, Schema::Json),
        ty => path.segments.first().is_some_and(|s| ty.step(s).is_some()),
    };
    if first == KEY && !is_field {
        return match path.segments.len() {
            1 => Ok((Source::Key, Type::Key)),
            _ => Err(Missing {
                at: 1,
                within: Type::Key,
                is_first: false,
            }),
        };
    }
    if first == ITEM && !is_field && ty.is_nameless() {
        rest = rest.get(1..).unwrap_or_default();
    } else if ty.is_nameless() && !is_field {
        return Err(Missing {
            at: 0,
            within: ty,
            is_first: true,
        });
    }
    let skipped = path.segments.len() - rest.len();
    for (place, segment) in rest.iter().enumerate() {
        let at = place + skipped;
        ty = ty.step(segment).ok_or(Missing {
            at,
            within: ty,
            is_first: at == 0,
        })?;
    }
    Ok((Source::Item(rest.into()), ty))
}

impl<'s> Type<'s> {
    pub(super) fn of(schema: &'s Schema) -> Self {
        match schema {
            Schema::Json | Schema::Opaque { .. } => Self::Any,
            Schema::Bool => Self::Bool,
            Schema::F32 => Self::Float32,
            Schema::I8
            | Schema::I16
            | Schema::I32
            | Schema::I64
            | Schema::I128
            | Schema::U8
            | Schema::U16
            | Schema::U32
            | Schema::U64
            | Schema::U128
            | Schema::F64 => Self::Number(schema),
            Schema::Char | Schema::String | Schema::Text => Self::Text,
            Schema::Bytes | Schema::Raw => Self::Bytes,
            Schema::Unit | Schema::UnitStruct { .. } => Self::Unit,
            Schema::Option(inner) | Schema::NewType { inner, .. } => Self::of(inner),
            Schema::Seq(element) => Self::List(Some(element)),
            Schema::Map(key, value) => {
                Self::Map(matches!(Self::of(key), Self::Text).then_some(value))
            }
            Schema::Tuple(parts) | Schema::TupleStruct { fields: parts, .. } => Self::Tuple(parts),
            Schema::Struct { name, fields } => Self::Struct(name, fields),
            Schema::Enum { name, variants } => Self::Enum(name, variants),
        }
    }

    /// What a part of it is; `None` when it has no such part.
    fn step(self, segment: &Segment) -> Option<Self> {
        match (self, segment) {
            (Self::Any, _) => Some(Self::Any),
            (Self::Struct(_, fields), Segment::Name(name)) => field(fields, name),
            (Self::Map(Some(value)), Segment::Name(_)) => Some(Self::of(value)),
            (Self::List(Some(element)), Segment::Index(_)) => Some(Self::of(element)),
            (Self::Tuple(parts), Segment::Index(index)) => {
                parts.get(usize::try_from(*index).ok()?).map(Self::of)
            }
            (Self::Enum(_, variants), Segment::Name(name)) => {
                let variant = variants.iter().find(|variant| *variant.name == **name)?;
                Some(match &variant.shape {
                    VariantShape::Unit => Self::Unit,
                    VariantShape::NewType(inner) => Self::of(inner),
                    VariantShape::Tuple(parts) => Self::Tuple(parts),
                    VariantShape::Struct(fields) => Self::Struct(&variant.name, fields),
                })
            }
            _ => None,
        }
    }

    /// Whether an item of this type is a value of its own and not a set of named fields, so that
    /// it needs a name: `item`.
    fn is_nameless(self) -> bool {
        !matches!(self, Self::Any | Self::Struct(..) | Self::Map(Some(_)))
    }

    /// What it is, in a sentence.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Any => "of any type".into(),
            Self::Key => "the item's key".into(),
            Self::Bool => "a bool".into(),
            Self::Number(schema) => format!("a number ({schema})"),
            Self::Float32 => "a number (f32)".into(),
            Self::Text => "a string".into(),
            Self::Enum(name, _) => format!("an enum (`{}`)", super::place::shown(name)),
            Self::List(_) => "a list".into(),
            Self::Map(Some(_)) => "a map".into(),
            Self::Map(None) => "a map whose keys are no strings".into(),
            Self::Struct(name, _) => format!("a struct (`{}`)", super::place::shown(name)),
            Self::Tuple(_) => "a tuple".into(),
            Self::Bytes => "bytes".into(),
            Self::Unit => "without a value".into(),
        }
    }

    /// The names that lead on from it.
    pub(super) fn names(self) -> Vec<&'s str> {
        match self {
            Self::Struct(_, fields) => fields.iter().map(|f| f.name.as_str()).collect(),
            Self::Enum(_, variants) => variants.iter().map(|v| v.name.as_str()).collect(),
            _ => Vec::new(),
        }
    }
}

fn field<'s>(fields: &'s [Field], name: &str) -> Option<Type<'s>> {
    let field = fields.iter().find(|field| field.name == name)?;
    Some(Type::of(&field.schema))
}
