//! Writing a filter in its one form, so that it reads back as the same filter.

use std::fmt::{self, Write};

use super::{
    ast::{Literal, Path, Segment},
    lex,
    normal::Expr,
    number::Number,
};

/// Names that mean something else when they stand without backticks.
const RESERVED: [&str; 5] = ["true", "false", "null", "in", "has"];
/// Names that stand for something else than a field, unless they are in backticks.
pub(super) const KEY: &str = "key";
/// See [`KEY`].
pub(super) const ITEM: &str = "item";

pub(super) fn expr(expr: &Expr) -> String {
    Show(expr).to_string()
}

pub(super) fn path(path: &Path) -> String {
    Show(path).to_string()
}

pub(super) fn literal(literal: &Literal) -> String {
    Show(literal).to_string()
}

/// The first `count` names of a path.
pub(super) fn prefix(path: &Path, count: usize) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = show_segments(path, count, &mut text);
    text
}

struct Show<'a, T>(&'a T);

impl fmt::Display for Show<'_, Expr> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Expr::Const(value) => write!(f, "{value}"),
            Expr::Truth(path) => write!(f, "{}", Show(path)),
            Expr::Has(path) => write!(f, "has({})", Show(path)),
            Expr::Not(inner) => match **inner {
                Expr::Truth(_) | Expr::Has(_) | Expr::Match(..) => write!(f, "!{}", Show(&**inner)),
                _ => write!(f, "!({})", Show(&**inner)),
            },
            Expr::And(sides) => chain(sides, " && ", f),
            Expr::Or(sides) => chain(sides, " || ", f),
            Expr::Compare(path, relation, literal) => {
                write!(f, "{} {} {}", Show(path), relation.symbol(), Show(literal))
            }
            Expr::Fields(left, relation, right) => {
                write!(f, "{} {} {}", Show(left), relation.symbol(), Show(right))
            }
            Expr::OneOf(path, elements) => {
                write!(f, "{} in [", Show(path))?;
                for (place, element) in elements.iter().enumerate() {
                    f.write_str(if place == 0 { "" } else { ", " })?;
                    write!(f, "{}", Show(element))?;
                }
                f.write_str("]")
            }
            Expr::Within(literal, path) => write!(f, "{} in {}", Show(literal), Show(path)),
            Expr::FieldWithin(element, path) => write!(f, "{} in {}", Show(element), Show(path)),
            Expr::Match(path, method, pattern) => {
                write!(f, "{}.{}(", Show(path), method.name())?;
                show_text(pattern, f)?;
                f.write_str(")")
            }
        }
    }
}

/// Only `||` inside of `&&` needs parentheses: chains of one kind are flat.
fn chain(sides: &[Expr], between: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (place, side) in sides.iter().enumerate() {
        f.write_str(if place == 0 { "" } else { between })?;
        if matches!(side, Expr::Or(_)) {
            write!(f, "({})", Show(side))?;
        } else {
            write!(f, "{}", Show(side))?;
        }
    }
    Ok(())
}

impl fmt::Display for Show<'_, Path> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        show_segments(self.0, self.0.segments.len(), f)
    }
}

fn show_segments(path: &Path, count: usize, f: &mut impl Write) -> fmt::Result {
    for (place, segment) in path.segments.iter().take(count).enumerate() {
        let name = match segment {
            Segment::Index(index) => {
                write!(f, "[{index}]")?;
                continue;
            }
            Segment::Name(name) => &**name,
        };
        let pseudo = place == 0 && path.quoted && (name == KEY || name == ITEM);
        let plain = name.chars().all(lex::is_name)
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && !name.is_empty();
        if plain && !pseudo && !RESERVED.contains(&name) {
            f.write_str(if place == 0 { "" } else { "." })?;
            f.write_str(name)?;
        } else if place > 0 {
            f.write_str("[")?;
            show_text(name, f)?;
            f.write_str("]")?;
        } else {
            // A first name comes from backticks, and so fits in between them.
            write!(f, "`{name}`")?;
        }
    }
    Ok(())
}

impl fmt::Display for Show<'_, Literal> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Literal::Bool(value) => write!(f, "{value}"),
            Literal::Number(Number::Int(whole)) => write!(f, "{whole}"),
            Literal::Number(Number::Big(whole)) => write!(f, "{whole}"),
            // `{:?}` is the shortest that reads back, and always has a point or an exponent.
            Literal::Number(Number::Float(float)) => write!(f, "{float:?}"),
            Literal::Text(text) => show_text(text, f),
        }
    }
}

fn show_text(text: &str, f: &mut impl Write) -> fmt::Result {
    f.write_char('\'')?;
    for c in text.chars() {
        match c {
            '\'' | '\\' => write!(f, "\\{c}")?,
            '\n' => f.write_str("\\n")?,
            '\t' => f.write_str("\\t")?,
            '\r' => f.write_str("\\r")?,
            c if c.is_control() => write!(f, "\\x{:02x}", u32::from(c))?,
            c => f.write_char(c)?,
        }
    }
    f.write_char('\'')
}
