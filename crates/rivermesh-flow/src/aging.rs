//! Which of many keys has been quiet the longest.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Keys by the moment at which they were last heard. Hearing a key costs nothing here: its place is
/// put right when it comes to the top. One entry per key, so it is bounded by what bounds the keys.
#[derive(Debug)]
pub(crate) struct Aging<K, At>(BinaryHeap<Entry<K, At>>);

#[derive(Debug)]
struct Entry<K, At> {
    key: K,
    at: At,
}

impl<K, At: Ord + Copy> Aging<K, At> {
    pub(crate) fn new() -> Self {
        Self(BinaryHeap::new())
    }

    /// Adds a key, which must not be here already.
    pub(crate) fn add(&mut self, key: K, at: At) {
        self.0.push(Entry { key, at });
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// A moment before which no key can have been heard last.
    pub(crate) fn bound(&self) -> Option<At> {
        self.0.peek().map(|entry| entry.at)
    }

    /// The key that was heard least recently, with when that was. `heard` says it of each key, and
    /// `None` for one that is to be forgotten here.
    pub(crate) fn oldest(&mut self, heard: impl Fn(&K) -> Option<At>) -> Option<(&K, At)> {
        while let Some(mut top) = self.0.peek_mut() {
            match heard(&top.key) {
                None => {
                    std::collections::binary_heap::PeekMut::pop(top);
                }
                Some(at) if at > top.at => top.at = at,
                Some(_) => break,
            }
        }
        self.0.peek().map(|entry| (&entry.key, entry.at))
    }

    /// Takes out the key that `oldest` has given.
    pub(crate) fn pop(&mut self) -> Option<K> {
        self.0.pop().map(|entry| entry.key)
    }
}

/// The heap's top is the greatest, so the earliest is made that.
impl<K, At: Ord> Ord for Entry<K, At> {
    fn cmp(&self, other: &Self) -> Ordering {
        other.at.cmp(&self.at)
    }
}

impl<K, At: Ord> PartialOrd for Entry<K, At> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<K, At: Ord> PartialEq for Entry<K, At> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<K, At: Ord> Eq for Entry<K, At> {}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gives_the_least_recently_heard(ops in prop::collection::vec((0_u8..6, any::<bool>()), 1..60)) {
            let (mut aging, mut heard) = (Aging::new(), HashMap::new());
            for (at, (key, forget)) in ops.into_iter().enumerate() {
                if forget {
                    // Settled first: a key must not be added while its old entry is still here.
                    heard.remove(&key);
                    while aging.oldest(|key| heard.get(key).copied()).is_some_and(|(_, at)| !heard.values().any(|v| *v == at)) {}
                    let rest: Vec<_> = std::iter::from_fn(|| aging.pop()).filter(|k| heard.contains_key(k)).collect();
                    for key in rest { aging.add(key, heard[&key]); }
                } else if heard.insert(key, at).is_none() {
                    aging.add(key, at);
                }
                let expected = heard.iter().min_by_key(|(_, at)| **at).map(|(key, at)| (*key, *at));
                prop_assert!(aging.bound() <= expected.map(|(_, at)| at));
                let oldest = aging.oldest(|key| heard.get(key).copied());
                prop_assert_eq!(oldest.map(|(key, at)| (*key, at)), expected);
            }
        }
    }
}
