//! What is foretold from the grouped hours. The rules are simple, and no meteorology.

use std::{
    collections::VecDeque,
    hash::{DefaultHasher, Hasher},
};

use rivermesh::Datum;
use serde::{Deserialize, Serialize};

use super::Group;

/// How many hours the trend looks back.
const HOURS: usize = 6;

/// What the alert node asks for. The forecaster's node evaluates it: no other prediction travels.
pub const RAIN_ALERT: &str = "rain > 0.97";

/// What is foretold after an hour.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Datum)]
#[datum(name = "weather/prediction")]
pub struct Prediction {
    /// The hour that it was made from, in seconds since 1970 UTC.
    pub at_secs: u64,
    /// The stations of which nothing came for this hour.
    pub missing: Vec<String>,
    /// The mean temperature of the stations in °F.
    pub temp: Option<f64>,
    /// How the mean temperature has changed in the last six hours, in °F an hour.
    pub trend: Option<f64>,
    /// How likely rain is by humidity, pressure and its change: from 0 to 1.
    pub rain: Option<f64>,
}

impl Prediction {
    /// What [`RAIN_ALERT`] says, decided here.
    pub fn is_alert(&self) -> bool {
        self.rain.is_some_and(|rain| rain > 0.97)
    }

    /// A hash of the content, the same in all processes of one build.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(self.at_secs);
        for station in &self.missing {
            hasher.write(station.as_bytes());
        }
        for number in [self.temp, self.trend, self.rain] {
            hasher.write_u64(number.map_or(u64::MAX, f64::to_bits));
        }
        hasher.finish()
    }
}

/// Remembers the last hours and foretells from them.
#[derive(Debug, Default)]
pub struct Forecaster {
    temps: VecDeque<(f64, f64)>,
    pressures: VecDeque<(f64, f64)>,
}

impl Forecaster {
    /// What is foretold after an hour. Hours must come in order.
    pub fn after(&mut self, group: &Group) -> Prediction {
        let at_secs = group.start.as_secs();
        let hour = at_secs as f64 / 3600.0;
        let readings = || {
            group
                .values
                .iter()
                .filter_map(|(_, newest)| newest.as_ref())
        };
        let temp = mean(readings().filter_map(|(_, reading)| reading.temp));
        let humid = mean(readings().filter_map(|(_, reading)| reading.humid));
        let pressure = mean(readings().filter_map(|(_, reading)| reading.pressure));
        remember(&mut self.temps, hour, temp);
        remember(&mut self.pressures, hour, pressure);
        let falling = slope(&self.pressures).unwrap_or(0.0);
        let rain = humid.zip(pressure).map(|(humid, pressure)| {
            // Damp air, low pressure, and pressure that falls each speak for rain.
            let signs = (humid - 85.0) / 8.0 + (1010.0 - pressure) / 6.0 - falling;
            1.0 / (1.0 + (-signs).exp())
        });
        Prediction {
            at_secs,
            missing: group.missing.clone(),
            temp,
            trend: slope(&self.temps),
            rain,
        }
    }
}

fn remember(past: &mut VecDeque<(f64, f64)>, hour: f64, number: Option<f64>) {
    past.retain(|(then, _)| hour - then < HOURS as f64);
    past.extend(number.map(|number| (hour, number)));
}

fn mean(numbers: impl Iterator<Item = f64>) -> Option<f64> {
    let (count, sum) = numbers.fold((0, 0.0), |(count, sum), number| (count + 1, sum + number));
    (count > 0).then(|| sum / f64::from(count))
}

/// The slope of the line through the points that has the least squares.
fn slope(points: &VecDeque<(f64, f64)>) -> Option<f64> {
    let x = mean(points.iter().map(|(x, _)| *x))?;
    let y = mean(points.iter().map(|(_, y)| *y))?;
    let spread: f64 = points.iter().map(|(at, _)| (at - x).powi(2)).sum();
    let common: f64 = points.iter().map(|(at, of)| (at - x) * (of - y)).sum();
    (spread > 0.0).then(|| common / spread)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_its_slope() {
        let line: VecDeque<_> = (0..5)
            .map(|x| (f64::from(x), 3.0 - 2.0 * f64::from(x)))
            .collect();
        assert!((slope(&line).unwrap() + 2.0).abs() < 1e-9);
        assert_eq!(slope(&VecDeque::from([(1.0, 2.0)])), None);
        assert_eq!(mean(std::iter::empty()), None);
    }
}
