//! Filters by the value that one field must have.

use std::collections::HashMap;

use super::{
    number::Identity,
    value::{Scalar, Value},
};

/// For one field: which filters want which value. Numbers are found by what they are, whatever
/// their type: 1 and 1.0 are one value.
///
/// Peers choose the values, so the maps are those of the standard library, whose hashes nobody can
/// predict.
#[derive(Debug, Default)]
pub(super) struct Index {
    texts: HashMap<Box<str>, Bucket>,
    numbers: HashMap<Identity, Bucket>,
    no: Bucket,
    yes: Bucket,
}

/// A filter that wants a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Entry {
    pub(super) filter: u32,
    /// Whether that is all it wants, so that nobody has to look at it.
    pub(super) is_all: bool,
}

/// The filters that want one value. Most values are wanted by one: it stands in the map itself,
/// because with many values each step from place to place is a miss of the processor's cache.
#[derive(Debug, Default)]
enum Bucket {
    #[default]
    None,
    One(Entry),
    /// Sorted.
    Many(Vec<Entry>),
}

impl Bucket {
    #[inline]
    fn as_slice(&self) -> &[Entry] {
        match self {
            Self::None => &[],
            Self::One(entry) => std::slice::from_ref(entry),
            Self::Many(entries) => entries,
        }
    }

    fn is_empty(&self) -> bool {
        self.as_slice().is_empty()
    }

    fn add(&mut self, entry: Entry) {
        match self {
            Self::None => *self = Self::One(entry),
            // Two literals of a list may be one number to a field of 32 bits.
            Self::One(one) if *one == entry => {}
            Self::One(one) => {
                let mut entries = vec![*one];
                insert_sorted(&mut entries, entry);
                *self = Self::Many(entries);
            }
            Self::Many(entries) => insert_sorted(entries, entry),
        }
    }

    fn take(&mut self, entry: Entry) {
        match self {
            Self::One(one) if *one == entry => *self = Self::None,
            Self::Many(entries) => remove_sorted(entries, &entry),
            _ => {}
        }
    }
}

impl Index {
    pub(super) fn insert(&mut self, value: &Scalar, entry: Entry) {
        let bucket = match value {
            Scalar::Bool(false) => &mut self.no,
            Scalar::Bool(true) => &mut self.yes,
            Scalar::Text(text) => self.texts.entry(text.clone()).or_default(),
            Scalar::Number(number) => match number.identity() {
                Some(identity) => self.numbers.entry(identity).or_default(),
                // It is equal to nothing.
                None => return,
            },
        };
        bucket.add(entry);
    }

    pub(super) fn remove(&mut self, value: &Scalar, entry: Entry) {
        match value {
            Scalar::Bool(false) => self.no.take(entry),
            Scalar::Bool(true) => self.yes.take(entry),
            Scalar::Text(text) => {
                if let Some(bucket) = self.texts.get_mut(text) {
                    bucket.take(entry);
                    if bucket.is_empty() {
                        self.texts.remove(text);
                    }
                }
            }
            Scalar::Number(number) => {
                let Some(identity) = number.identity() else {
                    return;
                };
                if let Some(bucket) = self.numbers.get_mut(&identity) {
                    bucket.take(entry);
                    if bucket.is_empty() {
                        self.numbers.remove(&identity);
                    }
                }
            }
        }
    }

    /// The filters that want this value.
    #[inline]
    pub(super) fn get(&self, value: Value<'_>) -> &[Entry] {
        let bucket = match value {
            Value::Bool(false) => Some(&self.no),
            Value::Bool(true) => Some(&self.yes),
            Value::Text(text) => self.texts.get(text),
            Value::Number(number) => number.identity().and_then(|i| self.numbers.get(&i)),
            Value::Other => None,
        };
        bucket.map(Bucket::as_slice).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
            && self.numbers.is_empty()
            && self.no.is_empty()
            && self.yes.is_empty()
    }
}

/// Puts an element into a sorted list, once.
pub(super) fn insert_sorted<T: Ord>(list: &mut Vec<T>, element: T) {
    if let Err(place) = list.binary_search(&element) {
        list.insert(place, element);
    }
}

/// Takes an element out of a sorted list.
pub(super) fn remove_sorted<T: Ord>(list: &mut Vec<T>, element: &T) {
    if let Ok(place) = list.binary_search(element) {
        list.remove(place);
    }
}
