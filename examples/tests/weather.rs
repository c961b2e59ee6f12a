//! The stations' readings, delayed and out of order, grouped again: equal for every hour to the same
//! grouping of the file, with exactly the missing hours named.
#![allow(clippy::unwrap_used, reason = "a test's helpers may panic")]

use std::collections::{BTreeMap, BTreeSet};

use futures::{StreamExt, stream};
use rivermesh_weather::{Delays, Group, HOUR, Reading, SILENT, STATIONS, delayed, group, readings};

/// The readings of each hour by station, grouped from the file at once.
fn offline(readings: &[Reading]) -> BTreeMap<u64, BTreeMap<String, Reading>> {
    let mut hours: BTreeMap<u64, BTreeMap<String, Reading>> = BTreeMap::new();
    for reading in readings {
        let hour = reading.at_secs / HOUR.as_secs() * HOUR.as_secs();
        let station = reading.station.clone();
        let twice = hours
            .entry(hour)
            .or_default()
            .insert(station, reading.clone());
        assert!(twice.is_none(), "a station has one reading for an hour");
    }
    hours
}

fn stations(group: &Group) -> BTreeMap<String, Reading> {
    let values = group.values.iter();
    values
        .map(|(station, newest)| (station.clone(), newest.clone().unwrap().1))
        .collect()
}

async fn run(delays: Delays) -> (Vec<Group>, Vec<Reading>) {
    let all = readings().unwrap();
    let grouped = group(
        stream::iter(delayed(&all, delays)),
        HOUR * delays.up_to_hours as u32,
        SILENT,
    );
    let (stats, hours) = (grouped.stats, grouped.hours);
    let (hours, late) = tokio::join!(hours.collect::<Vec<_>>(), grouped.late.collect::<Vec<_>>());
    assert!(stats.get().is_balanced());
    assert_eq!(stats.get().emitted, all.len() as u64);
    (hours, late)
}

#[tokio::test]
async fn every_hour_equals_the_grouping_of_the_file() {
    let all = readings().unwrap();
    let delays = Delays {
        lost_for_a_day: 0,
        ..Delays::new(20_130_101)
    };
    let coming = delayed(&all, delays);
    let moved = coming
        .iter()
        .zip(&all)
        .filter(|(one, other)| one != other)
        .count();
    assert!(
        moved > 10_000 && coming.len() == all.len(),
        "the delays put it out of order"
    );

    let (hours, late) = run(delays).await;
    assert!(
        late.is_empty(),
        "no reading comes later than the model's greatest delay"
    );
    let offline = offline(&all);
    let (first, last) = (
        *offline.keys().next().unwrap(),
        *offline.keys().last().unwrap(),
    );
    let expected: Vec<u64> = (first..=last).step_by(HOUR.as_secs() as usize).collect();
    let starts: Vec<u64> = hours.iter().map(|group| group.start.as_secs()).collect();
    assert_eq!(
        starts, expected,
        "every hour comes once, in order, also those without a reading"
    );
    let (mut missing, mut empty) = (0, 0);
    for group in &hours {
        let wanted = offline
            .get(&group.start.as_secs())
            .cloned()
            .unwrap_or_default();
        assert_eq!(stations(group), wanted);
        let names: BTreeSet<&str> = group.missing.iter().map(String::as_str).collect();
        let absent = STATIONS
            .into_iter()
            .filter(|station| !wanted.contains_key(*station));
        assert_eq!(names, absent.collect());
        assert_eq!((group.gap, group.items), (0, wanted.len() as u64));
        missing += names.len();
        empty += usize::from(wanted.is_empty());
    }
    // What the file lacks: 16 hours of all three, 8 of two, 11 of one.
    assert_eq!(
        (hours.len(), missing, empty),
        (8730, 16 * 3 + 8 * 2 + 11, 16)
    );
}

#[tokio::test]
async fn what_is_late_is_exactly_what_the_hours_lack() {
    let all = readings().unwrap();
    let (hours, late) = run(Delays::new(7)).await;
    assert!(
        (10..50).contains(&late.len()),
        "one in a thousand: {}",
        late.len()
    );
    let mut grouped: Vec<Reading> = late.clone();
    for group in &hours {
        for reading in &late {
            let is_here = group.start <= reading.at() && reading.at() < group.end;
            assert!(
                !is_here || group.missing.contains(&reading.station),
                "named as missing"
            );
        }
        grouped.extend(stations(group).into_values());
    }
    let order = |reading: &Reading| (reading.station.clone(), reading.at_secs);
    grouped.sort_by_key(order);
    let mut file = all;
    file.sort_by_key(order);
    assert_eq!(
        grouped, file,
        "what was grouped and what was late make the file"
    );
}
