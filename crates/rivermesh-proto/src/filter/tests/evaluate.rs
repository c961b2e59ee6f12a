//! What filters say of items.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};
use serde_json::json;

use super::{Flight, Status, flight, matches, schema};
use crate::{
    filter::{Evaluator, Filter, Set},
    schema::{Schema, trace},
};

fn check(expected: bool, sources: &[&str]) {
    let (schema, flight) = (schema(), flight());
    for source in sources {
        assert_eq!(
            matches(source, &schema, &flight, Some("JFK")),
            expected,
            "{source}"
        );
        // Negation is of the answer, whatever the reason for it.
        let negated = format!("!({source})");
        assert_eq!(
            matches(&negated, &schema, &flight, Some("JFK")),
            !expected,
            "{negated}"
        );
    }
}

#[test]
fn of_a_struct() {
    check(
        true,
        &[
            "origin == 'JFK' && origin != 'LGA' && origin > 'J' && origin <= 'JFK'",
            "origin.startsWith('JF') && origin.endsWith('K') && origin.contains('F')",
            "origin.glob('J?K') && origin.glob('*F*K') && origin.glob('JFK*')",
            "temp == 86.1 && temp > 86 && temp < 87",
            "delay == -5 && delay < -4.5 && delay >= -5.0 && count == 200",
            "late && late == true && late != false",
            "!has(ratio) && has(temp) && has(pos) && has(pos.up) && has(blob)",
            "status == 'Late' && status != 'Fine' && status in ['Late', 'Moved']",
            "has(status.Late) && !has(status.Fine) && status.Late.minutes == 61",
            "'red' in tags && 'night' in tags && tags[1] == 'night' && !has(tags[2])",
            "3 in levels && -7.0 in levels && levels[0] == 3",
            "'gate' in labels && labels.gate == 4 && !has(labels.other)",
            "pos.x == 0.5 && pos.up.z > 8 && meters == 1000",
            "code == 'é' && code.glob('?') && pair[0] == 1 && pair[1] == 'two' && 'two' in pair",
            "wide > 18446744073709551615 && wide != 0",
            "key == 'JFK' && key == origin && key in ['LGA', 'JFK'] && has(key)",
            "origin == 'LGA' || late",
            "delay < count",
        ],
    );
    check(
        false,
        &[
            "origin == 'jfk'",
            "origin.glob('J')",
            "temp == 86",
            "ratio == 1",
            "ratio != 1",
            "ratio < 1 || ratio >= 1",
            "ratio == ratio",
            "count in [1, 2]",
            "status == 'Fine'",
            "status.Moved == 'x'",
            "status.Late.why == 'fog'",
            "'blue' in tags",
            "origin in tags",
            "'other' in labels",
            "labels.other != 4",
            "tags[2] != 'x'",
            "key == 'LGA'",
            "code == 'e'",
        ],
    );
}

#[test]
fn of_every_kind_of_variant() {
    let schema = trace::<Status>().unwrap();
    let moved = Status::Moved("gate 4".into());
    assert!(matches(
        "item == 'Moved' && Moved.endsWith('4')",
        &schema,
        &moved,
        None
    ));
    assert!(matches(
        "Moved == 'gate 4' && !has(Late)",
        &schema,
        &moved,
        None
    ));
    let swapped = Status::Swapped(1, -2);
    assert!(matches(
        "Swapped[1] == -2 && 1 in Swapped",
        &schema,
        &swapped,
        None
    ));
    assert!(matches(
        "item == 'Fine' && has(Fine)",
        &schema,
        &Status::Fine,
        None
    ));
    let variants = trace::<Vec<Status>>().unwrap();
    let all = vec![moved, swapped, Status::Fine];
    assert!(matches(
        "'Moved' in item && 'Fine' in item && !('Late' in item)",
        &variants,
        &all,
        None
    ));
}

#[test]
fn numbers_that_are_none_and_numbers_at_the_edge() {
    let mut item = flight();
    item.ratio = Some(f64::NAN);
    item.temp = f32::INFINITY;
    item.delay = i64::MAX;
    let schema = schema();
    for (source, expected) in [
        ("has(ratio)", true),
        ("ratio == ratio", false),
        ("ratio != 1", false),
        ("ratio in [1, 2, 3]", false),
        ("ratio < 1 || ratio > 0 || ratio == 0", false),
        ("temp > 1e300", true),
        // 1e300 is beyond f32: it is not taken for infinity.
        ("temp == 1e300", false),
        // 2^63 is one more than the largest i64.
        ("delay == 9223372036854775808.0", false),
        ("delay < 9223372036854775808.0", true),
        ("delay == 9223372036854775807", true),
        ("wide > 1e30", true),
    ] {
        assert_eq!(matches(source, &schema, &item, None), expected, "{source}");
    }
}

#[test]
fn of_json() {
    let item = json!({
        "carrier": "UA", "dep_delay": 61, "odd name": true, "key": 7, "gone": null,
        "nested": { "list": [1, "two", 2.5, null, [3]], "in": 1 }, "big": u64::MAX,
    });
    for (source, expected) in [
        ("carrier == \"UA\" && dep_delay > 60", true),
        ("dep_delay == 61.0 && dep_delay != 60", true),
        ("`odd name` && nested['in'] == 1", true),
        // JSON items have no key: it is a field.
        ("key == 7", true),
        ("has(gone) || gone == 1 || has(gone.deeper)", false),
        (
            "'two' in nested.list && 2.5 in nested.list && 1.0 in nested.list",
            true,
        ),
        ("3 in nested.list || 'list' == nested", false),
        (
            "'list' in nested && nested.list[1] == 'two' && nested.list[4][0] == 3",
            true,
        ),
        ("big == 18446744073709551615", true),
        // Another type than the filter's: false, either way.
        (
            "carrier == 1 || carrier != 1 || carrier < 1 || carrier",
            false,
        ),
        ("dep_delay.startsWith('6') || dep_delay.x == 1", false),
        ("unknown == 1", false),
    ] {
        assert_eq!(
            matches(source, &Schema::Json, &item, None),
            expected,
            "{source}"
        );
    }
    for item in [json!(null), json!(5), json!("x"), json!([1])] {
        assert!(!matches("a == 5 || has(a)", &Schema::Json, &item, None));
    }
    assert!(matches("!has(a)", &Schema::Json, &json!(null), None));
}

#[test]
fn of_what_is_no_struct() {
    assert!(matches(
        "item.contains('rro')",
        &Schema::Text,
        "an error",
        None
    ));
    assert!(matches(
        "key == 'x'",
        &Schema::Raw,
        &bytes::Bytes::from_static(b"\xff"),
        Some("x")
    ));
    let map: BTreeMap<String, u8> = [("a".to_owned(), 1)].into();
    let of_map = trace::<BTreeMap<String, u8>>().unwrap();
    assert!(matches("a == 1 && !has(b)", &of_map, &map, None));
    assert!(matches("item > 3 && item < 5", &Schema::U8, &4_u8, None));
    let opaque = Schema::Opaque {
        name: "Flight".into(),
    };
    assert!(matches(
        "origin == 'JFK' && key == 'k'",
        &opaque,
        &flight(),
        Some("k")
    ));
}

#[test]
fn keys_are_compared_as_text() {
    let schema = schema();
    assert!(matches(
        "key == 7 && key in [6, 7] && key == '7'",
        &schema,
        &flight(),
        Some("7")
    ));
    assert!(!matches("key == 7 || has(key)", &schema, &flight(), None));
    let mut evaluator = Evaluator::new(super::plan("has(key) && !(key == 'x')", &schema));
    // Bytes that are no text are there, and equal to nothing.
    assert!(evaluator.matches(&flight(), Some(&[0xff])).unwrap());
}

/// As serde_json serialises numbers when some crate turns on `arbitrary_precision`.
#[derive(Serialize)]
#[serde(rename = "$serde_json::private::Number")]
struct Digits {
    #[serde(rename = "$serde_json::private::Number")]
    digits: &'static str,
}

#[test]
fn numbers_as_digits() {
    let number = |digits| BTreeMap::from([("n", Digits { digits })]);
    assert!(matches(
        "n == 61 && n > 60.5",
        &Schema::Json,
        &number("61"),
        None
    ));
    assert!(matches("n == -2.5", &Schema::Json, &number("-2.5"), None));
    let list = BTreeMap::from([("n", [Digits { digits: "7" }])]);
    assert!(matches("7 in n", &Schema::Json, &list, None));
}

/// Fails the test if it is looked into.
struct Untouched;

impl Serialize for Untouched {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        panic!("serialised although nobody asked for it");
    }
}

#[derive(Serialize)]
struct Guarded {
    a: u8,
    guarded: Untouched,
    list: Vec<Untouched>,
    inner: Inner,
}

#[derive(Serialize)]
struct Inner {
    b: u8,
    guarded: Untouched,
}

#[test]
fn only_what_is_asked_for_is_serialised() {
    let item = Guarded {
        a: 1,
        guarded: Untouched,
        list: vec![Untouched],
        inner: Inner {
            b: 2,
            guarded: Untouched,
        },
    };
    assert!(matches(
        "a == 1 && inner.b == 2 && has(list)",
        &Schema::Json,
        &item,
        None
    ));
    // Nothing at all for a filter that asks for nothing of the item.
    assert!(matches("true", &Schema::Json, &item, None));
    let opaque = Schema::Opaque { name: "G".into() };
    assert!(matches("key == 'x'", &opaque, &Untouched, Some("x")));
    let mut set = Set::new();
    let id = set.insert(&super::plan("key == 'x'", &opaque));
    assert_eq!(set.evaluate(&Untouched, Some(b"x")).unwrap(), [id]);
}

struct Failing;

impl Serialize for Failing {
    fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("no"))
    }
}

#[test]
fn an_item_that_fails_leaves_nothing_behind() {
    let plan = Filter::parse("a == 1")
        .unwrap()
        .check(&Schema::Json)
        .unwrap();
    let mut set = Set::new();
    let id = set.insert(&plan);
    assert_eq!(set.evaluate(&json!({"a": 1}), None).unwrap(), [id]);
    let error = set
        .evaluate(&BTreeMap::from([("a", Failing)]), None)
        .unwrap_err();
    assert_eq!(error.to_string(), "the item cannot be looked into: no");
    assert!(set.evaluate(&json!({}), None).unwrap().is_empty());
    let _: fn() -> Flight = flight;
}
