//! From words to parts, within bounds that are checked before a part is made.
//!
//! ```text
//! filter   = all { "||" all }
//! all      = relation { "&&" relation }
//! relation = unary [ ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" ) unary ]
//! unary    = { "!" } primary
//! primary  = "(" filter ")" | literal | list | "has" "(" path ")" | path [ "." method "(" string ")" ]
//! list     = "[" [ literal { "," literal } [ "," ] ] "]"
//! path     = name { "." name | "[" ( string | integer ) "]" }
//! ```
//!
//! Only parentheses and negations recurse, so [`limits::FILTER_DEPTH`] bounds the stack.

use super::{
    ast::{Kind, Literal, Match, Node, Path, Relation, Segment},
    error::ParseError,
    glob,
    lex::{Lexer, Token},
    number::Number,
    place::{Place, Span, shown},
};
use crate::limits;

const CONDITION: &str = "a condition: a comparison, a call, or a field that is a bool";
const OPERAND: &str = "a field or a literal to compare (what is compared cannot be a condition)";
const VALUE: &str = "a field, a literal, `has`, `!` or `(`";

/// The parts of a filter. The caller has bounded the source.
pub(super) fn parse(source: &str) -> Result<Node, ParseError> {
    Parser::new(source)?.whole()
}

/// As [`parse`], and how many words were read until the end or the error: what it cost.
#[cfg(test)]
pub(super) fn parse_counted(source: &str) -> (Option<ParseError>, usize) {
    let mut parser = match Parser::new(source) {
        Ok(parser) => parser,
        Err(error) => return (Some(error), 1),
    };
    let error = parser.whole().err();
    (error, parser.used.words)
}

/// How much of the bounds was used. What is over them is refused with no further work, so this is
/// also what parsing cost.
#[derive(Clone, Copy, Debug, Default)]
struct Used {
    words: usize,
    depth: usize,
    nodes: usize,
    elements: usize,
    scans: usize,
}

/// The name of a method, and where it stands.
type Called<'a> = (&'a str, Span);

struct Parser<'a> {
    source: &'a str,
    lexer: Lexer<'a>,
    token: Token<'a>,
    span: Span,
    used: Used,
}

impl<'a> Parser<'a> {
    fn new(source: &'a str) -> Result<Self, ParseError> {
        let mut lexer = Lexer::new(source);
        let (span, token) = lexer.next()?;
        let used = Used {
            words: 1,
            ..Used::default()
        };
        Ok(Self {
            source,
            lexer,
            token,
            span,
            used,
        })
    }

    fn whole(&mut self) -> Result<Node, ParseError> {
        let filter = self.filter()?;
        if self.token != Token::End {
            return Err(self.unexpected("an operator or the end"));
        }
        self.condition(filter)
    }

    fn filter(&mut self) -> Result<Node, ParseError> {
        self.chain("||", Self::all, Kind::Or)
    }

    fn all(&mut self) -> Result<Node, ParseError> {
        self.chain("&&", Self::relation, Kind::And)
    }

    fn chain(
        &mut self,
        symbol: &'static str,
        side: fn(&mut Self) -> Result<Node, ParseError>,
        kind: fn(Vec<Node>) -> Kind,
    ) -> Result<Node, ParseError> {
        let first = side(self)?;
        if self.token != Token::Symbol(symbol) {
            return Ok(first);
        }
        let start = first.span;
        let mut sides = vec![self.condition(first)?];
        while self.eat(symbol)? {
            let next = side(self)?;
            sides.push(self.condition(next)?);
        }
        let end = sides.last().map_or(start, |last| last.span);
        self.node(start.to(end), kind(sides))
    }

    fn relation(&mut self) -> Result<Node, ParseError> {
        let left = self.unary()?;
        let Some(relation) = self.relation_symbol() else {
            return Ok(left);
        };
        let left = self.operand(left, false)?;
        self.advance()?;
        let right = self.unary()?;
        let right = self.operand(right, relation.is_none())?;
        if self.relation_symbol().is_some() {
            return Err(self.unexpected("`&&`, `||` or the end (comparisons do not chain)"));
        }
        let span = left.span.to(right.span);
        let kind = match relation {
            Some(relation) => Kind::Compare(Box::new(left), relation, Box::new(right)),
            None => {
                if matches!(right.kind, Kind::Field(_)) {
                    self.scan(span)?;
                }
                Kind::In(Box::new(left), Box::new(right))
            }
        };
        self.node(span, kind)
    }

    /// The relation that comes next; `Some(None)` for `in`.
    fn relation_symbol(&self) -> Option<Option<Relation>> {
        Some(Some(match self.token {
            Token::Symbol("==") => Relation::Equal,
            Token::Symbol("!=") => Relation::NotEqual,
            Token::Symbol("<") => Relation::Less,
            Token::Symbol("<=") => Relation::LessOrEqual,
            Token::Symbol(">") => Relation::Greater,
            Token::Symbol(">=") => Relation::GreaterOrEqual,
            Token::Name("in") => return Some(None),
            _ => return None,
        }))
    }

    fn unary(&mut self) -> Result<Node, ParseError> {
        let start = self.span;
        if !self.eat("!")? {
            return self.primary();
        }
        self.deeper(start)?;
        let inner = self.unary()?;
        self.used.depth -= 1;
        let inner = self.condition(inner)?;
        self.node(start.to(inner.span), Kind::Not(Box::new(inner)))
    }

    fn primary(&mut self) -> Result<Node, ParseError> {
        let start = self.span;
        match self.token {
            Token::Symbol("(") => {
                self.deeper(start)?;
                self.advance()?;
                let mut inner = self.filter()?;
                inner.span = start.to(self.span);
                self.expect(")", "`)` or an operator")?;
                self.used.depth -= 1;
                Ok(inner)
            }
            Token::Symbol("[") => self.list(),
            Token::Name("null") => Err(self.unsupported(
                "`null`".to_owned(),
                "`has(field)` asks whether an optional field has a value",
            )),
            Token::Name("in") => Err(self.unexpected(VALUE)),
            Token::Name("has") => self.has(),
            Token::Name("true" | "false") => self.literal_node(),
            Token::Name(_) | Token::Quoted(_) => self.field(),
            Token::Symbol("-") | Token::Int(_) | Token::Float(_) | Token::Text(_) => {
                self.literal_node()
            }
            _ => Err(self.unexpected(VALUE)),
        }
    }

    fn literal_node(&mut self) -> Result<Node, ParseError> {
        let (span, literal) = self.literal()?;
        self.node(span, Kind::Literal(literal))
    }

    fn literal(&mut self) -> Result<(Span, Literal), ParseError> {
        let start = self.span;
        if self.eat("-")? {
            let number = match self.token.number() {
                Some(Number::Int(whole)) if -whole >= i64::MIN.into() => Number::Int(-whole),
                Some(Number::Float(float)) => Number::Float(-float),
                Some(_) => {
                    let place = self.place(start.to(self.span));
                    let reason = "the number is over 64 bits";
                    return Err(ParseError::BadNumber { place, reason });
                }
                None => return Err(self.unexpected("a number (only numbers have a sign)")),
            };
            let span = start.to(self.span);
            self.advance()?;
            return Ok((span, Literal::Number(number)));
        }
        let literal = match &mut self.token {
            Token::Name("true") => Literal::Bool(true),
            Token::Name("false") => Literal::Bool(false),
            Token::Text(text) => Literal::Text(std::mem::take(text)),
            other => match other.number() {
                Some(number) => Literal::Number(number),
                None => return Err(self.unexpected("a literal")),
            },
        };
        self.advance()?;
        Ok((start, literal))
    }

    fn list(&mut self) -> Result<Node, ParseError> {
        let start = self.span;
        self.advance()?;
        let mut elements = Vec::new();
        while self.token != Token::Symbol("]") {
            self.used.elements += 1;
            if self.used.elements > limits::FILTER_ELEMENTS {
                let place = self.place(self.span);
                return Err(ParseError::TooManyElements { place });
            }
            elements.push(self.literal()?);
            if !self.eat(",")? && self.token != Token::Symbol("]") {
                return Err(self.unexpected("`,` or `]`"));
            }
        }
        let span = start.to(self.span);
        self.advance()?;
        self.node(span, Kind::List(elements))
    }

    fn has(&mut self) -> Result<Node, ParseError> {
        let start = self.span;
        self.advance()?;
        self.expect("(", "`(` (a field called `has` goes in backticks)")?;
        if !matches!(self.token, Token::Name(_) | Token::Quoted(_)) {
            return Err(self.unexpected("a field"));
        }
        let (path, method) = self.path()?;
        let end = self.span;
        if method.is_some() {
            return Err(self.unexpected("`)`"));
        }
        self.expect(")", "`)`")?;
        self.node(start.to(end), Kind::Has(path))
    }

    fn field(&mut self) -> Result<Node, ParseError> {
        let start = self.span;
        let (path, method) = self.path()?;
        let Some((name, name_span)) = method else {
            let span = path.span(path.segments.len());
            if self.token == Token::Symbol("(") {
                let what = self.source.get(span.start..span.end).unwrap_or_default();
                let what = format!("the function `{}`", shown(what));
                return Err(self.unsupported_at(start, what, "the only function is `has`"));
            }
            return self.node(span, Kind::Field(path));
        };
        let Some(method) = Match::ALL.into_iter().find(|m| m.name() == name) else {
            let what = format!("the method `{}`", shown(name));
            let instead = "there are `startsWith`, `endsWith`, `contains` and `glob`";
            return Err(self.unsupported_at(name_span, what, instead));
        };
        self.expect("(", "`(`")?;
        let text_span = self.span;
        let Token::Text(text) = &mut self.token else {
            return Err(self.unexpected("a string"));
        };
        let text = std::mem::take(text);
        self.advance()?;
        let span = start.to(self.span);
        self.expect(")", "`)`")?;
        if matches!(method, Match::Contains | Match::Glob) {
            self.scan(span)?;
        }
        if method == Match::Glob && !glob::fits(&text) {
            let place = self.place(text_span);
            return Err(ParseError::LongGlob { place });
        }
        self.node(span, Kind::Match(path, method, text))
    }

    /// A path, and the method called on it, if there is one.
    fn path(&mut self) -> Result<(Path, Option<Called<'a>>), ParseError> {
        let mut path = Path {
            quoted: matches!(self.token, Token::Quoted(_)),
            segments: Vec::new(),
            spans: Vec::new(),
        };
        self.name(&mut path)?;
        loop {
            if self.eat(".")? {
                let (name, span) = (self.token.clone(), self.span);
                if !matches!(name, Token::Name(_) | Token::Quoted(_)) {
                    return Err(self.unexpected("a name"));
                }
                self.name(&mut path)?;
                if let (Token::Name(name), Token::Symbol("(")) = (name, &self.token) {
                    path.segments.pop();
                    path.spans.pop();
                    return Ok((path, Some((name, span))));
                }
            } else if self.eat("[")? {
                self.subscript(&mut path)?;
            } else {
                return Ok((path, None));
            }
        }
    }

    fn name(&mut self, path: &mut Path) -> Result<(), ParseError> {
        if let Token::Name(name) | Token::Quoted(name) = self.token {
            self.segment(path, Segment::Name(name.into()))?;
        }
        self.advance()
    }

    fn subscript(&mut self, path: &mut Path) -> Result<(), ParseError> {
        let segment = match &self.token {
            Token::Text(name) => Segment::Name(name.as_str().into()),
            Token::Int(index) => match u32::try_from(*index) {
                Ok(index) => Segment::Index(index),
                Err(_) => {
                    let place = self.place(self.span);
                    let reason = "the index is over 32 bits";
                    return Err(ParseError::BadNumber { place, reason });
                }
            },
            _ => return Err(self.unexpected("a string or an index")),
        };
        self.segment(path, segment)?;
        self.advance()?;
        self.expect("]", "`]`")
    }

    fn segment(&self, path: &mut Path, segment: Segment) -> Result<(), ParseError> {
        if path.segments.len() >= limits::FILTER_DEPTH {
            let place = self.place(self.span);
            return Err(ParseError::TooDeep { place });
        }
        path.segments.push(segment);
        path.spans.push(self.span);
        Ok(())
    }

    /// Only what is a condition can stand where one is due.
    fn condition(&self, node: Node) -> Result<Node, ParseError> {
        let found = match &node.kind {
            Kind::Literal(Literal::Bool(_)) => return Ok(node),
            Kind::Literal(literal) => literal.describe(),
            Kind::List(_) => "a list",
            _ => return Ok(node),
        };
        Err(self.unexpected_at(node.span, CONDITION, found.to_owned()))
    }

    /// Only fields and literals can be compared, and only `in` has a list to its right.
    fn operand(&self, node: Node, right_of_in: bool) -> Result<Node, ParseError> {
        match (&node.kind, right_of_in) {
            (Kind::Field(_), _) | (Kind::List(_), true) | (Kind::Literal(_), false) => Ok(node),
            (kind, true) => {
                let found = describe(kind);
                Err(self.unexpected_at(node.span, "a list or a field that is one", found))
            }
            (Kind::List(_), false) => {
                let expected = "a field or a literal (a list stands to the right of `in` alone)";
                Err(self.unexpected_at(node.span, expected, "a list".to_owned()))
            }
            (kind, false) => Err(self.unexpected_at(node.span, OPERAND, describe(kind))),
        }
    }

    fn node(&mut self, span: Span, kind: Kind) -> Result<Node, ParseError> {
        self.used.nodes += 1;
        if self.used.nodes > limits::FILTER_NODES {
            let place = self.place(span);
            return Err(ParseError::TooManyNodes { place });
        }
        Ok(Node { span, kind })
    }

    fn scan(&mut self, span: Span) -> Result<(), ParseError> {
        self.used.scans += 1;
        if self.used.scans > limits::FILTER_SCANS {
            let place = self.place(span);
            return Err(ParseError::TooManyScans { place });
        }
        Ok(())
    }

    fn deeper(&mut self, span: Span) -> Result<(), ParseError> {
        self.used.depth += 1;
        if self.used.depth > limits::FILTER_DEPTH {
            let place = self.place(span);
            return Err(ParseError::TooDeep { place });
        }
        Ok(())
    }

    fn advance(&mut self) -> Result<(), ParseError> {
        self.used.words += 1;
        (self.span, self.token) = self.lexer.next()?;
        Ok(())
    }

    fn eat(&mut self, symbol: &'static str) -> Result<bool, ParseError> {
        let found = self.token == Token::Symbol(symbol);
        if found {
            self.advance()?;
        }
        Ok(found)
    }

    fn expect(&mut self, symbol: &'static str, expected: &'static str) -> Result<(), ParseError> {
        if self.eat(symbol)? {
            return Ok(());
        }
        Err(self.unexpected(expected))
    }

    fn place(&self, span: Span) -> Place {
        Place::new(self.source, span)
    }

    /// The present word is not what is due; of what other dialects have there, it says more.
    fn unexpected(&self, expected: &'static str) -> ParseError {
        let instead = match self.token {
            Token::Symbol("+" | "-" | "*" | "/" | "%") => "it has no arithmetic",
            Token::Symbol("?" | ":") => "`&&` and `||` say the same as `? :`",
            Token::Symbol("=") => "equality is `==`",
            Token::Symbol("&") => "the connective is `&&`",
            Token::Symbol("|") => "the connective is `||`",
            Token::Symbol("{") => "it has no maps or messages of its own",
            Token::Name("and") => "the connective is `&&`",
            Token::Name("or") => "the connective is `||`",
            Token::Name("not") => "the negation is `!`",
            _ => return self.unexpected_at(self.span, expected, self.token.describe()),
        };
        self.unsupported(self.token.describe(), instead)
    }

    fn unexpected_at(&self, span: Span, expected: &'static str, found: String) -> ParseError {
        let place = self.place(span);
        ParseError::Unexpected {
            place,
            expected,
            found,
        }
    }

    fn unsupported(&self, what: String, instead: &'static str) -> ParseError {
        self.unsupported_at(self.span, what, instead)
    }

    fn unsupported_at(&self, span: Span, what: String, instead: &'static str) -> ParseError {
        let place = self.place(span);
        ParseError::Unsupported {
            place,
            what,
            instead,
        }
    }
}

fn describe(kind: &Kind) -> String {
    match kind {
        Kind::Literal(literal) => literal.describe().to_owned(),
        Kind::List(_) => "a list".to_owned(),
        _ => "a condition".to_owned(),
    }
}
