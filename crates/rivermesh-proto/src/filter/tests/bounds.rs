//! What a peer may not send, and that finding out costs little. Work is counted in words read.

use crate::{
    filter::{Filter, FilterSource, ParseError, parse::parse_counted},
    limits::{FILTER, FILTER_DEPTH, FILTER_ELEMENTS, FILTER_GLOB, FILTER_NODES, FILTER_SCANS},
};

fn nested(open: &str, close: &str, depth: usize) -> String {
    format!("{}a{}", open.repeat(depth), close.repeat(depth))
}

#[test]
fn each_bound_is_reached_and_not_passed() {
    let list = |count: usize| format!("a in [{}]", vec!["1"; count].join(","));
    let chain = |part: &str, count: usize| vec![part; count].join("||");
    for (name, good, bad) in [
        (
            "parentheses",
            nested("(", ")", FILTER_DEPTH),
            nested("(", ")", FILTER_DEPTH + 1),
        ),
        (
            "negations",
            nested("!", "", FILTER_DEPTH),
            nested("!", "", FILTER_DEPTH + 1),
        ),
        (
            "both",
            nested("!(", ")", FILTER_DEPTH / 2),
            nested("!(", ")", FILTER_DEPTH / 2 + 1),
        ),
        (
            "names",
            format!("a{}", ".b".repeat(FILTER_DEPTH - 1)),
            format!("a{}", ".b".repeat(FILTER_DEPTH)),
        ),
        (
            "indices",
            format!("a{}", "[0]".repeat(FILTER_DEPTH - 1)),
            format!("a{}", "[0]".repeat(FILTER_DEPTH)),
        ),
        // The chain itself is a part too.
        (
            "parts",
            chain("a", FILTER_NODES - 1),
            chain("a", FILTER_NODES),
        ),
        ("elements", list(FILTER_ELEMENTS), list(FILTER_ELEMENTS + 1)),
        (
            "scans",
            chain("a.contains('x')", FILTER_SCANS),
            chain("'x' in a", FILTER_SCANS + 1),
        ),
        (
            "globs",
            format!("a.glob('*{}?')", "x".repeat(FILTER_GLOB - 2)),
            format!("a.glob('*{}?')", "x".repeat(FILTER_GLOB - 1)),
        ),
        (
            "length",
            format!("a == '{}'", "x".repeat(FILTER - 7)),
            format!("a == '{}'", "x".repeat(FILTER - 6)),
        ),
    ] {
        assert!(Filter::parse(&good).is_ok(), "{name}: {good}");
        assert!(Filter::parse(&bad).is_err(), "{name}: {bad}");
    }
    let expected = ParseError::TooLong { got: FILTER + 1 };
    assert_eq!(
        Filter::parse(&" ".repeat(FILTER + 1)).unwrap_err(),
        expected
    );
    assert!(FilterSource::new(&"é".repeat(FILTER / 2)).is_ok());
    assert_eq!(
        FilterSource::new(&"x".repeat(FILTER + 1)).unwrap_err().got,
        FILTER + 1
    );
}

/// The worst that fits into the bound on length, of each kind, and the most words that may be read
/// of it.
#[test]
fn bombs_are_refused_early() {
    let full = |part: &str| part.repeat(FILTER / part.len());
    for (name, bomb, most_words) in [
        ("open parentheses", full("("), FILTER_DEPTH + 2),
        ("negations", full("!"), FILTER_DEPTH + 2),
        ("mixed", full("!("), FILTER_DEPTH + 2),
        ("open lists", full("["), 3),
        ("signs", full("-"), 3),
        ("names", full("a."), 2 * FILTER_DEPTH + 2),
        (
            "subscripts",
            format!("a{}", full("[0]")),
            3 * FILTER_DEPTH + 2,
        ),
        ("or", full("a||"), 2 * FILTER_NODES + 2),
        ("and", full("a&&"), 2 * FILTER_NODES + 2),
        ("comparisons", full("a==1||"), 2 * FILTER_NODES + 2),
        (
            "elements",
            format!("a in [{}", full("1,")),
            2 * FILTER_ELEMENTS + 5,
        ),
        ("scans", full("a in b||"), 4 * FILTER_SCANS + 5),
        ("methods", full("a.contains('')||"), 8 * FILTER_SCANS + 8),
        ("quotes", full("'"), 3),
        ("an open string", format!("'{}", "x".repeat(FILTER - 1)), 3),
        ("backslashes", format!("'{}", full("\\")), 3),
        ("digits", format!("a == {}", "9".repeat(4000)), 3),
        ("fraction", format!("a == 0.{}x", "1".repeat(4000)), 3),
        ("spaces", full(" "), 1),
        ("newlines", full("\n"), 1),
    ] {
        let (error, words) = parse_counted(&bomb);
        assert!(error.is_some(), "{name} was not refused");
        assert!(words <= most_words, "{name}: {words} words");
        assert!(error.unwrap().report().len() < 600, "{name}");
    }
}

#[test]
fn what_is_accepted_is_small_too() {
    // Every field that fits, all of them different.
    let fields: Vec<String> = (0..FILTER_NODES - 1).map(|n| format!("f{n}")).collect();
    let source = fields.join("||");
    assert!(source.len() <= FILTER);
    let plan = Filter::parse(&source)
        .unwrap()
        .check(&crate::schema::Schema::Json)
        .unwrap();
    assert_eq!(plan.fields(), FILTER_NODES - 1);
    // The canonical text is longer than the source, by a factor at most.
    let escapes = format!("a == r'{}'", "\\".repeat(FILTER - 8));
    assert!(Filter::parse(&escapes).unwrap().canonical().len() < 2 * FILTER);
    let floats = format!("a in [{}]", "1e15,".repeat((FILTER - 7) / 5));
    assert!(Filter::parse(&floats).unwrap().canonical().len() < 8 * FILTER);
}

#[test]
fn the_source_travels_as_a_bounded_text() {
    let source = FilterSource::new("a == 'x'").unwrap();
    let bytes = postcard::to_stdvec(&Some(source.clone())).unwrap();
    assert_eq!(bytes, b"\x01\x08a == 'x'");
    assert_eq!(
        postcard::from_bytes::<Option<FilterSource>>(&bytes).unwrap(),
        Some(source)
    );
    assert_eq!(postcard::to_stdvec(&None::<FilterSource>).unwrap(), [0]);
    let long = postcard::to_stdvec(&"x".repeat(FILTER + 1)).unwrap();
    assert!(postcard::from_bytes::<FilterSource>(&long).is_err());
    // A length of 4 GiB takes no memory.
    assert!(postcard::from_bytes::<FilterSource>(&[0xff, 0xff, 0xff, 0xff, 0x0f]).is_err());
    assert!(postcard::from_bytes::<FilterSource>(&[1, 0xff]).is_err());
}
