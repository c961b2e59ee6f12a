//! Skeleton.

pub mod discovery;
pub(crate) mod net;
pub(crate) mod producer;
pub(crate) mod task;
