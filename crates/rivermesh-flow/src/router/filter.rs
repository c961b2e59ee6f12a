//! What an output wants.

use std::{collections::HashSet, fmt, hash::Hash, sync::Arc};

type Predicate<T, K> = Arc<dyn Fn(&K, &T) -> bool + Send + Sync>;

/// Which items an output wants: by key, by a predicate, or both.
///
/// Wanting keys is cheap: an item finds those that want its key, however many others there are. A
/// predicate without keys is asked for every item.
pub struct Filter<T, K = ()> {
    keys: Option<Vec<K>>,
    when: Option<Predicate<T, K>>,
}

impl<T, K> Filter<T, K> {
    /// Every item.
    pub fn all() -> Self {
        Self {
            keys: None,
            when: None,
        }
    }

    /// Items for which a predicate says yes. If it panics, the output ends.
    pub fn item(when: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self {
        Self {
            keys: None,
            when: Some(Arc::new(move |_, item| when(item))),
        }
    }

    /// Items with a key for which a predicate says yes. If it panics, the output ends.
    pub fn key_where(when: impl Fn(&K) -> bool + Send + Sync + 'static) -> Self {
        Self {
            keys: None,
            when: Some(Arc::new(move |key, _| when(key))),
        }
    }

    /// Of the items that this filter wants, those for which a predicate says yes.
    pub fn and_item(mut self, when: impl Fn(&T) -> bool + Send + Sync + 'static) -> Self
    where
        T: 'static,
        K: 'static,
    {
        self.when = Some(match self.when.take() {
            None => Arc::new(move |_, item| when(item)),
            Some(first) => Arc::new(move |key, item| first(key, item) && when(item)),
        });
        self
    }

    pub(super) fn when(&self) -> Option<&Predicate<T, K>> {
        self.when.as_ref()
    }

    /// The keys that are wanted; `None` if that is not said by a list.
    pub(super) fn wanted(&self) -> Option<&[K]> {
        self.keys.as_deref()
    }
}

impl<T, K: Hash + Eq + Clone> Filter<T, K> {
    /// Items of one key.
    pub fn key(key: K) -> Self {
        Self::keys([key])
    }

    /// Items of any of these keys.
    pub fn keys(keys: impl IntoIterator<Item = K>) -> Self {
        // Once each: an output must not get an item twice.
        let keys: HashSet<K> = keys.into_iter().collect();
        Self {
            keys: Some(keys.into_iter().collect()),
            when: None,
        }
    }
}

impl<T, K: Clone> Clone for Filter<T, K> {
    fn clone(&self) -> Self {
        Self {
            keys: self.keys.clone(),
            when: self.when.clone(),
        }
    }
}

impl<T, K: fmt::Debug> fmt::Debug for Filter<T, K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Filter")
            .field("keys", &self.keys)
            .field("predicate", &self.when.is_some())
            .finish()
    }
}
