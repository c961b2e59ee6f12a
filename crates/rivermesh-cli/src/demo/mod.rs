//! `rivermesh demo`: three weather stations, two consumers, a forecaster and an alert node, each a process
//! of its own.
//!
//! In the first half the stations send their hours to the consumers; in the second ([`mod@forecast`]) they
//! send them again, out of order and late, to the forecaster, whose predictions the alert node filters.
//!
//! The parent ([`run`]) runs no node: it only hears what its children report, and audits that
//! ([`account`]) against the weather file. The children ([`station`], [`consumer`], [`forecaster`],
//! [`alert`]) are nodes.

mod account;
mod board;
mod child;
mod consumer;
mod forecast;
mod live;
mod ranges;
mod rate;
mod run;
mod station;
mod summary;
mod tally;
mod wire;

pub(crate) use consumer::run as consumer;
pub(crate) use forecast::{alert::run as alert, forecaster::run as forecaster};
pub(crate) use run::run;
pub(crate) use station::run as station;
