//! One form for filters that say the same in different words.
//!
//! Every step here is sound because conditions are true or false and nothing else, and have no
//! effects: `&&` and `||` may be flattened, sorted and freed of repetitions, constants folded, and
//! sides exchanged. `!(a == 1)` is not `a != 1`, though: when `a` is absent the first is true.

use super::{
    ast::{Kind, Literal, Match, Node, Path, Relation},
    glob::{self, Simple},
    number::Number,
    text,
};

/// A filter in its one form.
#[derive(Clone, Debug)]
pub(super) enum Expr {
    Const(bool),
    Truth(Path),
    Has(Path),
    Not(Box<Expr>),
    And(Vec<Expr>),
    Or(Vec<Expr>),
    Compare(Path, Relation, Literal),
    Fields(Path, Relation, Path),
    OneOf(Path, Vec<Literal>),
    Within(Literal, Path),
    FieldWithin(Path, Path),
    Match(Path, Match, String),
}

/// The one form of a filter.
pub(super) fn normal(node: &Node) -> Expr {
    match &node.kind {
        Kind::Literal(literal) => Expr::Const(matches!(literal, Literal::Bool(true))),
        // The parser lets no list stand by itself.
        Kind::List(_) => Expr::Const(false),
        Kind::Field(path) => Expr::Truth(path.clone()),
        Kind::Has(path) => Expr::Has(path.clone()),
        Kind::Match(path, method, pattern) => matching(path, *method, pattern),
        Kind::Not(inner) => match normal(inner) {
            Expr::Const(value) => Expr::Const(!value),
            Expr::Not(inner) => *inner,
            inner => Expr::Not(Box::new(inner)),
        },
        Kind::And(sides) => all(sides.iter().map(normal)),
        Kind::Or(sides) => any(sides.iter().map(normal)),
        Kind::Compare(left, relation, right) => compare(left, *relation, right),
        Kind::In(left, right) => within(left, right),
    }
}

fn matching(path: &Path, method: Match, pattern: &str) -> Expr {
    let (method, pattern) = match method {
        Match::Glob => match glob::simple(pattern) {
            Some(Simple::Whole(whole)) => {
                let whole = Literal::Text(whole);
                return Expr::Compare(path.clone(), Relation::Equal, whole);
            }
            Some(Simple::Prefix(prefix)) => (Match::StartsWith, prefix),
            Some(Simple::Suffix(suffix)) => (Match::EndsWith, suffix),
            Some(Simple::Part(part)) => (Match::Contains, part),
            None => (Match::Glob, glob::canonical(pattern)),
        },
        method => (method, pattern.to_owned()),
    };
    // Every text has the empty one at its start, at its end and in between.
    let method = if pattern.is_empty() && method != Match::Glob {
        Match::StartsWith
    } else {
        method
    };
    Expr::Match(path.clone(), method, pattern)
}

fn compare(left: &Node, relation: Relation, right: &Node) -> Expr {
    match (&left.kind, &right.kind) {
        (Kind::Field(path), Kind::Literal(literal)) => constant(path, relation, plain(literal)),
        (Kind::Literal(literal), Kind::Field(path)) => {
            constant(path, relation.flipped(), plain(literal))
        }
        (Kind::Field(left), Kind::Field(right)) => {
            if text::path(left) > text::path(right) {
                Expr::Fields(right.clone(), relation.flipped(), left.clone())
            } else {
                Expr::Fields(left.clone(), relation, right.clone())
            }
        }
        (Kind::Literal(left), Kind::Literal(right)) => {
            Expr::Const(left.compare(right).is_some_and(|o| relation.holds(o)))
        }
        // The parser lets nothing else be compared.
        _ => Expr::Const(false),
    }
}

fn constant(path: &Path, relation: Relation, literal: Literal) -> Expr {
    match (relation, literal) {
        (Relation::Equal, Literal::Bool(true)) | (Relation::NotEqual, Literal::Bool(false)) => {
            Expr::Truth(path.clone())
        }
        (Relation::NotEqual, Literal::Bool(true)) => {
            Expr::Compare(path.clone(), Relation::Equal, Literal::Bool(false))
        }
        (relation, literal) => Expr::Compare(path.clone(), relation, literal),
    }
}

fn within(left: &Node, right: &Node) -> Expr {
    match (&left.kind, &right.kind) {
        (Kind::Field(path), Kind::List(elements)) => {
            let elements = elements.iter().map(|(_, element)| plain(element));
            one_of(path, elements.collect())
        }
        (Kind::Literal(literal), Kind::List(elements)) => {
            let same = |element: &Literal| literal.compare(element).is_some_and(|o| o.is_eq());
            Expr::Const(elements.iter().any(|(_, element)| same(element)))
        }
        (Kind::Literal(literal), Kind::Field(path)) => Expr::Within(plain(literal), path.clone()),
        (Kind::Field(element), Kind::Field(path)) => {
            Expr::FieldWithin(element.clone(), path.clone())
        }
        _ => Expr::Const(false),
    }
}

/// A list sorted and without repetitions; of one element, a comparison.
fn one_of(path: &Path, elements: Vec<Literal>) -> Expr {
    let mut keyed: Vec<(String, Literal)> = elements
        .into_iter()
        .map(|element| (text::literal(&element), element))
        .collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.dedup_by(|(a, _), (b, _)| a == b);
    let mut elements: Vec<Literal> = keyed.into_iter().map(|(_, element)| element).collect();
    match elements.len() {
        0 => Expr::Const(false),
        1 => constant(path, Relation::Equal, elements.remove(0)),
        _ => Expr::OneOf(path.clone(), elements),
    }
}

fn plain(literal: &Literal) -> Literal {
    match literal {
        Literal::Number(number) => Literal::Number(Number::plain(*number)),
        other => other.clone(),
    }
}

fn all(sides: impl Iterator<Item = Expr>) -> Expr {
    let mut flat = Vec::new();
    for side in sides {
        match side {
            Expr::Const(true) => {}
            Expr::Const(false) => return Expr::Const(false),
            Expr::And(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    let mut flat = sorted(flat);
    match flat.len() {
        0 => Expr::Const(true),
        1 => flat.remove(0),
        _ => Expr::And(flat),
    }
}

fn any(sides: impl Iterator<Item = Expr>) -> Expr {
    let mut flat = Vec::new();
    for side in sides {
        match side {
            Expr::Const(false) => {}
            Expr::Const(true) => return Expr::Const(true),
            Expr::Or(inner) => flat.extend(inner),
            other => flat.push(other),
        }
    }
    let mut flat = sorted(merged(flat));
    match flat.len() {
        0 => Expr::Const(false),
        1 => flat.remove(0),
        _ => Expr::Or(flat),
    }
}

/// `a == 1 || a in [2, 3]` as `a in [1, 2, 3]`, which can be looked up.
fn merged(sides: Vec<Expr>) -> Vec<Expr> {
    let mut rest = Vec::new();
    let mut lists: std::collections::BTreeMap<String, (Path, Vec<Literal>)> = Default::default();
    for side in sides {
        let (path, elements) = match side {
            Expr::Compare(path, Relation::Equal, literal) => (path, vec![literal]),
            Expr::OneOf(path, elements) => (path, elements),
            other => {
                rest.push(other);
                continue;
            }
        };
        let list = lists.entry(text::path(&path));
        list.or_insert_with(|| (path, Vec::new()))
            .1
            .extend(elements);
    }
    rest.extend(
        lists
            .into_values()
            .map(|(path, elements)| one_of(&path, elements)),
    );
    rest
}

/// In the order of their text, each once.
fn sorted(sides: Vec<Expr>) -> Vec<Expr> {
    let mut keyed: Vec<(String, Expr)> = sides
        .into_iter()
        .map(|side| (text::expr(&side), side))
        .collect();
    keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
    keyed.dedup_by(|(a, _), (b, _)| a == b);
    keyed.into_iter().map(|(_, side)| side).collect()
}
