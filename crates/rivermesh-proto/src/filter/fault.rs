//! Why a producer refuses a filter, as it travels.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, de};

use super::{
    CheckError, ParseError,
    place::{Place, Span, plain},
};

/// Bytes of a reason.
const REASON: usize = 1024;
/// Names that are listed, and bytes of each.
const NAMES: usize = 8;
const NAME: usize = 256;

/// What is wrong with a filter, and where: what a producer tells the consumer that sent it.
///
/// It has a place in the source that the consumer has itself, a text for people, and, where a name
/// was not found, the names that exist. All of it is bounded, and a consumer shows it without
/// control characters, because it comes from a peer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Fault {
    start: u32,
    end: u32,
    #[serde(deserialize_with = "reason")]
    reason: String,
    #[serde(deserialize_with = "names")]
    exists: Vec<String>,
}

impl Fault {
    fn new(place: Option<&Place>, said: &str, exists: &[String]) -> Self {
        // A source has some thousand bytes at most.
        let offset = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        let (start, end) = place.map_or((0, 0), |place| (place.offset(), place.end()));
        let prefix = place.map_or_else(String::new, |place| format!("{place}: "));
        let reason = said.strip_prefix(&prefix).unwrap_or(said);
        Self {
            start: offset(start),
            end: offset(end),
            reason: cut(reason, REASON).to_owned(),
            exists: exists
                .iter()
                .take(NAMES)
                .map(|name| cut(name, NAME).to_owned())
                .collect(),
        }
    }

    /// Where in the source the fault is. The source must be that of the filter that was refused;
    /// in another one the place means nothing.
    #[must_use]
    pub fn place(&self, source: &str) -> Place {
        Place::new(source, Span::new(self.start as usize, self.end as usize))
    }

    /// What is wrong, without the place and without control characters.
    #[must_use]
    pub fn reason(&self) -> String {
        plain(&self.reason)
    }

    /// The names that exist, where one was not found, the nearest first, without control
    /// characters; at most 8.
    #[must_use]
    pub fn exists(&self) -> Vec<String> {
        self.exists.iter().map(|name| plain(name)).collect()
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason())
    }
}

impl From<&ParseError> for Fault {
    fn from(error: &ParseError) -> Self {
        Self::new(error.place(), &error.to_string(), &[])
    }
}

impl From<&CheckError> for Fault {
    fn from(error: &CheckError) -> Self {
        let exists = match error {
            CheckError::UnknownField { exists, .. } | CheckError::UnknownVariant { exists, .. } => {
                exists.as_slice()
            }
            _ => &[],
        };
        Self::new(Some(error.place()), &error.to_string(), exists)
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

/// A text of at most `MAX` bytes, copied only when its length is right.
struct Text<const MAX: usize>(String);

impl<'de, const MAX: usize> Deserialize<'de> for Text<MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor<const MAX: usize>;
        impl<const MAX: usize> de::Visitor<'_> for Visitor<MAX> {
            type Value = Text<MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a text of at most {MAX} bytes")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<MAX>, E> {
                if text.len() > MAX {
                    return Err(E::invalid_length(text.len(), &self));
                }
                Ok(Text(text.to_owned()))
            }
        }
        deserializer.deserialize_str(Visitor)
    }
}

fn reason<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Text::<REASON>::deserialize(deserializer).map(|text| text.0)
}

fn names<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    struct Visitor;
    impl<'de> de::Visitor<'de> for Visitor {
        type Value = Vec<String>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            write!(f, "at most {NAMES} names")
        }

        fn visit_seq<A: de::SeqAccess<'de>>(self, mut list: A) -> Result<Vec<String>, A::Error> {
            let mut names = Vec::new();
            while let Some(Text(name)) = list.next_element::<Text<NAME>>()? {
                if names.len() == NAMES {
                    return Err(de::Error::invalid_length(NAMES + 1, &self));
                }
                names.push(name);
            }
            Ok(names)
        }
    }
    deserializer.deserialize_seq(Visitor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        filter::Filter,
        limits,
        schema::{Field, Schema},
        wire,
    };

    fn reading() -> Schema {
        let field = |name: &str, schema| Field {
            name: name.into(),
            schema,
        };
        Schema::Struct {
            name: "Reading".into(),
            fields: vec![field("origin", Schema::String), field("temp", Schema::F32)],
        }
    }

    #[test]
    fn a_fault_is_shown_at_its_place_by_who_has_the_source() {
        let source = "origin == 'JFK' &&\n tmp > 86";
        let error = Filter::parse(source)
            .unwrap()
            .check(&reading())
            .unwrap_err();
        let fault = Fault::from(&error);
        let frame = wire::encode(&fault, limits::CONTROL).unwrap();
        let back: Fault = wire::decode(&frame[wire::PREFIX..]).unwrap();
        assert_eq!(back, fault);
        assert_eq!(Some(&back.place(source)), Some(error.place()));
        let place = back.place(source);
        assert_eq!(format!("{place}: {back}"), error.to_string());
        assert_eq!(back.exists(), ["temp", "key", "origin"]);
        let error = Filter::parse("temp > ").unwrap_err();
        let fault = Fault::from(&error);
        assert_eq!(Some(&fault.place("temp > ")), error.place());
        assert!(fault.exists().is_empty() && !fault.reason().contains("line"));
    }

    #[test]
    fn golden_bytes() {
        let error = Filter::parse("tmp > 86")
            .unwrap()
            .check(&reading())
            .unwrap_err();
        let bytes = postcard::to_stdvec(&Fault::from(&error)).unwrap();
        let reason = "`Reading` has no field `tmp`; there are `temp`, `key`, `origin`";
        let expected = [
            &[0, 3, reason.len() as u8][..],
            reason.as_bytes(),
            b"\x03\x04temp\x03key\x06origin",
        ];
        assert_eq!(bytes, expected.concat());
    }

    #[test]
    fn what_a_peer_says_is_bounded_and_shown_without_control_characters() {
        type Raw = (u32, u32, String, Vec<String>);
        let read = |raw: &Raw| wire::decode::<Fault>(&postcard::to_stdvec(raw).unwrap());
        let name = |len: usize| "n".repeat(len);
        let fits = (7, u32::MAX, name(REASON), vec![name(NAME); NAMES]);
        let fault = read(&fits).unwrap();
        assert_eq!(fault.place("a").offset(), 1, "within the source");
        assert_eq!(fault.place("").line(), 1);
        for over in [
            (0, 0, name(REASON + 1), vec![]),
            (0, 0, name(0), vec![name(NAME + 1)]),
            (0, 0, name(0), vec![name(1); NAMES + 1]),
        ] {
            assert!(read(&over).is_err());
        }
        let bad = read(&(0, 0, "\u{1b}[2J\n".into(), vec!["\u{7}".into()])).unwrap();
        assert_eq!(bad.reason(), "\\u{1b}[2J\\n");
        assert_eq!(bad.exists(), ["\\u{7}"]);
    }
}
