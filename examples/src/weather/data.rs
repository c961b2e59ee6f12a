//! The readings of the weather file.

use std::{io::Read, time::Duration};

use rivermesh::{Datum, flow::EventTime};
use serde::{Deserialize, Serialize};

use crate::Result;

/// The file that the command line's demo streams too; `data/README.md` beside it says whose it is.
const WEATHER_GZ: &[u8] = include_bytes!("../../../crates/rivermesh-cli/data/weather.csv.gz");

/// The stations of the file.
pub const STATIONS: [&str; 3] = ["EWR", "JFK", "LGA"];

/// The distance of a station's readings.
pub const HOUR: Duration = Duration::from_secs(3600);

/// One hourly observation. What the file gives as NA is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Datum)]
#[datum(name = "weather/reading", key = "station")]
pub struct Reading {
    /// One of [`STATIONS`].
    pub station: String,
    /// Time of the observation, in seconds since 1970 UTC.
    pub at_secs: u64,
    /// Temperature in °F.
    pub temp: Option<f64>,
    /// Relative humidity in percent.
    pub humid: Option<f64>,
    /// Pressure at sea level in millibars.
    pub pressure: Option<f64>,
}

impl Reading {
    /// Time of the observation.
    pub fn at(&self) -> EventTime {
        EventTime::from_secs(self.at_secs)
    }
}

/// All readings, in the order of the file: station by station, each by time.
///
/// # Errors
/// When the file that was compiled in is damaged.
pub fn readings() -> Result<Vec<Reading>> {
    let mut text = String::new();
    flate2::bufread::GzDecoder::new(WEATHER_GZ).read_to_string(&mut text)?;
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let columns = rows.headers()?.clone();
    let column = |name: &str| {
        let at = columns.iter().position(|column| column == name);
        at.ok_or_else(|| format!("the weather file has no column {name}"))
    };
    let (station, time) = (column("origin")?, column("time_hour")?);
    let (temp, humid, pressure) = (column("temp")?, column("humid")?, column("pressure")?);
    let mut readings = Vec::new();
    for row in rows.records() {
        let row = row?;
        let field = |at: usize| row.get(at).ok_or("a row of the weather file is short");
        readings.push(Reading {
            station: field(station)?.to_owned(),
            at_secs: seconds(field(time)?).ok_or("a time of the weather file is none")?,
            temp: number(field(temp)?)?,
            humid: number(field(humid)?)?,
            pressure: number(field(pressure)?)?,
        });
    }
    Ok(readings)
}

fn number(field: &str) -> Result<Option<f64>> {
    if field == "NA" {
        return Ok(None);
    }
    Ok(Some(field.parse()?))
}

/// Seconds since 1970 of a time like `2013-01-01T06:00:00Z`.
fn seconds(text: &str) -> Option<u64> {
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let part = |text: &str| text.parse::<u64>().ok();
    let [year, month, day] = date.split('-').map(part).collect::<Option<Vec<_>>>()?[..] else {
        return None;
    };
    let [hour, minute, second] = time.split(':').map(part).collect::<Option<Vec<_>>>()?[..] else {
        return None;
    };
    // A year that begins in March ends with the day that is not always there.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    let days = 365 * year + leap_days + (153 * month + 2) / 5 + day - 1;
    // Days from the first of March of the year 0 to the first of January of 1970.
    let days = days.checked_sub(719_468)?;
    Some(((days * 24 + hour) * 60 + minute) * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        assert_eq!(seconds("1970-01-01T00:00:00Z"), Some(0));
        assert_eq!(seconds("2000-02-29T12:00:01Z"), Some(951_825_601));
        assert_eq!(seconds("2013-12-31T23:59:59Z"), Some(1_388_534_399));
        assert_eq!(seconds("2013-12-31"), None);
    }

    #[test]
    fn every_row_is_read() {
        let readings = readings().unwrap();
        assert_eq!(readings.len(), 26_115);
        let first = &readings[0];
        assert_eq!(
            (first.station.as_str(), first.at_secs),
            ("EWR", 1_357_020_000)
        );
        assert_eq!(
            (first.temp, first.humid, first.pressure),
            (Some(39.02), Some(59.37), Some(1012.0))
        );
        assert!(
            readings
                .iter()
                .all(|reading| STATIONS.contains(&reading.station.as_str()))
        );
    }
}
