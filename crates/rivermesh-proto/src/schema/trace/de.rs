//! The deserializer that a type is traced with.

use serde::de::{self, DeserializeSeed, Visitor};

use super::{
    TraceError,
    access::{Elements, Entries, EnumTracer, Parts},
    node::{Body, Choice, Node, Shape, VariantNode},
    samples,
    state::{State, Step, Stop},
};
use crate::{limits, schema::Schema};

/// Lets a type read the place `node`, and deals with its refusal.
pub(super) fn visit<'de, S: DeserializeSeed<'de>>(
    state: &mut State,
    node: &mut Node,
    depth: usize,
    seed: S,
) -> Result<S::Value, Stop> {
    let result = seed.deserialize(Tracer {
        state: &mut *state,
        node: &mut *node,
        depth,
    });
    match &result {
        Ok(_) => node.tries = 0,
        Err(stop) if !state.failed => state.combination_rejected(node, &stop.0),
        Err(_) => {}
    }
    result
}

/// As [`visit`], one step down the path.
pub(super) fn visit_at<'de, S: DeserializeSeed<'de>>(
    state: &mut State,
    node: &mut Node,
    depth: usize,
    step: Step,
    seed: S,
) -> Result<S::Value, Stop> {
    state.path.push(step);
    let result = visit(state, node, depth, seed);
    state.path.pop();
    result
}

struct Tracer<'t> {
    state: &'t mut State,
    node: &'t mut Node,
    depth: usize,
}

/// The content of a place if it has the expected shape; an unknown place takes the shape on.
macro_rules! expect {
    ($self:ident, $pattern:pat $(if $guard:expr)? => $content:expr, $fresh:expr) => {{
        check_depth($self.state, $self.depth)?;
        if matches!($self.node.shape, Shape::Unknown) {
            $self.state.add_node()?;
            $self.node.shape = $fresh;
        }
        match &mut $self.node.shape {
            $pattern $(if $guard)? => $content,
            _ => return Err(inconsistent($self.state)),
        }
    }};
}

pub(super) fn inconsistent(state: &mut State) -> Stop {
    let path = state.place();
    state.stop(TraceError::Inconsistent { path })
}

fn check_depth(state: &mut State, depth: usize) -> Result<(), Stop> {
    if depth > limits::SCHEMA_DEPTH {
        return Err(state.too_much(|state| TraceError::TooDeep {
            path: state.place(),
        }));
    }
    Ok(())
}

pub(super) fn nodes(count: usize) -> Vec<Node> {
    // A type may announce any length; parts over the bound are found missing when they are read.
    (0..count.min(limits::SCHEMA + 1))
        .map(|_| Node::default())
        .collect()
}

impl Tracer<'_> {
    fn self_describing<T>(self) -> Result<T, Stop> {
        let path = self.state.place();
        Err(self.state.stop(TraceError::SelfDescribing { path }))
    }

    /// Offers one of the samples to a leaf.
    fn leaf<T: Clone, R>(
        self,
        shape: Schema,
        samples: &[T],
        offer: impl FnOnce(T) -> Result<R, Stop>,
    ) -> Result<R, Stop> {
        let choice = expect!(
            self,
            Shape::Leaf { schema, choice } => {
                if *schema != shape {
                    return Err(inconsistent(self.state));
                }
                choice
            },
            Shape::Leaf { schema: shape.clone(), choice: Choice::default() }
        );
        settle(self.state, choice, samples, |_, sample| offer(sample))
    }
}

/// Offers the sample that `choice` picks, and notes it when it is turned down as such.
fn settle<T: Clone, R>(
    state: &mut State,
    choice: &mut Choice,
    samples: &[T],
    offer: impl FnOnce(&mut State, T) -> Result<R, Stop>,
) -> Result<R, Stop> {
    let picked = choice
        .pick(samples.len(), state.pass)
        .and_then(|place| Some((place, samples.get(place)?.clone())));
    let Some((place, sample)) = picked else {
        state.fatal_rejection("no sample is left");
        return Err(Stop(String::new()));
    };
    let result = offer(state, sample);
    if let Err(stop) = &result
        && !state.failed
    {
        state.sample_rejected(choice, place, &stop.0);
    }
    result
}

macro_rules! leaves {
    ($($method:ident => $shape:ident, $visit:ident, $samples:expr;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
            self.leaf(Schema::$shape, &$samples, |sample| visitor.$visit(sample))
        }
    )*};
}

impl<'de> de::Deserializer<'de> for Tracer<'_> {
    type Error = Stop;

    fn is_human_readable(&self) -> bool {
        false
    }

    leaves! {
        deserialize_bool => Bool, visit_bool, [false, true];
        deserialize_i8 => I8, visit_i8, samples::integers::<i8>();
        deserialize_i16 => I16, visit_i16, samples::integers::<i16>();
        deserialize_i32 => I32, visit_i32, samples::integers::<i32>();
        deserialize_i64 => I64, visit_i64, samples::integers::<i64>();
        deserialize_i128 => I128, visit_i128, samples::integers::<i128>();
        deserialize_u8 => U8, visit_u8, samples::integers::<u8>();
        deserialize_u16 => U16, visit_u16, samples::integers::<u16>();
        deserialize_u32 => U32, visit_u32, samples::integers::<u32>();
        deserialize_u64 => U64, visit_u64, samples::integers::<u64>();
        deserialize_u128 => U128, visit_u128, samples::integers::<u128>();
        deserialize_f32 => F32, visit_f32, samples::FLOATS;
        deserialize_f64 => F64, visit_f64, samples::FLOATS.map(f64::from);
        deserialize_char => Char, visit_char, samples::CHARS;
        deserialize_str => String, visit_borrowed_str, samples::TEXTS;
        deserialize_string => String, visit_str, samples::TEXTS;
        deserialize_bytes => Bytes, visit_borrowed_bytes, samples::zeros();
        deserialize_byte_buf => Bytes, visit_bytes, samples::zeros();
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        self.leaf(Schema::Unit, &[()], |()| visitor.visit_unit())
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let name = name.to_owned();
        self.leaf(Schema::UnitStruct { name }, &[()], |()| {
            visitor.visit_unit()
        })
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let inner = expect!(self, Shape::Option(inner) => inner, Shape::Option(Box::default()));
        visitor.visit_some(Tracer {
            state: self.state,
            node: inner,
            depth: self.depth + 1,
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let inner = expect!(
            self,
            Shape::NewType(known, inner) if *known == name => inner,
            Shape::NewType(name, Box::default())
        );
        self.state.types.push(name);
        let result = visitor.visit_newtype_struct(Tracer {
            state: &mut *self.state,
            node: inner,
            depth: self.depth + 1,
        });
        self.state.types.pop();
        result
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (element, choice) = expect!(
            self,
            Shape::Seq { element, choice } => (element, choice),
            Shape::Seq { element: Box::default(), choice: Choice::default() }
        );
        let depth = self.depth + 1;
        offer_count(self.state, choice, |state, left| {
            visitor.visit_seq(Elements {
                state,
                element,
                depth,
                left,
            })
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Stop> {
        let (entry, choice) = expect!(
            self,
            Shape::Map { entry, choice } => (entry, choice),
            Shape::Map { entry: Box::default(), choice: Choice::default() }
        );
        let depth = self.depth + 1;
        offer_count(self.state, choice, |state, left| {
            visitor.visit_map(Entries {
                state,
                entry,
                depth,
                left,
            })
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        let parts = expect!(
            self,
            Shape::Tuple(parts) if parts.len() == len => parts,
            Shape::Tuple(nodes(len))
        );
        visitor.visit_seq(Parts::new(self.state, parts, &[], self.depth))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        len: usize,
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let parts = expect!(
            self,
            Shape::TupleStruct(known, parts) if *known == name && parts.len() == len => parts,
            Shape::TupleStruct(name, nodes(len))
        );
        self.state.types.push(name);
        let result = visitor.visit_seq(Parts::new(self.state, parts, &[], self.depth));
        self.state.types.pop();
        result
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let parts = expect!(
            self,
            Shape::Struct(known, names, parts) if *known == name && *names == fields => parts,
            Shape::Struct(name, fields, nodes(fields.len()))
        );
        self.state.types.push(name);
        let result = visitor.visit_seq(Parts::new(self.state, parts, fields, self.depth));
        self.state.types.pop();
        result
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        names: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        let (variants, choice) = expect!(
            self,
            Shape::Enum { name: known, variants, choice }
                if *known == name && variants.iter().map(|v| v.name).eq(names.iter().copied()) =>
            {
                (variants, choice)
            },
            Shape::Enum {
                name,
                variants: names.iter().map(|name| VariantNode::new(name)).collect(),
                choice: Choice::default(),
            }
        );
        let picked = pick_variant(self.state, variants, choice);
        let Some((index, variant)) = picked else {
            self.state.fatal_rejection("no variant is accepted");
            return Err(Stop(String::new()));
        };
        self.state.types.push(name);
        self.state.path.push(Step::Variant(variant.name));
        let mut entered = false;
        let result = visitor.visit_enum(EnumTracer {
            state: &mut *self.state,
            body: &mut variant.body,
            index,
            depth: self.depth,
            entered: &mut entered,
        });
        self.state.types.pop();
        self.state.path.pop();
        match &result {
            Ok(_) => variant.accepted = true,
            Err(_) if !self.state.failed && !entered => {
                variant.body = Body::Impossible;
                self.state.progress = true;
                self.state.failed = true;
            }
            Err(_) => {}
        }
        result
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.self_describing()
    }

    fn deserialize_identifier<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.self_describing()
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Stop> {
        self.self_describing()
    }
}

/// Runs a visitor with a count of elements. Only when nothing else changed is the count to blame
/// for a refusal, so that is left to the search over combinations.
fn offer_count<R>(
    state: &mut State,
    choice: &mut Choice,
    offer: impl FnOnce(&mut State, usize) -> Result<R, Stop>,
) -> Result<R, Stop> {
    let place = choice.pick(samples::COUNTS.len(), state.pass).unwrap_or(0);
    let count = samples::COUNTS.get(place).copied().unwrap_or(1);
    offer(state, count)
}

/// The first variant of which something is still unknown; when this pass has found something
/// new already, or nothing is unknown, one that was accepted before.
fn pick_variant<'n>(
    state: &State,
    variants: &'n mut [VariantNode],
    choice: &mut Choice,
) -> Option<(u32, &'n mut VariantNode)> {
    let possible = |v: &VariantNode| !matches!(v.body, Body::Impossible);
    let accepted: Vec<usize> = (0..variants.len())
        .filter(|place| variants[*place].accepted)
        .collect();
    let known = choice
        .pick(accepted.len().max(1), state.pass)
        .and_then(|nth| accepted.get(nth).copied());
    let unknown = variants.iter_mut().position(|v| !v.body.is_done());
    let place = if state.progress {
        known.or(unknown)
    } else {
        unknown.or(known)
    };
    let place = place.or_else(|| variants.iter().position(possible))?;
    Some((u32::try_from(place).ok()?, variants.get_mut(place)?))
}

impl VariantNode {
    fn new(name: &'static str) -> Self {
        Self {
            name,
            body: Body::Untried,
            accepted: false,
        }
    }
}
