//! What items and filters are made of when they are compared.

use std::cmp::Ordering;

use super::{ast::Relation, number::Number};

/// A value that an item has at some place.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Bool(bool),
    Number(Number),
    Text(&'a str),
    /// Something that is there and that nothing can be compared with.
    Other,
}

/// A constant of a filter.
#[derive(Clone, Debug)]
pub(super) enum Scalar {
    Bool(bool),
    Number(Number),
    Text(Box<str>),
}

impl Scalar {
    pub(super) fn value(&self) -> Value<'_> {
        match self {
            Self::Bool(value) => Value::Bool(*value),
            Self::Number(number) => Value::Number(*number),
            Self::Text(text) => Value::Text(text),
        }
    }
}

impl Value<'_> {
    fn order(self, other: Value<'_>) -> Option<Ordering> {
        match (self, other) {
            (Self::Number(a), Value::Number(b)) => a.compare(b),
            (Self::Text(a), Value::Text(b)) => Some(a.cmp(b)),
            (Self::Bool(a), Value::Bool(b)) => Some(a.cmp(&b)),
            _ => None,
        }
    }

    /// Whether a relation holds; never between values that cannot be compared, `!=` included.
    pub(super) fn relates(self, relation: Relation, other: Value<'_>) -> bool {
        if relation.is_order() && matches!(self, Self::Bool(_)) {
            return false;
        }
        self.order(other).is_some_and(|order| relation.holds(order))
    }

    pub(super) fn equals(self, other: Value<'_>) -> bool {
        self.relates(Relation::Equal, other)
    }
}

/// The elements of a list literal, ready to be looked through in logarithmic time.
#[derive(Clone, Debug, Default)]
pub(super) struct Members {
    yes: bool,
    no: bool,
    numbers: Box<[Number]>,
    texts: Box<[Box<str>]>,
}

impl Members {
    pub(super) fn contains(&self, value: Value<'_>) -> bool {
        match value {
            Value::Bool(true) => self.yes,
            Value::Bool(false) => self.no,
            Value::Number(number) => {
                // What is not a number is greater than all here, and equal to none.
                let search = |member: &Number| member.compare(number).unwrap_or(Ordering::Less);
                self.numbers.binary_search_by(search).is_ok()
            }
            Value::Text(text) => self
                .texts
                .binary_search_by(|member| (**member).cmp(text))
                .is_ok(),
            Value::Other => false,
        }
    }
}

impl Members {
    /// Bytes of what it points to.
    pub(super) fn memory(&self) -> usize {
        let texts = self.texts.iter().map(|text| text.len()).sum::<usize>();
        size_of_val(&*self.numbers) + size_of_val(&*self.texts) + texts
    }
}

impl<'a> FromIterator<&'a Scalar> for Members {
    fn from_iter<I: IntoIterator<Item = &'a Scalar>>(scalars: I) -> Self {
        let mut members = Self::default();
        let (mut numbers, mut texts) = (Vec::new(), Vec::new());
        for scalar in scalars {
            match scalar {
                Scalar::Bool(true) => members.yes = true,
                Scalar::Bool(false) => members.no = true,
                Scalar::Number(number) => numbers.push(*number),
                Scalar::Text(text) => texts.push(text.clone()),
            }
        }
        // Literals are numbers, all of them.
        numbers.sort_by(|a, b| a.compare(*b).unwrap_or(Ordering::Equal));
        texts.sort();
        members.numbers = numbers.into();
        members.texts = texts.into();
        members
    }
}
