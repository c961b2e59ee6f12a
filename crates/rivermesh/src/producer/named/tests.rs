//! The state machines, against naive models, over random sequences of operations.

mod alone;
mod group;
mod stage;
