//! Filters against schemas.

use super::{plan, refused, schema};
use crate::{
    filter::CheckError,
    schema::{Field, Schema, Variant, VariantShape, trace},
};

#[test]
fn these_fit() {
    for source in [
        "origin == 'JFK' && origin < 'K' && origin.startsWith('J')",
        "temp > 86 && temp == 86.1 && delay < 1.5 && wide > 3 && meters >= 1",
        "count == ratio && delay < temp && origin != pair[1] && origin == code",
        "late && !late && late == false && late != true",
        "status == 'Late' && status in ['Fine', 'Moved'] && 'Fine' != status",
        "has(status.Late) && status.Late.minutes > 5 && status.Late.why == 'fog'",
        "status.Moved.startsWith('L') && status.Swapped[1] < 0 && has(status.Fine)",
        "'red' in tags && origin in tags && 3 in levels && delay in levels && 2.5 in levels",
        "'gate' in labels && labels.gate == 4 && labels['odd gate'] > 1 && has(labels)",
        "tags[0] == 'red' && levels[4000000000] == 1 && pair[0] == 1 && 'two' in pair",
        "has(pos) && pos.x > 0 && pos.up.z == 9 && has(pos.up) && has(blob)",
        "key == 'JFK' && key.contains('F') && key in ['a', 7] && key == 7 && key < 'x' && key == origin",
        "1 < 2 && 'a' != 'b'",
    ] {
        plan(source, &schema());
    }
    for source in [
        "a.b.c[0] == b",
        "a in b",
        "a && 'x' in a",
        "key == 1",
        "item[0]",
        "a == 'x' || a == 1",
    ] {
        plan(source, &Schema::Json);
    }
    let opaque = Schema::Opaque {
        name: "Secret".into(),
    };
    plan("a.b == 1 && key == 'x'", &opaque);
    plan("item.contains('x') && key == 'y'", &Schema::Text);
    plan(
        "item[0] > 1 && item[1] == 'x'",
        &trace::<(u8, String)>().unwrap(),
    );
    plan(
        "item == 'Late' || Late.minutes > 3",
        &trace::<super::Status>().unwrap(),
    );
    plan("item > 3", &trace::<super::Meters>().unwrap());
    plan(
        "a.x > 3 && key.x == 1",
        &trace::<std::collections::HashMap<String, super::Pos>>().unwrap(),
    );
}

#[test]
fn these_do_not() {
    for (source, expected) in [
        (
            "orign == 'JFK'",
            "line 1, column 1: `Flight` has no field `orign`; there are `origin`, `tags`, `pair`, `wide`, `temp`, `delay`, `count`, `ratio` and 9 more",
        ),
        (
            "late && pos.y > 1",
            "line 1, column 13: `pos` has no field `y`; there are `x`, `up`",
        ),
        (
            "status.Lat.minutes > 1",
            "line 1, column 8: `status` has no field `Lat`; there are `Late`, `Fine`, `Moved`, `Swapped`",
        ),
        (
            "status.Late.minuts > 1",
            "line 1, column 13: `status.Late` has no field `minuts`; there are `minutes`, `why`",
        ),
        (
            "temp.x == 1",
            "line 1, column 6: `temp` is a number (f32), and has no part `x`",
        ),
        (
            "pair[2] == 1",
            "line 1, column 6: `pair` is a tuple, and has no part `[2]`",
        ),
        (
            "tags.red",
            "line 1, column 6: `tags` is a list, and has no part `red`",
        ),
        (
            "key.x",
            "line 1, column 5: `key` is the item's key, and has no part `x`",
        ),
        (
            "`key` == 'x'",
            "line 1, column 1: `Flight` has no field `key`; there are `key`,",
        ),
        (
            "item == 1",
            "line 1, column 1: `Flight` has no field `item`; there are",
        ),
        (
            "temp",
            "line 1, column 1: `temp` is a number (f32), and no condition by itself; compare it with something",
        ),
        (
            "late && !origin",
            "line 1, column 10: `origin` is a string, and no condition",
        ),
        (
            "temp == 'hot'",
            "line 1, column 1: `temp` is a number (f32), and cannot be compared by `==` with a string",
        ),
        (
            "late\n || 1 == origin",
            "line 2, column 5: to the left is a number, and cannot be compared by `==` with `origin`, which is a string",
        ),
        (
            "late < true",
            "`late` is a bool, and cannot be compared by `<` with a bool",
        ),
        (
            "true < false",
            "to the left is a bool, and cannot be compared by `<` with a bool",
        ),
        (
            "1 == 'a'",
            "to the left is a number, and cannot be compared by `==` with a string",
        ),
        (
            "origin == temp",
            "`origin` is a string, and cannot be compared by `==` with `temp`, which is a number (f32)",
        ),
        (
            "pos == 1",
            "`pos` is a struct (`Pos`), and cannot be compared by `==` with a number",
        ),
        ("tags == 'red'", "`tags` is a list, and cannot be compared"),
        (
            "status == 'Latte'",
            "line 1, column 1: `Status` has no variant `Latte`; there are `Late`, `Fine`, `Moved`, `Swapped`",
        ),
        (
            "status in ['Fine', 'Lost']",
            "line 1, column 20: `Status` has no variant `Lost`; there are",
        ),
        (
            "status < 'Late'",
            "`status` is an enum (`Status`), and cannot be compared by `<` with a string",
        ),
        (
            "status == 1",
            "`status` is an enum (`Status`), and cannot be compared by `==` with a number",
        ),
        (
            "temp in [1, 'x']",
            "line 1, column 13: `temp` is a number (f32), and cannot be compared by `in` with a string",
        ),
        (
            "'x' in origin",
            "line 1, column 8: `origin` is a string; `in` is for lists, and for maps",
        ),
        (
            "'x' in levels",
            "to the left is a string, and cannot be compared by `in` with the elements of `levels`: each is a number (i16)",
        ),
        (
            "1 in labels",
            "with the elements of `labels`: each is a string",
        ),
        (
            "temp.startsWith('x')",
            "line 1, column 1: `temp` is a number (f32); `startsWith` is for strings",
        ),
        ("blob == 'x'", "`blob` is bytes, and cannot be compared"),
        (
            "key == 1.5",
            "`key` is the item's key, and cannot be compared by `==` with a number",
        ),
        (
            "key < 7",
            "`key` is the item's key, and cannot be compared by `<` with a number",
        ),
        (
            "has(nothing)",
            "line 1, column 5: `Flight` has no field `nothing`",
        ),
    ] {
        let error = refused(source, &schema());
        assert!(
            error.to_string().starts_with(expected) || error.to_string().contains(expected),
            "{source}: {error}"
        );
        assert!(error.report().lines().count() == 3, "{source}");
    }
    for (source, schema, expected) in [
        (
            "x == 1",
            Schema::Text,
            "the item has no field `x`; there are `key`, `item`",
        ),
        (
            "item == 'x'",
            Schema::Raw,
            "`item` is bytes, and cannot be compared",
        ),
        (
            "x > 1",
            trace::<super::Status>().unwrap(),
            "`Status` has no field `x`; there are",
        ),
        (
            "m['x'] == 1",
            trace::<Pairs>().unwrap(),
            "`m` is a map whose keys are no strings, and has no part `x`",
        ),
        (
            "a < true",
            Schema::Json,
            "`a` is of any type, and cannot be compared by `<` with a bool",
        ),
    ] {
        let error = refused(source, &schema).to_string();
        assert!(error.contains(expected), "{source}: {error}");
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pairs {
    m: std::collections::BTreeMap<u8, u8>,
}

#[test]
fn a_field_of_its_own_goes_before_what_a_name_stands_for() {
    let field = |name: &str| Field {
        name: name.into(),
        schema: Schema::U8,
    };
    let schema = Schema::Struct {
        name: "T".into(),
        fields: vec![field("key"), field("item")],
    };
    plan("key > 3 && item > 3 && `key` > 3", &schema);
    assert!(
        refused("key == 'x'", &schema)
            .to_string()
            .contains("a number (u8)")
    );
}

#[test]
fn hostile_names_are_cut_and_escaped() {
    let variant = Variant {
        name: "v".repeat(9000),
        index: 0,
        shape: VariantShape::Unit,
    };
    let schema = Schema::Enum {
        name: "E\u{1b}[2J".into(),
        variants: vec![variant],
    };
    let source = format!("item == '{}'", "x".repeat(3000));
    let error = refused(&source, &schema);
    assert!(matches!(error, CheckError::UnknownVariant { .. }));
    assert!(error.report().len() < 600, "{}", error.report());
    assert!(!error.report().contains('\u{1b}'));
    let many = (0..500)
        .map(|n| Field {
            name: format!("f{n}"),
            schema: Schema::U8,
        })
        .collect();
    let schema = Schema::Struct {
        name: "Many".into(),
        fields: many,
    };
    let CheckError::UnknownField { exists, .. } = refused("f4999 == 1", &schema) else {
        panic!("not an unknown field");
    };
    assert_eq!((exists.as_slice().len(), exists.more()), (8, 493));
    assert_eq!(exists.as_slice()[0], "f499");
}
