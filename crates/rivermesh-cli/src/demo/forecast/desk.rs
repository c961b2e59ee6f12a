//! What the forecaster writes down of the hours and of what came too late. No I/O here.

use std::collections::BTreeMap;

use rivermesh_weather::{Forecaster, Group, Prediction, Reading};

use super::{
    number,
    wire::{Books, OfStation, Outlined, Progress, Word},
};

/// The forecaster's desk: its rules, its books, and what it has not told yet.
#[derive(Debug, Default)]
pub(super) struct Desk {
    forecaster: Forecaster,
    progress: Progress,
    books: Books,
    /// Hours that lack the same stations are told together: from, to, stations.
    run: Option<(u64, u64, Vec<String>)>,
}

impl Desk {
    /// Takes an hour; gives what is foretold from it, and what is worth telling.
    pub(super) fn hour(&mut self, group: &Group) -> (Prediction, Vec<Word>) {
        let hour = number(group.start.as_secs());
        let next = self.books.hours.end();
        self.books.disordered += u64::from(next > 0 && hour != next);
        self.books.hours.insert(hour, hour + 1);
        for (station, newest) in &group.values {
            if let Some((_, reading)) = newest {
                self.of(station, reading, |books| &mut books.grouped);
            }
        }
        for station in &group.missing {
            let books = self.books.stations.entry(station.clone()).or_default();
            books.missing.insert(hour, hour + 1);
        }
        let prediction = self.forecaster.after(group);
        if prediction.is_alert() {
            self.books.alerts.insert(hour, hour + 1);
            let digest = self.books.alert_digest.wrapping_add(prediction.digest());
            self.books.alert_digest = digest;
        }
        self.progress.hours += 1;
        self.progress.grouped += group.items;
        self.progress.missing += group.missing.len() as u64;
        self.progress.newest = Some(outlined(&prediction));
        (prediction, self.missing(hour, &group.missing))
    }

    /// Takes a reading that came too late.
    pub(super) fn late(&mut self, reading: &Reading) -> Word {
        self.progress.late += 1;
        self.of(&reading.station, reading, |books| &mut books.late);
        Word::Late {
            station: reading.station.clone(),
            hour: number(reading.at_secs),
        }
    }

    /// Where it stands.
    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }

    /// What is still to be told, and the books.
    pub(super) fn close(mut self) -> (Vec<Word>, Books) {
        let news = self.missing(u64::MAX, &[]);
        (news, self.books)
    }

    fn of(
        &mut self,
        station: &str,
        reading: &Reading,
        which: fn(&mut OfStation) -> &mut crate::demo::ranges::Ranges,
    ) {
        let hour = number(reading.at_secs);
        let stations: &mut BTreeMap<_, _> = &mut self.books.stations;
        let books = stations.entry(station.to_owned()).or_default();
        books.digest = books.digest.wrapping_add(reading.digest(hour));
        let before = which(books).insert(hour, hour + 1);
        books.repeated += before;
    }

    /// Goes on with the run of hours that lack the same stations, or tells it and begins another one.
    fn missing(&mut self, hour: u64, stations: &[String]) -> Vec<Word> {
        let mut stations = stations.to_vec();
        stations.sort();
        if let Some((_, to, same)) = &mut self.run
            && *to == hour
            && *same == stations
        {
            *to = hour + 1;
            return Vec::new();
        }
        let next = (!stations.is_empty()).then(|| (hour, hour + 1, stations));
        let told = std::mem::replace(&mut self.run, next);
        let word = told.map(|(from, to, stations)| Word::Missing { from, to, stations });
        word.into_iter().collect()
    }
}

/// The outlines of a prediction.
pub(super) fn outlined(prediction: &Prediction) -> Outlined {
    Outlined {
        hour: number(prediction.at_secs),
        temp: prediction.temp,
        trend: prediction.trend,
        rain: prediction.rain,
    }
}
