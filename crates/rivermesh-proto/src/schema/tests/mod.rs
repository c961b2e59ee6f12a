//! Tests that need more than one of the modules.

mod codec;
mod diff;
mod json;
mod trace;

use serde::{Deserialize, Serialize};

use super::{Field, Schema, Variant, VariantShape, trace as trace_type};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Reading {
    origin: String,
    temp: f32,
    gust: Option<f64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Meters(f64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Marker;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Pair(u8, i64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Unit,
    New(Box<Reading>),
    Tuple(u16, Meters),
    Named { marker: Marker, inner: Inner },
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Inner {
    A,
    B(char),
}

fn field(name: &str, schema: Schema) -> Field {
    Field {
        name: name.into(),
        schema,
    }
}

fn reading() -> Schema {
    Schema::Struct {
        name: "Reading".into(),
        fields: vec![
            field("origin", Schema::String),
            field("temp", Schema::F32),
            field("gust", Schema::Option(Box::new(Schema::F64))),
        ],
    }
}

fn variant(name: &str, index: u32, shape: VariantShape) -> Variant {
    Variant {
        name: name.into(),
        index,
        shape,
    }
}

fn kind() -> Schema {
    let meters = Schema::NewType {
        name: "Meters".into(),
        inner: Box::new(Schema::F64),
    };
    let marker = Schema::UnitStruct {
        name: "Marker".into(),
    };
    let inner = Schema::Enum {
        name: "Inner".into(),
        variants: vec![
            variant("A", 0, VariantShape::Unit),
            variant("B", 1, VariantShape::NewType(Box::new(Schema::Char))),
        ],
    };
    Schema::Enum {
        name: "Kind".into(),
        variants: vec![
            variant("Unit", 0, VariantShape::Unit),
            variant("New", 1, VariantShape::NewType(Box::new(reading()))),
            variant("Tuple", 2, VariantShape::Tuple(vec![Schema::U16, meters])),
            variant(
                "Named",
                3,
                VariantShape::Struct(vec![field("marker", marker), field("inner", inner)]),
            ),
        ],
    }
}
