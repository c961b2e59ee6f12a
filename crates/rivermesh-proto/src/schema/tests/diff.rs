use proptest::prelude::*;

use super::*;
use crate::schema::diff;

fn with_fields(fields: Vec<Field>) -> Schema {
    Schema::Struct {
        name: "Reading".into(),
        fields,
    }
}

fn told(ours: &Schema, theirs: &Schema) -> String {
    diff(ours, theirs).expect("a difference").to_string()
}

#[test]
fn the_first_difference_is_named() {
    let ours = with_fields(vec![
        field("origin", Schema::String),
        field("temp", Schema::F32),
    ]);
    let wide = with_fields(vec![
        field("origin", Schema::String),
        field("temp", Schema::F64),
    ]);
    assert_eq!(told(&ours, &wide), "field \"temp\": here f32, there f64");
    let found = diff(&ours, &wide).unwrap();
    assert_eq!(found.path(), "Reading.temp");
    assert_eq!((found.here(), found.there()), (Some("f32"), Some("f64")));

    let more = reading();
    assert_eq!(told(&ours, &more), "field \"gust\" exists only there");
    assert_eq!(told(&more, &ours), "field \"gust\" exists only here");
    let turned = with_fields(vec![
        field("temp", Schema::F32),
        field("origin", Schema::String),
    ]);
    assert_eq!(
        told(&ours, &turned),
        "field \"origin\" is number 0 here, number 1 there"
    );
    assert_eq!(
        told(&ours, &Schema::Text),
        "here Reading { origin: String, temp: f32 }, there UTF-8 text"
    );
    assert!(diff(&kind(), &kind()).is_none());
}

#[test]
fn differences_inside_are_found() {
    let seq = |schema| with_fields(vec![field("all", Schema::Seq(Box::new(schema)))]);
    let ours = seq(reading());
    let theirs = seq(with_fields(vec![field("origin", Schema::Bytes)]));
    assert_eq!(
        told(&ours, &theirs),
        "field \"all[].temp\" exists only here"
    );

    let mut other = kind();
    if let Schema::Enum { variants, .. } = &mut other {
        variants[2].shape = VariantShape::Tuple(vec![Schema::U16]);
    }
    assert_eq!(told(&kind(), &other), "field \"Tuple.1\" exists only here");
    if let Schema::Enum { variants, .. } = &mut other {
        variants.truncate(2);
    }
    assert_eq!(told(&kind(), &other), "variant \"Tuple\" exists only here");
}

proptest! {
    #[test]
    fn a_difference_exactly_when_different(
        ours in super::codec::any_schema(),
        theirs in super::codec::any_schema(),
    ) {
        prop_assert_eq!(diff(&ours, &theirs).is_none(), ours == theirs);
        prop_assert!(diff(&ours, &ours).is_none());
        if let Some(found) = diff(&ours, &theirs) {
            prop_assert!(!found.to_string().is_empty());
        }
    }
}
