//! Random filters over random items, against an interpreter that knows nothing of the parser, the
//! one form, the index or the walk: it has its own tree and looks at the item's JSON.

use std::cmp::Ordering;

use proptest::{collection::vec, option, prelude::*, sample::select};
use serde_json::Value;

use super::{Blob, Flight, Meters, Pos, Status, Up, plan, schema};
use crate::{
    filter::{Evaluator, Filter, GroupId, Set},
    schema::Schema,
};

#[derive(Clone, Debug)]
enum Tree {
    Const(bool),
    Not(Box<Tree>),
    And(Vec<Tree>),
    Or(Vec<Tree>),
    Bool(&'static str),
    Has(&'static str),
    Compare(Side, &'static str, Side),
    In(Side, Vec<Constant>),
    Within(Side, &'static str),
    Method(&'static str, &'static str, &'static str),
}

#[derive(Clone, Debug)]
enum Side {
    Field(&'static str),
    Constant(Constant),
}

#[derive(Clone, Debug, PartialEq)]
enum Constant {
    Int(i128),
    Float(f64),
    Text(&'static str),
    Bool(bool),
}

const NUMBERS: [&str; 11] = [
    "temp",
    "delay",
    "count",
    "ratio",
    "pos.x",
    "pos.up.z",
    "levels[1]",
    "labels.a",
    "pair[0]",
    "meters",
    "status.Late.minutes",
];
const TEXTS: [&str; 7] = [
    "origin",
    "code",
    "pair[1]",
    "tags[0]",
    "status.Moved",
    "status.Late.why",
    "key",
];
const WORDS: [&str; 9] = [
    "",
    "a",
    "b",
    "ab",
    "aba",
    "JFK",
    "Late",
    "é",
    "it's \\ \n\"x\"",
];
const OTHERS: [&str; 8] = [
    "late",
    "status",
    "status.Fine",
    "status.Swapped",
    "pos",
    "pos.up",
    "tags",
    "labels.b",
];
const STATUSES: [&str; 4] = ["Fine", "Late", "Moved", "Swapped"];
const METHODS: [&str; 3] = ["startsWith", "endsWith", "contains"];
const RELATIONS: [&str; 6] = ["==", "!=", "<", "<=", ">", ">="];

fn word() -> impl Strategy<Value = &'static str> {
    select(&WORDS[..])
}

fn number() -> impl Strategy<Value = Constant> {
    // Where integers and floats part: 2^53 + 1 is no f64, 2^24 + 1 is no f32.
    let floats = [-1.0, -0.5, 0.0, 0.1, 0.5, 1.0, 2.0, 1e15, 16_777_217.0];
    let edges = [i64::MIN.into(), u64::MAX.into(), (1 << 53) + 1, 1 << 24];
    let powers = [1_u64 << 53, 1 << 63].map(|power| power as f64);
    prop_oneof![
        4 => (-2_i128..4).prop_map(Constant::Int),
        4 => select(floats.to_vec()).prop_map(Constant::Float),
        1 => select(edges.to_vec()).prop_map(Constant::Int),
        1 => select(powers.to_vec()).prop_map(Constant::Float),
    ]
}

fn text() -> impl Strategy<Value = Constant> {
    word().prop_map(Constant::Text)
}

type AnySide = BoxedStrategy<Side>;

fn field(names: &'static [&'static str]) -> AnySide {
    select(names).prop_map(Side::Field).boxed()
}

fn either(field: AnySide, constant: impl Strategy<Value = Constant> + 'static) -> AnySide {
    prop_oneof![2 => field, 1 => constant.prop_map(Side::Constant)].boxed()
}

fn list(left: AnySide, of: impl Strategy<Value = Constant> + 'static) -> BoxedStrategy<Tree> {
    let list = (left, vec(of, 0..5));
    list.prop_map(|(side, list)| Tree::In(side, list)).boxed()
}

fn compared(
    left: AnySide,
    relations: &'static [&'static str],
    right: AnySide,
) -> BoxedStrategy<Tree> {
    let sides = (left, select(relations), right);
    sides
        .prop_map(|(left, relation, right)| Tree::Compare(left, relation, right))
        .boxed()
}

fn comparison() -> impl Strategy<Value = Tree> {
    let numbers = || either(field(&NUMBERS), number());
    let texts = || either(field(&TEXTS), text());
    let constant = |of: BoxedStrategy<Constant>| of.prop_map(Side::Constant).boxed();
    let bools = any::<bool>().prop_map(Constant::Bool).boxed();
    let statuses = || select(&STATUSES[..]).prop_map(Constant::Text).boxed();
    let within = |(side, list)| Tree::Within(side, list);
    let methods = (select(&TEXTS[..]), select(&METHODS[..]), word());
    prop_oneof![
        4 => compared(numbers(), &RELATIONS, numbers()),
        4 => compared(texts(), &RELATIONS, texts()),
        1 => compared(field(&["late"]), &RELATIONS[..2], constant(bools)),
        1 => compared(field(&["status"]), &RELATIONS[..2], constant(statuses())),
        1 => list(field(&["status"]), statuses()),
        3 => list(field(&NUMBERS), number()),
        3 => list(field(&TEXTS), text()),
        1 => (numbers(), Just("levels")).prop_map(within),
        1 => (texts(), select(&["tags", "labels"][..])).prop_map(within),
        2 => methods.prop_map(|(field, method, word)| Tree::Method(field, method, word)),
    ]
}

fn tree() -> impl Strategy<Value = Tree> {
    let leaf = prop_oneof![
        12 => comparison(),
        1 => any::<bool>().prop_map(Tree::Const),
        1 => Just(Tree::Bool("late")),
        2 => select([&NUMBERS[..], &TEXTS, &OTHERS].concat()).prop_map(Tree::Has),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            1 => inner.clone().prop_map(|tree| Tree::Not(Box::new(tree))),
            2 => vec(inner.clone(), 2..4).prop_map(Tree::And),
            2 => vec(inner, 2..4).prop_map(Tree::Or),
        ]
    })
}

prop_compose! {
    fn status()(which in 0..4, minutes in 0_u32..4, why in option::of(word()), a: u8, b: i8) -> Status {
        match which {
            0 => Status::Fine,
            1 => Status::Late { minutes, why: why.map(str::to_owned) },
            2 => Status::Moved(why.unwrap_or("ab").to_owned()),
            _ => Status::Swapped(a, b),
        }
    }
}

prop_compose! {
    fn item()(
        origin in word(),
        temp in select(vec![-0.5_f32, 0.0, 0.1, 1.0, 16_777_216.0, f32::MAX]),
        delay in prop_oneof![-3_i64..4, select(vec![i64::MIN, i64::MAX, 1 << 53, (1 << 53) + 1])],
        count in 0_u8..4,
        ratio in option::of(select(vec![-1.0, 0.1, 0.5, 2.0, 1e15, f64::MAX])),
        late: bool,
        status in status(),
        tags in vec(word(), 0..3),
        levels in vec(-2_i16..3, 0..4),
        labels in proptest::collection::btree_map(select(vec!["a", "b", "ab"]), -1_i32..3, 0..3),
        up in option::of(-1_i32..3),
        code in option::of(select(vec!['a', 'é'])),
        pair in (0_u8..3, word()),
    ) -> Flight {
        Flight {
            origin: origin.into(), temp, delay, count, ratio, late, status,
            tags: tags.into_iter().map(str::to_owned).collect(),
            levels,
            labels: labels.into_iter().map(|(k, v)| (k.to_owned(), v)).collect(),
            pos: Pos { x: f64::from(count) / 2.0, up: up.map(|z| Box::new(Up { z })) },
            code,
            pair: (pair.0, pair.1.to_owned()),
            wide: 0,
            meters: Meters(ratio.unwrap_or(1.0)),
            blob: Blob(Vec::new()),
        }
    }
}

/// Writes a tree as a filter, in one of several spellings.
fn write(tree: &Tree, spelling: u32) -> String {
    let quote = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('\n', "\\n");
        if spelling.is_multiple_of(2) {
            format!("'{}'", text.replace('\'', "\\'"))
        } else {
            format!("\"{}\"", text.replace('"', "\\\""))
        }
    };
    let constant = |constant: &Constant| match constant {
        Constant::Int(whole) => whole.to_string(),
        Constant::Float(float) => format!("{float:?}"),
        Constant::Text(text) => quote(text),
        Constant::Bool(value) => value.to_string(),
    };
    let side = |side: &Side| match side {
        Side::Field(name) => (*name).to_owned(),
        Side::Constant(value) => constant(value),
    };
    let space = if spelling.is_multiple_of(3) { "" } else { " " };
    let all = |trees: &[Tree], symbol: &str| {
        let parts = trees.iter().map(|tree| match tree {
            Tree::And(_) | Tree::Or(_) => format!("({})", write(tree, spelling)),
            _ => write(tree, spelling),
        });
        parts
            .collect::<Vec<_>>()
            .join(&format!("{space}{symbol}{space}"))
    };
    match tree {
        Tree::Const(value) => value.to_string(),
        Tree::Not(inner) => format!("!({})", write(inner, spelling / 2)),
        Tree::And(trees) => all(trees, "&&"),
        Tree::Or(trees) => all(trees, "||"),
        Tree::Bool(field) => (*field).to_owned(),
        Tree::Has(field) => format!("has({field})"),
        Tree::Compare(left, relation, right) => {
            format!("{}{space}{relation}{space}{}", side(left), side(right))
        }
        Tree::In(left, list) => {
            let list: Vec<String> = list.iter().map(constant).collect();
            format!("{} in [{}]", side(left), list.join(","))
        }
        Tree::Within(left, field) => format!("{} in {field}", side(left)),
        Tree::Method(field, method, word) => format!("{field}.{method}({})", quote(word)),
    }
}

struct Naive<'a> {
    item: &'a Value,
    key: Option<&'a str>,
    /// Whether the schema is known, and so what is an enum and what has 32 bits.
    typed: bool,
}

impl Naive<'_> {
    fn holds(&self, tree: &Tree) -> bool {
        match tree {
            Tree::Const(value) => *value,
            Tree::Not(inner) => !self.holds(inner),
            Tree::And(trees) => trees.iter().all(|tree| self.holds(tree)),
            Tree::Or(trees) => trees.iter().any(|tree| self.holds(tree)),
            Tree::Bool(field) => self.field(field) == Some(Value::Bool(true)),
            Tree::Has(field) => self.field(field).is_some(),
            Tree::Compare(left, relation, right) => {
                let order = self.order(left, right);
                order.is_some_and(|order| match *relation {
                    "==" => order == Ordering::Equal,
                    "!=" => order != Ordering::Equal,
                    "<" => order == Ordering::Less,
                    "<=" => order != Ordering::Greater,
                    ">" => order == Ordering::Greater,
                    _ => order != Ordering::Less,
                })
            }
            Tree::In(left, list) => list.iter().any(|constant| {
                self.order(left, &Side::Constant(constant.clone())) == Some(Ordering::Equal)
            }),
            Tree::Within(left, field) => {
                let left = self.value(left, "");
                let elements = match self.field(field) {
                    Some(Value::Array(elements)) => elements,
                    Some(Value::Object(object)) => {
                        object.keys().map(|k| k.clone().into()).collect()
                    }
                    _ => Vec::new(),
                };
                elements
                    .iter()
                    .any(|e| left.as_ref().and_then(|l| compare(l, e)) == Some(Ordering::Equal))
            }
            Tree::Method(field, method, word) => match self.field(field) {
                Some(Value::String(text)) => match *method {
                    "startsWith" => text.starts_with(word),
                    "endsWith" => text.ends_with(word),
                    _ => text.contains(word),
                },
                _ => false,
            },
        }
    }

    fn order(&self, left: &Side, right: &Side) -> Option<Ordering> {
        let name = |side: &Side| match side {
            Side::Field(name) => *name,
            Side::Constant(_) => "",
        };
        compare(
            &self.value(left, name(right))?,
            &self.value(right, name(left))?,
        )
    }

    /// A side's value, when it is compared with the field `other`.
    fn value(&self, side: &Side, other: &str) -> Option<Value> {
        Some(match side {
            Side::Field(name) => self.field(name)?,
            Side::Constant(Constant::Float(float)) if other == "temp" && self.typed => {
                f64::from(*float as f32).into()
            }
            Side::Constant(Constant::Int(whole)) => match u64::try_from(*whole) {
                Ok(whole) => whole.into(),
                Err(_) => i64::try_from(*whole).unwrap().into(),
            },
            Side::Constant(Constant::Float(float)) => (*float).into(),
            Side::Constant(Constant::Text(text)) => (*text).into(),
            Side::Constant(Constant::Bool(value)) => (*value).into(),
        })
    }

    fn field(&self, path: &str) -> Option<Value> {
        // Of the JSON it is a field, and there is none of this name.
        if path == "key" {
            return self.key.filter(|_| self.typed).map(Value::from);
        }
        let mut value = self.item.clone();
        let steps = path.replace('[', ".").replace(']', "");
        for step in steps.split('.') {
            value = match &value {
                Value::Array(elements) => elements.get(step.parse::<usize>().ok()?)?.clone(),
                Value::Object(object) => object.get(step)?.clone(),
                Value::String(name) if self.typed && name == step => {
                    Value::Object(Default::default())
                }
                _ => return None,
            };
        }
        if let (Value::Object(object), true, "status") = (&value, self.typed, path) {
            value = object.keys().next()?.clone().into();
        }
        (!value.is_null()).then_some(value)
    }
}

fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::String(a), Value::String(b)) => Some(a.cmp(b)),
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Number(a), Value::Number(b)) => {
            let whole =
                |n: &serde_json::Number| n.as_i64().map(i128::from).or(n.as_u64().map(i128::from));
            Some(match (whole(a), whole(b)) {
                (Some(a), Some(b)) => a.cmp(&b),
                (Some(a), None) => by_digits(a, b.as_f64()?),
                (None, Some(b)) => by_digits(b, a.as_f64()?).reverse(),
                (None, None) => a.as_f64()?.partial_cmp(&b.as_f64()?)?,
            })
        }
        _ => None,
    }
}

/// By what the float is in decimal, which Rust writes exactly.
fn by_digits(whole: i128, float: f64) -> Ordering {
    let text = format!("{float:.1100}");
    let (digits, fraction) = text.split_once('.').unwrap();
    match digits.parse::<i128>() {
        Err(_) if float > 0.0 => Ordering::Less,
        Err(_) => Ordering::Greater,
        Ok(floor) => whole.cmp(&floor).then_with(|| {
            match (fraction.bytes().all(|b| b == b'0'), float > 0.0) {
                (true, _) => Ordering::Equal,
                (false, true) => Ordering::Less,
                (false, false) => Ordering::Greater,
            }
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_filter_says_what_the_tree_says(
        tree in tree(),
        item in item(),
        key in option::of(word()),
        spelling in 0_u32..16,
    ) {
        let source = write(&tree, spelling);
        let json = serde_json::to_value(&item).unwrap();
        let mut typed = Evaluator::new(plan(&source, &schema()));
        let naive = Naive { item: &json, key, typed: true };
        prop_assert_eq!(typed.matches(&item, key.map(str::as_bytes)).unwrap(), naive.holds(&tree), "{}", source);

        let mut untyped = Evaluator::new(plan(&source, &Schema::Json));
        let naive = Naive { item: &json, key, typed: false };
        prop_assert_eq!(untyped.matches(&json, None).unwrap(), naive.holds(&tree), "{}", source);
    }

    #[test]
    fn the_one_form_reads_back_and_is_the_same_filter(tree in tree(), item in item(), spelling in 0_u32..16) {
        let source = write(&tree, spelling);
        let filter = Filter::parse(&source).unwrap();
        let again = Filter::parse_of_any_length(filter.canonical()).unwrap();
        prop_assert_eq!(again.canonical(), filter.canonical());
        let other = Filter::parse(&write(&tree, spelling + 1)).unwrap();
        prop_assert_eq!(other.canonical(), filter.canonical());
        let answers = [&filter, &again].map(|filter| {
            Evaluator::new(filter.check(&schema()).unwrap()).matches(&item, None).unwrap()
        });
        prop_assert_eq!(answers[0], answers[1], "{}", source);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn a_set_says_what_each_filter_says(
        trees in vec((tree(), any::<bool>()), 1..24),
        items in vec((item(), option::of(word())), 1..8),
    ) {
        let mut set = Set::new();
        let mut alone: Vec<(GroupId, Evaluator)> = Vec::new();
        for (tree, stays) in &trees {
            let plan = plan(&write(tree, 1), &schema());
            let id = set.insert(&plan);
            if *stays {
                alone.push((id, Evaluator::new(plan)));
            } else {
                set.remove(id);
            }
        }
        for (item, key) in &items {
            let key = key.map(str::as_bytes);
            let mut expected: Vec<GroupId> = alone
                .iter_mut()
                .filter_map(|(id, evaluator)| evaluator.matches(item, key).unwrap().then_some(*id))
                .collect();
            expected.sort();
            expected.dedup();
            let mut found = set.evaluate(item, key).unwrap().to_vec();
            found.sort();
            prop_assert_eq!(found, expected);
        }
    }
}
