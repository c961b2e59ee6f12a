//! What a type finds in a place of several parts: elements, entries, fields, a variant.

use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::{
    de::{inconsistent, nodes, visit, visit_at},
    node::{Body, Node},
    state::{State, Step, Stop},
};

/// So many elements, all at one place.
pub(super) struct Elements<'t> {
    pub(super) state: &'t mut State,
    pub(super) element: &'t mut Node,
    pub(super) depth: usize,
    pub(super) left: usize,
}

impl<'de> SeqAccess<'de> for Elements<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        visit_at(self.state, self.element, self.depth, Step::Element, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// So many entries, all keys at one place and all values at another.
pub(super) struct Entries<'t> {
    pub(super) state: &'t mut State,
    pub(super) entry: &'t mut (Node, Node),
    pub(super) depth: usize,
    pub(super) left: usize,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Stop;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        visit_at(self.state, &mut self.entry.0, self.depth, Step::Key, seed).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Stop> {
        visit_at(self.state, &mut self.entry.1, self.depth, Step::Value, seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

/// The parts of a tuple or struct, each at its own place.
pub(super) struct Parts<'t> {
    state: &'t mut State,
    parts: std::slice::IterMut<'t, Node>,
    names: &'static [&'static str],
    place: usize,
    depth: usize,
}

impl<'t> Parts<'t> {
    /// The parts of the place at `depth`.
    pub(super) fn new(
        state: &'t mut State,
        parts: &'t mut [Node],
        names: &'static [&'static str],
        depth: usize,
    ) -> Self {
        Self {
            state,
            parts: parts.iter_mut(),
            names,
            place: 0,
            depth: depth + 1,
        }
    }
}

impl<'de> SeqAccess<'de> for Parts<'_> {
    type Error = Stop;

    fn next_element_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Stop> {
        let Some(node) = self.parts.next() else {
            return Ok(None);
        };
        let step = match self.names.get(self.place) {
            Some(name) => Step::Field(name),
            None => Step::Part(self.place),
        };
        self.place += 1;
        visit_at(self.state, node, self.depth, step, seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.parts.len())
    }
}

/// One variant of an enum.
pub(super) struct EnumTracer<'t> {
    pub(super) state: &'t mut State,
    pub(super) body: &'t mut Body,
    pub(super) index: u32,
    /// Depth of the enum.
    pub(super) depth: usize,
    /// Set when the type asks for the content of the variant.
    pub(super) entered: &'t mut bool,
}

impl<'t> EnumTracer<'t> {
    /// The body, which takes on a shape if it has none yet.
    fn body(
        self,
        fresh: impl FnOnce() -> Body,
    ) -> Result<(&'t mut State, &'t mut Body, usize), Stop> {
        *self.entered = true;
        if matches!(self.body, Body::Untried) {
            self.state.add_node()?;
            *self.body = fresh();
        }
        Ok((self.state, self.body, self.depth))
    }
}

impl<'de, 't> EnumAccess<'de> for EnumTracer<'t> {
    type Error = Stop;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Stop> {
        let name = IntoDeserializer::<Stop>::into_deserializer(self.index);
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for EnumTracer<'_> {
    type Error = Stop;

    fn unit_variant(self) -> Result<(), Stop> {
        match self.body(|| Body::Unit)? {
            (_, Body::Unit, _) => Ok(()),
            (state, ..) => Err(inconsistent(state)),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Stop> {
        match self.body(|| Body::NewType(Box::default()))? {
            (state, Body::NewType(inner), depth) => visit(state, inner, depth + 1, seed),
            (state, ..) => Err(inconsistent(state)),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Stop> {
        match self.body(|| Body::Tuple(nodes(len)))? {
            (state, Body::Tuple(parts), depth) if parts.len() == len => {
                visitor.visit_seq(Parts::new(state, parts, &[], depth))
            }
            (state, ..) => Err(inconsistent(state)),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Stop> {
        match self.body(|| Body::Struct(fields, nodes(fields.len())))? {
            (state, Body::Struct(names, parts), depth) if *names == fields => {
                visitor.visit_seq(Parts::new(state, parts, fields, depth))
            }
            (state, ..) => Err(inconsistent(state)),
        }
    }
}
