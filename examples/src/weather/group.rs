//! Grouping the stations hour by hour: demultiplexed, each put in order, and windows of an hour.

use std::{pin::Pin, time::Duration};

use futures::{Stream, StreamExt};
use rivermesh::flow::{
    EventTime, FlowExt, Full, Reader, Side, SideOutput, demux, merge,
    reorder::{self, Reorder},
    side,
    window::{self, Newest, Window, Windows},
};

use super::{HOUR, Reading, STATIONS};

/// One hour with the reading of each station that has one, and the names of those that have not.
pub type Group = Window<String, Option<(EventTime, Reading)>>;

/// How long a station may be silent before the others go on without it.
const SILENT: Duration = Duration::from_secs(10);

/// A network that is out for longer than this many empty hours gets a gap instead of them.
const EMPTY_HOURS: u64 = 24 * 31;

/// What [`group`] makes of the readings.
pub struct Grouped {
    /// Every hour, in order, those without any reading too. It moves only while it is read.
    pub hours: Pin<Box<dyn Stream<Item = Group> + Send>>,
    /// The readings that came too late for their hour.
    pub late: Pin<Box<dyn Stream<Item = Reading> + Send>>,
    /// The counters of the demultiplexer.
    pub stats: Reader,
}

/// Groups readings hour by hour. A reading may come `lateness` after a later one of its station.
pub fn group(
    readings: impl Stream<Item = Reading> + Send + 'static,
    lateness: Duration,
) -> Grouped {
    // The stations are known, so each has its late side before its first reading comes.
    let (mut sides, outputs): (Vec<Option<Side<Reading>>>, Vec<SideOutput<Reading>>) = STATIONS
        .iter()
        .map(|_| side(1024, Full::SkipOldest))
        .map(|(side, output)| (Some(side), output))
        .unzip();
    let by_station = readings.demux_by(|reading| reading.station.clone(), demux::Config::default());
    let stats = by_station.stats();
    let in_order = by_station.map(move |(station, readings)| {
        let unkeyed = |_: &Reading| ();
        let config = reorder::Config::new(lateness);
        let mut reorder = Reorder::new(unkeyed, Reading::at, config);
        let number = STATIONS.iter().position(|known| **known == station);
        if let Some(side) = number.and_then(|number| sides.get_mut(number)?.take()) {
            reorder = reorder.late_to(side);
        }
        readings.through(reorder)
    });
    let config = window::Config::default()
        .idle(SILENT)
        .emit_empty(EMPTY_HOURS);
    let station = |reading: &Reading| reading.station.clone();
    let hours = Windows::tumbling(HOUR, config, station, Reading::at, Newest);
    let hours = hours.known(STATIONS.map(str::to_owned));
    Grouped {
        hours: Box::pin(in_order.flatten_unordered(None).through(hours)),
        late: Box::pin(merge(outputs)),
        stats,
    }
}
