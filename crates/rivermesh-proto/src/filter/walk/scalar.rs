//! Values that are of use only when they are scalars: elements of lists, and keys of maps.

use serde::{Serialize, Serializer, ser};

use super::{DIGITS, WalkError};
use crate::filter::{number::Number, record::Found};

/// What is done with a scalar.
pub(super) trait Take: Sized {
    type Ok;

    /// A number, a bool, a name, or something that is no scalar.
    fn found(self, found: Found) -> Self::Ok;

    /// A text.
    fn text(self, text: &str) -> Self::Ok;

    /// No value.
    fn nothing(self) -> Self::Ok;
}

/// Takes a value if it is a scalar, and does not look into it otherwise.
pub(super) struct Scalar<T>(pub(super) T);

macro_rules! numbers {
    ($($method:ident: $type:ty => $make:expr,)*) => {$(
        #[inline]
        fn $method(self, value: $type) -> Result<T::Ok, WalkError> {
            Ok(self.0.found(Found::Number($make(value))))
        }
    )*};
}

impl<T: Take> Serializer for Scalar<T> {
    type Ok = T::Ok;
    type Error = WalkError;
    type SerializeSeq = Skip<T>;
    type SerializeTuple = Skip<T>;
    type SerializeTupleStruct = Skip<T>;
    type SerializeTupleVariant = Skip<T>;
    type SerializeMap = Skip<T>;
    type SerializeStruct = Skip<T>;
    type SerializeStructVariant = Skip<T>;

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

    fn serialize_bool(self, value: bool) -> Result<T::Ok, WalkError> {
        Ok(self.0.found(Found::Bool(value)))
    }

    #[inline]
    fn serialize_str(self, value: &str) -> Result<T::Ok, WalkError> {
        Ok(self.0.text(value))
    }

    fn serialize_char(self, value: char) -> Result<T::Ok, WalkError> {
        Ok(self.0.text(value.encode_utf8(&mut [0; 4])))
    }

    fn serialize_bytes(self, _: &[u8]) -> Result<T::Ok, WalkError> {
        Ok(self.0.found(Found::Other))
    }

    fn serialize_none(self) -> Result<T::Ok, WalkError> {
        Ok(self.0.nothing())
    }

    fn serialize_some<V: Serialize + ?Sized>(self, value: &V) -> Result<T::Ok, WalkError> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<T::Ok, WalkError> {
        Ok(self.0.nothing())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<T::Ok, WalkError> {
        Ok(self.0.nothing())
    }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<T::Ok, WalkError> {
        Ok(self.0.found(Found::Name(variant)))
    }

    fn serialize_newtype_struct<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &V,
    ) -> Result<T::Ok, WalkError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<V: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: &V,
    ) -> Result<T::Ok, WalkError> {
        Ok(self.0.found(Found::Name(variant)))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Skip<T>, WalkError> {
        Ok(Skip::new(self.0, Found::Other))
    }

    fn serialize_tuple(self, _: usize) -> Result<Skip<T>, WalkError> {
        Ok(Skip::new(self.0, Found::Other))
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Skip<T>, WalkError> {
        Ok(Skip::new(self.0, Found::Other))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Skip<T>, WalkError> {
        Ok(Skip::new(self.0, Found::Name(variant)))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Skip<T>, WalkError> {
        Ok(Skip::new(self.0, Found::Other))
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Skip<T>, WalkError> {
        let mut skip = Skip::new(self.0, Found::Other);
        skip.is_digits = name == DIGITS;
        Ok(skip)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Skip<T>, WalkError> {
        Ok(Skip::new(self.0, Found::Name(variant)))
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// Leaves out all parts of a value.
pub(super) struct Skip<T> {
    take: T,
    found: Found,
    is_digits: bool,
}

impl<T: Take> Skip<T> {
    fn new(take: T, found: Found) -> Self {
        let is_digits = false;
        Self {
            take,
            found,
            is_digits,
        }
    }

    fn finish(self) -> Result<T::Ok, WalkError> {
        Ok(self.take.found(self.found))
    }
}

macro_rules! skip {
    ($($trait:ident { $($method:ident($($name:ident: $type:ty)?);)* })*) => {$(
        impl<T: Take> ser::$trait for Skip<T> {
            type Ok = T::Ok;
            type Error = WalkError;

            $(
                fn $method<V: Serialize + ?Sized>(
                    &mut self,
                    $($name: $type,)?
                    _: &V,
                ) -> Result<(), WalkError> {
                    Ok(())
                }
            )*

            fn end(self) -> Result<T::Ok, WalkError> {
                self.finish()
            }
        }
    )*};
}

skip! {
    SerializeSeq { serialize_element(); }
    SerializeTuple { serialize_element(); }
    SerializeTupleStruct { serialize_field(); }
    SerializeTupleVariant { serialize_field(); }
    SerializeMap { serialize_key(); serialize_value(); }
    SerializeStructVariant { serialize_field(_name: &'static str); }
}

impl<T: Take> ser::SerializeStruct for Skip<T> {
    type Ok = T::Ok;
    type Error = WalkError;

    fn serialize_field<V: Serialize + ?Sized>(
        &mut self,
        _: &'static str,
        value: &V,
    ) -> Result<(), WalkError> {
        if self.is_digits {
            self.found = value.serialize(Scalar(Digits))?;
        }
        Ok(())
    }

    fn end(self) -> Result<T::Ok, WalkError> {
        self.finish()
    }
}

/// A number that comes as text.
pub(super) struct Digits;

impl Take for Digits {
    type Ok = Found;

    fn found(self, found: Found) -> Found {
        found
    }

    fn text(self, text: &str) -> Found {
        digits(text)
    }

    fn nothing(self) -> Found {
        Found::Other
    }
}

/// The number that a decimal text is; as a float where it is no integer of 128 bits.
fn digits(text: &str) -> Found {
    let whole = text.parse().map(Number::Int);
    let whole = whole.or_else(|_| text.parse::<u128>().map(Number::from));
    match whole {
        Ok(number) => Found::Number(number),
        Err(_) => text
            .parse()
            .map_or(Found::Other, |float| Found::Number(Number::Float(float))),
    }
}
