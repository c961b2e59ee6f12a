//! Where in its source a filter is at fault.

use std::fmt;

/// Characters of the line that an excerpt shows before and behind the place.
const SHOWN: usize = 40;

/// A range of bytes in a filter's source.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    pub(super) fn to(self, end: Self) -> Self {
        Self::new(self.start, end.end)
    }
}

/// A place in the source of a filter. `Display` is `line 1, column 8`.
#[derive(Clone, PartialEq, Eq)]
pub struct Place(Box<Inner>);

#[derive(Clone, PartialEq, Eq)]
struct Inner {
    offset: usize,
    end: usize,
    line: usize,
    column: usize,
    excerpt: String,
}

impl Place {
    pub(super) fn new(source: &str, span: Span) -> Self {
        let start = source.floor_char_boundary(span.start.min(source.len()));
        let before = &source[..start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line_end = source[start..]
            .find('\n')
            .map_or(source.len(), |at| start + at);
        let end = source.floor_char_boundary(span.end).clamp(start, line_end);
        Self(Box::new(Inner {
            offset: start,
            end,
            line: before.bytes().filter(|byte| *byte == b'\n').count() + 1,
            column: source[line_start..start].chars().count() + 1,
            excerpt: excerpt(
                &source[line_start..start],
                &source[start..end],
                &source[end..line_end],
            ),
        }))
    }

    /// The offset in the source, in bytes from 0.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The offset behind it, in bytes: in the same line.
    #[must_use]
    pub fn end(&self) -> usize {
        self.0.end
    }

    /// The line, from 1.
    #[must_use]
    pub fn line(&self) -> usize {
        self.0.line
    }

    /// The column in characters, from 1.
    #[must_use]
    pub fn column(&self) -> usize {
        self.0.column
    }

    /// Two lines: the part of the source around the place, cut to some 120 characters, and carets
    /// under the place. Control characters are shown as spaces.
    #[must_use]
    pub fn excerpt(&self) -> &str {
        &self.0.excerpt
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.0.line, self.0.column)
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Place({}:{})", self.0.line, self.0.column)
    }
}

fn excerpt(before: &str, marked: &str, behind: &str) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let skipped = before.chars().count().saturating_sub(SHOWN);
    let mut text = String::from(if skipped > 0 { "…" } else { "" });
    text.extend(before.chars().skip(skipped).map(plain));
    let margin = text.chars().count();
    text.extend(marked.chars().take(SHOWN).map(plain));
    let carets = text.chars().count() - margin;
    let (rest, cut) = match marked.chars().nth(SHOWN) {
        Some(_) => ("", true),
        None => (behind, behind.chars().nth(SHOWN).is_some()),
    };
    text.extend(rest.chars().take(SHOWN).map(plain));
    if cut {
        text.push('…');
    }
    format!(
        "{text}\n{}{}",
        " ".repeat(margin),
        "^".repeat(carets.max(1))
    )
}

/// Text of a peer, cut and with control characters escaped, so that it cannot drive a terminal.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 40;
    let mut short: String = text.chars().take(MOST).flat_map(escape).collect();
    if text.chars().nth(MOST).is_some() {
        short.push('…');
    }
    short
}

/// Text of a peer with control characters escaped.
pub(super) fn plain(text: &str) -> String {
    text.chars().flat_map(escape).collect()
}

fn escape(c: char) -> impl Iterator<Item = char> {
    let (escaped, plain) = if c.is_control() {
        (Some(c.escape_default()), None)
    } else {
        (None, Some(c))
    };
    escaped.into_iter().flatten().chain(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_characters() {
        let place = Place::new("é == 1\n&& ü > 'x'", Span::new(16, 19));
        assert_eq!((place.line(), place.column(), place.offset()), (2, 8, 16));
        assert_eq!(place.excerpt(), "&& ü > 'x'\n       ^^^");
        assert_eq!(place.to_string(), "line 2, column 8");
    }

    #[test]
    fn excerpts_are_short_and_have_no_control_characters() {
        let source = format!("{}\tX{}", "a".repeat(3000), "b".repeat(3000));
        let place = Place::new(&source, Span::new(3001, 3002));
        let (text, carets) = place.excerpt().split_once('\n').unwrap();
        assert_eq!(text, format!("…{} X{}…", "a".repeat(39), "b".repeat(40)));
        assert_eq!(carets.find('^'), Some(41));
        let place = Place::new(&source, Span::new(0, 6000));
        assert!(place.excerpt().chars().count() < 100);
        // The end of the source is a place too, and an offset beyond it or inside of a character.
        assert_eq!(Place::new("a", Span::new(1, 1)).excerpt(), "a\n ^");
        assert_eq!(Place::new("é", Span::new(1, 9)).excerpt(), "é\n^");
        assert_eq!(shown("a\u{1b}[2J"), "a\\u{1b}[2J");
    }
}
