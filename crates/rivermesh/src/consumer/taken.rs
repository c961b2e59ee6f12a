//! The names that consumers of a node acknowledge under.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rivermesh_proto::named::{ConsumerName, Named, Share};

use super::pattern::Streams;

/// The names that consumers of this node have: for each stream one consumer each, or they would take
/// their items from each other without end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Taken(Arc<Mutex<Vec<Arc<Use>>>>);

/// A name, and for which streams it is taken.
#[derive(Debug)]
struct Use {
    name: ConsumerName,
    streams: Arc<Streams>,
}

/// A consumer's name on this node; free again when dropped.
#[derive(Debug)]
pub(super) struct Name {
    taken: Taken,
    used: Arc<Use>,
}

impl Taken {
    fn uses(&self) -> MutexGuard<'_, Vec<Arc<Use>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a name, unless another consumer has it for a stream that may be among these. One that is
    /// shared needs not be taken.
    pub(super) fn take(
        &self,
        streams: &Arc<Streams>,
        named: &Named,
    ) -> Result<Option<Name>, InUse> {
        if named.share != Share::Alone {
            return Ok(None);
        }
        let used = Arc::new(Use {
            name: named.name.clone(),
            streams: Arc::clone(streams),
        });
        let mut uses = self.uses();
        let clashes = |other: &Arc<Use>| other.name == used.name && other.streams.overlap(streams);
        if uses.iter().any(clashes) {
            return Err(InUse);
        }
        uses.push(Arc::clone(&used));
        drop(uses);
        let taken = self.clone();
        Ok(Some(Name { taken, used }))
    }
}

impl Drop for Name {
    fn drop(&mut self) {
        let mut uses = self.taken.uses();
        uses.retain(|used| !Arc::ptr_eq(used, &self.used));
    }
}

/// Another consumer of this node has the name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InUse;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_taken_once_for_a_stream() {
        use rivermesh_proto::{StreamName, filter::Pattern};

        let taken = Taken::default();
        let one = |name| Arc::new(Streams::One(StreamName::new(name).unwrap()));
        let matching = |pattern| {
            let pattern = Pattern::new(pattern).unwrap();
            Arc::new(Streams::Matching { pattern, max: 1 })
        };
        let named = |share| Named {
            name: ConsumerName::new("billing").unwrap(),
            share,
            max_in_flight: 0,
        };
        let alone = named(Share::Alone);
        let first = taken.take(&one("weather/jfk"), &alone).unwrap();
        assert!(first.is_some());
        assert!(taken.take(&one("weather/jfk"), &alone).is_err());
        assert!(taken.take(&matching("weather/*"), &alone).is_err());
        let shared = taken.take(&one("weather/jfk"), &named(Share::Key));
        assert!(shared.unwrap().is_none());
        let other = taken.take(&matching("flights/*"), &alone).unwrap();
        assert!(taken.take(&matching("*/jfk"), &alone).is_err());
        assert!(taken.take(&one("weather/lga"), &alone).unwrap().is_some());
        drop((first, other));
        let many = taken.take(&matching("*/jfk"), &alone).unwrap();
        assert!(taken.take(&one("flights/jfk"), &alone).is_err());
        drop(many);
        assert!(taken.take(&one("flights/jfk"), &alone).is_ok());
    }
}
