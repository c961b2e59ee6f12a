//! The words of a filter. Nothing is read twice, so the work is in proportion to the source.

use super::{
    error::ParseError,
    number::Number,
    place::{Place, Span, shown},
};

/// A word of a filter.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'a> {
    End,
    Name(&'a str),
    /// A name in backticks.
    Quoted(&'a str),
    /// Without sign, at most `u64::MAX`.
    Int(u64),
    Float(f64),
    Text(String),
    Symbol(&'static str),
}

/// What is taken for a word, the longer first. The last row is no part of the language, but
/// people try it.
const SYMBOLS: [&str; 26] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "(", ")", "[", "]", ",", ".", "-", //
    "=", "&", "|", "+", "*", "/", "%", "?", ":", "{",
];

#[derive(Debug)]
pub(super) struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(source: &'a str) -> Self {
        Self { source, at: 0 }
    }

    pub(super) fn next(&mut self) -> Result<(Span, Token<'a>), ParseError> {
        self.at += self.rest().len() - self.rest().trim_start().len();
        let start = self.at;
        let Some(first) = self.rest().chars().next() else {
            return Ok((Span::new(start, start), Token::End));
        };
        let token = match first {
            '\'' | '"' => self.text(false)?,
            '`' => self.quoted()?,
            '0'..='9' => self.number()?,
            '.' if self.byte(1).is_some_and(|byte| byte.is_ascii_digit()) => self.number()?,
            'a'..='z' | 'A'..='Z' | '_' => match (first, self.byte(1)) {
                ('r' | 'R', Some(b'\'' | b'"')) => {
                    self.at += 1;
                    self.text(true)?
                }
                ('b' | 'B', Some(b'\'' | b'"')) => {
                    return Err(self.bad_string(start, "bytes cannot be used in a filter"));
                }
                _ => Token::Name(self.take_while(is_name)),
            },
            _ => self.symbol(first)?,
        };
        Ok((Span::new(start, self.at), token))
    }

    fn rest(&self) -> &'a str {
        &self.source[self.at..]
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.source.as_bytes().get(self.at + ahead).copied()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        &rest[..end]
    }

    fn symbol(&mut self, first: char) -> Result<Token<'a>, ParseError> {
        match SYMBOLS.iter().find(|s| self.rest().starts_with(**s)) {
            Some(symbol) => {
                self.at += symbol.len();
                Ok(Token::Symbol(symbol))
            }
            None => Err(ParseError::Unexpected {
                place: self.place(self.at, self.at + first.len_utf8()),
                expected: "a field, a literal or an operator (other names go in backticks)",
                found: format!("`{}`", shown(first.encode_utf8(&mut [0; 4]))),
            }),
        }
    }

    /// A name in backticks: anything but a backtick and control characters.
    fn quoted(&mut self) -> Result<Token<'a>, ParseError> {
        let start = self.at;
        self.at += 1;
        let name = self.take_while(|c| c != '`' && !c.is_control());
        if self.byte(0) != Some(b'`') {
            return Err(self.bad_string(start, "a name in backticks does not end"));
        }
        self.at += 1;
        if name.is_empty() {
            return Err(self.bad_string(start, "a name in backticks is empty"));
        }
        Ok(Token::Quoted(name))
    }

    fn number(&mut self) -> Result<Token<'a>, ParseError> {
        let start = self.at;
        if self.rest().starts_with("0x") || self.rest().starts_with("0X") {
            self.at += 2;
            let digits = self.take_while(|c| c.is_ascii_hexdigit());
            return self.whole(start, u64::from_str_radix(digits, 16));
        }
        let is_digit = |c: char| c.is_ascii_digit();
        let whole = self.take_while(is_digit);
        let mut is_float = false;
        if self.byte(0) == Some(b'.') && self.byte(1).is_some_and(|b| b.is_ascii_digit()) {
            is_float = true;
            self.at += 1;
            self.take_while(is_digit);
        }
        if matches!(self.byte(0), Some(b'e' | b'E')) {
            is_float = true;
            self.at += 1;
            if matches!(self.byte(0), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.take_while(is_digit);
        }
        if !is_float {
            return self.whole(start, whole.parse());
        }
        let float: Result<f64, _> = self.source[start..self.at].parse();
        match float {
            Ok(float) if float.is_finite() => self.number_ends(start, Token::Float(float)),
            Ok(_) => Err(self.bad_number(start, "the number is too large")),
            Err(_) => Err(self.bad_number(start, "malformed number")),
        }
    }

    fn whole(
        &mut self,
        start: usize,
        parsed: Result<u64, std::num::ParseIntError>,
    ) -> Result<Token<'a>, ParseError> {
        use std::num::IntErrorKind::PosOverflow;
        if matches!(self.byte(0), Some(b'u' | b'U')) {
            self.at += 1;
        }
        match parsed {
            Ok(number) => self.number_ends(start, Token::Int(number)),
            Err(error) if *error.kind() == PosOverflow => {
                Err(self.bad_number(start, "the number is over 64 bits"))
            }
            Err(_) => Err(self.bad_number(start, "malformed number")),
        }
    }

    fn number_ends(&mut self, start: usize, token: Token<'a>) -> Result<Token<'a>, ParseError> {
        if self.rest().starts_with(is_name) {
            self.take_while(is_name);
            return Err(self.bad_number(start, "malformed number"));
        }
        Ok(token)
    }

    /// A string in single or double quotes.
    fn text(&mut self, raw: bool) -> Result<Token<'a>, ParseError> {
        let start = self.at;
        let quote = self.rest().chars().next();
        self.at += 1;
        let mut text = String::new();
        loop {
            let Some(c) = self.rest().chars().next() else {
                return Err(self.bad_string(start, "the string does not end"));
            };
            let escape = self.at;
            self.at += c.len_utf8();
            match c {
                _ if Some(c) == quote => return Ok(Token::Text(text)),
                '\\' if !raw => text.push(
                    self.escape()
                        .ok_or_else(|| self.bad_string(escape, "unknown escape in a string"))?,
                ),
                c if c.is_control() => {
                    return Err(self.bad_string(
                        escape,
                        "a string has no control characters; write them as \\n, \\x1b or the like",
                    ));
                }
                c => text.push(c),
            }
        }
    }

    /// What stands behind a backslash.
    fn escape(&mut self) -> Option<char> {
        let c = self.rest().chars().next()?;
        self.at += c.len_utf8();
        let digits = match c {
            'n' => return Some('\n'),
            'r' => return Some('\r'),
            't' => return Some('\t'),
            'a' => return Some('\x07'),
            'b' => return Some('\x08'),
            'f' => return Some('\x0c'),
            'v' => return Some('\x0b'),
            '\\' | '\'' | '"' | '`' | '?' => return Some(c),
            'x' | 'X' => 2,
            'u' => 4,
            'U' => 8,
            '0'..='3' => {
                let octal = self.source.get(self.at - 1..self.at + 2)?;
                self.at += 2;
                return char::from_u32(number(octal, 8)?);
            }
            _ => return None,
        };
        let hex = self.source.get(self.at..self.at + digits)?;
        self.at += digits;
        char::from_u32(number(hex, 16)?)
    }

    fn place(&self, start: usize, end: usize) -> Place {
        Place::new(self.source, Span::new(start, end))
    }

    fn bad_number(&self, start: usize, reason: &'static str) -> ParseError {
        let place = self.place(start, self.at);
        ParseError::BadNumber { place, reason }
    }

    fn bad_string(&self, start: usize, reason: &'static str) -> ParseError {
        let place = self.place(start, self.at.max(start + 1));
        ParseError::BadString { place, reason }
    }
}

impl Token<'_> {
    /// As an error names it.
    pub(super) fn describe(&self) -> String {
        match self {
            Self::End => "the end".to_owned(),
            Self::Name(name) | Self::Quoted(name) => format!("`{}`", shown(name)),
            Self::Int(_) | Self::Float(_) => "a number".to_owned(),
            Self::Text(_) => "a string".to_owned(),
            Self::Symbol(symbol) => format!("`{symbol}`"),
        }
    }

    /// The number, without sign.
    pub(super) fn number(&self) -> Option<Number> {
        match self {
            Self::Int(whole) => Some(Number::Int((*whole).into())),
            Self::Float(float) => Some(Number::Float(*float)),
            _ => None,
        }
    }
}

/// Whether a character can stand in a name without backticks.
pub(super) fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// Digits and nothing else: `from_str_radix` alone would take a sign.
fn number(digits: &str, radix: u32) -> Option<u32> {
    if !digits.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok()
}
