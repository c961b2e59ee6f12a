//! Grouping the stations hour by hour: demultiplexed, each put in order, and windows of an hour.

use std::{collections::HashMap, fmt, pin::Pin, time::Duration};

use futures::{Stream, StreamExt};
use rivermesh::flow::{
    self, EventTime, FlowExt, Full, Reader, Side, demux, merge,
    reorder::{self, Reorder},
    window::{self, Newest, Window, Windows},
};

use super::{HOUR, Reading, STATIONS};

/// One hour with the reading of each station that has one, and the names of those that have not.
pub type Group = Window<String, Option<(EventTime, Reading)>>;

/// How long a station that sends as fast as it can may be silent before the others go on without it.
pub const SILENT: Duration = Duration::from_secs(10);

/// How many hours are open at once: how far one station may be ahead of another while the readings
/// of a whole year are on the way as fast as they can.
const AHEAD_HOURS: usize = 366 * 24;

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

/// Groups readings hour by hour. A reading may come `lateness` after a later one of its station. The others
/// go on without a station that has been silent for `silent`, by tokio's clock.
/// Both streams must be read, or the hours wait for room among the late readings.
pub fn group(
    readings: impl Stream<Item = Reading> + Send + 'static,
    lateness: Duration,
    silent: Duration,
) -> Grouped {
    let (side, output) = flow::side(1024, Full::Block);
    let mut late = vec![output];
    let config = window::Config::default()
        .idle(silent)
        .emit_empty(EMPTY_HOURS);
    let config = config.max_windows(AHEAD_HOURS);
    let station = |reading: &Reading| reading.station.clone();
    let hours = Windows::tumbling(HOUR, config, station, Reading::at, Newest);
    let hours = hours.known(STATIONS.map(str::to_owned)).late_to(side);

    // The stations are known, so each has its late side before its first reading comes.
    let mut sides: HashMap<&str, Side<Reading>> = HashMap::new();
    for station in STATIONS {
        let (side, output) = flow::side(1024, Full::Block);
        sides.insert(station, side);
        late.push(output);
    }
    let by_station = readings.demux_by(station, demux::Config::default());
    let stats = by_station.stats();
    let in_order = by_station.map(move |(station, readings)| {
        let mut reorder = Reorder::new(|_| (), Reading::at, reorder::Config::new(lateness));
        if let Some(side) = sides.remove(station.as_str()) {
            reorder = reorder.late_to(side);
        }
        readings.through(reorder)
    });
    Grouped {
        hours: Box::pin(in_order.flatten_unordered(None).through(hours)),
        late: Box::pin(merge(late)),
        stats,
    }
}

impl fmt::Debug for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grouped")
            .field("stats", &self.stats)
            .finish_non_exhaustive()
    }
}
