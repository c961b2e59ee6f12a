//! Tests that need more than one of the modules.

mod bounds;
mod canonical;
mod check;
mod evaluate;
mod random;
mod set;
mod syntax;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CheckError, Evaluator, Filter, Plan};
use crate::schema::{Schema, trace};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Flight {
    origin: String,
    temp: f32,
    delay: i64,
    count: u8,
    ratio: Option<f64>,
    late: bool,
    status: Status,
    tags: Vec<String>,
    levels: Vec<i16>,
    labels: BTreeMap<String, i32>,
    pos: Pos,
    code: Option<char>,
    pair: (u8, String),
    wide: u128,
    meters: Meters,
    blob: Blob,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
enum Status {
    Fine,
    Late { minutes: u32, why: Option<String> },
    Moved(String),
    Swapped(u8, i8),
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Pos {
    x: f64,
    up: Option<Box<Up>>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Up {
    z: i32,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Meters(f64);

/// Bytes as serde has them, and not as a list of numbers.
#[derive(Clone, Debug)]
struct Blob(Vec<u8>);

impl Serialize for Blob {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        bytes::Bytes::deserialize(deserializer).map(|bytes| Self(bytes.to_vec()))
    }
}

fn flight() -> Flight {
    Flight {
        origin: "JFK".into(),
        temp: 86.1,
        delay: -5,
        count: 200,
        ratio: None,
        late: true,
        status: Status::Late {
            minutes: 61,
            why: None,
        },
        tags: vec!["red".into(), "night".into()],
        levels: vec![3, -7],
        labels: [("gate".to_owned(), 4)].into(),
        pos: Pos {
            x: 0.5,
            up: Some(Box::new(Up { z: 9 })),
        },
        code: Some('é'),
        pair: (1, "two".into()),
        wide: u128::MAX,
        meters: Meters(1000.0),
        blob: Blob(vec![1, 2]),
    }
}

fn schema() -> Schema {
    trace::<Flight>().unwrap()
}

fn plan(source: &str, schema: &Schema) -> Plan {
    let filter = Filter::parse(source).unwrap_or_else(|error| panic!("{}", error.report()));
    filter
        .check(schema)
        .unwrap_or_else(|error| panic!("{}", error.report()))
}

fn refused(source: &str, schema: &Schema) -> CheckError {
    match Filter::parse(source).unwrap().check(schema) {
        Ok(plan) => panic!("{source} was not refused: {plan:?}"),
        Err(error) => error,
    }
}

fn matches<T: Serialize + ?Sized>(
    source: &str,
    schema: &Schema,
    item: &T,
    key: Option<&str>,
) -> bool {
    let mut evaluator = Evaluator::new(plan(source, schema));
    evaluator.matches(item, key.map(str::as_bytes)).unwrap()
}
