//! `rivermesh demo`: three weather stations and two consumers, each a process of its own.
//!
//! The parent ([`run`]) runs no node: it only hears what its children report, and audits that
//! ([`account`]) against the weather file. The children ([`station`], [`consumer`]) are nodes.

mod account;
mod board;
mod child;
mod consumer;
mod live;
mod ranges;
mod run;
mod station;
mod summary;
mod tally;
mod weather;
mod wire;

pub(crate) use consumer::run as consumer;
pub(crate) use run::run;
pub(crate) use station::run as station;
#[cfg(test)]
pub(crate) use weather::WEATHER_GZ;
