//! Whether a filter fits the items of a stream.

use thiserror::Error;

use super::{
    ast::{Kind, Literal, Match, Node, Path, Relation},
    place::{Place, Span, shown},
    text::{self, ITEM, KEY},
    types::{Missing, Type, resolve},
};
use crate::schema::Schema;

/// Names that an error lists.
const LISTED: usize = 8;
/// Characters of a name that count for how near another comes to it, which bounds the work.
const WEIGHED: usize = 32;

/// A filter does not fit the items of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CheckError {
    /// No field has this name.
    #[error("{place}: {of} has no field `{name}`; {exists}")]
    UnknownField {
        /// The name in the source.
        place: Place,
        /// What was to have the field.
        of: String,
        /// The name.
        name: String,
        /// What there is.
        exists: Names,
    },
    /// An enum has no variant of this name.
    #[error("{place}: {of} has no variant `{name}`; {exists}")]
    UnknownVariant {
        /// The name in the source.
        place: Place,
        /// The enum.
        of: String,
        /// The name.
        name: String,
        /// What there is.
        exists: Names,
    },
    /// Something cannot be a part of what it is said to be in.
    #[error("{place}: `{path}` is {found}, and has no part `{part}`")]
    NoParts {
        /// The part in the source.
        place: Place,
        /// What was to have the part.
        path: String,
        /// What it is.
        found: String,
        /// The part.
        part: String,
    },
    /// A field is no condition.
    #[error("{place}: `{path}` is {found}, and no condition by itself; compare it with something")]
    NotACondition {
        /// The field in the source.
        place: Place,
        /// The field.
        path: String,
        /// What it is.
        found: String,
    },
    /// Two things cannot be compared, in this way or at all.
    #[error("{place}: {left}, and cannot be compared by `{relation}` with {right}")]
    Mismatch {
        /// The comparison in the source.
        place: Place,
        /// What is on the left, and of what type.
        left: String,
        /// How they were to be compared.
        relation: &'static str,
        /// What is on the right.
        right: String,
    },
    /// A method of strings is called on something else.
    #[error("{place}: `{path}` is {found}; `{method}` is for strings")]
    NotAString {
        /// The call in the source.
        place: Place,
        /// The field.
        path: String,
        /// What it is.
        found: String,
        /// The method.
        method: &'static str,
    },
    /// What stands to the right of `in` has no elements.
    #[error("{place}: `{path}` is {found}; `in` is for lists, and for maps with strings for keys")]
    NotAList {
        /// The field in the source.
        place: Place,
        /// The field.
        path: String,
        /// What it is.
        found: String,
    },
}

/// Names that exist, the nearest to a wrong one first; at most 8 of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    names: Vec<String>,
    more: usize,
}

impl Names {
    fn near<'a>(wrong: &str, names: impl IntoIterator<Item = &'a str>) -> Self {
        let short = |name: &str| {
            name.chars()
                .take(WEIGHED)
                .collect::<String>()
                .to_lowercase()
        };
        let wrong = short(wrong);
        let mut all: Vec<&str> = names.into_iter().collect();
        all.sort_by_cached_key(|name| strsim::osa_distance(&wrong, &short(name)));
        Self {
            more: all.len().saturating_sub(LISTED),
            names: all.into_iter().take(LISTED).map(shown).collect(),
        }
    }

    /// The names, nearest first, cut where they are long.
    #[must_use]
    pub fn as_slice(&self) -> &[String] {
        &self.names
    }

    /// How many there are besides.
    #[must_use]
    pub fn more(&self) -> usize {
        self.more
    }
}

impl std::fmt::Display for Names {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.names.is_empty() {
            return f.write_str("it has none");
        }
        f.write_str(if self.names.len() + self.more == 1 {
            "there is "
        } else {
            "there are "
        })?;
        for (place, name) in self.names.iter().enumerate() {
            write!(f, "{}`{name}`", if place == 0 { "" } else { ", " })?;
        }
        match self.more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl CheckError {
    /// Where the source is at fault.
    #[must_use]
    pub fn place(&self) -> &Place {
        match self {
            Self::UnknownField { place, .. }
            | Self::UnknownVariant { place, .. }
            | Self::NoParts { place, .. }
            | Self::NotACondition { place, .. }
            | Self::Mismatch { place, .. }
            | Self::NotAString { place, .. }
            | Self::NotAList { place, .. } => place,
        }
    }

    /// The message and, below it, the place in the source.
    #[must_use]
    pub fn report(&self) -> String {
        format!("{self}\n{}", self.place().excerpt())
    }
}

/// Checks all parts, in the order of the source.
pub(super) fn check(source: &str, schema: &Schema, filter: &Node) -> Result<(), CheckError> {
    Checker { source, schema }.condition(filter)
}

/// The error for a path that leads nowhere.
pub(super) fn missing(
    source: &str,
    schema: &Schema,
    path: &Path,
    missing: &Missing<'_>,
) -> CheckError {
    Checker { source, schema }.missing(path, missing)
}

struct Checker<'s> {
    source: &'s str,
    schema: &'s Schema,
}

/// One side of a comparison.
enum Side<'n, 's> {
    Field(&'n Path, Type<'s>),
    Literal(&'n Literal),
}

impl<'s> Checker<'s> {
    fn condition(&self, node: &Node) -> Result<(), CheckError> {
        match &node.kind {
            Kind::Literal(_) | Kind::List(_) => Ok(()),
            Kind::Field(path) => match self.resolve(path)? {
                Type::Bool | Type::Any => Ok(()),
                other => Err(CheckError::NotACondition {
                    place: self.place(node.span),
                    path: shown(&text::path(path)),
                    found: other.describe(),
                }),
            },
            Kind::Has(path) => self.resolve(path).map(drop),
            Kind::Match(path, method, _) => self.method(node.span, path, *method),
            Kind::Not(inner) => self.condition(inner),
            Kind::And(sides) | Kind::Or(sides) => {
                sides.iter().try_for_each(|side| self.condition(side))
            }
            Kind::Compare(left, relation, right) => {
                let (left, right) = (self.side(left)?, self.side(right)?);
                self.compare(node.span, &left, *relation, relation.symbol(), &right)
            }
            Kind::In(left, right) => self.within(node.span, left, right),
        }
    }

    fn method(&self, span: Span, path: &Path, method: Match) -> Result<(), CheckError> {
        match self.resolve(path)? {
            Type::Text | Type::Key | Type::Any => Ok(()),
            other => Err(CheckError::NotAString {
                place: self.place(span),
                path: shown(&text::path(path)),
                found: other.describe(),
                method: method.name(),
            }),
        }
    }

    fn within(&self, span: Span, left: &Node, right: &Node) -> Result<(), CheckError> {
        let left = self.side(left)?;
        match &right.kind {
            Kind::List(elements) => elements.iter().try_for_each(|(span, element)| {
                self.compare(*span, &left, Relation::Equal, "in", &Side::Literal(element))
            }),
            Kind::Field(path) => {
                let element = match self.resolve(path)? {
                    Type::Any | Type::Tuple(_) | Type::List(None) => Type::Any,
                    Type::List(Some(element)) => Type::of(element),
                    Type::Map(Some(_)) => Type::Text,
                    other => {
                        return Err(CheckError::NotAList {
                            place: self.place(right.span),
                            path: shown(&text::path(path)),
                            found: other.describe(),
                        });
                    }
                };
                let right = Side::Field(path, element);
                self.compare(span, &left, Relation::Equal, "in", &right)
            }
            // The parser lets nothing else stand there.
            _ => Ok(()),
        }
    }

    fn side<'n>(&self, node: &'n Node) -> Result<Side<'n, 's>, CheckError> {
        Ok(match &node.kind {
            Kind::Field(path) => Side::Field(path, self.resolve(path)?),
            Kind::Literal(literal) => Side::Literal(literal),
            // The parser lets nothing else be compared.
            _ => Side::Literal(&Literal::Bool(false)),
        })
    }

    fn compare(
        &self,
        span: Span,
        left: &Side<'_, 's>,
        relation: Relation,
        symbol: &'static str,
        right: &Side<'_, 's>,
    ) -> Result<(), CheckError> {
        let order = relation.is_order();
        let fits = match (left, right) {
            (Side::Literal(a), Side::Literal(b)) => {
                let bools = matches!(a, Literal::Bool(_));
                std::mem::discriminant(*a) == std::mem::discriminant(*b) && !(bools && order)
            }
            (Side::Field(_, ty), Side::Literal(literal))
            | (Side::Literal(literal), Side::Field(_, ty)) => {
                if let (Type::Enum(name, variants), Literal::Text(variant), false) =
                    (*ty, *literal, order)
                {
                    return self.variant(span, name, variants, variant);
                }
                fits_literal(*ty, literal, order)
            }
            (Side::Field(_, a), Side::Field(_, b)) => fits(*a, *b, order),
        };
        if fits {
            return Ok(());
        }
        Err(CheckError::Mismatch {
            place: self.place(span),
            left: match left {
                Side::Field(path, ty) => {
                    format!("`{}` is {}", shown(&text::path(path)), ty.describe())
                }
                Side::Literal(literal) => format!("to the left is {}", literal.describe()),
            },
            relation: symbol,
            right: match right {
                Side::Field(path, ty) if symbol == "in" => {
                    format!(
                        "the elements of `{}`: each is {}",
                        shown(&text::path(path)),
                        ty.describe()
                    )
                }
                Side::Field(path, ty) => {
                    format!("`{}`, which is {}", shown(&text::path(path)), ty.describe())
                }
                Side::Literal(literal) => literal.describe().to_owned(),
            },
        })
    }

    fn variant(
        &self,
        span: Span,
        of: &str,
        variants: &[crate::schema::Variant],
        name: &str,
    ) -> Result<(), CheckError> {
        if variants.iter().any(|variant| variant.name == name) {
            return Ok(());
        }
        Err(CheckError::UnknownVariant {
            place: self.place(span),
            of: format!("`{}`", shown(of)),
            name: shown(name),
            exists: Names::near(name, variants.iter().map(|v| v.name.as_str())),
        })
    }

    fn resolve(&self, path: &Path) -> Result<Type<'s>, CheckError> {
        match resolve(self.schema, path) {
            Ok((_, ty)) => Ok(ty),
            Err(missing) => Err(self.missing(path, &missing)),
        }
    }

    fn missing(&self, path: &Path, missing: &Missing<'_>) -> CheckError {
        let place = self.place(path.spans.get(missing.at).copied().unwrap_or_default());
        let part = match path.segments.get(missing.at) {
            Some(super::ast::Segment::Name(name)) => shown(name),
            Some(super::ast::Segment::Index(index)) => format!("[{index}]"),
            None => String::new(),
        };
        let mut names = missing.within.names();
        if missing.is_first {
            let nameless = !matches!(missing.within, Type::Struct(..));
            names.extend(nameless.then_some(ITEM));
            names.push(KEY);
        } else if names.is_empty() {
            return CheckError::NoParts {
                place,
                path: shown(&text::prefix(path, missing.at)),
                found: missing.within.describe(),
                part,
            };
        }
        CheckError::UnknownField {
            place,
            of: match missing.at {
                0 => self
                    .schema
                    .name()
                    .map_or("the item".to_owned(), |name| format!("`{}`", shown(name))),
                at => format!("`{}`", shown(&text::prefix(path, at))),
            },
            exists: Names::near(&part, names),
            name: part,
        }
    }

    fn place(&self, span: Span) -> Place {
        Place::new(self.source, span)
    }
}

fn fits_literal(ty: Type<'_>, literal: &Literal, order: bool) -> bool {
    match (ty, literal) {
        (Type::Any | Type::Bool, Literal::Bool(_)) => !order,
        (Type::Any | Type::Number(_) | Type::Float32, Literal::Number(_)) => true,
        (Type::Any | Type::Text | Type::Key, Literal::Text(_)) => true,
        // Keys that are integers are their decimal digits.
        (Type::Key, Literal::Number(super::number::Number::Int(_))) => !order,
        _ => false,
    }
}

fn fits(a: Type<'_>, b: Type<'_>, order: bool) -> bool {
    use Type::{Any, Bool, Enum, Float32, Key, Number, Text};
    match (a, b) {
        (Number(_) | Float32, Number(_) | Float32) => true,
        (Text | Key, Text | Key) => true,
        (Bool, Bool) => !order,
        (Enum(..), Enum(..) | Text | Key | Any) | (Text | Key | Any, Enum(..)) => !order,
        (Any, Any | Bool | Number(_) | Float32 | Text | Key) => true,
        (Bool | Number(_) | Float32 | Text | Key, Any) => true,
        _ => false,
    }
}
