//! What is asked of items: the paths of all filters as one tree.
//!
//! Each node is a place in an item and, by the same number, a slot of a [`Record`]. A node lives
//! as long as somebody asks for it or for something below it, so that peers who come and go with
//! filters leave nothing behind.
//!
//! [`Record`]: super::record::Record

use std::collections::{BTreeMap, HashMap};

use super::{ast::Segment, plan::Target, types::Source};

/// The item itself.
pub(super) const ROOT: u32 = 0;
/// The item's key, which is no part of the item.
pub(super) const KEY: u32 = 1;

/// Names that are compared one after the other; more are hashed.
const FEW: usize = 8;

#[derive(Debug)]
pub(super) struct Fields {
    nodes: Vec<Node>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Node {
    parent: u32,
    segment: Option<Segment>,
    names: Names,
    /// The lengths of the names; see [`Lengths`].
    lengths: Lengths,
    indices: BTreeMap<u32, u32>,
    uses: usize,
    lists: usize,
}

/// Which lengths names have, as bits. Where a name is a constant, as the fields of a struct are,
/// asking this is one instruction, so a field that nobody asks for costs next to nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lengths(u64);

impl Lengths {
    /// Whether a name may be among the names; false only if it is not.
    #[inline(always)]
    pub(super) fn may_have(self, name: &str) -> bool {
        self.0 & Self::bit(name) != 0
    }

    #[inline(always)]
    fn bit(name: &str) -> u64 {
        1 << (name.len() % 64)
    }
}

#[derive(Debug)]
enum Names {
    Few(Vec<(Box<str>, u32)>),
    Many(HashMap<Box<str>, u32>),
}

impl Fields {
    pub(super) fn new() -> Self {
        Self {
            nodes: vec![Node::default(), Node::default()],
            free: Vec::new(),
        }
    }

    /// One more than the highest number.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether anything of the item itself is asked for.
    #[inline]
    pub(super) fn is_asked(&self) -> bool {
        let root = &self.nodes[ROOT as usize];
        root.uses > 0 || !root.is_leaf()
    }

    /// Takes a target in, and says where it is.
    pub(super) fn add(&mut self, target: &Target) -> u32 {
        let mut at = match &target.source {
            Source::Key => KEY,
            Source::Item(_) => ROOT,
        };
        if let Source::Item(segments) = &target.source {
            for segment in segments {
                at = match self.child(at, segment) {
                    Some(child) => child,
                    None => self.grow(at, segment),
                };
            }
        }
        let node = &mut self.nodes[at as usize];
        node.uses += 1;
        node.lists += usize::from(target.as_list);
        at
    }

    /// Takes back one [`add`](Self::add) of the same target.
    pub(super) fn remove(&mut self, mut at: u32, target: &Target) {
        let node = &mut self.nodes[at as usize];
        node.uses -= 1;
        node.lists -= usize::from(target.as_list);
        while at != ROOT && at != KEY {
            let node = &mut self.nodes[at as usize];
            if node.uses > 0 || !node.is_leaf() {
                return;
            }
            let dead = std::mem::take(node);
            self.free.push(at);
            at = dead.parent;
            match dead.segment {
                Some(Segment::Name(name)) => {
                    let parent = &mut self.nodes[at as usize];
                    parent.names.remove(&name);
                    // Other names may have the length too. Only when none is left is it clear.
                    if parent.names.is_empty() {
                        parent.lengths = Lengths::default();
                    }
                }
                Some(Segment::Index(index)) => {
                    self.nodes[at as usize].indices.remove(&index);
                }
                None => {}
            }
        }
    }

    fn grow(&mut self, parent: u32, segment: &Segment) -> u32 {
        let node = Node {
            parent,
            segment: Some(segment.clone()),
            ..Node::default()
        };
        let at = match self.free.pop() {
            Some(at) => {
                self.nodes[at as usize] = node;
                at
            }
            None => {
                self.nodes.push(node);
                // Filters are bounded in number and size: this is far from 2^32.
                (self.nodes.len() - 1) as u32
            }
        };
        let parent = &mut self.nodes[parent as usize];
        match segment {
            Segment::Name(name) => {
                parent.lengths.0 |= Lengths::bit(name);
                parent.names.insert(name.clone(), at);
            }
            Segment::Index(index) => drop(parent.indices.insert(*index, at)),
        }
        at
    }

    fn child(&self, at: u32, segment: &Segment) -> Option<u32> {
        match segment {
            Segment::Name(name) => self.named(at, name),
            Segment::Index(index) => self.indexed(at, *index),
        }
    }

    /// Which names are worth asking [`named`](Self::named) for.
    #[inline]
    pub(super) fn lengths(&self, at: u32) -> Lengths {
        self.nodes[at as usize].lengths
    }

    /// The part of this name, if somebody asks for it.
    #[inline]
    pub(super) fn named(&self, at: u32, name: &str) -> Option<u32> {
        let node = &self.nodes[at as usize];
        node.lengths.may_have(name).then(|| node.names.get(name))?
    }

    /// The element of this number, if somebody asks for it.
    #[inline]
    pub(super) fn indexed(&self, at: u32, index: u32) -> Option<u32> {
        self.nodes[at as usize].indices.get(&index).copied()
    }

    /// Whether somebody asks for an element by its number.
    #[inline]
    pub(super) fn has_indices(&self, at: u32) -> bool {
        !self.nodes[at as usize].indices.is_empty()
    }

    /// Whether somebody asks for all elements.
    #[inline]
    pub(super) fn is_list(&self, at: u32) -> bool {
        self.nodes[at as usize].lists > 0
    }
}

impl Node {
    fn is_leaf(&self) -> bool {
        self.indices.is_empty() && self.names.is_empty()
    }
}

impl Names {
    #[inline]
    fn get(&self, name: &str) -> Option<u32> {
        match self {
            Self::Few(few) => few.iter().find(|(n, _)| **n == *name).map(|(_, at)| *at),
            Self::Many(many) => many.get(name).copied(),
        }
    }

    fn insert(&mut self, name: Box<str>, at: u32) {
        match self {
            Self::Few(few) if few.len() < FEW => few.push((name, at)),
            Self::Few(few) => {
                let mut many: HashMap<_, _> = few.drain(..).collect();
                many.insert(name, at);
                *self = Self::Many(many);
            }
            Self::Many(many) => {
                many.insert(name, at);
            }
        }
    }

    fn remove(&mut self, name: &str) {
        match self {
            Self::Few(few) => few.retain(|(n, _)| **n != *name),
            Self::Many(many) => {
                many.remove(name);
                if many.is_empty() {
                    *self = Self::default();
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Few(few) => few.is_empty(),
            Self::Many(many) => many.is_empty(),
        }
    }
}

impl Default for Names {
    fn default() -> Self {
        Self::Few(Vec::new())
    }
}
