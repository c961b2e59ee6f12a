//! The readings that the demo streams.

use std::{
    hash::{DefaultHasher, Hasher},
    io::Read,
};

use color_eyre::eyre::{Context, OptionExt, Result, ensure};
use rivermesh::Datum;
use serde::{Deserialize, Serialize};

/// The weather file, gzip'ed; see `data/README.md`.
pub(crate) const WEATHER_GZ: &[u8] = include_bytes!("../../data/weather.csv.gz");

/// The stations of the file.
pub(crate) const STATIONS: [&str; 3] = ["EWR", "JFK", "LGA"];

/// One hourly observation. What the file gives as NA is `None`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Datum)]
#[datum(name = "weather/reading", key = "origin")]
pub(crate) struct Reading {
    /// Station.
    pub(crate) origin: String,
    /// Local year.
    pub(crate) year: u16,
    /// Local month, 1 to 12.
    pub(crate) month: u8,
    /// Local day, 1 to 31.
    pub(crate) day: u8,
    /// Local hour, 0 to 23.
    pub(crate) hour: u8,
    /// Temperature in °F.
    pub(crate) temp: Option<f64>,
    /// Dew point in °F.
    pub(crate) dewp: Option<f64>,
    /// Relative humidity in percent.
    pub(crate) humid: Option<f64>,
    /// Wind direction in degrees.
    pub(crate) wind_dir: Option<u16>,
    /// Wind speed in miles per hour.
    pub(crate) wind_speed: Option<f64>,
    /// Speed of gusts in miles per hour.
    pub(crate) wind_gust: Option<f64>,
    /// Precipitation in inches.
    pub(crate) precip: Option<f64>,
    /// Pressure at sea level in millibars.
    pub(crate) pressure: Option<f64>,
    /// Visibility in miles.
    pub(crate) visib: Option<f64>,
    /// Time of the observation, UTC.
    pub(crate) time_hour: String,
}

impl Reading {
    /// A hash of the content and of its place in the stream. Summed over all items received, it
    /// proves content and numbering without a journal of every item.
    pub(crate) fn digest(&self, seq: u64) -> u64 {
        let mut hasher = DefaultHasher::new();
        hasher.write_u64(seq);
        hasher.write(self.origin.as_bytes());
        hasher.write(self.time_hour.as_bytes());
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

/// All readings of one station, in the order of the file.
///
/// # Errors
/// When the file that was compiled in is damaged, or has no such station.
pub(crate) fn readings_of(origin: &str) -> Result<Vec<Reading>> {
    let mut text = String::new();
    flate2::bufread::GzDecoder::new(WEATHER_GZ)
        .read_to_string(&mut text)
        .wrap_err("cannot decompress the weather file")?;
    let mut rows = csv::Reader::from_reader(text.as_bytes());
    let mut readings = Vec::new();
    for row in rows.records() {
        let row = row.wrap_err("the weather file is damaged")?;
        if &row[0] == origin {
            readings.push(reading(&row)?);
        }
    }
    ensure!(
        !readings.is_empty(),
        "the weather file has no station {origin}"
    );
    Ok(readings)
}

fn reading(row: &csv::StringRecord) -> Result<Reading> {
    let field = |at| row.get(at).ok_or_eyre("a row of the weather file is short");
    Ok(Reading {
        origin: field(0)?.to_owned(),
        year: field(1)?.parse()?,
        month: field(2)?.parse()?,
        day: field(3)?.parse()?,
        hour: field(4)?.parse()?,
        temp: measured(field(5)?)?,
        dewp: measured(field(6)?)?,
        humid: measured(field(7)?)?,
        wind_dir: measured(field(8)?)?,
        wind_speed: measured(field(9)?)?,
        wind_gust: measured(field(10)?)?,
        precip: measured(field(11)?)?,
        pressure: measured(field(12)?)?,
        visib: measured(field(13)?)?,
        time_hour: field(14)?.to_owned(),
    })
}

fn measured<T>(field: &str) -> Result<Option<T>>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    if field == "NA" {
        return Ok(None);
    }
    Ok(Some(field.parse()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_the_file_belongs_to_a_station() {
        let counts = STATIONS.map(|origin| readings_of(origin).unwrap().len());
        assert_eq!(counts, [8703, 8706, 8706]);
        assert_eq!(counts.iter().sum::<usize>(), 26_115);
        assert!(readings_of("SFO").is_err());
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
        assert_eq!(first.time_hour, "2013-01-01T06:00:00Z");
        assert!(readings.iter().all(|reading| reading.origin == "EWR"));
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
    }
}
