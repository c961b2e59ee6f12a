//! What is known of a type so far: a tree that grows from pass to pass.

use crate::schema::{Field, Schema, Variant, VariantShape};

/// One place in a type.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) shape: Shape,
    /// How often the place was turned down although all its parts were accepted.
    pub(super) tries: usize,
    /// Kept once true.
    done: bool,
}

#[derive(Debug, Default)]
pub(super) enum Shape {
    #[default]
    Unknown,
    Leaf {
        schema: Schema,
        choice: Choice,
    },
    Option(Box<Node>),
    NewType(&'static str, Box<Node>),
    Seq {
        element: Box<Node>,
        choice: Choice,
    },
    Map {
        entry: Box<(Node, Node)>,
        choice: Choice,
    },
    Tuple(Vec<Node>),
    TupleStruct(&'static str, Vec<Node>),
    Struct(&'static str, &'static [&'static str], Vec<Node>),
    Enum {
        name: &'static str,
        variants: Vec<VariantNode>,
        choice: Choice,
    },
}

#[derive(Debug)]
pub(super) struct VariantNode {
    pub(super) name: &'static str,
    pub(super) body: Body,
    /// Whether a value of this variant was accepted once.
    pub(super) accepted: bool,
}

#[derive(Debug)]
pub(super) enum Body {
    Untried,
    /// The type turns this variant down as such.
    Impossible,
    Unit,
    NewType(Box<Node>),
    Tuple(Vec<Node>),
    Struct(&'static [&'static str], Vec<Node>),
}

/// Which of several samples a place offers.
#[derive(Debug, Default)]
pub(super) struct Choice {
    /// A bit for each sample (the first 64) that the place itself turned down.
    rejected: u64,
    /// Where the search for a sample begins; moved when something around the place rejects it.
    pub(super) offset: usize,
    /// How many samples there are.
    pub(super) options: usize,
    /// The last pass that came here.
    pub(super) seen: u32,
}

impl Choice {
    /// The sample to offer in this pass.
    pub(super) fn pick(&mut self, options: usize, pass: u32) -> Option<usize> {
        self.options = options;
        self.seen = pass;
        (0..options)
            .map(|step| (self.offset + step) % options)
            .find(|sample| *sample >= 64 || self.rejected & (1 << sample) == 0)
    }

    /// Notes a sample as turned down; false when it was the last.
    pub(super) fn reject(&mut self, sample: usize) -> bool {
        if sample < 64 {
            self.rejected |= 1 << sample;
        }
        (0..self.options).any(|sample| sample < 64 && self.rejected & (1 << sample) == 0)
    }
}

impl Node {
    /// Whether all of the place is known.
    pub(super) fn is_done(&mut self) -> bool {
        self.done = self.done
            || match &mut self.shape {
                Shape::Unknown => false,
                Shape::Leaf { .. } => true,
                Shape::Option(inner)
                | Shape::NewType(_, inner)
                | Shape::Seq { element: inner, .. } => inner.is_done(),
                Shape::Map { entry, .. } => entry.0.is_done() && entry.1.is_done(),
                Shape::Tuple(parts) | Shape::TupleStruct(_, parts) | Shape::Struct(_, _, parts) => {
                    parts.iter_mut().all(Self::is_done)
                }
                Shape::Enum { variants, .. } => variants.iter_mut().all(|v| v.body.is_done()),
            };
        self.done
    }

    /// Appends the path from here to the first place that is not known.
    pub(super) fn first_undone(&mut self, path: &mut String) {
        if self.done {
            return;
        }
        match &mut self.shape {
            Shape::Unknown | Shape::Leaf { .. } => {}
            Shape::Option(inner) | Shape::NewType(_, inner) => inner.first_undone(path),
            Shape::Seq { element, .. } => {
                path.push_str("[]");
                element.first_undone(path);
            }
            Shape::Map { entry, .. } => {
                let key_done = entry.0.is_done();
                path.push_str(if key_done { "{value}" } else { "{key}" });
                let inner = if key_done { &mut entry.1 } else { &mut entry.0 };
                inner.first_undone(path);
            }
            Shape::Tuple(parts) | Shape::TupleStruct(_, parts) => undone_part(&[], parts, path),
            Shape::Struct(_, names, parts) => undone_part(names, parts, path),
            Shape::Enum { variants, .. } => {
                if let Some(variant) = variants.iter_mut().find_map(|v| {
                    let done = v.body.is_done();
                    (!done).then_some(v)
                }) {
                    path.push_str("::");
                    path.push_str(variant.name);
                    match &mut variant.body {
                        Body::NewType(inner) => inner.first_undone(path),
                        Body::Tuple(parts) => undone_part(&[], parts, path),
                        Body::Struct(names, parts) => undone_part(names, parts, path),
                        Body::Untried | Body::Impossible | Body::Unit => {}
                    }
                }
            }
        }
    }

    /// Collects the choices that were made in a pass, in the order of the bytes.
    pub(super) fn choices<'n>(&'n mut self, pass: u32, found: &mut Vec<&'n mut Choice>) {
        let mut add = |choice: &'n mut Choice| {
            if choice.seen == pass {
                found.push(choice);
            }
        };
        match &mut self.shape {
            Shape::Unknown => {}
            Shape::Leaf { choice, .. } => add(choice),
            Shape::Option(inner) | Shape::NewType(_, inner) => inner.choices(pass, found),
            Shape::Seq { element, choice } => {
                add(choice);
                element.choices(pass, found);
            }
            Shape::Map { entry, choice } => {
                add(choice);
                entry.0.choices(pass, found);
                entry.1.choices(pass, found);
            }
            Shape::Tuple(parts) | Shape::TupleStruct(_, parts) | Shape::Struct(_, _, parts) => {
                for part in parts {
                    part.choices(pass, found);
                }
            }
            Shape::Enum {
                variants, choice, ..
            } => {
                add(choice);
                for variant in variants {
                    match &mut variant.body {
                        Body::NewType(inner) => inner.choices(pass, found),
                        Body::Tuple(parts) | Body::Struct(_, parts) => {
                            for part in parts {
                                part.choices(pass, found);
                            }
                        }
                        Body::Untried | Body::Impossible | Body::Unit => {}
                    }
                }
            }
        }
    }

    /// The schema of a place that is done.
    pub(super) fn schema(&self) -> Schema {
        let boxed = |node: &Self| Box::new(node.schema());
        match &self.shape {
            Shape::Unknown => Schema::Unit,
            Shape::Leaf { schema, .. } => schema.clone(),
            Shape::Option(inner) => Schema::Option(boxed(inner)),
            Shape::NewType(name, inner) => Schema::NewType {
                name: (*name).to_owned(),
                inner: boxed(inner),
            },
            Shape::Seq { element, .. } => Schema::Seq(boxed(element)),
            Shape::Map { entry, .. } => Schema::Map(boxed(&entry.0), boxed(&entry.1)),
            Shape::Tuple(parts) => Schema::Tuple(schemas(parts)),
            Shape::TupleStruct(name, parts) => Schema::TupleStruct {
                name: (*name).to_owned(),
                fields: schemas(parts),
            },
            Shape::Struct(name, names, parts) => Schema::Struct {
                name: (*name).to_owned(),
                fields: fields(names, parts),
            },
            Shape::Enum { name, variants, .. } => Schema::Enum {
                name: (*name).to_owned(),
                variants: (0..)
                    .zip(variants)
                    .filter_map(VariantNode::variant)
                    .collect(),
            },
        }
    }
}

impl VariantNode {
    fn variant((index, node): (u32, &Self)) -> Option<Variant> {
        let shape = match &node.body {
            Body::Untried | Body::Impossible => return None,
            Body::Unit => VariantShape::Unit,
            Body::NewType(inner) => VariantShape::NewType(Box::new(inner.schema())),
            Body::Tuple(parts) => VariantShape::Tuple(schemas(parts)),
            Body::Struct(names, parts) => VariantShape::Struct(fields(names, parts)),
        };
        Some(Variant {
            name: node.name.to_owned(),
            index,
            shape,
        })
    }
}

impl Body {
    pub(super) fn is_done(&mut self) -> bool {
        match self {
            Self::Untried => false,
            Self::Impossible | Self::Unit => true,
            Self::NewType(inner) => inner.is_done(),
            Self::Tuple(parts) | Self::Struct(_, parts) => parts.iter_mut().all(Node::is_done),
        }
    }
}

fn undone_part(names: &[&str], parts: &mut [Node], path: &mut String) {
    for (place, part) in parts.iter_mut().enumerate() {
        if !part.is_done() {
            path.push('.');
            match names.get(place) {
                Some(name) => path.push_str(name),
                None => path.push_str(&place.to_string()),
            }
            return part.first_undone(path);
        }
    }
}

fn schemas(parts: &[Node]) -> Vec<Schema> {
    parts.iter().map(Node::schema).collect()
}

fn fields(names: &[&str], parts: &[Node]) -> Vec<Field> {
    let field = |(name, part): (&&str, &Node)| Field {
        name: (*name).to_owned(),
        schema: part.schema(),
    };
    names.iter().zip(parts).map(field).collect()
}
