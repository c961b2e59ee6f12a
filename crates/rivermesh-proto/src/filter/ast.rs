//! A filter as it was written, with the place of each part.

use super::{number::Number, place::Span};

/// One part of a filter.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: Kind,
}

#[derive(Clone, Debug)]
pub(super) enum Kind {
    Literal(Literal),
    List(Vec<(Span, Literal)>),
    Field(Path),
    Has(Path),
    Match(Path, Match, String),
    Not(Box<Node>),
    /// A whole chain, so that its length adds nothing to the depth.
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare(Box<Node>, Relation, Box<Node>),
    In(Box<Node>, Box<Node>),
}

/// A constant.
#[derive(Clone, Debug)]
pub(super) enum Literal {
    Bool(bool),
    Number(Number),
    Text(String),
}

/// A field by its names from the item down.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// The first name stands in backticks, so it is a field even if it is called `key` or `item`.
    pub(super) quoted: bool,
    pub(super) segments: Vec<Segment>,
    /// Of each segment.
    pub(super) spans: Vec<Span>,
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Segment {
    Name(Box<str>),
    Index(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Relation {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

/// A method of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Match {
    StartsWith,
    EndsWith,
    Contains,
    Glob,
}

impl Match {
    pub(super) const ALL: [Self; 4] =
        [Self::StartsWith, Self::EndsWith, Self::Contains, Self::Glob];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::StartsWith => "startsWith",
            Self::EndsWith => "endsWith",
            Self::Contains => "contains",
            Self::Glob => "glob",
        }
    }
}

impl Relation {
    pub(super) const fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// The relation that says the same with its sides exchanged.
    pub(super) const fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            same => same,
        }
    }

    /// Whether it asks which side comes first.
    pub(super) const fn is_order(self) -> bool {
        !matches!(self, Self::Equal | Self::NotEqual)
    }

    /// Whether two values that relate so fulfil it.
    pub(super) fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
        }
    }
}

impl Literal {
    /// How two constants relate; `None` when they cannot be compared.
    pub(super) fn compare(&self, other: &Self) -> Option<std::cmp::Ordering> {
        match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(a.cmp(b)),
            (Self::Number(a), Self::Number(b)) => a.compare(*b),
            (Self::Text(a), Self::Text(b)) => Some(a.cmp(b)),
            _ => None,
        }
    }

    pub(super) const fn describe(&self) -> &'static str {
        match self {
            Self::Bool(_) => "a bool",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
        }
    }
}

impl Path {
    /// The place of the first `count` segments.
    pub(super) fn span(&self, count: usize) -> Span {
        match (self.spans.first(), self.spans.get(count.saturating_sub(1))) {
            (Some(first), Some(last)) => first.to(*last),
            _ => Span::default(),
        }
    }
}
