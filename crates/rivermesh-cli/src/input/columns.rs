//! Types of CSV columns, inferred from a sample of rows.

use serde_json::{Number, Value};

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only nulls so far; the first value settles it.
    Unknown,
    /// true or false.
    Bool,
    /// Whole numbers that fit 64 bits.
    Integer,
    /// Numbers.
    Float,
    /// Anything.
    Text,
}

impl Kind {
    /// The narrowest type of one field. Digits with a leading zero or a plus are text: as a
    /// number they would not come out as they went in.
    fn of(field: &str) -> Self {
        if is_null(field) {
            return Self::Unknown;
        }
        if matches!(
            field,
            "true" | "false" | "True" | "False" | "TRUE" | "FALSE"
        ) {
            return Self::Bool;
        }
        let digits = field.strip_prefix('-').unwrap_or(field);
        let numeric = digits.starts_with(|c: char| c.is_ascii_digit())
            && !(digits.len() > 1
                && digits.starts_with('0')
                && digits[1..].starts_with(|c: char| c.is_ascii_digit()));
        if !numeric {
            return Self::Text;
        }
        if digits.bytes().all(|b| b.is_ascii_digit()) {
            return match field.parse::<i64>() {
                Ok(_) => Self::Integer,
                Err(_) => Self::Text,
            };
        }
        match field.parse::<f64>() {
            Ok(number) if number.is_finite() => Self::Float,
            _ => Self::Text,
        }
    }

    /// The narrowest type that holds both.
    fn join(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (Self::Unknown, kind) | (kind, Self::Unknown) => kind,
            (Self::Integer, Self::Float) | (Self::Float, Self::Integer) => Self::Float,
            _ => Self::Text,
        }
    }
}

/// The columns of a table.
#[derive(Debug)]
pub(super) struct Columns {
    names: Vec<String>,
    kinds: Vec<Kind>,
    misfits: u64,
}

impl Columns {
    pub(super) fn new(names: Vec<String>) -> Self {
        let kinds = vec![Kind::Unknown; names.len()];
        Self {
            names,
            kinds,
            misfits: 0,
        }
    }

    /// Takes a row of the sample into account.
    pub(super) fn observe<'a>(&mut self, row: impl Iterator<Item = &'a str>) {
        for (kind, field) in self.kinds.iter_mut().zip(row) {
            *kind = kind.join(Kind::of(field));
        }
    }

    /// Fields that did not fit.
    pub(super) fn misfits(&self) -> u64 {
        self.misfits
    }

    /// The types, in the order of the columns.
    #[cfg(test)]
    pub(super) fn kinds(&self) -> &[Kind] {
        &self.kinds
    }

    /// A row as an object. A field that does not fit its column's type is text and counted; a
    /// number with a fraction fits a column of whole numbers.
    pub(super) fn object<'a>(&mut self, row: impl Iterator<Item = &'a str>) -> Value {
        let mut object = serde_json::Map::with_capacity(self.names.len());
        for ((name, kind), field) in self.names.iter().zip(&mut self.kinds).zip(row) {
            let found = Kind::of(field);
            if *kind == Kind::Unknown {
                *kind = found;
            }
            let value = match (*kind, found) {
                (_, Kind::Unknown) => Value::Null,
                (Kind::Bool, Kind::Bool) => Value::Bool(field.eq_ignore_ascii_case("true")),
                (Kind::Integer | Kind::Float, Kind::Integer | Kind::Float) => {
                    number(*kind, field).unwrap_or_else(|| field.into())
                }
                (Kind::Text, _) => field.into(),
                _ => {
                    self.misfits += 1;
                    field.into()
                }
            };
            object.insert(name.clone(), value);
        }
        Value::Object(object)
    }
}

fn number(kind: Kind, field: &str) -> Option<Value> {
    let whole = (kind == Kind::Integer)
        .then(|| field.parse::<i64>().ok())
        .flatten();
    match whole {
        Some(whole) => Some(whole.into()),
        None => Number::from_f64(field.parse().ok()?).map(Value::Number),
    }
}

fn is_null(field: &str) -> bool {
    field.is_empty() || field == "NA"
}
