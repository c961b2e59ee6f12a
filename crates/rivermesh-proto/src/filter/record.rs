//! What an item was found to have at the places that filters ask for. Reused for every item.

use super::{fields::Fields, number::Number, value::Value};

/// Bytes of text that are kept for the next item; what a larger item needed is given back.
const KEPT: usize = 256 * 1024;
/// Elements of lists that are kept for the next item.
const KEPT_ELEMENTS: usize = 16 * 1024;

#[derive(Debug, Default)]
pub(super) struct Record {
    /// The number of the present item. A slot with another one is empty, so that none has to be
    /// emptied.
    item: u64,
    slots: Vec<Slot>,
    /// The slots that are not empty.
    filled: Vec<u32>,
    text: String,
    lists: Vec<Vec<Found>>,
    lists_used: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    item: u64,
    found: Found,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) enum Found {
    Bool(bool),
    Number(Number),
    /// A range of `Record::text`.
    Text(usize, usize),
    /// The name of a variant.
    Name(&'static str),
    /// The number of a list in `Record::lists`.
    List(usize),
    #[default]
    Other,
}

impl Record {
    /// Forgets the last item.
    pub(super) fn begin(&mut self, fields: &Fields) {
        self.item += 1;
        self.slots.resize_with(fields.len(), Slot::default);
        self.filled.clear();
        self.text.clear();
        if self.text.capacity() > KEPT {
            self.text = String::new();
        }
        for list in &mut self.lists[..self.lists_used] {
            list.clear();
        }
        if self.lists.iter().map(Vec::capacity).sum::<usize>() > KEPT_ELEMENTS {
            self.lists = Vec::new();
        }
        self.lists_used = 0;
    }

    /// About how many bytes it keeps.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let lists: usize = self.lists.iter().map(Vec::capacity).sum();
        self.text.capacity() + lists * size_of::<Found>()
    }

    #[inline]
    pub(super) fn put(&mut self, slot: u32, found: Found) {
        let place = &mut self.slots[slot as usize];
        if place.item != self.item {
            place.item = self.item;
            self.filled.push(slot);
        }
        place.found = found;
    }

    /// Keeps a text.
    #[inline]
    pub(super) fn keep(&mut self, text: &str) -> Found {
        let start = self.text.len();
        self.text.push_str(text);
        Found::Text(start, self.text.len())
    }

    /// Begins a list.
    pub(super) fn list(&mut self) -> usize {
        if self.lists_used == self.lists.len() {
            self.lists.push(Vec::new());
        }
        self.lists_used += 1;
        self.lists_used - 1
    }

    #[inline]
    pub(super) fn push(&mut self, list: usize, found: Found) {
        self.lists[list].push(found);
    }

    /// The slots that are not empty.
    pub(super) fn filled(&self) -> &[u32] {
        &self.filled
    }

    #[inline]
    fn found(&self, slot: u32) -> Option<Found> {
        let slot = self.slots.get(slot as usize)?;
        (slot.item == self.item).then_some(slot.found)
    }

    #[inline]
    pub(super) fn value(&self, slot: u32) -> Option<Value<'_>> {
        self.found(slot).map(|found| self.shown(found))
    }

    fn shown(&self, found: Found) -> Value<'_> {
        match found {
            Found::Bool(value) => Value::Bool(value),
            Found::Number(number) => Value::Number(number),
            // `keep` made the range, and the text only grows while the item is the same.
            Found::Text(start, end) => Value::Text(self.text.get(start..end).unwrap_or_default()),
            Found::Name(name) => Value::Text(name),
            Found::List(_) | Found::Other => Value::Other,
        }
    }

    pub(super) fn has(&self, slot: u32) -> bool {
        self.found(slot).is_some()
    }

    pub(super) fn is_true(&self, slot: u32) -> bool {
        matches!(self.found(slot), Some(Found::Bool(true)))
    }

    pub(super) fn text(&self, slot: u32) -> Option<&str> {
        match self.value(slot)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The elements of a list; none of what is no list.
    pub(super) fn elements(&self, slot: u32) -> impl Iterator<Item = Value<'_>> {
        let list = match self.found(slot) {
            Some(Found::List(list)) => self.lists.get(list).map(Vec::as_slice),
            _ => None,
        };
        let found = list.unwrap_or_default();
        found.iter().map(|found| self.shown(*found))
    }
}
