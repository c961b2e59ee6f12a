//! The weather application of `rivermesh demo` and of the example `weather`: what it computes, in one
//! place, so that both show the same. Nodes and tasks are theirs.
//!
//! | module | story |
//! | --- | --- |
//! | `reading` | the stations' real hours, from the file that is compiled in |
//! | `delay` | how they come too late, by a seeded model |
//! | `group` | grouping them again hour by hour |
//! | `forecast` | what is foretold from the hours |
//! | `ended` | the items of several producers as one stream that ends |

mod delay;
mod ended;
mod forecast;
mod group;
mod reading;

pub use self::{
    delay::{Delays, delayed},
    ended::until_ended,
    forecast::{Forecaster, Prediction, RAIN_ALERT},
    group::{Group, Grouped, SILENT, group},
    reading::{HOUR, Reading, ReadingsError, STATIONS, WEATHER_GZ, readings, readings_of},
};
