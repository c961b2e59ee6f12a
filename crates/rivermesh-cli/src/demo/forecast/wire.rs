//! What the processes of the second half tell the parent. Hours are numbers since 1970, in UTC.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::demo::ranges::Ranges;

/// From a child to the parent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "word", rename_all = "snake_case")]
pub(in crate::demo) enum Word {
    /// A station has sent so many readings again, so many of them after a later one.
    Sent { count: u64, behind: u64, done: bool },
    /// Nothing has come from these stations for the hours `from..to`.
    Missing {
        from: u64,
        to: u64,
        stations: Vec<String>,
    },
    /// A reading has come too late for its hour.
    Late { station: String, hour: u64 },
    /// Where the forecaster stands.
    Forecast(Progress),
    /// All that the forecaster has seen.
    ForecastBooks(Books),
    /// Where the alert node stands.
    Alerts(Alerts),
    /// All that the alert node got.
    AlertBooks(Alerts),
}

/// Where the forecaster stands.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::demo) struct Progress {
    /// Hours grouped, and the predictions that were made of them.
    pub(in crate::demo) hours: u64,
    /// Readings in them.
    pub(in crate::demo) grouped: u64,
    /// Readings that came too late for their hour.
    pub(in crate::demo) late: u64,
    /// Times that a station was missing in an hour.
    pub(in crate::demo) missing: u64,
    /// The newest prediction.
    pub(in crate::demo) newest: Option<Outlined>,
}

/// The outlines of a prediction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(in crate::demo) struct Outlined {
    pub(in crate::demo) hour: u64,
    /// Mean temperature in °F.
    pub(in crate::demo) temp: Option<f64>,
    /// Its change in °F an hour.
    pub(in crate::demo) trend: Option<f64>,
    /// How likely rain is, from 0 to 1.
    pub(in crate::demo) rain: Option<f64>,
}

/// All that the forecaster has seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::demo) struct Books {
    /// The hours that it has grouped.
    pub(in crate::demo) hours: Ranges,
    /// Hours that came again or before an earlier one, or were left out in between.
    pub(in crate::demo) disordered: u64,
    /// What it got, by station.
    pub(in crate::demo) stations: BTreeMap<String, OfStation>,
    /// Hours whose prediction the alert node asks for.
    pub(in crate::demo) alerts: Ranges,
    /// The wrapping sum of their digests.
    pub(in crate::demo) alert_digest: u64,
}

/// What the forecaster got of one station.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::demo) struct OfStation {
    /// Hours that have its reading.
    pub(in crate::demo) grouped: Ranges,
    /// Hours that it was named as missing in.
    pub(in crate::demo) missing: Ranges,
    /// Hours of readings that came too late.
    pub(in crate::demo) late: Ranges,
    /// Readings of an hour that had come before.
    pub(in crate::demo) repeated: u64,
    /// The wrapping sum of [`rivermesh_weather::Reading::digest`] over all of them, with their hours.
    pub(in crate::demo) digest: u64,
}

/// What the alert node got.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(in crate::demo) struct Alerts {
    /// Hours that it was alerted of.
    pub(in crate::demo) hours: Ranges,
    /// Predictions that it got a second time.
    pub(in crate::demo) repeated: u64,
    /// Predictions that it got without having asked for them.
    pub(in crate::demo) unasked: u64,
    /// Predictions that its filter left where they were made.
    pub(in crate::demo) filtered: u64,
    /// Predictions that were reported to it as missed.
    pub(in crate::demo) missed: u64,
    /// The wrapping sum of the digests of what it got.
    pub(in crate::demo) digest: u64,
    /// The newest alert.
    pub(in crate::demo) newest: Option<Outlined>,
}
