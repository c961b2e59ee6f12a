//! Where two schemas part.

use std::fmt;

use super::{Field, Schema, Variant, VariantShape, show::Name};

/// Characters of a rendered shape that are shown before it is cut.
const SHOWN: usize = 160;

/// The first place at which two schemas differ.
///
/// `Display` reads like `field "temp": here f32, there f64` or `field "gust" exists only there`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    path: String,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Shape {
        here: String,
        there: String,
    },
    OnlyHere {
        kind: &'static str,
    },
    OnlyThere {
        kind: &'static str,
    },
    Order {
        kind: &'static str,
        here: usize,
        there: usize,
    },
}

impl Difference {
    /// The place, for example `Reading.temp`; the top has the name of its type, or `item`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The shape here, when both sides have one at the place.
    #[must_use]
    pub fn here(&self) -> Option<&str> {
        match &self.what {
            What::Shape { here, .. } => Some(here),
            _ => None,
        }
    }

    /// The shape there, when both sides have one at the place.
    #[must_use]
    pub fn there(&self) -> Option<&str> {
        match &self.what {
            What::Shape { there, .. } => Some(there),
            _ => None,
        }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The name of the whole type is left out: the reader knows which stream this is about.
        let inside = self
            .path
            .find(['.', '[', '{', ':'])
            .map(|at| self.path[at..].trim_start_matches(['.', ':']));
        match (&self.what, inside) {
            (What::Shape { here, there }, Some(inside)) => {
                write!(f, "field \"{inside}\": here {here}, there {there}")
            }
            (What::Shape { here, there }, None) => write!(f, "here {here}, there {there}"),
            (What::OnlyHere { kind }, inside) => {
                write!(
                    f,
                    "{kind} \"{}\" exists only here",
                    inside.unwrap_or(&self.path)
                )
            }
            (What::OnlyThere { kind }, inside) => {
                write!(
                    f,
                    "{kind} \"{}\" exists only there",
                    inside.unwrap_or(&self.path)
                )
            }
            (What::Order { kind, here, there }, inside) => write!(
                f,
                "{kind} \"{}\" is number {here} here, number {there} there",
                inside.unwrap_or(&self.path)
            ),
        }
    }
}

/// The first place at which the schemas differ; `None` when they are equal.
#[must_use]
pub fn diff(ours: &Schema, theirs: &Schema) -> Option<Difference> {
    let root = ours
        .name()
        .map_or("item".to_owned(), |name| Name(name).to_string());
    schemas(&root, ours, theirs)
}

fn schemas(path: &str, ours: &Schema, theirs: &Schema) -> Option<Difference> {
    if ours == theirs {
        return None;
    }
    // Types of different names are different as a whole, even when they share fields.
    if ours.name() != theirs.name() {
        return Some(shape(path, ours, theirs));
    }
    let inner = match (ours, theirs) {
        (Schema::Seq(ours), Schema::Seq(theirs)) => schemas(&format!("{path}[]"), ours, theirs),
        (Schema::Option(ours), Schema::Option(theirs)) if is_deep(ours) && is_deep(theirs) => {
            schemas(path, ours, theirs)
        }
        (Schema::NewType { inner: ours, .. }, Schema::NewType { inner: theirs, .. })
            if is_deep(ours) && is_deep(theirs) =>
        {
            schemas(path, ours, theirs)
        }
        (Schema::Map(our_key, our_value), Schema::Map(their_key, their_value)) => {
            schemas(&format!("{path}{{key}}"), our_key, their_key)
                .or_else(|| schemas(&format!("{path}{{value}}"), our_value, their_value))
        }
        (Schema::Tuple(ours), Schema::Tuple(theirs))
        | (Schema::TupleStruct { fields: ours, .. }, Schema::TupleStruct { fields: theirs, .. }) => {
            parts(path, ours, theirs)
        }
        (Schema::Struct { fields: ours, .. }, Schema::Struct { fields: theirs, .. }) => {
            fields(path, ours, theirs)
        }
        (
            Schema::Enum { variants: ours, .. },
            Schema::Enum {
                variants: theirs, ..
            },
        ) => variants(path, ours, theirs),
        _ => None,
    };
    inner.or_else(|| Some(shape(path, ours, theirs)))
}

/// Whether a difference inside is better told than the difference of the wrapping shapes.
fn is_deep(schema: &Schema) -> bool {
    matches!(
        schema,
        Schema::Struct { .. } | Schema::Enum { .. } | Schema::Seq(_) | Schema::Map(..)
    )
}

fn parts(path: &str, ours: &[Schema], theirs: &[Schema]) -> Option<Difference> {
    for (place, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        if let Some(found) = schemas(&format!("{path}.{place}"), ours, theirs) {
            return Some(found);
        }
    }
    surplus(path, "field", ours.len(), theirs.len())
}

/// What is left when one of two otherwise equal lists is longer.
fn surplus(path: &str, kind: &'static str, ours: usize, theirs: usize) -> Option<Difference> {
    let what = match ours.cmp(&theirs) {
        std::cmp::Ordering::Equal => return None,
        std::cmp::Ordering::Greater => What::OnlyHere { kind },
        std::cmp::Ordering::Less => What::OnlyThere { kind },
    };
    Some(Difference {
        path: format!("{path}.{}", ours.min(theirs)),
        what,
    })
}

fn fields(path: &str, ours: &[Field], theirs: &[Field]) -> Option<Difference> {
    let place_of = |name: &str| format!("{path}.{}", Name(name));
    let names = |fields: &[Field]| fields.iter().map(|f| f.name.clone()).collect::<Vec<_>>();
    if let Some((name, what)) = unmatched("field", &names(ours), &names(theirs)) {
        return Some(Difference {
            path: place_of(&name),
            what,
        });
    }
    ours.iter()
        .zip(theirs)
        .find_map(|(ours, theirs)| schemas(&place_of(&ours.name), &ours.schema, &theirs.schema))
}

fn variants(path: &str, ours: &[Variant], theirs: &[Variant]) -> Option<Difference> {
    let place_of = |name: &str| format!("{path}::{}", Name(name));
    let names = |variants: &[Variant]| variants.iter().map(|v| v.name.clone()).collect::<Vec<_>>();
    if let Some((name, what)) = unmatched("variant", &names(ours), &names(theirs)) {
        return Some(Difference {
            path: place_of(&name),
            what,
        });
    }
    ours.iter().zip(theirs).find_map(|(ours, theirs)| {
        let path = place_of(&ours.name);
        if ours.index != theirs.index {
            return Some(Difference {
                path,
                what: What::Order {
                    kind: "variant",
                    here: ours.index as usize,
                    there: theirs.index as usize,
                },
            });
        }
        let inner = match (&ours.shape, &theirs.shape) {
            (VariantShape::NewType(ours), VariantShape::NewType(theirs)) => {
                schemas(&format!("{path}.0"), ours, theirs)
            }
            (VariantShape::Tuple(ours), VariantShape::Tuple(theirs)) => parts(&path, ours, theirs),
            (VariantShape::Struct(ours), VariantShape::Struct(theirs)) => {
                fields(&path, ours, theirs)
            }
            _ => None,
        };
        inner.or_else(|| {
            (ours != theirs).then(|| Difference {
                path,
                what: What::Shape {
                    here: cut(ours),
                    there: cut(theirs),
                },
            })
        })
    })
}

/// The first name that the other list lacks or has elsewhere.
fn unmatched(kind: &'static str, ours: &[String], theirs: &[String]) -> Option<(String, What)> {
    if let Some(name) = ours.iter().find(|name| !theirs.contains(name)) {
        return Some((name.clone(), What::OnlyHere { kind }));
    }
    if let Some(name) = theirs.iter().find(|name| !ours.contains(name)) {
        return Some((name.clone(), What::OnlyThere { kind }));
    }
    let (here, name) = ours
        .iter()
        .enumerate()
        .find(|(place, name)| theirs.get(*place) != Some(name))?;
    let there = theirs.iter().position(|other| other == name)?;
    Some((name.clone(), What::Order { kind, here, there }))
}

fn shape(path: &str, ours: &Schema, theirs: &Schema) -> Difference {
    Difference {
        path: path.to_owned(),
        what: What::Shape {
            here: cut(ours),
            there: cut(theirs),
        },
    }
}

fn cut(shape: &impl fmt::Display) -> String {
    let text = shape.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}
