//! The stream that hostile producers produce.

use rivermesh::{Datum, Epoch, Fingerprint, StreamAdvert, StreamName};
use serde::{Deserialize, Serialize};

/// The stream's name.
pub const BAIT: &str = "bait";

/// An item with everything in it that can claim a length.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Datum)]
#[datum(name = "bait")]
pub struct Bait {
    /// A list of fixed elements.
    pub numbers: Vec<u64>,
    /// A list of elements that claim lengths themselves.
    pub words: Vec<String>,
}

/// The shape of the items.
///
/// # Panics
/// Never: the type has a schema.
#[must_use]
pub fn fingerprint() -> Fingerprint {
    match Bait::schema() {
        Ok(Some(schema)) => schema.fingerprint(),
        other => panic!("{other:?}"),
    }
}

/// What a producer of the stream says of it in its entry.
///
/// # Panics
/// Never: the name is one.
#[must_use]
pub fn advert(epoch: u64) -> StreamAdvert {
    match StreamName::new(BAIT) {
        Ok(name) => StreamAdvert {
            name,
            fingerprint: fingerprint(),
            epoch: Epoch(epoch),
        },
        Err(error) => panic!("{error}"),
    }
}
