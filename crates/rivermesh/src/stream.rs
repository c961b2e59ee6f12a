//! Settings that all streams of a node share.

use std::time::Duration;

/// The waits between a consumer's attempts to reach a producer: uniformly random between 0 and a
/// cap that doubles with each failure from `min` up to `max`. Attempts go on for as long as the
/// catalog lists the producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// The first cap. Default 50 ms.
    pub min: Duration,
    /// The last cap. Default 2 s; more than 5 s is taken as 5 s.
    pub max: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self {
            min: Duration::from_millis(50),
            max: Duration::from_secs(2),
        }
    }
}

/// Settings that all streams of a node share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The waits between attempts to subscribe.
    pub retry: Retry,
    /// How long a consumer may take to read the rest when a stream has ended. Default 5 s.
    pub drain: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            retry: Retry::default(),
            drain: Duration::from_secs(5),
        }
    }
}
