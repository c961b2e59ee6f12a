use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    num::{NonZeroI64, NonZeroU8},
    path::PathBuf,
    time::{Duration, SystemTime},
};

use serde::{Deserializer, de};

use super::*;
use crate::schema::TraceError;

fn shown<T: de::DeserializeOwned>() -> String {
    let schema = trace_type::<T>().unwrap();
    assert_eq!(Schema::from_bytes(&schema.to_bytes()).unwrap(), schema);
    schema.to_string()
}

#[test]
fn derived_types() {
    assert_eq!(trace_type::<Reading>().unwrap(), reading());
    assert_eq!(trace_type::<Kind>().unwrap(), kind());
    assert_eq!(shown::<Marker>(), "Marker");
    assert_eq!(shown::<Pair>(), "Pair(u8, i64)");
    assert_eq!(
        shown::<(Vec<Inner>, Result<Inner, u8>, BTreeMap<String, [Inner; 2]>)>(),
        "(Vec<enum Inner { A, B(char) }>, enum Result { Ok(enum Inner { A, B(char) }), Err(u8) }, \
         Map<String, (enum Inner { A, B(char) }, enum Inner { A, B(char) })>)"
    );
    assert_eq!(
        shown::<(i128, u128, usize, isize)>(),
        "(i128, u128, u64, i64)"
    );
}

#[test]
fn types_of_the_standard_library() {
    assert_eq!(shown::<NonZeroU8>(), "u8");
    assert_eq!(
        shown::<Vec<(NonZeroI64, Option<NonZeroU8>)>>(),
        "Vec<(i64, Option<u8>)>"
    );
    assert_eq!(
        shown::<IpAddr>(),
        "enum IpAddr { V4([u8; 4]), V6([u8; 16]) }"
    );
    assert!(shown::<SocketAddr>().starts_with("enum SocketAddr { V4("));
    assert_eq!(shown::<Duration>(), "Duration { secs: u64, nanos: u32 }");
    assert!(shown::<SystemTime>().starts_with("SystemTime {"));
    assert_eq!(shown::<PathBuf>(), "String");
    assert_eq!(shown::<BTreeSet<u8>>(), "Vec<u8>");
    assert_eq!(shown::<HashMap<u8, Vec<f32>>>(), "Map<u8, Vec<f32>>");
    assert_eq!(shown::<bytes::Bytes>(), "Bytes");
    assert_eq!(
        shown::<std::ops::Range<u8>>(),
        "Range { start: u8, end: u8 }"
    );
}

/// A date with its own text form, as chrono has it.
#[derive(Debug)]
struct Date;

impl<'de> Deserialize<'de> for Date {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Date;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a date")
            }
            fn visit_str<E: de::Error>(self, text: &str) -> Result<Date, E> {
                match text.split('-').collect::<Vec<_>>()[..] {
                    [y, _, d] if y.len() == 4 && d.len() == 2 => Ok(Date),
                    _ => Err(E::custom("not a date")),
                }
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

/// Sixteen bytes, as uuid has it when the format is not for people.
#[derive(Debug)]
struct Uuid;

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Uuid;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a uuid")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Uuid, E> {
                <[u8; 16]>::try_from(bytes).map_err(E::custom)?;
                Ok(Uuid)
            }
        }
        assert!(!deserializer.is_human_readable());
        deserializer.deserialize_bytes(Visitor)
    }
}

/// Checked after the text was taken.
#[derive(Debug, Deserialize)]
#[serde(try_from = "String")]
struct Url;

impl TryFrom<String> for Url {
    type Error = String;
    fn try_from(text: String) -> Result<Self, String> {
        text.contains("://")
            .then_some(Url)
            .ok_or("no scheme".into())
    }
}

/// Fields that are checked against each other.
#[derive(Debug, Deserialize)]
#[serde(try_from = "(Inner, u32, NonZeroU8, u32)")]
struct Span;

impl TryFrom<(Inner, u32, NonZeroU8, u32)> for Span {
    type Error = &'static str;
    fn try_from(parts: (Inner, u32, NonZeroU8, u32)) -> Result<Self, Self::Error> {
        (parts.1 < parts.3 && parts.0 != Inner::A)
            .then_some(Span)
            .ok_or("not a span")
    }
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read by serde only")]
struct Picky {
    first: Date,
    id: Uuid,
    all: HashMap<Date, Vec<Url>>,
    span: Span,
    last: Option<NonZeroU8>,
}

impl PartialEq for Date {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}
impl Eq for Date {}
impl std::hash::Hash for Date {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

#[test]
fn types_that_check_their_input() {
    assert_eq!(
        shown::<Picky>(),
        "Picky { first: String, id: Bytes, all: Map<String, Vec<String>>, \
         span: (enum Inner { A, B(char) }, u32, u8, u32), last: Option<u8> }"
    );
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read by serde only")]
enum Expr {
    Number(f64),
    Sum(Box<Expr>, Box<Expr>),
    Call { name: String, arguments: Vec<Expr> },
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read by serde only")]
struct Tree {
    children: Vec<Tree>,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read by serde only")]
struct Chain {
    next: Option<Box<Chain>>,
}

#[test]
fn recursive_types_are_named() {
    fn name<T: de::DeserializeOwned>() -> String {
        match trace_type::<Vec<T>>().unwrap_err() {
            TraceError::Recursive { name, .. } => name,
            other => panic!("{other}"),
        }
    }
    assert_eq!(name::<Expr>(), "Expr");
    assert_eq!(name::<Tree>(), "Tree");
    assert_eq!(name::<Chain>(), "Chain");
    let text = trace_type::<Tree>().unwrap_err().to_string();
    assert!(text.contains("`Tree` contains itself"), "{text}");
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
#[expect(dead_code, reason = "read by serde only")]
enum Untagged {
    A(u8),
}

#[derive(Debug, Deserialize)]
#[serde(tag = "type")]
#[expect(dead_code, reason = "read by serde only")]
enum Tagged {
    A { x: u8 },
}

#[derive(Debug, Deserialize)]
#[serde(tag = "t", content = "c")]
#[expect(dead_code, reason = "read by serde only")]
enum Adjacent {
    A(u8),
    B(String),
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read by serde only")]
struct Holder<T> {
    plain: u8,
    odd: T,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read by serde only")]
struct Flat {
    plain: u8,
    #[serde(flatten)]
    rest: Meta,
}

#[derive(Debug, Deserialize)]
#[expect(dead_code, reason = "read by serde only")]
struct Meta {
    x: u8,
}

#[test]
fn what_postcard_cannot_carry_is_told_by_path() {
    fn path<T: de::DeserializeOwned>() -> String {
        match trace_type::<T>().unwrap_err() {
            TraceError::SelfDescribing { path } => path,
            other => panic!("{other}"),
        }
    }
    assert_eq!(path::<Holder<Untagged>>(), "Holder<Untagged>.odd");
    assert!(path::<Holder<Vec<Tagged>>>().ends_with(".odd[]"));
    assert!(path::<Holder<serde_json::Value>>().ends_with(".odd"));
    assert_eq!(path::<Flat>(), "Flat{key}");
    assert_eq!(path::<Adjacent>(), "Adjacent.t");
}

#[derive(Debug, Deserialize)]
enum Never {}

#[derive(Debug, Deserialize)]
#[serde(try_from = "u8")]
struct Hopeless;

impl TryFrom<u8> for Hopeless {
    type Error = &'static str;
    fn try_from(_: u8) -> Result<Self, Self::Error> {
        Err("never")
    }
}

#[test]
fn hopeless_types_end() {
    let error = trace_type::<(u8, Option<Hopeless>)>().unwrap_err();
    let TraceError::Rejected { path, message } = &error else {
        panic!("{error}");
    };
    assert_eq!(
        (path.as_str(), message.as_str()),
        ("(u8, Option<Hopeless>).1", "never")
    );
    assert!(trace_type::<Never>().is_err());
    assert!(matches!(
        trace_type::<Vec<()>>().unwrap_err(),
        TraceError::Invalid { .. }
    ));
}

#[test]
fn large_types_are_traced_and_too_large_ones_end() {
    type Wide = [[[Inner; 8]; 8]; 2];
    assert!(trace_type::<Wide>().is_ok());
    let error = trace_type::<[Wide; 32]>().unwrap_err();
    assert!(matches!(error, TraceError::Invalid { .. }), "{error}");
}
