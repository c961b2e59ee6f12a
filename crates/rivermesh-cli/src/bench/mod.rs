//! `rivermesh bench`: one producing and one consuming process over QUIC on loopback.

mod cpu;
mod report;
mod wire;
