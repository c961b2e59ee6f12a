//! All flights of a year through three producers to ten consumers with different filters, against
//! the same selection made on the file.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test's helpers may panic"
)]

use std::{collections::HashMap, io::Read, sync::Arc};

use rivermesh::{
    Condition, Consumer, Datum, Event, Lag, LagSet, Node, NodeId, consumer::LeaveReason,
};
use rivermesh_tests::cluster::{Cluster, DEADLINE};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, Datum)]
#[datum(name = "flights", key = "carrier")]
struct Flight {
    month: u8,
    day: u8,
    hour: u8,
    /// Minutes.
    dep_delay: Option<i16>,
    carrier: String,
    origin: String,
    dest: String,
    tailnum: Option<String>,
}

impl Flight {
    fn delay(&self) -> i16 {
        self.dep_delay.unwrap_or(i16::MIN)
    }
}

/// The file, as `data/README.md` describes it.
fn flights() -> Vec<Flight> {
    let packed = include_bytes!("../data/flights.gz");
    let mut text = String::new();
    let mut file = flate2::read::GzDecoder::new(&packed[..]);
    file.read_to_string(&mut text).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    let columns: HashMap<&str, &[&str]> = lines
        .chunks(lines.len() / 8)
        .map(|column| (column[0], &column[1..]))
        .collect();
    let whole = |column: &str, row: usize| columns[column][row].parse().unwrap();
    let known = |column: &str, row: usize| {
        let text = columns[column][row];
        (text != "NA").then(|| text.to_owned())
    };
    let row = |row: usize| Flight {
        month: whole("month", row),
        day: whole("day", row),
        hour: whole("hour", row),
        dep_delay: known("dep_delay", row).map(|delay| delay.parse().unwrap()),
        carrier: columns["carrier"][row].to_owned(),
        origin: columns["origin"][row].to_owned(),
        dest: columns["dest"][row].to_owned(),
        tailnum: known("tailnum", row),
    };
    (0..columns["month"].len()).map(row).collect()
}

type Selection = fn(&Flight) -> bool;

/// Filters, and what they say.
const FILTERS: [(&str, Selection); 10] = [
    ("carrier == 'UA' && dep_delay > 60", |f| {
        f.carrier == "UA" && f.delay() > 60
    }),
    ("key in ['AA', 'DL']", |f| {
        f.carrier == "AA" || f.carrier == "DL"
    }),
    ("tailnum == 'N14228'", |f| {
        f.tailnum.as_deref() == Some("N14228")
    }),
    ("!has(dep_delay)", |f| f.dep_delay.is_none()),
    ("dep_delay <= 0 || month in [1, 12] && day > 24", |f| {
        f.dep_delay.is_some_and(|delay| delay <= 0) || (f.month == 1 || f.month == 12) && f.day > 24
    }),
    ("dest.startsWith('L') && !(carrier == 'UA')", |f| {
        f.dest.starts_with('L') && f.carrier != "UA"
    }),
    ("tailnum.glob('N?7*A')", |f| {
        let tailnum: Vec<char> = f.tailnum.iter().flat_map(|t| t.chars()).collect();
        matches!(tailnum[..], ['N', _, '7', .., 'A'])
    }),
    ("hour < day && month >= hour", |f| {
        f.hour < f.day && f.month >= f.hour
    }),
    ("origin != 'JFK'", |f| f.origin != "JFK"),
    ("carrier == 'none of them'", |_| false),
];

/// What a consumer was told of one producer: each number once.
#[derive(Default)]
struct Told {
    items: Vec<Flight>,
    filtered: u64,
    next: u64,
}

/// Takes everything until all producers have ended.
async fn drain(mut consumer: Consumer<Flight>) -> (HashMap<NodeId, Told>, Consumer<Flight>) {
    let mut told: HashMap<NodeId, Told> = HashMap::new();
    let mut ended = 0;
    while ended < 3 {
        let event = timeout(4 * DEADLINE, consumer.next_event()).await;
        match event.expect("an event in time").expect("a node that runs") {
            Event::Item(delivery) => {
                let told = told.entry(delivery.producer).or_default();
                assert_eq!(delivery.seq, told.next);
                told.next += 1;
                told.items.push(delivery.item);
            }
            Event::Filtered {
                producer, from, to, ..
            } => {
                let told = told.entry(producer).or_default();
                assert_eq!(from, told.next);
                told.next = to;
                told.filtered += to - from;
            }
            Event::Joined { seq, .. } => assert_eq!(seq, 0),
            Event::Left { reason, .. } => {
                assert_eq!(reason, LeaveReason::Ended);
                ended += 1;
            }
            other => panic!("{other:?}"),
        }
    }
    (told, consumer)
}

async fn produce(node: Node, flights: Arc<Vec<Flight>>, origin: &'static str) {
    let producer = node
        .producer::<Flight>()
        .online_when(Condition::at_least(FILTERS.len()))
        .allow_lag(LagSet::ALL.iter())
        .build()
        .unwrap();
    for flight in flights.iter().filter(|flight| flight.origin == origin) {
        producer.send(flight.clone()).await.unwrap();
    }
    let wanted = |flight: &&Flight| FILTERS.iter().any(|(_, selects)| selects(flight));
    let mine = flights.iter().filter(|flight| flight.origin == origin);
    let unwanted = mine.filter(|flight| !wanted(flight)).count() as u64;
    assert_eq!(producer.stats().undelivered, unwanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_selects_of_all_flights_what_it_selects_of_the_file() {
    const ORIGINS: [&str; 3] = ["EWR", "JFK", "LGA"];
    let flights = Arc::new(flights());
    assert_eq!(flights.len(), 336_776);
    let mut cluster = Cluster::new();
    let mut nodes = Vec::new();
    for _ in 0..5 {
        nodes.push(cluster.spawn().await);
    }
    // Some on nodes of their own, one on a producer's.
    let consumers: Vec<_> = FILTERS
        .iter()
        .zip([2, 3, 4].into_iter().cycle())
        .map(|((filter, _), node)| {
            let consumer = nodes[node].consumer().filter(*filter).lag(Lag::Block);
            tokio::spawn(drain(consumer.build().unwrap()))
        })
        .collect();
    let producers: Vec<_> = ORIGINS
        .into_iter()
        .zip(&nodes)
        .map(|(origin, node)| tokio::spawn(produce(node.clone(), Arc::clone(&flights), origin)))
        .collect();
    for producer in producers {
        producer.await.unwrap();
    }
    for (consumer, (filter, selects)) in consumers.into_iter().zip(FILTERS) {
        let (mut told, consumer) = consumer.await.unwrap();
        let (mut items, mut filtered) = (0, 0);
        for (origin, node) in ORIGINS.into_iter().zip(&nodes) {
            let all: Vec<_> = flights.iter().filter(|f| f.origin == origin).collect();
            let selected: Vec<_> = all.iter().copied().filter(|f| selects(f)).collect();
            let told = told.remove(&node.id()).unwrap_or_default();
            assert!(
                told.items.iter().eq(selected.iter().copied()),
                "{filter} of {origin}"
            );
            assert_eq!(
                told.filtered,
                (all.len() - selected.len()) as u64,
                "{filter}"
            );
            items += told.items.len() as u64;
            filtered += told.filtered;
        }
        let stats = consumer.stats();
        assert_eq!(
            (stats.items, stats.filtered, stats.missed),
            (items, filtered, 0)
        );
        assert_eq!(items + filtered, 336_776);
    }
}
