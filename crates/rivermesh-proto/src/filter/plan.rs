//! A filter that fits a schema, ready to be evaluated.

use std::{collections::HashMap, fmt, sync::Arc};

use super::{
    ast::{Literal, Match, Path, Relation},
    check::CheckError,
    glob::Glob,
    index::Entry,
    normal::Expr,
    number::Number,
    record::Record,
    types::{Missing, Source, Type, resolve},
    value::{Members, Scalar},
};
use crate::schema::Schema;

/// A filter that was checked against a schema. Cheap to clone.
///
/// It is evaluated by an [`Evaluator`](super::Evaluator) or, with many others, by a
/// [`Set`](super::Set). It is meaningful for items of that schema alone.
#[derive(Clone)]
pub struct Plan(Arc<Program>);

pub(super) struct Program {
    pub(super) canonical: Arc<str>,
    /// What is asked of an item; the tests name these by number.
    pub(super) targets: Vec<Target>,
    pub(super) test: Test,
    /// What an item must have at one place for the filter to match, if the filter says so.
    pub(super) lookup: Option<Lookup>,
}

/// A value of an item that a filter asks for.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) source: Source,
    /// Whether its elements are asked for.
    pub(super) as_list: bool,
}

/// One side of the outermost `&&` that can be looked up, and the other sides.
#[derive(Debug)]
pub(super) struct Lookup {
    pub(super) target: usize,
    pub(super) values: Vec<Scalar>,
    pub(super) rest: Test,
}

impl Lookup {
    /// What an index has of the filter of this number.
    pub(super) fn entry(&self, filter: u32) -> Entry {
        let is_all = matches!(self.rest, Test::Const(true));
        Entry { filter, is_all }
    }
}

/// A condition; fields are numbers of targets.
#[derive(Clone, Debug)]
pub(super) enum Test {
    Const(bool),
    Truth(usize),
    Has(usize),
    Not(Box<Test>),
    All(Box<[Test]>),
    Any(Box<[Test]>),
    Compare(usize, Relation, Scalar),
    Fields(usize, Relation, usize),
    OneOf(usize, Members),
    Within(Scalar, usize),
    FieldWithin(usize, usize),
    StartsWith(usize, Box<str>),
    EndsWith(usize, Box<str>),
    Contains(usize, Box<str>),
    Glob(usize, Glob),
}

impl Plan {
    pub(super) fn new(
        canonical: Arc<str>,
        schema: &Schema,
        filter: &Expr,
        missing: impl Fn(&Path, &Missing<'_>) -> CheckError,
    ) -> Result<Self, CheckError> {
        let mut lower = Lower {
            schema,
            targets: Vec::new(),
            numbers: HashMap::new(),
            missing,
        };
        let test = lower.test(filter)?;
        let lookup = lower.lookup(filter)?;
        Ok(Self(Arc::new(Program {
            canonical,
            targets: lower.targets,
            test,
            lookup,
        })))
    }

    /// The canonical text: equal for filters that are the same but for their spelling. It may be
    /// longer than a source may be, and is not for the wire.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.0.canonical
    }

    /// How many different values of an item the filter asks for.
    #[must_use]
    pub fn fields(&self) -> usize {
        self.0.targets.len()
    }

    /// Whether a [`Set`](super::Set) finds the filter by the value of one field, so that it costs
    /// nothing for items with another value there.
    #[must_use]
    pub fn is_indexed(&self) -> bool {
        self.0.lookup.is_some()
    }

    pub(super) fn program(&self) -> &Program {
        &self.0
    }
}

impl fmt::Debug for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Plan").field(&self.canonical()).finish()
    }
}

/// From names to numbers of targets.
struct Lower<'s, M> {
    schema: &'s Schema,
    targets: Vec<Target>,
    numbers: HashMap<Source, usize>,
    missing: M,
}

impl<'s, M: Fn(&Path, &Missing<'_>) -> CheckError> Lower<'s, M> {
    fn test(&mut self, filter: &Expr) -> Result<Test, CheckError> {
        Ok(match filter {
            Expr::Const(value) => Test::Const(*value),
            Expr::Truth(path) => Test::Truth(self.target(path, false)?.0),
            Expr::Has(path) => Test::Has(self.target(path, false)?.0),
            Expr::Not(inner) => Test::Not(Box::new(self.test(inner)?)),
            Expr::And(sides) => Test::All(self.tests(sides)?),
            Expr::Or(sides) => Test::Any(self.tests(sides)?),
            Expr::Compare(path, relation, literal) => {
                let (target, ty) = self.target(path, false)?;
                Test::Compare(target, *relation, scalar(literal, ty))
            }
            Expr::Fields(left, relation, right) => {
                let left = self.target(left, false)?.0;
                Test::Fields(left, *relation, self.target(right, false)?.0)
            }
            Expr::OneOf(path, elements) => {
                let (target, values) = self.values(path, elements)?;
                Test::OneOf(target, values.iter().collect())
            }
            Expr::Within(literal, path) => {
                let (target, ty) = self.target(path, true)?;
                let element = match ty {
                    Type::List(Some(element)) => Type::of(element),
                    _ => Type::Any,
                };
                Test::Within(scalar(literal, element), target)
            }
            Expr::FieldWithin(element, path) => {
                let element = self.target(element, false)?.0;
                Test::FieldWithin(element, self.target(path, true)?.0)
            }
            Expr::Match(path, method, pattern) => {
                let target = self.target(path, false)?.0;
                let text = pattern.as_str();
                match method {
                    Match::StartsWith => Test::StartsWith(target, text.into()),
                    Match::EndsWith => Test::EndsWith(target, text.into()),
                    Match::Contains => Test::Contains(target, text.into()),
                    Match::Glob => Test::Glob(target, Glob::new(text)),
                }
            }
        })
    }

    /// The sides of a connective, those that cost less first: their order means nothing.
    fn tests(&mut self, sides: &[Expr]) -> Result<Box<[Test]>, CheckError> {
        let tests: Result<Vec<Test>, _> = sides.iter().map(|side| self.test(side)).collect();
        let mut tests = tests?;
        tests.sort_by_key(Test::cost);
        Ok(tests.into())
    }

    /// The side of the outermost `&&` with the fewest values to look up.
    fn lookup(&mut self, filter: &Expr) -> Result<Option<Lookup>, CheckError> {
        let sides = match filter {
            Expr::And(sides) => sides.as_slice(),
            one => std::slice::from_ref(one),
        };
        let known = |side: &Expr| match side {
            Expr::Compare(path, Relation::Equal, literal) => {
                Some((path.clone(), vec![literal.clone()]))
            }
            Expr::OneOf(path, elements) => Some((path.clone(), elements.clone())),
            _ => None,
        };
        let best = sides
            .iter()
            .enumerate()
            .filter_map(|(place, side)| Some((place, known(side)?)))
            .min_by_key(|(_, (_, values))| values.len());
        let Some((best, (path, values))) = best else {
            return Ok(None);
        };
        let (target, values) = self.values(&path, &values)?;
        let rest = sides.iter().enumerate().filter(|(place, _)| *place != best);
        let rest: Vec<Expr> = rest.map(|(_, side)| side.clone()).collect();
        let rest = match rest.as_slice() {
            [] => Test::Const(true),
            [one] => self.test(one)?,
            more => Test::All(self.tests(more)?),
        };
        Ok(Some(Lookup {
            target,
            values,
            rest,
        }))
    }

    fn values(
        &mut self,
        path: &Path,
        elements: &[Literal],
    ) -> Result<(usize, Vec<Scalar>), CheckError> {
        let (target, ty) = self.target(path, false)?;
        let values = elements.iter().map(|element| scalar(element, ty));
        Ok((target, values.collect()))
    }

    fn target(&mut self, path: &Path, as_list: bool) -> Result<(usize, Type<'s>), CheckError> {
        let (source, ty) =
            resolve(self.schema, path).map_err(|missing| (self.missing)(path, &missing))?;
        let next = self.targets.len();
        let number = *self.numbers.entry(source.clone()).or_insert(next);
        if number == next {
            let as_list = false;
            self.targets.push(Target { source, as_list });
        }
        self.targets[number].as_list |= as_list;
        Ok((number, ty))
    }
}

/// A literal as it is compared with a field of a type.
fn scalar(literal: &Literal, ty: Type<'_>) -> Scalar {
    match (literal, ty) {
        (Literal::Bool(value), _) => Scalar::Bool(*value),
        // Keys that are integers are their decimal digits.
        (Literal::Number(Number::Int(whole)), Type::Key) => Scalar::Text(whole.to_string().into()),
        // So that a field that shows as 0.1 equals 0.1.
        (Literal::Number(number), Type::Float32) => Scalar::Number(number.narrowed()),
        (Literal::Number(number), _) => Scalar::Number(*number),
        (Literal::Text(text), _) => Scalar::Text(text.as_str().into()),
    }
}

impl Test {
    /// Whether the item in the record fulfils the condition. `slots` says where the record has
    /// each target.
    pub(super) fn holds(&self, record: &Record, slots: &[u32]) -> bool {
        match self {
            Self::Const(value) => *value,
            Self::Truth(target) => record.is_true(slots[*target]),
            Self::Has(target) => record.has(slots[*target]),
            Self::Not(inner) => !inner.holds(record, slots),
            Self::All(sides) => sides.iter().all(|side| side.holds(record, slots)),
            Self::Any(sides) => sides.iter().any(|side| side.holds(record, slots)),
            Self::Compare(target, relation, scalar) => record
                .value(slots[*target])
                .is_some_and(|value| value.relates(*relation, scalar.value())),
            other => other.looks(record, slots),
        }
    }

    /// The rest of [`holds`](Self::holds): apart from it, because they would make its frame large,
    /// and so each step of its recursion slow.
    #[inline(never)]
    fn looks(&self, record: &Record, slots: &[u32]) -> bool {
        let value = |target: usize| record.value(slots[target]);
        let text = |target: usize| record.text(slots[target]);
        let elements = |list: usize| record.elements(slots[list]);
        match self {
            Self::Fields(left, relation, right) => match (value(*left), value(*right)) {
                (Some(left), Some(right)) => left.relates(*relation, right),
                _ => false,
            },
            Self::OneOf(target, members) => value(*target).is_some_and(|v| members.contains(v)),
            Self::Within(scalar, list) => elements(*list).any(|e| e.equals(scalar.value())),
            Self::FieldWithin(target, list) => {
                value(*target).is_some_and(|value| elements(*list).any(|e| e.equals(value)))
            }
            Self::StartsWith(target, start) => {
                text(*target).is_some_and(|t| t.starts_with(&**start))
            }
            Self::EndsWith(target, end) => text(*target).is_some_and(|t| t.ends_with(&**end)),
            Self::Contains(target, part) => text(*target).is_some_and(|t| t.contains(&**part)),
            Self::Glob(target, glob) => text(*target).is_some_and(|text| glob.matches(text)),
            // `holds` deals with them itself.
            _ => false,
        }
    }

    /// A rank and no time.
    fn cost(&self) -> u32 {
        match self {
            Self::Const(_) | Self::Truth(_) | Self::Has(_) => 0,
            Self::Compare(..) | Self::Fields(..) => 1,
            Self::OneOf(..) | Self::StartsWith(..) | Self::EndsWith(..) => 2,
            Self::Within(..) | Self::FieldWithin(..) => 50,
            Self::Contains(..) | Self::Glob(..) => 100,
            Self::Not(inner) => inner.cost() + 1,
            Self::All(sides) | Self::Any(sides) => sides.iter().map(Self::cost).sum::<u32>() + 1,
        }
    }
}
