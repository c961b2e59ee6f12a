//! Skeleton.

extern crate self as rivermesh;

pub(crate) mod net;
pub(crate) mod task;
