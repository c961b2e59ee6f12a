//! What a consumer asks of items.

use std::sync::LazyLock;

use rivermesh_proto::{
    filter::{Evaluator, Filter, FilterSource, ParseError, Set},
    limits,
    schema::{Field, Schema, Variant, VariantShape},
    wire,
};
use serde_json::{Value, json};

use super::stable;

/// A filter's source, as text and as a message. What is a filter is written in its one form, read
/// again, checked and evaluated, alone and among others: all must say the same.
pub fn filter(data: &[u8]) {
    stable(data, wire::decode::<FilterSource>, |source| {
        wire::encode(source, limits::CONTROL)
    });
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let filter = match Filter::parse(text) {
        Ok(filter) => filter,
        Err(error) => return assert!(error.report().len() < 1000, "{error}"),
    };
    assert!(text.len() <= limits::FILTER);
    assert!(filter.canonical().len() <= 16 * text.len().max(4));
    let again = match Filter::parse(filter.canonical()) {
        Ok(again) => again,
        // The one form of a glob may be a comparison, which has more parts.
        Err(
            ParseError::TooLong { .. }
            | ParseError::TooDeep { .. }
            | ParseError::TooManyNodes { .. },
        ) => filter.clone(),
        Err(error) => panic!("{filter:?} does not read back: {error}"),
    };
    assert_eq!(filter.canonical(), again.canonical());
    for schema in [&Schema::Json, &Schema::Text, &*READING] {
        check(&filter, &again, schema);
    }
}

fn check(filter: &Filter, again: &Filter, schema: &Schema) {
    let plan = match filter.check(schema) {
        Ok(plan) => plan,
        Err(error) => return assert!(error.report().len() < 2000, "{error}"),
    };
    // Constants that were folded away may be what did not fit.
    let Ok(same) = again.check(schema) else {
        panic!("{filter:?} fits and its one form does not");
    };
    let mut set = Set::new();
    let (group, other) = (set.insert(&plan), set.insert(&OTHER));
    assert_eq!(group, set.insert(&same));
    let mut evaluators = [plan, same, OTHER.clone()].map(Evaluator::new);
    for (item, key) in &*ITEMS {
        let key = key.map(str::as_bytes);
        let [one, two, three] = evaluators.each_mut().map(|evaluator| {
            let answer = evaluator.matches(item, key);
            answer.unwrap_or_else(|error| panic!("JSON has no bounds of its own: {error}"))
        });
        let found = match set.evaluate(item, key) {
            Ok(found) => found,
            Err(error) => panic!("JSON has no bounds of its own: {error}"),
        };
        assert_eq!(one, two);
        assert_eq!(one, found.contains(&group), "{filter:?}");
        assert_eq!(three, found.contains(&other), "{filter:?}");
    }
}

static OTHER: LazyLock<rivermesh_proto::filter::Plan> = LazyLock::new(|| {
    let filter = Filter::parse("origin in ['JFK', 'LGA'] && temp > 0");
    match filter.map(|filter| filter.check(&READING)) {
        Ok(Ok(plan)) => plan,
        other => panic!("{other:?}"),
    }
});

static READING: LazyLock<Schema> = LazyLock::new(|| {
    let field = |name: &str, schema| Field {
        name: name.into(),
        schema,
    };
    let option = |schema| Schema::Option(Box::new(schema));
    let variant = |name: &str, index| Variant {
        name: name.into(),
        index,
        shape: VariantShape::Unit,
    };
    let status = Schema::Enum {
        name: "Status".into(),
        variants: vec![variant("Fine", 0), variant("Late", 1)],
    };
    let position = vec![field("x", Schema::F64), field("up", option(Schema::I8))];
    Schema::Struct {
        name: "Reading".into(),
        fields: vec![
            field("origin", Schema::String),
            field("temp", Schema::F32),
            field("delay", option(Schema::I64)),
            field("late", Schema::Bool),
            field("status", status),
            field("tags", Schema::Seq(Box::new(Schema::String))),
            field(
                "pos",
                Schema::Struct {
                    name: "Pos".into(),
                    fields: position,
                },
            ),
        ],
    }
});

static ITEMS: LazyLock<Vec<(Value, Option<&str>)>> = LazyLock::new(|| {
    vec![
        (
            json!({
                "origin": "JFK", "temp": 86.5, "delay": 61, "late": true, "status": "Late",
                "tags": ["a", "b"], "pos": { "x": 0.5, "up": null },
            }),
            Some("JFK"),
        ),
        (
            json!({
                "origin": "", "temp": -1, "late": false, "status": "Fine", "tags": [],
                "pos": { "x": -0.0, "up": 1 }, "delay": i64::MIN,
            }),
            Some("7"),
        ),
        (
            json!({ "a": [1, { "b": "x" }, u64::MAX], "key": 1.0, "origin": 5 }),
            None,
        ),
        (json!("text with JFK"), None),
        (Value::Null, None),
    ]
});
