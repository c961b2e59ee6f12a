//! Who is compared.

use std::path::PathBuf;

use harness::{Info, Transport, Variant};
use thiserror::Error;

/// An adapter in this folder.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Adapter {
    /// Its name; its package and program is `adapter-NAME`.
    pub(crate) name: &'static str,
    /// Whether its folder is a workspace with a lock file of its own, because its dependencies
    /// cannot be brought under one lock file with the others'.
    pub(crate) apart: bool,
}

const fn adapter(name: &'static str) -> Adapter {
    Adapter { name, apart: false }
}

/// All adapters, in the order of the tables.
pub(crate) const ADAPTERS: &[Adapter] = &[
    adapter("raw-iroh"),
    adapter("raw-quinn"),
    adapter("rivermesh"),
    Adapter {
        name: "mosaik",
        apart: true,
    },
    adapter("zenoh"),
    adapter("nats"),
    adapter("redis"),
    adapter("iroh-gossip"),
    adapter("libp2p"),
];

/// One way of sending, with all that is set.
#[derive(Clone, Debug)]
pub(crate) struct Contestant {
    /// Its name in tables.
    pub(crate) label: String,
    pub(crate) adapter: String,
    pub(crate) variant: Variant,
    pub(crate) info: Info,
    pub(crate) program: PathBuf,
    pub(crate) transport: Transport,
}

/// A selection cannot be understood.
#[derive(Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub(crate) enum SelectError {
    /// No adapter has this name.
    #[error("no adapter is called {0:?}; there are: {1}")]
    Adapter(String, String),
    /// The adapter has no such variant.
    #[error("{adapter} has no variant {variant:?}; there are: {there}")]
    Variant {
        adapter: String,
        variant: String,
        there: String,
    },
}

/// What `--only` names: an adapter, and a variant of it or all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chosen {
    pub(crate) adapter: &'static str,
    pub(crate) variant: Option<String>,
}

/// Reads `adapter` or `adapter:variant`.
pub(crate) fn choose(text: &str) -> Result<Chosen, SelectError> {
    let (name, variant) = match text.split_once(':') {
        Some((name, variant)) => (name, Some(variant.to_owned())),
        None => (text, None),
    };
    let found = ADAPTERS.iter().find(|adapter| adapter.name == name);
    let adapter = found.ok_or_else(|| {
        let names: Vec<&str> = ADAPTERS.iter().map(|adapter| adapter.name).collect();
        SelectError::Adapter(name.to_owned(), names.join(", "))
    })?;
    Ok(Chosen {
        adapter: adapter.name,
        variant,
    })
}

/// The variants of an adapter that are meant.
pub(crate) fn variants(info: &Info, chosen: &Chosen) -> Result<Vec<Variant>, SelectError> {
    let Some(wanted) = &chosen.variant else {
        return Ok(info.variants.clone());
    };
    let found = info.variants.iter().find(|variant| variant.name == *wanted);
    found.map(|variant| vec![variant.clone()]).ok_or_else(|| {
        let names: Vec<&str> = info.variants.iter().map(|v| v.name.as_str()).collect();
        SelectError::Variant {
            adapter: chosen.adapter.to_owned(),
            variant: wanted.clone(),
            there: names.join(", "),
        }
    })
}

/// A name for tables: the variant only where there are several, the transport only where named.
pub(crate) fn label(adapter: &str, info: &Info, variant: &Variant, transport: &str) -> String {
    let mut label = adapter.to_owned();
    if info.variants.len() > 1 {
        label = format!("{label} {}", variant.name);
    }
    if !transport.is_empty() {
        label = format!("{label} [{transport}]");
    }
    label
}

#[cfg(test)]
mod tests {
    use harness::Delivery;

    use super::*;

    fn info(variants: &[&str]) -> Info {
        let variants = variants.iter();
        Info {
            about: String::new(),
            edge: None,
            variants: variants
                .map(|name| Variant::new(name, Delivery::Block, ""))
                .collect(),
            crates: Vec::new(),
            server: None,
        }
    }

    #[test]
    fn one_variant_or_all() {
        let info = info(&["block", "skip"]);
        let names = |text: &str| -> Result<Vec<String>, SelectError> {
            let chosen = variants(&info, &choose(text)?)?;
            Ok(chosen.into_iter().map(|variant| variant.name).collect())
        };
        assert_eq!(names("rivermesh").unwrap(), ["block", "skip"]);
        assert_eq!(names("rivermesh:skip").unwrap(), ["skip"]);
        assert!(matches!(
            names("rivermesh:fast"),
            Err(SelectError::Variant { .. })
        ));
        assert!(matches!(names("kafka"), Err(SelectError::Adapter(..))));
    }

    #[test]
    fn labels_say_what_differs() {
        let (one, two) = (info(&["block"]), info(&["block", "skip"]));
        let variant = &two.variants[1];
        assert_eq!(label("a", &one, variant, ""), "a");
        assert_eq!(label("a", &two, variant, "big"), "a skip [big]");
    }
}
