//! Attacks on Rivermesh, each of which must get nowhere.
//!
//! The node under attack is a process of its own, so that its memory can be measured. While the
//! attack runs it exchanges items with an honest node in both directions; the oracle judges them.
//!
//! | module | story |
//! | --- | --- |
//! | [`victim`] | what the attacked process is told and what it tells |
//! | [`arena`] | the attacked process, its honest peer, and what both must have at the end |
//! | `attackers` | where the attackers' tasks run |
//! | [`figures`] | what an attack costs the honest |
//! | [`bait`] | the stream that hostile producers produce |
//! | [`proxy`] | a path that is longer than loopback |
//!
//! The attacker itself is [`rivermesh_tests::raw`]. `tests/attacks` has the attacks, and README.md
//! says which defence each of them is about and how the test was made to fail.

pub mod arena;
mod attackers;
pub mod bait;
pub mod figures;
pub mod proxy;
pub mod victim;
