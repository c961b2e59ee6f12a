//! Patterns of the kind that shells have for file names, in time that is linear in the text.
//!
//! `*` is any run of characters, `?` any one, a backslash takes away the meaning of what follows.
//! Most patterns are a mere prefix, suffix, part or whole ([`Simple`]). The others run as a set of
//! states in the bits of one number, so that no text makes them go back.

use thiserror::Error;

use crate::limits;

/// A pattern that something simpler says as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Simple {
    Whole(String),
    Prefix(String),
    Suffix(String),
    Part(String),
}

/// A pattern for names, of the kind that shells have for those of files: `*` is any run of
/// characters, `?` any one, and a backslash takes away the meaning of what follows.
///
/// ```
/// use rivermesh_proto::filter::Pattern;
///
/// let pattern = Pattern::new("weather/*")?;
/// assert!(pattern.matches("weather/jfk/gusts") && !pattern.matches("flights"));
/// # Ok::<(), rivermesh_proto::filter::PatternTooLong>(())
/// ```
#[derive(Clone, Debug)]
pub struct Pattern {
    prefix: String,
    elements: Box<[Element]>,
    form: Form,
}

#[derive(Clone, Debug)]
enum Form {
    Simple(Simple),
    Glob(Glob),
}

/// A pattern is too long.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("a pattern that is not a mere prefix, suffix, part or whole has at most {max} characters", max = limits::FILTER_GLOB)]
pub struct PatternTooLong;

impl Pattern {
    /// Reads a pattern. Every text is one, unless it is too long.
    ///
    /// # Errors
    /// When it has more than [`limits::FILTER_GLOB`] characters and is not a mere prefix, suffix,
    /// part or whole.
    pub fn new(pattern: &str) -> Result<Self, PatternTooLong> {
        if !fits(pattern) {
            return Err(PatternTooLong);
        }
        let prefix = elements(pattern).map_while(|element| match element {
            Element::Char(c) => Some(c),
            Element::Run | Element::One => None,
        });
        Ok(Self {
            prefix: prefix.collect(),
            elements: elements(pattern).collect(),
            form: match simple(pattern) {
                Some(simple) => Form::Simple(simple),
                None => Form::Glob(Glob::new(pattern)),
            },
        })
    }

    /// Whether the whole text follows the pattern, in time that is linear in the text.
    #[must_use]
    pub fn matches(&self, text: &str) -> bool {
        match &self.form {
            Form::Simple(Simple::Whole(whole)) => text == whole,
            Form::Simple(Simple::Prefix(prefix)) => text.starts_with(prefix),
            Form::Simple(Simple::Suffix(suffix)) => text.ends_with(suffix),
            Form::Simple(Simple::Part(part)) => text.contains(part),
            Form::Glob(glob) => glob.matches(text),
        }
    }

    /// Whether there is a text that follows both patterns, in time that is linear in the product of
    /// their lengths.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let (ours, theirs) = (&self.elements, &other.elements);
        // Whether a text follows what is left of ours, and of theirs from here on.
        let mut below = vec![false; theirs.len() + 1];
        for i in (0..=ours.len()).rev() {
            let mut row = vec![false; theirs.len() + 1];
            for j in (0..=theirs.len()).rev() {
                // Below the last row and beside the last place nothing is left of a pattern that is
                // needed.
                let (down, right) = (below[j], row.get(j + 1).copied().unwrap_or(false));
                row[j] = match (ours.get(i), theirs.get(j)) {
                    (None, None) => true,
                    // A run takes nothing, or whatever the other one takes next.
                    (Some(Element::Run), _) | (_, Some(Element::Run)) => down || right,
                    (None, _) | (_, None) => false,
                    (Some(Element::Char(a)), Some(Element::Char(b))) if a != b => false,
                    _ => below[j + 1],
                };
            }
            below = row;
        }
        below[0]
    }

    /// What every text begins with that follows the pattern.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Element {
    Run,
    One,
    Char(char),
}

/// A pattern that is not simple, ready to run.
#[derive(Clone, Debug)]
pub(super) struct Glob {
    /// For each character of the pattern, the states it leads on from; sorted.
    chars: Box<[(char, u128)]>,
    /// The states that every character leads on from.
    any: u128,
    /// The states that stay whatever comes.
    stay: u128,
    last: u128,
}

impl Glob {
    /// Bytes of what it points to.
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.chars)
    }
}

fn elements(pattern: &str) -> impl Iterator<Item = Element> {
    let mut chars = pattern.chars();
    let mut was_run = false;
    std::iter::from_fn(move || {
        loop {
            let element = match chars.next()? {
                '*' if was_run => continue,
                '*' => Element::Run,
                '?' => Element::One,
                // At the end it means itself.
                '\\' => Element::Char(chars.next().unwrap_or('\\')),
                c => Element::Char(c),
            };
            was_run = element == Element::Run;
            return Some(element);
        }
    })
}

/// Whether a pattern is simple or short enough to run.
pub(super) fn fits(pattern: &str) -> bool {
    simple(pattern).is_some() || elements(pattern).count() <= limits::FILTER_GLOB
}

/// The simpler form, if there is one.
pub(super) fn simple(pattern: &str) -> Option<Simple> {
    let all: Vec<Element> = elements(pattern).collect();
    let text = |part: &[Element]| {
        part.iter()
            .map(|element| match element {
                Element::Char(c) => Some(*c),
                _ => None,
            })
            .collect::<Option<String>>()
    };
    Some(match all.as_slice() {
        [Element::Run] => Simple::Prefix(String::new()),
        [Element::Run, part @ .., Element::Run] => Simple::Part(text(part)?),
        [Element::Run, suffix @ ..] => Simple::Suffix(text(suffix)?),
        [prefix @ .., Element::Run] => Simple::Prefix(text(prefix)?),
        whole => Simple::Whole(text(whole)?),
    })
}

/// The one spelling of patterns that mean the same.
pub(super) fn canonical(pattern: &str) -> String {
    let mut text = String::with_capacity(pattern.len());
    for element in elements(pattern) {
        match element {
            Element::Run => text.push('*'),
            Element::One => text.push('?'),
            Element::Char(c) => {
                if matches!(c, '*' | '?' | '\\') {
                    text.push('\\');
                }
                text.push(c);
            }
        }
    }
    text
}

impl Glob {
    /// The pattern, of which everything behind the bound ([`fits`]) is left out.
    pub(super) fn new(pattern: &str) -> Self {
        let (mut any, mut stay, mut state) = (0, 0, 1_u128);
        let mut chars: Vec<(char, u128)> = Vec::new();
        for element in elements(pattern).take(limits::FILTER_GLOB) {
            match element {
                Element::Run => stay |= state,
                Element::One => any |= state,
                Element::Char(c) => match chars.binary_search_by_key(&c, |(known, _)| *known) {
                    Ok(place) => chars[place].1 |= state,
                    Err(place) => chars.insert(place, (c, state)),
                },
            }
            state <<= 1;
        }
        Self {
            chars: chars.into(),
            any,
            stay,
            last: state,
        }
    }

    /// Whether the whole text follows the pattern.
    pub(super) fn matches(&self, text: &str) -> bool {
        // Bit n: the first n elements have been followed. A run may also be of nothing.
        let pass = |states: u128| states | (states & self.stay) << 1;
        let mut states = pass(1);
        for c in text.chars() {
            let known = self.chars.binary_search_by_key(&c, |(known, _)| *known);
            let on = self.any | known.map_or(0, |place| self.chars[place].1);
            states = pass((states & on) << 1 | states & self.stay);
            if states == 0 {
                return false;
            }
        }
        states & self.last != 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By trying everything.
    fn naive(pattern: &[Element], text: &[char]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (None, Some(_)) => false,
            (Some((Element::Run, rest)), None) => naive(rest, text),
            (Some((Element::Run, rest)), Some((_, less))) => {
                naive(rest, text) || naive(pattern, less)
            }
            (Some(_), None) => false,
            (Some((Element::One, rest)), Some((_, less))) => naive(rest, less),
            (Some((Element::Char(c), rest)), Some((d, less))) => c == d && naive(rest, less),
        }
    }

    #[test]
    fn simple_patterns() {
        for (pattern, expected) in [
            ("JFK", Some(Simple::Whole("JFK".into()))),
            ("", Some(Simple::Whole("".into()))),
            ("JF*", Some(Simple::Prefix("JF".into()))),
            ("**", Some(Simple::Prefix("".into()))),
            ("*FK", Some(Simple::Suffix("FK".into()))),
            ("**F***", Some(Simple::Part("F".into()))),
            (r"\**", Some(Simple::Prefix("*".into()))),
            (r"a\", Some(Simple::Whole(r"a\".into()))),
            ("a*b", None),
            ("a?", None),
        ] {
            assert_eq!(simple(pattern), expected, "{pattern}");
        }
        assert_eq!(canonical(r"a**\b\*?"), r"a*b\*?");
        assert!(fits(&"*?".repeat(60)) && !fits(&"*?".repeat(61)));
        assert!(Pattern::new(&"*?".repeat(61)).is_err());
        assert!(fits(&"*".repeat(4000)) && fits(&"a".repeat(4000)));
    }

    #[test]
    fn the_longest_pattern_uses_the_last_bit_it_may() {
        let pattern = format!("{}?", "a".repeat(limits::FILTER_GLOB - 1));
        let glob = Glob::new(&pattern);
        assert!(glob.matches(&format!("{}b", "a".repeat(limits::FILTER_GLOB - 1))));
        assert!(!glob.matches(&"a".repeat(limits::FILTER_GLOB - 1)));
        assert!(!glob.matches(&"a".repeat(limits::FILTER_GLOB + 1)));
    }

    proptest! {
        #[test]
        fn as_by_trying_everything(pattern in "[ab?*\\\\é]{0,8}", text in "[ab*é]{0,10}") {
            let all: Vec<Element> = elements(&pattern).collect();
            let expected = naive(&all, &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Glob::new(&pattern).matches(&text), expected);
            prop_assert_eq!(Glob::new(&canonical(&pattern)).matches(&text), expected);
            let pattern = Pattern::new(&pattern).unwrap();
            prop_assert_eq!(pattern.matches(&text), expected);
            prop_assert!(!expected || text.starts_with(pattern.prefix()));
        }

        /// If any text follows both, one of as many characters as both have elements does.
        #[test]
        fn overlaps_as_by_trying_all_texts(a in "[ab?*]{0,4}", b in "[ab?*]{0,4}") {
            let (ours, theirs) = (Pattern::new(&a).unwrap(), Pattern::new(&b).unwrap());
            let mut texts = vec![String::new()];
            let mut found = false;
            for _ in 0..=8 {
                found |= texts.iter().any(|text| ours.matches(text) && theirs.matches(text));
                let longer = |text: &String| ["a", "b"].map(|c| format!("{text}{c}"));
                texts = texts.iter().flat_map(longer).collect();
            }
            prop_assert_eq!(ours.overlaps(&theirs), found);
            prop_assert_eq!(theirs.overlaps(&ours), found);
        }
    }
}
