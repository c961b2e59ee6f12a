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

/// Numbers of filters, sorted.
type Bucket = Vec<u32>;

impl Index {
    pub(super) fn insert(&mut self, value: &Scalar, filter: u32) {
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
        add(bucket, filter);
    }

    pub(super) fn remove(&mut self, value: &Scalar, filter: u32) {
        match value {
            Scalar::Bool(false) => take(&mut self.no, filter),
            Scalar::Bool(true) => take(&mut self.yes, filter),
            Scalar::Text(text) => {
                if let Some(bucket) = self.texts.get_mut(text) {
                    take(bucket, filter);
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
                    take(bucket, filter);
                    if bucket.is_empty() {
                        self.numbers.remove(&identity);
                    }
                }
            }
        }
    }

    /// The filters that want this value.
    #[inline]
    pub(super) fn get(&self, value: Value<'_>) -> &[u32] {
        let bucket = match value {
            Value::Bool(false) => Some(&self.no),
            Value::Bool(true) => Some(&self.yes),
            Value::Text(text) => self.texts.get(text),
            Value::Number(number) => number.identity().and_then(|i| self.numbers.get(&i)),
            Value::Other => None,
        };
        bucket.map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.texts.is_empty()
            && self.numbers.is_empty()
            && self.no.is_empty()
            && self.yes.is_empty()
    }
}

/// Puts a number into a sorted list, once.
pub(super) fn add(bucket: &mut Vec<u32>, filter: u32) {
    if let Err(place) = bucket.binary_search(&filter) {
        bucket.insert(place, filter);
    }
}

/// Takes a number out of a sorted list.
pub(super) fn take(bucket: &mut Vec<u32>, filter: u32) {
    if let Ok(place) = bucket.binary_search(&filter) {
        bucket.remove(place);
    }
}
