//! Reading and checking `#[datum(…)]`.

use proc_macro2::Span;
use syn::{
    Attribute, Data, DeriveInput, Error, Fields, LitStr, Member, Path, Result, ext::IdentExt,
    spanned::Spanned,
};

/// Bytes of a stream's name; the same number stands in `rivermesh_proto::limits`.
const STREAM_NAME: usize = 128;

/// What the attributes of a type say.
pub(crate) struct Attributes {
    pub(crate) name: String,
    pub(crate) key: Option<Member>,
    pub(crate) opaque: bool,
    pub(crate) krate: Path,
}

/// As they were written, unchecked.
#[derive(Default)]
struct Written {
    name: Option<LitStr>,
    key: Option<LitStr>,
    opaque: bool,
    krate: Option<Path>,
}

impl Attributes {
    pub(crate) fn of(input: &DeriveInput) -> Result<Self> {
        let written = read(&input.attrs)?;
        let name = match written.name {
            Some(literal) => {
                let name = literal.value();
                check_name(&name).map_err(|why| Error::new(literal.span(), why))?;
                name
            }
            None => {
                let name = snake_case(&input.ident.unraw().to_string());
                check_name(&name).map_err(|why| Error::new(input.ident.span(), why))?;
                name
            }
        };
        Ok(Self {
            name,
            key: key(input, written.key)?,
            opaque: written.opaque,
            krate: written
                .krate
                .unwrap_or_else(|| syn::parse_quote!(::rivermesh)),
        })
    }
}

fn read(attributes: &[Attribute]) -> Result<Written> {
    let mut written = Written::default();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("datum")) {
        attribute.parse_nested_meta(|meta| {
            let twice = |given: bool| {
                if given {
                    Err(meta.error("this attribute is given twice"))
                } else {
                    Ok(())
                }
            };
            if meta.path.is_ident("name") {
                twice(written.name.is_some())?;
                written.name = Some(meta.value()?.parse()?);
            } else if meta.path.is_ident("key") {
                twice(written.key.is_some())?;
                written.key = Some(
                    meta.value()
                        .map_err(|_| {
                            meta.error("on a type, say which field is the key: `key = \"field\"`")
                        })?
                        .parse()?,
                );
            } else if meta.path.is_ident("opaque") {
                twice(written.opaque)?;
                written.opaque = true;
            } else if meta.path.is_ident("crate") {
                twice(written.krate.is_some())?;
                let literal: LitStr = meta.value()?.parse()?;
                written.krate = Some(literal.parse_with(Path::parse_mod_style)?);
            } else {
                return Err(meta.error(
                    "unknown attribute; a type takes `name = \"…\"`, `key = \"field\"`, `opaque` \
                     and `crate = \"path\"`",
                ));
            }
            Ok(())
        })?;
    }
    Ok(written)
}

/// The key field: named by the type's attribute, or marked by its own.
fn key(input: &DeriveInput, named: Option<LitStr>) -> Result<Option<Member>> {
    let Data::Struct(data) = &input.data else {
        no_field_is_marked(&input.data)?;
        return match named {
            Some(literal) => Err(Error::new(
                literal.span(),
                "only a struct has a key field; for an enum implement `Datum` by hand",
            )),
            None => Ok(None),
        };
    };
    let mut marked = None;
    for (field, member) in data.fields.iter().zip(data.fields.members()) {
        if let Some(span) = mark(&field.attrs)?
            && marked.replace(member).is_some()
        {
            return Err(Error::new(
                span,
                "an item has one key, and another field has it",
            ));
        }
    }
    let Some(literal) = named else {
        return Ok(marked);
    };
    if marked.is_some() {
        return Err(Error::new(
            literal.span(),
            "a field is marked as the key already",
        ));
    }
    find(&data.fields, &literal).map(Some)
}

fn find(fields: &Fields, literal: &LitStr) -> Result<Member> {
    let wanted = literal.value();
    let names: Vec<String> = fields
        .members()
        .map(|member| member_name(&member))
        .collect();
    let place = names.iter().position(|name| *name == wanted);
    if let Some(member) = place.and_then(|place| fields.members().nth(place)) {
        return Ok(member);
    }
    let there = if names.is_empty() {
        "the type has no fields".to_owned()
    } else {
        format!("the fields are {}", names.join(", "))
    };
    Err(Error::new(
        literal.span(),
        format!("no field `{wanted}`; {there}"),
    ))
}

fn member_name(member: &Member) -> String {
    match member {
        Member::Named(name) => name.unraw().to_string(),
        Member::Unnamed(place) => place.index.to_string(),
    }
}

/// Where a field is marked as the key, if it is.
fn mark(attributes: &[Attribute]) -> Result<Option<Span>> {
    let mut marked = None;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("datum")) {
        attribute.parse_nested_meta(|meta| {
            if meta.path.is_ident("key") && meta.input.is_empty() {
                marked = Some(meta.path.span());
                Ok(())
            } else {
                Err(meta.error("unknown attribute; a field takes `key` alone"))
            }
        })?;
    }
    Ok(marked)
}

fn no_field_is_marked(data: &Data) -> Result<()> {
    let Data::Enum(data) = data else {
        return Ok(());
    };
    for field in data.variants.iter().flat_map(|variant| &variant.fields) {
        if let Some(span) = mark(&field.attrs)? {
            return Err(Error::new(
                span,
                "only a field of a struct can be the key; for an enum implement `Datum` by hand",
            ));
        }
    }
    Ok(())
}

/// The rules of `StreamName`.
fn check_name(name: &str) -> std::result::Result<(), String> {
    if name.is_empty() {
        return Err("a stream name must not be empty".to_owned());
    }
    if name.len() > STREAM_NAME {
        return Err(format!(
            "a stream name has at most {STREAM_NAME} bytes, this has {}",
            name.len()
        ));
    }
    match name.chars().find(|c| c.is_whitespace() || c.is_control()) {
        Some(found) => Err(format!(
            "a stream name has no white space or control characters, this has {found:?}"
        )),
        None => Ok(()),
    }
}

/// `WeatherReading` as `weather_reading`, `HTTPStatus` as `http_status`.
fn snake_case(name: &str) -> String {
    let letters: Vec<char> = name.chars().collect();
    let mut snake = String::new();
    for (place, letter) in letters.iter().enumerate() {
        let before = place.checked_sub(1).and_then(|before| letters.get(before));
        let starts_word = letter.is_uppercase()
            && before.is_some_and(|before| {
                let next_is_small = letters.get(place + 1).is_some_and(|c| c.is_lowercase());
                *before != '_' && (!before.is_uppercase() || next_is_small)
            });
        if starts_word {
            snake.push('_');
        }
        snake.extend(letter.to_lowercase());
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_snake_case() {
        for (name, snake) in [
            ("Reading", "reading"),
            ("WeatherReading", "weather_reading"),
            ("HTTPStatus", "http_status"),
            ("Vec3", "vec3"),
            ("snake_already", "snake_already"),
            ("A", "a"),
            ("X_Y", "x_y"),
        ] {
            assert_eq!(snake_case(name), snake);
        }
    }

    #[test]
    fn stream_names_are_checked() {
        assert!(check_name("weather/JFK").is_ok());
        assert!(check_name(&"x".repeat(128)).is_ok());
        assert!(check_name("").is_err());
        assert!(check_name("a b").is_err());
        assert!(check_name("a\u{7f}").is_err());
        assert!(check_name(&"x".repeat(129)).is_err());
    }
}
