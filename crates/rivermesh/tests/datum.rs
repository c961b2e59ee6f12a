//! What the derive makes of types, and how items travel.

#![expect(clippy::unwrap_used, reason = "helpers of tests are not seen as tests")]

use std::{collections::BTreeMap, error::Error as _, sync::Arc};

use bytes::{Bytes, BytesMut};
use proptest::prelude::*;
use rivermesh::{
    AsKey, Datum, DecodeError, Dynamic, EncodeError, Encoder, Key, Payload, SchemaError,
};
use serde::{Deserialize, Serialize};
use serde_json::json;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
#[datum(name = "weather/reading", key = "origin")]
struct Reading {
    origin: String,
    temp: f64,
    gust: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
struct TickPrice(#[datum(key)] u32, i64);

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
struct HeartBeat;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
enum Command {
    Stop,
    Move(i32, i32),
    Say { text: String },
}

/// A type that has no schema for it contains itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
struct Tree {
    children: Vec<Tree>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
#[datum(opaque)]
struct OpaqueTree {
    children: Vec<OpaqueTree>,
}

mod elsewhere {
    pub(crate) mod mesh {
        pub(crate) use rivermesh::*;
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
#[datum(crate = "crate::elsewhere::mesh")]
struct Reexported {
    #[datum(key)]
    r#type: Option<[u8; 4]>,
}

/// Names of the prelude that a program redefines do not disturb the derive.
mod shadowed {
    #![allow(dead_code, reason = "they only have to be there")]
    struct Result;
    struct Option;
    struct Some;
    struct Ok;
    struct String;

    #[derive(serde::Serialize, serde::Deserialize, rivermesh::Datum)]
    pub(crate) struct Shadowed {
        #[datum(key)]
        pub(crate) a: u8,
    }
}

fn encoded<T: Datum>(item: &T) -> Bytes {
    let mut buffer = BytesMut::new();
    item.encode(&mut Encoder::new(&mut buffer, 1 << 20))
        .unwrap();
    buffer.freeze()
}

fn round_trip<T: Datum + PartialEq + std::fmt::Debug>(item: T) {
    let bytes = encoded(&item);
    let schema = T::schema().unwrap();
    let payload = Payload::new(&bytes, &bytes, schema.as_ref());
    assert_eq!(T::decode(payload).unwrap(), item);
}

fn reading() -> Reading {
    Reading {
        origin: "JFK".into(),
        temp: 39.5,
        gust: Some(12),
    }
}

#[test]
fn names() {
    assert_eq!(Reading::NAME, "weather/reading");
    assert_eq!(TickPrice::NAME, "tick_price");
    assert_eq!(HeartBeat::NAME, "heart_beat");
    assert_eq!(String::NAME, "text");
    assert_eq!(Bytes::NAME, "bytes");
    assert_eq!(serde_json::Value::NAME, "json");
    assert_eq!(shadowed::Shadowed::NAME, "shadowed");
}

#[test]
fn keys() {
    assert_eq!(reading().key(), Some(Key::from("JFK")));
    assert_eq!(TickPrice(7, 1).key(), "7".as_key());
    assert_eq!(HeartBeat.key(), None);
    assert_eq!(Reexported { r#type: None }.key(), None);
    assert_eq!(shadowed::Shadowed { a: 1 }.key(), 1u8.as_key());
}

#[test]
fn items_round_trip() {
    round_trip(reading());
    round_trip(TickPrice(1, -1));
    round_trip(HeartBeat);
    for command in [
        Command::Stop,
        Command::Move(1, -2),
        Command::Say { text: "é".into() },
    ] {
        round_trip(command);
    }
    round_trip(OpaqueTree {
        children: vec![OpaqueTree { children: vec![] }],
    });
    round_trip(Reexported {
        r#type: Some([1, 2, 3, 4]),
    });
    round_trip(String::from("héllo"));
    round_trip(Bytes::from_static(b"\x00\xff"));
    round_trip(json!({"a": [1, null]}));
    assert_eq!(encoded(&String::from("hi")), "hi");
    assert_eq!(encoded(&json!([1])), "[1]");
}

#[test]
fn schemas_are_kept_and_differ() {
    let first = Reading::schema().unwrap().unwrap();
    let second = Reading::schema().unwrap().unwrap();
    assert!(Arc::ptr_eq(&first, &second));
    assert_eq!(
        first.to_string(),
        "Reading { origin: String, temp: f64, gust: Option<u32> }"
    );
    assert_ne!(
        first.fingerprint(),
        TickPrice::schema().unwrap().unwrap().fingerprint()
    );
    assert!(<Dynamic as Datum>::schema().unwrap().is_none());
    assert!(matches!(
        Tree::schema(),
        Err(SchemaError::Recursive { ref name, .. }) if name == "Tree"
    ));
    let opaque = OpaqueTree::schema().unwrap().unwrap();
    assert_eq!(opaque.to_string(), "opaque OpaqueTree");
}

#[test]
fn bytes_are_not_copied() {
    let batch = Bytes::from(vec![7u8; 100]);
    let item = Bytes::decode(Payload::new(&batch, &batch[10..20], None)).unwrap();
    assert_eq!(item.as_ptr(), batch[10..].as_ptr());
    assert_eq!(item.len(), 10);
    // A slice of other memory is copied instead of a panic.
    let item = Bytes::decode(Payload::new(&batch, &[1, 2, 3], None)).unwrap();
    assert_eq!(item, &[1, 2, 3][..]);
}

#[test]
fn dynamic_items_read_as_json() {
    let bytes = encoded(&reading());
    let schema = Reading::schema().unwrap();
    let item = Dynamic::decode(Payload::new(&bytes, &bytes, schema.as_ref())).unwrap();
    assert_eq!(
        item.to_json().unwrap(),
        json!({"origin": "JFK", "temp": 39.5, "gust": 12})
    );
    assert_eq!(item.payload(), &bytes);
    assert!(item.schema().is_some());
    let error = item
        .encode(&mut Encoder::new(&mut BytesMut::new(), 100))
        .unwrap_err();
    assert!(matches!(error, EncodeError::ConsumerOnly { .. }));
    let unknown = Dynamic::decode(Payload::new(&bytes, &bytes, None)).unwrap();
    assert!(matches!(unknown.to_json(), Err(DecodeError::NoSchema)));
}

#[test]
fn damaged_items_are_refused() {
    let decode = |bytes: &[u8]| {
        let bytes = Bytes::copy_from_slice(bytes);
        Reading::decode(Payload::new(&bytes, &bytes, None)).unwrap_err()
    };
    let whole = encoded(&reading());
    for end in 0..whole.len() {
        assert!(matches!(decode(&whole[..end]), DecodeError::Postcard(_)));
    }
    let error = decode(&[&whole[..], b"xx"].concat());
    assert!(matches!(error, DecodeError::Trailing { extra: 2 }));
    let bad = Bytes::from_static(b"\xff");
    let payload = Payload::new(&bad, &bad, None);
    let error = String::decode(payload).unwrap_err();
    assert_eq!(error.to_string(), "the item is not UTF-8");
    assert!(error.source().is_some());
    assert!(serde_json::Value::decode(payload).is_err());
}

proptest! {
    #[test]
    fn json_by_schema_equals_the_value(
        origin: String,
        temp in -1e9..1e9f64,
        gust: Option<u32>,
    ) {
        let item = Reading { origin, temp, gust };
        let bytes = encoded(&item);
        let dynamic = Dynamic::new(Reading::schema().unwrap(), bytes);
        prop_assert_eq!(dynamic.to_json().unwrap(), serde_json::to_value(&item).unwrap());
    }

    #[test]
    fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
        let bytes = Bytes::from(bytes);
        let payload = Payload::new(&bytes, &bytes, None);
        let _ = Reading::decode(payload);
        let _ = Command::decode(payload);
        let _ = OpaqueTree::decode(payload);
        let _ = serde_json::Value::decode(payload);
        for schema in [Reading::schema(), Command::schema(), OpaqueTree::schema()] {
            let _ = Dynamic::new(schema.unwrap(), bytes.clone()).to_json();
        }
    }

    #[test]
    fn map_keys_by_text(map in prop::collection::btree_map(any::<String>(), any::<i32>(), 0..5)) {
        let map: BTreeMap<String, i32> = map;
        let schema = rivermesh::__datum::trace::<BTreeMap<String, i32>>().unwrap();
        let bytes = Bytes::from(postcard::to_stdvec(&map).unwrap());
        let item = Dynamic::new(Some(Arc::new(schema)), bytes);
        prop_assert_eq!(item.to_json().unwrap(), serde_json::to_value(&map).unwrap());
    }
}
