//! `rivermesh bench`: one producing and one consuming process over QUIC on loopback.

mod consumers;
mod cpu;
mod report;
mod run;
mod wire;

pub(crate) use consumers::run as consumers;
pub(crate) use run::run;
