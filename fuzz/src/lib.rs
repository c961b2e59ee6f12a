//! What the fuzzer calls; see `targets`. The lib itself does not need a fuzzer.

mod targets;

pub use targets::*;
