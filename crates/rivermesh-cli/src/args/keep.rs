//! What is kept, and where to begin in it.

use std::{str::FromStr, time::Duration};

use rivermesh::{consumer::Start, producer::Retention};

use super::commands::duration;

/// One bound of what `pub` keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retain {
    None,
    Items(u64),
    Bytes(usize),
    Age(Duration),
    PerKey,
}

impl Retain {
    /// What is kept within all of these bounds.
    pub(crate) fn all(bounds: &[Self]) -> Retention {
        let bound = |kept: Retention, bound: &Self| match *bound {
            Self::None => kept.items(0),
            Self::Items(items) => kept.items(items),
            Self::Bytes(bytes) => kept.bytes(bytes),
            Self::Age(age) => kept.age(age),
            Self::PerKey => kept.newest_per_key(),
        };
        bounds.iter().fold(Retention::new(), bound)
    }
}

impl FromStr for Retain {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "none" => return Ok(Self::None),
            "per-key" => return Ok(Self::PerKey),
            _ => {}
        }
        if let Ok(items) = text.parse() {
            return Ok(Self::Items(items));
        }
        if let Some(bytes) = bytes(text) {
            return Ok(Self::Bytes(bytes));
        }
        duration(text).map(Self::Age).map_err(|_| {
            "give a number of items, bytes such as 64MiB, a time such as 10m, per-key or none"
                .to_owned()
        })
    }
}

fn bytes(text: &str) -> Option<usize> {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let (digits, shift) = units
        .into_iter()
        .find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, shift)))?;
    digits.parse::<usize>().ok()?.checked_mul(1 << shift)
}

/// Where `sub` begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Begin(pub(crate) Start);

impl FromStr for Begin {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start = match text {
            "latest" => Start::Latest,
            "earliest" => Start::Earliest,
            "last-per-key" => Start::LastPerKey,
            text => match text.parse() {
                Ok(seq) => Start::At(seq),
                Err(_) => Start::Ago(duration(text).map_err(|_| {
                    "give latest, earliest, last-per-key, the number of an item, or a time such \
                     as 10m"
                        .to_owned()
                })?),
            },
        };
        Ok(Self(start))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_read_by_its_unit() {
        for (text, expected) in [
            ("none", Retain::None),
            ("per-key", Retain::PerKey),
            ("1000", Retain::Items(1000)),
            ("64KiB", Retain::Bytes(64 << 10)),
            ("1GiB", Retain::Bytes(1 << 30)),
            ("10m", Retain::Age(Duration::from_secs(600))),
            ("1.5h", Retain::Age(Duration::from_secs(5400))),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
        for text in ["", "ten", "10x", "-1", "MiB", "99999999999999GiB"] {
            assert!(text.parse::<Retain>().is_err(), "{text}");
        }
    }

    #[test]
    fn where_to_begin_is_read() {
        for (text, expected) in [
            ("latest", Start::Latest),
            ("earliest", Start::Earliest),
            ("last-per-key", Start::LastPerKey),
            ("0", Start::At(0)),
            ("500ms", Start::Ago(Duration::from_millis(500))),
        ] {
            assert_eq!(text.parse(), Ok(Begin(expected)), "{text}");
        }
        assert!("first".parse::<Begin>().is_err());
    }
}
