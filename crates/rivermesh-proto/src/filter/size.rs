//! How much memory a filter takes while it is in use, so that who keeps filters for peers can
//! bound them in bytes.

use super::{
    ast::Segment,
    plan::{Plan, Target, Test},
    types::Source,
    value::Scalar,
};

/// What a set adds to a filter's own memory for each value that it is found by: an entry of a hash
/// table that is half empty after it has grown.
const INDEX_ENTRY: usize = 128;
/// The same for each field that nobody else asks for.
const FIELD: usize = 256;
/// The same for the filter itself.
const GROUP: usize = 256;

impl Plan {
    /// About how many bytes the filter takes in a [`Set`](super::Set) that has no other with
    /// fields or values in common. An estimate that is rather too high.
    #[must_use]
    pub fn memory(&self) -> usize {
        let program = self.program();
        let targets = program.targets.iter().map(target).sum::<usize>();
        let lookup = program.lookup.as_ref().map_or(0, |lookup| {
            let values = lookup.values.iter();
            test(&lookup.rest) + values.map(|v| 2 * scalar(v) + INDEX_ENTRY).sum::<usize>()
        });
        GROUP + program.canonical.len() + targets + test(&program.test) + lookup
    }

    /// Whether evaluating it can cost an item more than one look-up, with which a set finds it: all
    /// that is neither `field == constant` nor `field in [constants]`.
    #[must_use]
    pub fn is_evaluated(&self) -> bool {
        let lookup = self.program().lookup.as_ref();
        !lookup.is_some_and(|lookup| matches!(lookup.rest, Test::Const(true)))
    }
}

fn target(target: &Target) -> usize {
    let names = match &target.source {
        Source::Key => 0,
        Source::Item(segments) => segments.iter().map(segment).sum(),
    };
    size_of::<Target>() + names
}

fn segment(segment: &Segment) -> usize {
    // In the plan, and twice in the tree of all fields.
    let name = match segment {
        Segment::Name(name) => 3 * name.len(),
        Segment::Index(_) => 0,
    };
    size_of::<Segment>() + name + FIELD
}

fn test(test: &Test) -> usize {
    let own = size_of::<Test>();
    own + match test {
        Test::Const(_)
        | Test::Truth(_)
        | Test::Has(_)
        | Test::Fields(..)
        | Test::FieldWithin(..) => 0,
        Test::Not(inner) => self::test(inner),
        Test::All(sides) | Test::Any(sides) => sides.iter().map(self::test).sum(),
        Test::Compare(_, _, constant) | Test::Within(constant, _) => text(constant),
        Test::OneOf(_, members) => members.memory(),
        Test::StartsWith(_, text) | Test::EndsWith(_, text) | Test::Contains(_, text) => text.len(),
        Test::Glob(_, glob) => glob.memory(),
    }
}

fn scalar(constant: &Scalar) -> usize {
    size_of::<Scalar>() + text(constant)
}

fn text(constant: &Scalar) -> usize {
    match constant {
        Scalar::Text(text) => text.len(),
        Scalar::Bool(_) | Scalar::Number(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use crate::{filter::Filter, schema::Schema};

    fn memory(source: &str) -> usize {
        let filter = Filter::parse(source).unwrap();
        filter.check(&Schema::Json).unwrap().memory()
    }

    #[test]
    fn what_is_longer_takes_more() {
        let list = |len: usize| {
            let values: Vec<String> = (0..len).map(|n| n.to_string()).collect();
            memory(&format!("carrier in [{}]", values.join(",")))
        };
        assert!(list(800) > 50 * 800 && list(800) > 300 * list(1) / 2);
        assert!(memory("a.b.c.d > 1") > memory("a > 1") + 3 * 200);
        let text = "x".repeat(3000);
        for source in [
            "a == 'X'",
            "a.contains('X')",
            "'X' in a",
            "a.glob('X*')",
            "has(X)",
        ] {
            assert!(memory(&source.replace('X', &text)) > 3000, "{source}");
        }
        assert!(memory("!(a > 1 && (b > 2 || c))") > memory("a > 1") + memory("b > 2"));
    }

    #[test]
    fn only_looking_up_is_free() {
        for (source, is_evaluated) in [
            ("carrier == 'UA'", false),
            ("carrier in ['UA', 'AA']", false),
            ("key == 'UA'", false),
            ("carrier == 'UA' && late", true),
            ("carrier != 'UA'", true),
            ("carrier == 'UA' || late", true),
        ] {
            let plan = Filter::parse(source).unwrap().check(&Schema::Json).unwrap();
            assert_eq!(plan.is_evaluated(), is_evaluated, "{source}");
        }
    }
}
