//! `derive(Datum)`: what makes a serde type an item of a stream.
//!
//! Use it through the `rivermesh` crate, whose `Datum` trait documents the attributes.

mod attributes;
mod expand;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Implements `rivermesh::Datum` for a struct or enum that implements serde's `Serialize` and
/// `Deserialize`.
///
/// | attribute | meaning |
/// | --- | --- |
/// | `#[datum(name = "weather/reading")]` | the default stream name; without it, the type's name in snake case |
/// | `#[datum(key = "origin")]` on the type | the field (for tuples its number) that is the item's key |
/// | `#[datum(key)]` on a field | the same |
/// | `#[datum(opaque)]` | the type has no schema: it is compared by its name alone, and only programs that have it can read it |
/// | `#[datum(crate = "path")]` | where the `rivermesh` crate is, when it is re-exported |
///
/// A stream name has 1 to 128 bytes and neither white space nor control characters. Generic types
/// are refused: each stream has one type.
#[proc_macro_derive(Datum, attributes(datum))]
pub fn derive_datum(input: TokenStream) -> TokenStream {
    let input = parse_macro_input!(input as DeriveInput);
    expand::expand(&input)
        .unwrap_or_else(syn::Error::into_compile_error)
        .into()
}
