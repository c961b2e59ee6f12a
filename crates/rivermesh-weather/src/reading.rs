//! The readings of the weather file.

use std::{
    hash::{DefaultHasher, Hasher},
    io::Read,
    str::FromStr,
    time::Duration,
};

use csv::StringRecord;
use rivermesh::{Datum, flow::EventTime};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The weather file, gzip'ed, as it is compiled in; `data/README.md` says whose it is.
pub const WEATHER_GZ: &[u8] = include_bytes!("../data/weather.csv.gz");

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
    /// Local year.
    pub year: u16,
    /// Local month, 1 to 12.
    pub month: u8,
    /// Local day, 1 to 31.
    pub day: u8,
    /// Local hour, 0 to 23.
    pub hour: u8,
    /// Temperature in °F.
    pub temp: Option<f64>,
    /// Dew point in °F.
    pub dewp: Option<f64>,
    /// Relative humidity in percent.
    pub humid: Option<f64>,
    /// Wind direction in degrees.
    pub wind_dir: Option<u16>,
    /// Wind speed in miles per hour.
    pub wind_speed: Option<f64>,
    /// Speed of gusts in miles per hour.
    pub wind_gust: Option<f64>,
    /// Precipitation in inches.
    pub precip: Option<f64>,
    /// Pressure at sea level in millibars.
    pub pressure: Option<f64>,
    /// Visibility in miles.
    pub visib: Option<f64>,
}

impl Reading {
    /// Time of the observation.
    pub fn at(&self) -> EventTime {
        EventTime::from_secs(self.at_secs)
    }

    /// A hash of the content and of a number, such as its place in the stream. Summed over all items
    /// received, it proves content and numbering without a journal of every item. It is the same in all
    /// processes of one build.
    pub fn digest(&self, number: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(number);
        hasher.write(self.station.as_bytes());
        hasher.write_u64(self.at_secs);
        for number in [
            self.year,
            self.month.into(),
            self.day.into(),
            self.hour.into(),
        ] {
            hasher.write_u16(number);
        }
        hasher.write_u32(self.wind_dir.map_or(u32::MAX, u32::from));
        for number in [
            self.temp,
            self.dewp,
            self.humid,
            self.wind_speed,
            self.wind_gust,
            self.precip,
            self.pressure,
            self.visib,
        ] {
            hasher.write_u64(number.map_or(u64::MAX, f64::to_bits));
        }
        hasher.finish()
    }
}

/// Why the readings cannot be had: the file that was compiled in is damaged, or has no such station.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadingsError {
    /// It cannot be decompressed.
    #[error("cannot decompress the weather file")]
    Decompress(#[source] std::io::Error),
    /// It is no table.
    #[error("the weather file is damaged")]
    Table(#[source] csv::Error),
    /// A row lacks a column.
    #[error("a row of the weather file is short")]
    Short,
    /// A field is not what its column has.
    #[error("the weather file has no number or time where it says {0:?}")]
    Field(String),
    /// No row is of this station.
    #[error("the weather file has no station {0}")]
    NoStation(String),
}

/// All readings, in the order of the file: station by station, each by time.
///
/// # Errors
/// When the file that was compiled in is damaged.
pub fn readings() -> Result<Vec<Reading>, ReadingsError> {
    read(|_| true)
}

/// All readings of one station, by time.
///
/// # Errors
/// When the file that was compiled in is damaged, or has no such station.
pub fn readings_of(station: &str) -> Result<Vec<Reading>, ReadingsError> {
    let readings = read(|of| of == station)?;
    if readings.is_empty() {
        return Err(ReadingsError::NoStation(station.to_owned()));
    }
    Ok(readings)
}

fn read(is_wanted: impl Fn(&str) -> bool) -> Result<Vec<Reading>, ReadingsError> {
    let mut text = String::new();
    let mut file = flate2::bufread::GzDecoder::new(WEATHER_GZ);
    let read = file.read_to_string(&mut text);
    read.map_err(ReadingsError::Decompress)?;
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let mut readings = Vec::new();
    for row in rows.records() {
        let row = row.map_err(ReadingsError::Table)?;
        if is_wanted(field(&row, 0)?) {
            readings.push(reading(&row)?);
        }
    }
    Ok(readings)
}

fn reading(row: &StringRecord) -> Result<Reading, ReadingsError> {
    let time = field(row, 14)?;
    Ok(Reading {
        station: field(row, 0)?.to_owned(),
        at_secs: seconds(time).ok_or_else(|| ReadingsError::Field(time.to_owned()))?,
        year: number(row, 1)?,
        month: number(row, 2)?,
        day: number(row, 3)?,
        hour: number(row, 4)?,
        temp: measured(row, 5)?,
        dewp: measured(row, 6)?,
        humid: measured(row, 7)?,
        wind_dir: measured(row, 8)?,
        wind_speed: measured(row, 9)?,
        wind_gust: measured(row, 10)?,
        precip: measured(row, 11)?,
        pressure: measured(row, 12)?,
        visib: measured(row, 13)?,
    })
}

fn field(row: &StringRecord, at: usize) -> Result<&str, ReadingsError> {
    row.get(at).ok_or(ReadingsError::Short)
}

fn number<T: FromStr>(row: &StringRecord, at: usize) -> Result<T, ReadingsError> {
    let text = field(row, at)?;
    let number = text.parse();
    number.map_err(|_| ReadingsError::Field(text.to_owned()))
}

fn measured<T: FromStr>(row: &StringRecord, at: usize) -> Result<Option<T>, ReadingsError> {
    if field(row, at)? == "NA" {
        return Ok(None);
    }
    number(row, at).map(Some)
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
    fn every_row_of_the_file_belongs_to_a_station() {
        let counts = STATIONS.map(|station| readings_of(station).unwrap().len());
        assert_eq!(counts, [8703, 8706, 8706]);
        let all = readings().unwrap();
        assert_eq!(all.len(), 26_115);
        let stations = STATIONS.iter().flat_map(|one| readings_of(one).unwrap());
        assert_eq!(all, stations.collect::<Vec<_>>());
        assert!(matches!(
            readings_of("SFO"),
            Err(ReadingsError::NoStation(_))
        ));
    }

    #[test]
    fn fields_are_as_in_the_file() {
        let readings = readings_of("EWR").unwrap();
        let first = &readings[0];
        assert_eq!(
            (first.year, first.month, first.day, first.hour),
            (2013, 1, 1, 1)
        );
        assert_eq!(
            (first.temp, first.wind_dir, first.wind_gust),
            (Some(39.02), Some(270), None)
        );
        assert_eq!((first.humid, first.pressure), (Some(59.37), Some(1012.0)));
        assert_eq!(first.at_secs, seconds("2013-01-01T06:00:00Z").unwrap());
        assert!(readings.iter().all(|reading| reading.station == "EWR"));
        assert!(readings.is_sorted_by_key(|reading| reading.at_secs));
    }

    #[test]
    fn the_digest_tells_content_and_place_apart() {
        let readings = readings_of("JFK").unwrap();
        let digest = readings[5].digest(5);
        assert_eq!(digest, readings[5].clone().digest(5));
        assert_ne!(digest, readings[5].digest(6));
        assert_ne!(digest, readings[6].digest(5));
        let mut wet = readings[5].clone();
        wet.precip = wet.precip.map(|inches| inches + 0.01);
        assert_ne!(digest, wet.digest(5));
        let mut later = readings[5].clone();
        later.at_secs += 3600;
        assert_ne!(digest, later.digest(5));
    }
}
