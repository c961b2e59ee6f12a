//! What the multi-node tests of Rivermesh stand on.
//!
//! | module | story |
//! | --- | --- |
//! | [`oracle`] | one judge for every test of delivery: payloads, journals, the check |
//! | [`wait`] | conditions with deadlines instead of sleeps |
//! | [`process`] | what a process holds (memory, descriptors, threads), and whether that stays flat |
//! | [`driver`], [`recorder`] | the oracle's journals, kept by the SDK's handles |
//! | [`cluster`], [`host`] | nodes on loopback, and runtimes that can be frozen under them |
//! | [`peer`] | nodes in processes of their own, to be killed |
//! | [`raw`] | a peer that speaks the protocol by hand, and whatever else it likes |
//! | [`witness`] | a consumer that keeps what it was told of each number |
//! | [`seed`] | the seed of a run, from the environment or random, printed when the test fails |
//!
//! The oracle depends on nothing of the code under test but the names of things in
//! `rivermesh-proto`, so that a fault in the runtime cannot hide itself in the judge.

pub mod cluster;
pub mod driver;
pub mod host;
pub mod oracle;
pub mod peer;
pub mod process;
pub mod raw;
pub mod recorder;
pub mod seed;
pub mod wait;
pub mod witness;
