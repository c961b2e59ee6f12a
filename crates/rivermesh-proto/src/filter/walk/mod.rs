//! Taking the fields that are asked for out of an item, by serialising it.
//!
//! A field that nobody asks for is not serialised at all. The serializer says of itself what
//! postcard says, that it is not for people, so that types which look different to people (an IP
//! address) are what the stream's schema says they are.
//!
//! What has no value is not recorded: `None`, `()`, JSON's `null`. A variant of an enum is
//! recorded as the text of its name, and its content is a part of that name.

mod parts;
mod scalar;

use std::fmt;

use serde::{Serialize, Serializer, ser};
use thiserror::Error;

use super::{
    fields::{Fields, KEY, ROOT},
    number::Number,
    record::{Found, Record},
};

pub(super) use parts::{Elements, Entries, Members, Places};

/// The name under which serde_json serialises a number, with one field of its digits, when some
/// crate of the program has turned on its feature `arbitrary_precision`.
const DIGITS: &str = "$serde_json::private::Number";

/// The `Serialize` implementation of an item failed, and so would the item's encoding. No filter
/// is taken to match.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the item cannot be looked into: {message}")]
pub struct WalkError {
    message: String,
}

impl ser::Error for WalkError {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self {
            message: message.to_string(),
        }
    }
}

/// Records what an item and its key have.
pub(super) fn walk<T: Serialize + ?Sized>(
    fields: &Fields,
    record: &mut Record,
    item: &T,
    key: Option<&[u8]>,
) -> Result<(), WalkError> {
    record.begin(fields);
    if let Some(key) = key {
        // Bytes that are no text are there, and equal to nothing.
        let found = match std::str::from_utf8(key) {
            Ok(text) => record.keep(text),
            Err(_) => Found::Other,
        };
        record.put(KEY, found);
    }
    if !fields.is_asked() {
        return Ok(());
    }
    item.serialize(Walker {
        fields,
        record,
        at: ROOT,
    })
}

/// Records one place that is asked for, and what is below it.
pub(super) struct Walker<'a> {
    pub(super) fields: &'a Fields,
    pub(super) record: &'a mut Record,
    pub(super) at: u32,
}

impl<'a> Walker<'a> {
    #[inline]
    fn put(self, found: Found) -> Result<(), WalkError> {
        self.record.put(self.at, found);
        Ok(())
    }

    /// Records the name of a variant, and goes on to its content if somebody asks for that.
    fn variant(self, name: &'static str) -> Option<Self> {
        self.record.put(self.at, Found::Name(name));
        let at = self.fields.named(self.at, name)?;
        Some(Self { at, ..self })
    }

    fn places(self) -> Places<'a> {
        let list = self.fields.is_list(self.at).then(|| self.record.list());
        let found = list.map_or(Found::Other, Found::List);
        self.record.put(self.at, found);
        Places::new(self, list)
    }
}

macro_rules! numbers {
    ($($method:ident: $type:ty => $make:expr,)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<(), WalkError> {
            self.put(Found::Number($make(value)))
        }
    )*};
}

impl<'a> Serializer for Walker<'a> {
    type Ok = ();
    type Error = WalkError;
    type SerializeSeq = Places<'a>;
    type SerializeTuple = Places<'a>;
    type SerializeTupleStruct = Places<'a>;
    type SerializeTupleVariant = Elements<'a>;
    type SerializeMap = Entries<'a>;
    type SerializeStruct = Members<'a>;
    type SerializeStructVariant = Members<'a>;

    numbers! {
        serialize_i8: i8 => |n| Number::Int(i128::from(n)),
        serialize_i16: i16 => |n| Number::Int(i128::from(n)),
        serialize_i32: i32 => |n| Number::Int(i128::from(n)),
        serialize_i64: i64 => |n| Number::Int(i128::from(n)),
        serialize_i128: i128 => Number::Int,
        serialize_u8: u8 => |n| Number::Int(i128::from(n)),
        serialize_u16: u16 => |n| Number::Int(i128::from(n)),
        serialize_u32: u32 => |n| Number::Int(i128::from(n)),
        serialize_u64: u64 => |n| Number::Int(i128::from(n)),
        serialize_u128: u128 => Number::from,
        serialize_f32: f32 => |n| Number::Float(f64::from(n)),
        serialize_f64: f64 => Number::Float,
    }

    #[inline]
    fn serialize_bool(self, value: bool) -> Result<(), WalkError> {
        self.put(Found::Bool(value))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<(), WalkError> {
        let found = self.record.keep(value);
        self.put(found)
    }

    fn serialize_char(self, value: char) -> Result<(), WalkError> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<(), WalkError> {
        self.put(Found::Other)
    }

    #[inline]
    fn serialize_none(self) -> Result<(), WalkError> {
        Ok(())
    }

    #[inline]
    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), WalkError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), WalkError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), WalkError> {
        Ok(())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<(), WalkError> {
        match self.variant(variant) {
            Some(content) => content.put(Found::Other),
            None => Ok(()),
        }
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), WalkError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), WalkError> {
        match self.variant(variant) {
            Some(content) => value.serialize(content),
            None => Ok(()),
        }
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Places<'a>, WalkError> {
        Ok(self.places())
    }

    fn serialize_tuple(self, _: usize) -> Result<Places<'a>, WalkError> {
        Ok(self.places())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Places<'a>, WalkError> {
        Ok(self.places())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Elements<'a>, WalkError> {
        Ok(Elements(self.variant(variant).map(Walker::places)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries<'a>, WalkError> {
        let list = self.fields.is_list(self.at).then(|| self.record.list());
        let found = list.map_or(Found::Other, Found::List);
        self.record.put(self.at, found);
        Ok(Entries::new(self, list))
    }

    #[inline]
    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Members<'a>, WalkError> {
        if name == DIGITS {
            return Ok(Members::Digits(self));
        }
        self.record.put(self.at, Found::Other);
        Ok(Members::of(self))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Members<'a>, WalkError> {
        Ok(match self.variant(variant) {
            Some(content) => {
                content.record.put(content.at, Found::Other);
                Members::of(content)
            }
            None => Members::Skipped,
        })
    }

    fn collect_str<T: fmt::Display + ?Sized>(self, value: &T) -> Result<(), WalkError> {
        self.serialize_str(&value.to_string())
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}
