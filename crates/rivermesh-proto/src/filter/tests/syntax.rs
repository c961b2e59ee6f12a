//! What is a filter and what is not, and what the errors say.

use crate::filter::Filter;

#[test]
fn these_are_filters() {
    for source in [
        "a",
        "true",
        "!false",
        "temp > 86.0 && origin in ['JFK', 'LGA']",
        "((a))",
        "(a) == (1)",
        "a\n==\t1",
        "a.b.c == -1",
        "a['odd name'][3].b < .5e-3",
        "`odd name`.`b c` >= 0xFFu",
        "a == 18446744073709551615 || a == -9223372036854775808",
        "a in [1, 2.5, 'x', true, -3,]",
        "a in []",
        "'x' in tags",
        "a in b.c",
        "has(a) || has(a.b[0])",
        "a.startsWith('x') && !a.b.endsWith(\"y\") && a.contains('') && a['b'].glob('a*b')",
        r#"a == 'it\'s' || a == "\x41\u00e9\U0001F600\n\101\?" || a == r'\d"'"#,
        "key == 'JFK' && `key` == 'LGA' && item != 3",
        "startsWith == 1 && contains",
        "1 < 2",
        "has_x && trueish && inn",
    ] {
        if let Err(error) = Filter::parse(source) {
            panic!("{source}\n{}", error.report());
        }
    }
}

#[test]
fn these_are_not() {
    let not_ours = "cannot be used in a filter";
    for (source, told) in [
        (
            "",
            "1, column 1: expected a field, a literal, `has`, `!` or `(`, found the end",
        ),
        ("a ==", "1, column 5: expected a field"),
        (
            "a == 1 2",
            "1, column 8: expected an operator or the end, found a number",
        ),
        (
            "(a",
            "1, column 3: expected `)` or an operator, found the end",
        ),
        (
            "a)",
            "1, column 2: expected an operator or the end, found `)`",
        ),
        ("a &&\n&& b", "line 2, column 1: expected a field"),
        (
            "1",
            "expected a condition: a comparison, a call, or a field that is a bool, found a number",
        ),
        ("a && 'x'", "column 6: expected a condition"),
        ("[1]", "expected a condition"),
        ("!5", "column 2: expected a condition"),
        (
            "a < b < c",
            "column 7: expected `&&`, `||` or the end (comparisons do not chain)",
        ),
        (
            "!a == 1",
            "column 1: expected a field or a literal to compare",
        ),
        (
            "(a > 1) == true",
            "column 1: expected a field or a literal to compare",
        ),
        (
            "a == [1]",
            "column 6: expected a field or a literal (a list stands to the right",
        ),
        (
            "a in 'x'",
            "column 6: expected a list or a field that is one, found a string",
        ),
        (
            "a in (b == 1)",
            "column 6: expected a list or a field that is one, found a condition",
        ),
        ("a in [b]", "column 7: expected a literal, found `b`"),
        (
            "a in [1 2]",
            "column 9: expected `,` or `]`, found a number",
        ),
        ("a in [1", "expected `,` or `]`, found the end"),
        ("a in [,]", "expected a literal, found `,`"),
        ("has a", "column 5: expected `(`"),
        ("has('a')", "expected a field, found a string"),
        ("has(a.startsWith('x'))", "expected `)`, found `(`"),
        ("a.startsWith(b)", "column 14: expected a string, found `b`"),
        ("a.startsWith('b'", "expected `)`, found the end"),
        ("a.", "column 3: expected a name, found the end"),
        ("a[x]", "expected a string or an index, found `x`"),
        ("a[-1]", not_ours),
        ("a[99999999999]", "the index is over 32 bits"),
        ("in == 1", "column 1: expected a field"),
        (
            "a == null",
            "`null` cannot be used in a filter; `has(field)` asks whether",
        ),
        (
            "a + 1 > 2",
            "column 3: `+` cannot be used in a filter; it has no arithmetic",
        ),
        ("a ? b : c", "`&&` and `||` say the same as `? :`"),
        ("a = 1", "equality is `==`"),
        ("a & b", "the connective is `&&`"),
        (
            "a or b",
            "column 3: `or` cannot be used in a filter; the connective is `||`",
        ),
        ("{'a': 1}", not_ours),
        (
            "size(a) > 1",
            "column 1: the function `size` cannot be used in a filter; the only",
        ),
        (
            "a.matches('x.*')",
            "column 3: the method `matches` cannot be used in a filter; there are",
        ),
        ("a == b'x'", "bytes cannot be used in a filter"),
        ("a == 'x", "column 6: the string does not end"),
        (
            "a == 'x\ny'",
            "column 8: a string has no control characters",
        ),
        (r"a == '\q'", "column 7: unknown escape in a string"),
        (r"a == '\ud800'", "unknown escape"),
        (r"a == '\x+1'", "unknown escape"),
        (r"a == '\u00é'", "unknown escape"),
        (
            "a == -'x'",
            "expected a number (only numbers have a sign), found a string",
        ),
        ("a == --1", not_ours),
        ("a == 18446744073709551616", "the number is over 64 bits"),
        ("a == -9223372036854775809", "the number is over 64 bits"),
        ("a == 0x", "malformed number"),
        ("a == 12ab", "malformed number"),
        ("a == 1e", "malformed number"),
        ("a == 1e999", "the number is too large"),
        ("`a", "a name in backticks does not end"),
        ("``", "a name in backticks is empty"),
        (
            "ä == 1",
            "column 1: expected a field, a literal or an operator (other names go in backticks), found `ä`",
        ),
        ("a == 1 \u{1b}", "found `\\u{1b}`"),
    ] {
        let error = match Filter::parse(source) {
            Ok(filter) => panic!("{source} is a filter: {filter:?}"),
            Err(error) => error,
        };
        assert!(error.to_string().contains(told), "{source}: {error}");
        assert!(error.to_string().starts_with("line "), "{source}: {error}");
    }
}

#[test]
fn an_error_shows_the_place() {
    let error = Filter::parse("temp > 86 &&\n  origin = 'JFK'").unwrap_err();
    let place = error.place().unwrap();
    assert_eq!((place.line(), place.column(), place.offset()), (2, 10, 22));
    assert_eq!(
        error.report(),
        "line 2, column 10: `=` cannot be used in a filter; equality is `==`\n\
         \x20 origin = 'JFK'\n\
         \x20        ^"
    );
}
