use proptest::prelude::*;

use super::*;
use crate::{limits, schema::InvalidSchema};

#[test]
fn bytes_and_fingerprints_are_stable() {
    let hex = |schema: &Schema| data_encoding::HEXLOWER.encode(&schema.to_bytes());
    assert_eq!(
        hex(&reading()),
        "150752656164696e6703066f726967696e0f0474656d700c0467757374110d"
    );
    assert_eq!(
        hex(&Schema::Map(
            Box::new(Schema::U32),
            Box::new(Schema::Tuple(vec![Schema::Bool, Schema::Bytes]))
        )),
        "130914020110"
    );
    assert_eq!(hex(&Schema::Text), "1a");
    assert_eq!(hex(&Schema::Raw), "1b");
    assert_eq!(hex(&Schema::Json), "1c");
    assert_eq!(hex(&Schema::Opaque { name: "A".into() }), "1d0141");
    assert_eq!(
        hex(&kind()),
        "19044b696e640404556e69740000034e65770101150752656164696e6703066f726967696e0f0474656d700c\
         0467757374110d055475706c6502020208170\
         64d65746572730d054e616d6564030302066d61726b657218064d61726b657205696e6e65721905496e6e6572\
         02014100000142010"
            .to_owned()
            + "10e"
    );
    assert_eq!(reading().fingerprint().to_string(), "86c60e600e0ba7f7");
    assert_eq!(kind().fingerprint().to_string(), "c04dd5c359739fdc");
    assert_eq!(Schema::Text.fingerprint().to_string(), "9d3cfbeefd1863b4");
}

#[test]
fn schemas_travel_inside_of_messages() {
    let message = (7u8, reading(), "end".to_owned());
    let bytes = postcard::to_stdvec(&message).unwrap();
    let back: (u8, Schema, String) = postcard::from_bytes(&bytes).unwrap();
    assert_eq!(back, message);
    let text = serde_json::to_string(&kind()).unwrap();
    assert_eq!(serde_json::from_str::<Schema>(&text).unwrap(), kind());
}

#[test]
fn what_is_not_a_schema_is_refused() {
    let refuse = |bytes: &[u8]| Schema::from_bytes(bytes).unwrap_err();
    assert_eq!(refuse(&[]), InvalidSchema::Truncated);
    assert_eq!(refuse(&[30]), InvalidSchema::UnknownTag { tag: 30 });
    assert_eq!(refuse(&[1, 1]), InvalidSchema::Trailing { extra: 1 });
    assert_eq!(refuse(&[0; 12 * 1024 + 1]), InvalidSchema::TooLarge);
    // A count of 2^32 - 1, and one beyond 32 bits.
    assert_eq!(
        refuse(&[20, 0xff, 0xff, 0xff, 0xff, 0x0f]),
        InvalidSchema::Truncated
    );
    assert_eq!(
        refuse(&[20, 0xff, 0xff, 0xff, 0xff, 0xff]),
        InvalidSchema::BadNumber
    );
    // One in two bytes instead of one.
    assert_eq!(refuse(&[20, 0x81, 0x00, 1]), InvalidSchema::BadNumber);
    // A name with an escape sequence, and one that is not UTF-8.
    assert_eq!(refuse(&[24, 1, 0x1b]), InvalidSchema::BadName);
    assert_eq!(refuse(&[24, 1, 0xff]), InvalidSchema::BadName);
    assert!(matches!(refuse(&[18, 26]), InvalidSchema::NotAtTop { .. }));
    let mut cut = kind().to_bytes();
    while cut.pop().is_some() {
        assert!(Schema::from_bytes(&cut).is_err());
    }
}

#[test]
fn depth_is_bounded_before_it_is_built() {
    let deep = |levels: usize| [vec![17; levels], vec![1]].concat();
    assert!(Schema::from_bytes(&deep(limits::SCHEMA_DEPTH - 1)).is_ok());
    let error = Schema::from_bytes(&deep(limits::SCHEMA_DEPTH)).unwrap_err();
    assert_eq!(error, InvalidSchema::TooDeep);
    let error = Schema::from_bytes(&deep(limits::SCHEMA - 1)).unwrap_err();
    assert_eq!(error, InvalidSchema::TooDeep);
}

#[test]
fn elements_of_no_size_are_refused() {
    let empty = Schema::Struct {
        name: "Empty".into(),
        fields: vec![field("unit", Schema::Tuple(vec![Schema::Unit]))],
    };
    let seq = Schema::Seq(Box::new(empty.clone()));
    assert!(matches!(
        seq.validate(),
        Err(InvalidSchema::ZeroSized { .. })
    ));
    assert!(Schema::from_bytes(&seq.to_bytes()).is_err());
    let map = Schema::Map(Box::new(Schema::Unit), Box::new(empty.clone()));
    assert!(map.validate().is_err());
    let map = Schema::Map(Box::new(Schema::U8), Box::new(empty));
    assert!(map.validate().is_ok());
}

#[test]
fn names_occur_once_and_indices_rise() {
    let twice = Schema::Struct {
        name: "S".into(),
        fields: vec![field("a", Schema::U8), field("a", Schema::U8)],
    };
    assert!(matches!(
        twice.validate(),
        Err(InvalidSchema::Repeated { .. })
    ));
    let falling = Schema::Enum {
        name: "E".into(),
        variants: vec![
            variant("A", 1, VariantShape::Unit),
            variant("B", 0, VariantShape::Unit),
        ],
    };
    assert!(matches!(
        falling.validate(),
        Err(InvalidSchema::Repeated { .. })
    ));
}

#[test]
fn schemas_read_like_rust() {
    assert_eq!(
        reading().to_string(),
        "Reading { origin: String, temp: f32, gust: Option<f64> }"
    );
    assert_eq!(
        kind().to_string(),
        "enum Kind { Unit, New(Reading { origin: String, temp: f32, gust: Option<f64> }), \
         Tuple(u16, Meters(f64)), Named { marker: Marker, inner: enum Inner { A, B(char) } } }"
    );
    assert_eq!(trace_type::<[u8; 32]>().unwrap().to_string(), "[u8; 32]");
    let odd = Schema::UnitStruct {
        name: "a\u{202e} b".into(),
    };
    assert_eq!(odd.to_string(), "\"a\\u{202e} b\"");
}

pub(super) fn any_schema() -> impl Strategy<Value = Schema> {
    let leaf = (0u8..17).prop_map(|tag| Schema::from_bytes(&[tag]).unwrap());
    leaf.prop_recursive(5, 60, 5, |inner| {
        let name = "[A-Za-z]{1,6}";
        let boxed = inner.clone().prop_map(Box::new);
        let parts = prop::collection::vec(inner.clone(), 0..5);
        let fields = prop::collection::btree_map(name, inner, 0..5).prop_map(|fields| {
            let field = |(name, schema)| Field { name, schema };
            fields.into_iter().map(field).collect::<Vec<_>>()
        });
        let shape = prop_oneof![
            Just(VariantShape::Unit),
            boxed.clone().prop_map(VariantShape::NewType),
            parts.clone().prop_map(VariantShape::Tuple),
            fields.clone().prop_map(VariantShape::Struct),
        ];
        let variants = prop::collection::btree_map(name, shape, 1..5).prop_map(|variants| {
            let variant = |(index, (name, shape))| Variant { name, index, shape };
            (0..).zip(variants).map(variant).collect::<Vec<_>>()
        });
        prop_oneof![
            boxed.clone().prop_map(Schema::Option),
            boxed.clone().prop_map(Schema::Seq),
            (boxed.clone(), boxed.clone()).prop_map(|(key, value)| Schema::Map(key, value)),
            parts.clone().prop_map(Schema::Tuple),
            (name, fields).prop_map(|(name, fields)| Schema::Struct { name, fields }),
            (name, parts).prop_map(|(name, fields)| Schema::TupleStruct { name, fields }),
            (name, boxed).prop_map(|(name, inner)| Schema::NewType { name, inner }),
            name.prop_map(|name| Schema::UnitStruct { name }),
            (name, variants).prop_map(|(name, variants)| Schema::Enum { name, variants }),
        ]
    })
}

proptest! {
    #[test]
    fn round_trip(schema in any_schema()) {
        let bytes = schema.to_bytes();
        match schema.validate() {
            Ok(()) => prop_assert_eq!(Schema::from_bytes(&bytes).unwrap(), schema),
            Err(error) => prop_assert_eq!(Schema::from_bytes(&bytes).unwrap_err(), error),
        }
    }

    #[test]
    fn any_bytes_are_a_schema_in_one_spelling_or_refused(
        bytes in prop::collection::vec(prop_oneof![0u8..32, any::<u8>()], 0..64)
    ) {
        if let Ok(schema) = Schema::from_bytes(&bytes) {
            prop_assert_eq!(schema.to_bytes(), bytes);
            let _ = schema.to_string();
        }
    }

    #[test]
    fn damage_never_panics(schema in any_schema(), at in any::<prop::sample::Index>(), byte: u8) {
        let mut bytes = schema.to_bytes();
        *at.get_mut(&mut bytes) = byte;
        if let Ok(other) = Schema::from_bytes(&bytes) {
            prop_assert_eq!(other.to_bytes(), bytes);
        }
    }
}
