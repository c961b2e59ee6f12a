//! What the example `weather` computes, without the network: the stations' readings, how they are
//! delayed, how they are grouped again, and what is foretold from them.

mod data;
mod delay;
mod forecast;
mod group;

pub use self::{
    data::{HOUR, Reading, STATIONS, readings},
    delay::{Delays, delayed},
    forecast::{Forecaster, Prediction},
    group::{Group, Grouped, group},
};
