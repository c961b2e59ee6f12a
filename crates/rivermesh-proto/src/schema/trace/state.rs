//! What one pass over a type remembers, and what happens when a sample is turned down.

use std::fmt;

use serde::de;

use super::{
    TraceError,
    node::{Choice, Node},
};
use crate::limits;

/// Occurrences of one type around a place from which on it is taken to contain itself.
const REPEATS: usize = 3;

/// Random combinations that are tried at a place before it is given up.
const RANDOM_COMBINATIONS: usize = 256;

/// Why a pass ended. The reason that counts is in [`State`]: types may replace errors.
#[derive(Debug)]
pub(super) struct Stop(pub(super) String);

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Stop {}

impl de::Error for Stop {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self(message.to_string())
    }
}

/// One step of a path through a type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step {
    Field(&'static str),
    Part(usize),
    Element,
    Key,
    Value,
    Variant(&'static str),
}

#[derive(Debug)]
pub(super) struct State {
    root: String,
    pub(super) path: Vec<Step>,
    /// The named types around the current place.
    pub(super) types: Vec<&'static str>,
    pub(super) pass: u32,
    nodes: usize,
    /// Whether this pass found something new.
    pub(super) progress: bool,
    /// Whether a sample was turned down in this pass, and this was dealt with.
    pub(super) failed: bool,
    pub(super) fatal: Option<TraceError>,
}

impl State {
    pub(super) fn new(root: String) -> Self {
        Self {
            root,
            path: Vec::new(),
            types: Vec::new(),
            pass: 0,
            nodes: 0,
            progress: false,
            failed: false,
            fatal: None,
        }
    }

    pub(super) fn begin_pass(&mut self) {
        self.pass += 1;
        self.path.clear();
        self.types.clear();
        self.progress = false;
        self.failed = false;
    }

    /// Notes a new place. A schema takes a byte or more for each, so there is a bound to them.
    pub(super) fn add_node(&mut self) -> Result<(), Stop> {
        self.progress = true;
        self.nodes += 1;
        if self.nodes > limits::SCHEMA {
            return Err(self.too_much(|state| TraceError::Invalid {
                name: state.root.clone(),
                source: super::InvalidSchema::TooLarge,
            }));
        }
        Ok(())
    }

    /// A bound is reached: by a type that contains itself, or else by size alone.
    pub(super) fn too_much(&mut self, otherwise: impl Fn(&Self) -> TraceError) -> Stop {
        let count = |name: &str| self.types.iter().filter(|other| **other == name).count();
        let most = self.types.iter().max_by_key(|name| count(name));
        let error = match most {
            Some(name) if count(name) >= REPEATS => TraceError::Recursive {
                name: (*name).to_owned(),
                path: self.place(),
            },
            _ => otherwise(self),
        };
        self.stop(error)
    }

    /// Ends all tracing.
    pub(super) fn stop(&mut self, error: TraceError) -> Stop {
        self.failed = true;
        let stop = Stop(error.to_string());
        self.fatal.get_or_insert(error);
        stop
    }

    /// The current place as a person reads it. Long paths, of recursive types, are cut.
    pub(super) fn place(&self) -> String {
        const SHOWN: usize = 8;
        let mut place = self.root.clone();
        for step in self.path.iter().take(SHOWN) {
            match step {
                Step::Field(name) => {
                    place.push('.');
                    place.push_str(name);
                }
                Step::Part(part) => {
                    place.push('.');
                    place.push_str(&part.to_string());
                }
                Step::Element => place.push_str("[]"),
                Step::Key => place.push_str("{key}"),
                Step::Value => place.push_str("{value}"),
                Step::Variant(name) => {
                    place.push_str("::");
                    place.push_str(name);
                }
            }
        }
        if self.path.len() > SHOWN {
            place.push('…');
        }
        place
    }

    /// A leaf (or a count) itself turned its sample down: it gets another in the next pass.
    pub(super) fn sample_rejected(&mut self, choice: &mut Choice, sample: usize, message: &str) {
        self.failed = true;
        if !choice.reject(sample) {
            self.fatal_rejection(message);
        }
    }

    /// A place was turned down although each of its parts was accepted (`try_from`, a visitor
    /// that checks fields against each other): the next pass tries another combination.
    pub(super) fn combination_rejected(&mut self, node: &mut Node, message: &str) {
        self.failed = true;
        // What is new may be a variant that is not wanted here; another one comes by itself.
        if self.progress {
            return;
        }
        node.tries += 1;
        let tries = node.tries;
        let mut choices = Vec::new();
        node.choices(self.pass, &mut choices);
        if !combine(&mut choices, tries) {
            self.fatal_rejection(message);
        }
    }

    pub(super) fn fatal_rejection(&mut self, message: &str) {
        let error = TraceError::Rejected {
            path: self.place(),
            message: message.to_owned(),
        };
        self.stop(error);
    }
}

/// Sets the choices to the `tries`th combination: first all at the same sample, then each alone
/// at each of its samples while the others stay at their first, then some at (reproducible)
/// random. False when all were tried.
fn combine(choices: &mut [&mut Choice], tries: usize) -> bool {
    let most = choices.iter().map(|c| c.options).max().unwrap_or(0);
    if tries < most {
        for choice in choices {
            choice.offset = tries;
        }
        return true;
    }
    let mut left = tries - most.max(1);
    for place in 0..choices.len() {
        let alone = choices[place].options.saturating_sub(1);
        if left < alone {
            for choice in &mut *choices {
                choice.offset = 0;
            }
            choices[place].offset = left + 1;
            return true;
        }
        left -= alone;
    }
    // Only several choices have combinations that are not tried yet.
    if choices.len() < 2 || left >= RANDOM_COMBINATIONS {
        return false;
    }
    for (place, choice) in choices.iter_mut().enumerate() {
        choice.offset = scramble(left, place) % choice.options.max(1);
    }
    true
}

/// A number without pattern for each pair (splitmix64, Steele et al. 2014).
fn scramble(round: usize, place: usize) -> usize {
    let mut z = (round as u64) << 32 | place as u64;
    z = z.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (z ^ (z >> 31)) as usize
}
