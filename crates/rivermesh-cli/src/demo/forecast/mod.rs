//! The second half of the demo: the stations send the same hours again, out of order and late; a
//! forecaster puts them in order, groups them by the hour and publishes predictions; an alert node gets
//! those that its filter asks for. What is computed stands in `rivermesh-weather`.
//!
//! | module | story |
//! | --- | --- |
//! | `wire` | what these processes tell the parent |
//! | `again` | a station sends its hours again |
//! | `forecaster`, `alert` | the two processes |
//! | `desk` | what the forecaster writes down, without I/O |
//! | `outlook` | what the parent knows of it, without I/O |
//! | `audit` | what became of every reading and prediction |
//! | `summary` | the audit, for programs and for people |

pub(super) mod again;
pub(super) mod alert;
mod audit;
mod desk;
pub(super) mod forecaster;
pub(super) mod outlook;
pub(super) mod summary;
pub(super) mod wire;

/// The stream of the readings that come late.
const DELAYED: &str = "weather/delayed";

/// The tag by which the stations know the forecaster; it is the name of the hidden subcommand.
pub(super) const FORECASTER_TAG: &str = "demo-forecaster";

/// The tag by which the forecaster knows the alert node; it is the name of the hidden subcommand.
pub(super) const ALERT_TAG: &str = "demo-alert";

/// The number of an hour: how many have passed since 1970.
fn number(at_secs: u64) -> u64 {
    at_secs / rivermesh_weather::HOUR.as_secs()
}

/// An hour for people, by its number: `2013-01-01 06:00`, in UTC.
fn named(hour: u64) -> String {
    let secs = hour.saturating_mul(rivermesh_weather::HOUR.as_secs());
    let mut date = rivermesh::admission::date(secs);
    date.truncate("2013-01-01 06:00".len());
    date
}
