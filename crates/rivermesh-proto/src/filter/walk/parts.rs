//! The parts of compound values: elements, entries and fields.

use serde::{Serialize, ser};

use super::{
    WalkError, Walker,
    scalar::{Digits, Scalar, Take},
};
use crate::filter::{
    fields::Lengths,
    record::{Found, Record},
};

/// The elements of a sequence or tuple.
pub(in crate::filter) struct Places<'a> {
    walker: Walker<'a>,
    /// Where all elements go, if somebody asks for all.
    list: Option<usize>,
    by_number: bool,
    next: u32,
}

impl<'a> Places<'a> {
    pub(super) fn new(walker: Walker<'a>, list: Option<usize>) -> Self {
        Self {
            list,
            by_number: walker.fields.has_indices(walker.at),
            next: 0,
            walker,
        }
    }

    #[inline]
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WalkError> {
        if let Some(list) = self.list {
            let record = &mut *self.walker.record;
            value.serialize(Scalar(Element { record, list }))?;
        }
        if self.by_number {
            if let Some(at) = self.walker.fields.indexed(self.walker.at, self.next) {
                value.serialize(self.walker.below(at))?;
            }
            // Nobody asks for what is beyond 2^32.
            self.next = self.next.saturating_add(1);
        }
        Ok(())
    }
}

impl<'a> Members<'a> {
    /// Of the struct at the walker's place.
    #[inline]
    pub(super) fn of(walker: Walker<'a>) -> Self {
        let lengths = walker.fields.lengths(walker.at);
        Self::Fields(walker, lengths)
    }
}

impl<'a> Walker<'a> {
    /// The same for a part that is asked for.
    #[inline]
    fn below(&mut self, at: u32) -> Walker<'_> {
        Walker {
            fields: self.fields,
            record: self.record,
            at,
        }
    }

    fn member<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) -> Result<(), WalkError> {
        match self.fields.named(self.at, name) {
            Some(at) => value.serialize(self.below(at)),
            None => Ok(()),
        }
    }
}

impl ser::SerializeSeq for Places<'_> {
    type Ok = ();
    type Error = WalkError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WalkError> {
        self.element(value)
    }

    fn end(self) -> Result<(), WalkError> {
        Ok(())
    }
}

impl ser::SerializeTuple for Places<'_> {
    type Ok = ();
    type Error = WalkError;

    #[inline]
    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WalkError> {
        self.element(value)
    }

    fn end(self) -> Result<(), WalkError> {
        Ok(())
    }
}

impl ser::SerializeTupleStruct for Places<'_> {
    type Ok = ();
    type Error = WalkError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WalkError> {
        self.element(value)
    }

    fn end(self) -> Result<(), WalkError> {
        Ok(())
    }
}

/// The content of a tuple variant, if somebody asks for it.
pub(in crate::filter) struct Elements<'a>(pub(super) Option<Places<'a>>);

impl ser::SerializeTupleVariant for Elements<'_> {
    type Ok = ();
    type Error = WalkError;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WalkError> {
        match &mut self.0 {
            Some(places) => places.element(value),
            None => Ok(()),
        }
    }

    fn end(self) -> Result<(), WalkError> {
        Ok(())
    }
}

/// The fields of a struct or of a struct variant.
pub(in crate::filter) enum Members<'a> {
    Fields(Walker<'a>, Lengths),
    /// One field, which is the decimal text of a number.
    Digits(Walker<'a>),
    /// Nobody asks for any.
    Skipped,
}

impl ser::SerializeStruct for Members<'_> {
    type Ok = ();
    type Error = WalkError;

    #[inline]
    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), WalkError> {
        match self {
            Self::Fields(walker, lengths) if lengths.may_have(name) => walker.member(name, value),
            Self::Fields(..) => Ok(()),
            Self::Digits(walker) => {
                let found = value.serialize(Scalar(Digits))?;
                walker.record.put(walker.at, found);
                Ok(())
            }
            Self::Skipped => Ok(()),
        }
    }

    fn end(self) -> Result<(), WalkError> {
        Ok(())
    }
}

impl ser::SerializeStructVariant for Members<'_> {
    type Ok = ();
    type Error = WalkError;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        name: &'static str,
        value: &T,
    ) -> Result<(), WalkError> {
        ser::SerializeStruct::serialize_field(self, name, value)
    }

    fn end(self) -> Result<(), WalkError> {
        Ok(())
    }
}

/// The entries of a map. Its keys are its names, and also its elements.
pub(in crate::filter) struct Entries<'a> {
    walker: Walker<'a>,
    list: Option<usize>,
    /// The value that comes next, if somebody asks for it.
    next: Option<u32>,
}

impl<'a> Entries<'a> {
    pub(super) fn new(walker: Walker<'a>, list: Option<usize>) -> Self {
        Self {
            walker,
            list,
            next: None,
        }
    }
}

impl ser::SerializeMap for Entries<'_> {
    type Ok = ();
    type Error = WalkError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), WalkError> {
        let walker = self.walker.below(self.walker.at);
        let list = self.list;
        self.next = key.serialize(Scalar(Key { walker, list }))?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), WalkError> {
        match self.next.take() {
            Some(at) => value.serialize(self.walker.below(at)),
            None => Ok(()),
        }
    }

    fn end(self) -> Result<(), WalkError> {
        Ok(())
    }
}

/// One element of a list.
struct Element<'a> {
    record: &'a mut Record,
    list: usize,
}

impl Take for Element<'_> {
    type Ok = ();

    #[inline]
    fn found(self, found: Found) {
        self.record.push(self.list, found);
    }

    #[inline]
    fn text(self, text: &str) {
        let found = self.record.keep(text);
        self.found(found);
    }

    fn nothing(self) {}
}

/// The key of an entry. It is where the value goes, if somebody asks for that.
struct Key<'a> {
    walker: Walker<'a>,
    list: Option<usize>,
}

impl Take for Key<'_> {
    type Ok = Option<u32>;

    /// Only texts are names.
    fn found(self, found: Found) -> Option<u32> {
        match found {
            Found::Name(name) => self.text(name),
            _ => None,
        }
    }

    fn text(self, text: &str) -> Option<u32> {
        if let Some(list) = self.list {
            let found = self.walker.record.keep(text);
            self.walker.record.push(list, found);
        }
        self.walker.fields.named(self.walker.at, text)
    }

    fn nothing(self) -> Option<u32> {
        None
    }
}
