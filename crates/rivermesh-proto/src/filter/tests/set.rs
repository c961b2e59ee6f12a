//! Many filters at once.

use serde_json::json;

use super::plan;
use crate::{
    filter::{GroupId, Set},
    schema::Schema,
};

fn evaluate(set: &mut Set, item: &serde_json::Value) -> Vec<GroupId> {
    let mut ids = set.evaluate(item, Some(b"k")).unwrap().to_vec();
    ids.sort();
    ids
}

#[test]
fn the_same_filter_is_one_group() {
    let mut set = Set::new();
    let a = set.insert(&plan("a == 1 && b > 2", &Schema::Json));
    assert_eq!(set.insert(&plan("2<b && (1.0 == a)", &Schema::Json)), a);
    let b = set.insert(&plan("a == 1", &Schema::Json));
    assert_eq!((set.len(), a == b), (2, false));
    assert_eq!(evaluate(&mut set, &json!({"a": 1, "b": 3})), [a, b]);
    assert!(!set.remove(a));
    assert_eq!(evaluate(&mut set, &json!({"a": 1, "b": 3})), [a, b]);
    assert!(set.remove(a));
    assert!(!set.remove(a), "it is gone");
    assert_eq!(evaluate(&mut set, &json!({"a": 1, "b": 3})), [b]);
    assert!(set.remove(b) && set.is_empty());
    assert!(evaluate(&mut set, &json!({"a": 1})).is_empty());
}

#[test]
fn what_is_indexed() {
    for (source, expected) in [
        ("a == 1", true),
        ("a in ['x', 'y'] && b > 2", true),
        ("key == 'x'", true),
        ("a == 1 || a == 2", true),
        ("b > 2 && (a == 1 && has(c))", true),
        ("a == false", true),
        ("a in [1, 2] || b == 1", false),
        ("!(a == 1)", false),
        ("a != 1", false),
        ("a > 1", false),
        ("a == b", false),
        ("1 in a", false),
    ] {
        assert_eq!(
            plan(source, &Schema::Json).is_indexed(),
            expected,
            "{source}"
        );
    }
}

#[test]
fn an_index_finds_what_comparing_finds() {
    let sources = [
        "a == 1",
        "a == 1.5",
        "a == '1'",
        "a in [1, 2]",
        "a in [2, 'x', false]",
        "a == false",
        "a == 1 && b > 2",
        "b > 2 && a in ['x', 'y']",
        "a == 18446744073709551615",
        "key == 'k'",
        "key == 'k' && a == 1",
        "a.b == 1",
        "a in [1] || b == 3",
    ];
    // Of JSON, `key` would be a field.
    let opaque = Schema::Opaque { name: "T".into() };
    let mut set = Set::new();
    let ids: Vec<GroupId> = sources
        .iter()
        .map(|s| set.insert(&plan(s, &opaque)))
        .collect();
    for (item, expected) in [
        (json!({"a": 1}), &[0, 3, 9, 10, 12][..]),
        (json!({"a": 1.0, "b": 3}), &[0, 3, 6, 9, 10, 12]),
        (json!({"a": 1.5}), &[1, 9]),
        (json!({"a": "1"}), &[2, 9]),
        (json!({"a": 2.0}), &[3, 4, 9]),
        (json!({"a": "x", "b": 2.5}), &[4, 7, 9]),
        (json!({"a": false}), &[4, 5, 9]),
        (json!({"a": true}), &[9]),
        (json!({"a": u64::MAX}), &[8, 9]),
        (json!({"a": u64::MAX as f64}), &[9]),
        (json!({"a": {"b": 1}}), &[9, 11]),
        (json!({"b": 3}), &[9, 12]),
        (json!({"a": null}), &[9]),
        (json!([1]), &[9]),
    ] {
        let expected: Vec<GroupId> = expected.iter().map(|n| ids[*n]).collect();
        assert_eq!(evaluate(&mut set, &item), expected, "{item}");
    }
}

#[test]
fn filters_that_come_and_go_leave_nothing_behind() {
    let mut set = Set::new();
    let stays = set.insert(&plan(
        "a.b == 1 && a.c[0] > 1 && x.startsWith('y')",
        &Schema::Json,
    ));
    let mut peak = None;
    for round in 0..3 {
        let mut ids = Vec::new();
        for n in 0..50 {
            for source in [
                format!("f{n} == {round}"),
                format!("a.g{n}.h in [{n}, 'x'] && a.c[{n}] > 1"),
                format!("'x' in a.b || a.c[{n}] < {round}"),
            ] {
                ids.push(set.insert(&plan(&source, &Schema::Json)));
            }
        }
        let full = set.kept();
        assert!(ids.into_iter().all(|id| set.remove(id)));
        // What was freed is used again.
        let peak = *peak.get_or_insert((full.nodes, full.groups, full.slots));
        assert_eq!((full.nodes, full.groups, full.slots), peak);
        let kept = set.kept();
        assert_eq!((set.len(), kept.indexes, kept.scanned), (1, 1, 0));
        let item = json!({"a": {"b": 1, "c": [2]}, "x": "yes", "f1": round});
        assert_eq!(evaluate(&mut set, &item), [stays]);
    }
    assert!(set.remove(stays));
    assert!(!set.kept().is_asked, "nothing is asked for any more");
}

#[test]
fn a_list_within_a_list_is_not_mixed_up() {
    let mut set = Set::new();
    let ids: Vec<GroupId> = ["1 in a", "2 in a[0]", "3 in a[1]", "'x' in a[0]", "5 in a"]
        .iter()
        .map(|s| set.insert(&plan(s, &Schema::Json)))
        .collect();
    let item = json!({"a": [[2, 3], [3], 1]});
    assert_eq!(evaluate(&mut set, &item), [ids[0], ids[1], ids[2]]);
}

#[test]
fn large_items_do_not_stay_in_memory() {
    let mut set = Set::new();
    set.insert(&plan("a == 'x' || 1 in b", &Schema::Json));
    let large = json!({"a": "y".repeat(1 << 20), "b": vec![2; 1 << 16]});
    set.evaluate(&large, None).unwrap();
    assert!(set.kept_bytes() > 1 << 20);
    set.evaluate(&json!({}), None).unwrap();
    assert!(set.kept_bytes() < 1 << 16, "{}", set.kept_bytes());
}
