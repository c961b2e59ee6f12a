use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::{
    limits,
    schema::json::{DecodeError, decode},
};

fn decoded<T: Serialize + serde::de::DeserializeOwned>(value: &T) -> serde_json::Value {
    let schema = trace_type::<T>().unwrap();
    decode(&schema, &postcard::to_stdvec(value).unwrap()).unwrap()
}

#[test]
fn special_values() {
    assert_eq!(
        decoded(&(f64::NAN, f32::INFINITY)),
        json!(["NaN", "Infinity"])
    );
    assert_eq!(decoded(&f64::NEG_INFINITY), json!("-Infinity"));
    assert_eq!(decoded(&0.1f32), json!(0.1));
    assert_eq!(decoded(&u128::MAX), json!(u128::MAX.to_string()));
    assert_eq!(decoded(&i128::MIN), json!(i128::MIN.to_string()));
    assert_eq!(decoded(&i128::from(u64::MAX)), json!(u64::MAX));
    assert_eq!(decoded(&BTreeMap::from([(1u8, 'x')])), json!([[1, "x"]]));
    assert_eq!(decoded(&BTreeMap::from([('k', ())])), json!({"k": null}));
    assert_eq!(
        decode(&Schema::Bytes, b"\x03\x00\x01\xff").unwrap(),
        json!("AAH/")
    );
    assert_eq!(
        decode(&Schema::Raw, b"\x00\x01\xff").unwrap(),
        json!("AAH/")
    );
    assert_eq!(decode(&Schema::Text, "é".as_bytes()).unwrap(), json!("é"));
    assert_eq!(decode(&Schema::Json, b"[1]").unwrap(), json!([1]));
}

#[test]
fn bad_items_are_refused() {
    let refuse = |schema: &Schema, bytes: &[u8]| decode(schema, bytes).unwrap_err();
    assert!(matches!(refuse(&Schema::U8, &[]), DecodeError::Truncated));
    assert!(matches!(
        refuse(&Schema::U8, &[1, 2]),
        DecodeError::Trailing { extra: 1 }
    ));
    assert!(matches!(refuse(&Schema::Bool, &[2]), DecodeError::BadFlag));
    assert!(matches!(
        refuse(&Schema::U16, &[0xff, 0xff, 0x04]),
        DecodeError::BadNumber
    ));
    assert!(matches!(
        refuse(&Schema::String, &[1, 0xff]),
        DecodeError::BadText
    ));
    assert!(matches!(refuse(&Schema::Char, &[0]), DecodeError::BadChar));
    assert!(matches!(
        refuse(&kind(), &[9]),
        DecodeError::NoVariant { index: 9, .. }
    ));
    assert!(matches!(
        refuse(&Schema::Text, &[0xff]),
        DecodeError::BadText
    ));
    assert!(matches!(refuse(&Schema::Json, b"{"), DecodeError::Json(_)));
    assert!(matches!(
        refuse(&Schema::Opaque { name: "A".into() }, b""),
        DecodeError::Opaque { .. }
    ));
    // 2^63 elements.
    let huge = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    let seq = Schema::Seq(Box::new(Schema::U8));
    assert!(matches!(refuse(&seq, &huge), DecodeError::Truncated));
    let mut deep = Schema::U8;
    for _ in 0..1000 {
        deep = Schema::Option(Box::new(deep));
    }
    assert!(matches!(refuse(&deep, &[1; 1001]), DecodeError::TooDeep));
}

#[test]
fn small_items_do_not_become_much_json() {
    let wide = Schema::Tuple(vec![Schema::Unit; 10_000]);
    let element = Schema::Tuple(vec![Schema::U8, wide]);
    let schema = Schema::Seq(Box::new(element));
    schema.validate().unwrap();
    let mut bytes = postcard::to_stdvec(&vec![7u8; 60_000]).unwrap();
    let error = decode(&schema, &bytes).unwrap_err();
    assert!(matches!(error, DecodeError::OutOfProportion { .. }));
    // An honest item of the smallest elements passes.
    let flags = vec![Marked { on: true }; 60_000];
    bytes = postcard::to_stdvec(&flags).unwrap();
    assert!(decode(&trace_type::<Vec<Marked>>().unwrap(), &bytes).is_ok());
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Marked {
    on: bool,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Everything {
    integers: (i8, i16, i32, i64, u8, u16, u32, u64),
    wide: (i128, u128),
    floats: (f32, f64),
    flag: bool,
    letter: char,
    text: String,
    map: HashMap<String, Vec<Option<i16>>>,
    array: [u16; 3],
    pair: Pair,
    kinds: Vec<Kind>,
    unit: (),
}

fn any_inner() -> impl Strategy<Value = Inner> {
    prop_oneof![Just(Inner::A), any::<char>().prop_map(Inner::B)]
}

fn any_float() -> impl Strategy<Value = f64> {
    prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL
}

/// Those whose decimal form is exact: serde_json turns an f32 into the f64 next to it, the decoder
/// into the number that its shortest text says.
fn any_small_float() -> impl Strategy<Value = f32> {
    any::<i16>().prop_map(|quarters| f32::from(quarters) / 4.0)
}

fn any_kind() -> impl Strategy<Value = Kind> {
    let reading = (
        any::<String>(),
        any_small_float(),
        prop::option::of(any_float()),
    )
        .prop_map(|(origin, temp, gust)| Reading { origin, temp, gust });
    prop_oneof![
        Just(Kind::Unit),
        reading.prop_map(|reading| Kind::New(Box::new(reading))),
        (any::<u16>(), any_float()).prop_map(|(number, float)| Kind::Tuple(number, Meters(float))),
        any_inner().prop_map(|inner| Kind::Named {
            marker: Marker,
            inner
        }),
    ]
}

fn everything() -> impl Strategy<Value = Everything> {
    let numbers = (
        any::<(i8, i16, i32, i64, u8, u16, u32, u64)>(),
        any::<(i64, u64)>(),
        (any_small_float(), any_float()),
    );
    let texts = (
        any::<(bool, char, String)>(),
        prop::collection::hash_map(
            any::<String>(),
            prop::collection::vec(any::<Option<i16>>(), 0..4),
            0..4,
        ),
    );
    let rest = (
        any::<[u16; 3]>(),
        any::<(u8, i64)>(),
        prop::collection::vec(any_kind(), 0..4),
    );
    (numbers, texts, rest).prop_map(|((integers, wide, floats), texts, rest)| {
        let ((flag, letter, text), map) = texts;
        let (array, pair, kinds) = rest;
        Everything {
            integers,
            wide: (wide.0.into(), wide.1.into()),
            floats,
            flag,
            letter,
            text,
            map,
            array,
            pair: Pair(pair.0, pair.1),
            kinds,
            unit: (),
        }
    })
}

/// A sequence of `count` elements whose bytes are all 1.
fn ones(element: Schema, count: usize, width: usize) -> Result<serde_json::Value, DecodeError> {
    let mut item = postcard::to_stdvec(&count).unwrap();
    item.resize(item.len() + count * width, 1);
    decode(&Schema::Seq(Box::new(element)), &item)
}

// Each object takes some 650 bytes of memory, however small it is as JSON.
#[test]
fn many_small_objects_are_bounded_by_what_they_take() {
    let wrapped = |inner| Schema::Struct {
        name: "Wrapped".into(),
        fields: vec![field("a", inner)],
    };
    let chosen = Schema::Enum {
        name: "Chosen".into(),
        variants: vec![variant(
            "A",
            1,
            VariantShape::NewType(Box::new(Schema::Unit)),
        )],
    };
    let point = Schema::Struct {
        name: "Point".into(),
        fields: vec![field("x", Schema::F32), field("y", Schema::F32)],
    };
    assert!(ones(wrapped(Schema::U8), 10_000, 1).is_ok());
    assert!(ones(point, limits::ITEM / 8 - 1, 8).is_ok());
    for element in [wrapped(Schema::U8), chosen.clone(), wrapped(chosen)] {
        assert!(matches!(
            ones(element, limits::ITEM - 3, 1),
            Err(DecodeError::OutOfProportion { .. })
        ));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn equals_what_serde_json_writes(value in everything()) {
        prop_assert_eq!(decoded(&value), serde_json::to_value(&value).unwrap());
    }

    #[test]
    fn accepts_what_postcard_accepts(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        fn same<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> bool {
            let whole = matches!(postcard::take_from_bytes::<T>(bytes), Ok((_, [])));
            whole == decode(&trace_type::<T>().unwrap(), bytes).is_ok()
        }
        prop_assert!(same::<Kind>(&bytes));
        prop_assert!(same::<Vec<(u16, i32, Option<char>)>>(&bytes));
        prop_assert!(same::<(u64, i16, u128)>(&bytes));
        prop_assert!(same::<HashMap<String, bool>>(&bytes));
    }

    #[test]
    fn hostile_schema_and_bytes_never_panic(
        schema in super::codec::any_schema(),
        bytes in prop::collection::vec(any::<u8>(), 0..64),
    ) {
        let _ = decode(&schema, &bytes);
    }
}
