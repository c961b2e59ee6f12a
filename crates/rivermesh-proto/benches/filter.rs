//! What filters cost an item, by their number and kind; and what reading one costs.
//!
//! `cargo bench -p rivermesh-proto --bench filter`; `docs/src/filters.md` has the figures.

use std::{hint::black_box, time::Duration};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use rivermesh_proto::{
    filter::{Evaluator, Filter, Plan, Set},
    limits,
    schema::{Schema, trace},
};
use serde::{Deserialize, Serialize};

/// As many fields as a row of the well-known table of flights has.
#[derive(Clone, Serialize, Deserialize)]
struct Flight {
    year: u16,
    month: u8,
    day: u8,
    dep_time: Option<u16>,
    sched_dep_time: u16,
    dep_delay: Option<i16>,
    arr_time: Option<u16>,
    sched_arr_time: u16,
    arr_delay: Option<i16>,
    carrier: String,
    flight: u16,
    tailnum: Option<String>,
    origin: String,
    dest: String,
    air_time: Option<u16>,
    distance: u32,
    hour: u8,
    minute: u8,
    time_hour: String,
}

fn flight(n: u32) -> Flight {
    Flight {
        year: 2013,
        month: 1,
        day: 1,
        dep_time: Some(517),
        sched_dep_time: 515,
        dep_delay: Some((n % 180) as i16 - 20),
        arr_time: Some(830),
        sched_arr_time: 819,
        arr_delay: Some(11),
        carrier: "UA".into(),
        flight: 1545,
        tailnum: Some(format!("N{n}")),
        origin: "EWR".into(),
        dest: "IAH".into(),
        air_time: Some(227),
        distance: n,
        hour: 5,
        minute: 15,
        time_hour: "2013-01-01 05:00:00".into(),
    }
}

/// Different items, so that nothing is learnt by heart.
const ITEMS: u32 = 1024;

fn as_json(flights: &[Flight]) -> Vec<serde_json::Value> {
    let rows = flights.iter().map(serde_json::to_value);
    rows.map(Result::unwrap_or_default).collect()
}

/// Spreads the items over the filters that there are, so that each finds exactly one.
fn spread(n: u32, count: u32) -> u32 {
    n * 97 % count
}

fn plan(source: &str, schema: &Schema) -> Plan {
    let filter = Filter::parse(source).unwrap_or_else(|error| panic!("{}", error.report()));
    filter
        .check(schema)
        .unwrap_or_else(|error| panic!("{}", error.report()))
}

/// The cost of one item for a set of filters, where `filters(n)` is the n-th.
fn set(
    criterion: &mut Criterion,
    name: &str,
    counts: &[u32],
    schema: &Schema,
    items: &[impl Serialize],
    filters: impl Fn(u32) -> String,
) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    for &count in counts {
        let keys: Vec<String> = (0..ITEMS)
            .map(|n| format!("N{}", spread(n, count)))
            .collect();
        let mut next = (0..ITEMS as usize).cycle();
        // Made when it is measured, and once: criterion calls for each sample anew.
        let mut made = None;
        group.bench_function(BenchmarkId::from_parameter(count), |bencher| {
            let set = made.get_or_insert_with(|| {
                let mut set = Set::new();
                for n in 0..count {
                    set.insert(&plan(&filters(n), schema));
                }
                assert_eq!(set.len(), count as usize);
                set
            });
            bencher.iter(|| {
                let n = next.next().unwrap_or_default();
                let matched = set.evaluate(&items[n], Some(keys[n].as_bytes()));
                black_box(matched.map(<[_]>::len))
            });
        });
    }
    group.finish();
}

fn items(criterion: &mut Criterion) {
    let schema = trace::<Flight>().unwrap_or_else(|error| panic!("{error}"));
    let flights: Vec<Flight> = (0..ITEMS).map(flight).collect();
    let rows = as_json(&flights);
    let counts = [10, 1000, 100_000];
    let found = |flights: &[Flight], count: u32| -> Vec<Flight> {
        let all = (0..ITEMS).zip(flights);
        all.map(|(n, flight)| Flight {
            tailnum: Some(format!("N{}", spread(n, count))),
            distance: spread(n, count),
            ..flight.clone()
        })
        .collect()
    };
    for count in counts {
        let flights = found(&flights, count);
        set(criterion, "text ==", &[count], &schema, &flights, |n| {
            format!("tailnum == 'N{n}'")
        });
        set(criterion, "number ==", &[count], &schema, &flights, |n| {
            format!("distance == {n}")
        });
        let rows = as_json(&flights);
        set(
            criterion,
            "text == in JSON",
            &[count],
            &Schema::Json,
            &rows,
            |n| format!("tailnum == 'N{n}'"),
        );
        set(criterion, "== and more", &[count], &schema, &flights, |n| {
            format!("tailnum == 'N{n}' && dep_delay > 60")
        });
    }
    set(criterion, "key ==", &counts, &schema, &flights, |n| {
        format!("key == 'N{n}'")
    });
    set(
        criterion,
        "field of its own ==",
        &counts,
        &Schema::Json,
        &rows,
        |n| format!("f{n} == 1"),
    );
    let counts = [1, 10, 1000];
    set(criterion, "general", &counts, &schema, &flights, |n| {
        format!("dep_delay > {n} && (carrier != 'AA' || distance < 500)")
    });
    set(
        criterion,
        "general in JSON",
        &counts,
        &Schema::Json,
        &rows,
        |n| format!("dep_delay > {n} && (carrier != 'AA' || distance < 500)"),
    );
}

/// What there is to compare with: one filter, and the encoding that every item costs anyway.
fn single(criterion: &mut Criterion) {
    let schema = trace::<Flight>().unwrap_or_else(|error| panic!("{error}"));
    let item = flight(7);
    let mut group = criterion.benchmark_group("one");
    let mut buffer = Vec::with_capacity(512);
    group.bench_function("postcard", |bencher| {
        bencher.iter(|| {
            buffer.clear();
            let bytes = postcard::to_extend(black_box(&item), std::mem::take(&mut buffer));
            buffer = bytes.unwrap_or_default();
            buffer.len()
        });
    });
    for (name, source) in [
        ("key", "key == 'JFK'"),
        ("number", "dep_delay > 60"),
        ("text", "carrier == 'UA'"),
        ("both", "carrier == 'UA' && dep_delay > 60"),
    ] {
        let mut evaluator = Evaluator::new(plan(source, &schema));
        group.bench_function(name, |bencher| {
            bencher.iter(|| evaluator.matches(black_box(&item), Some(b"JFK")));
        });
    }
    group.finish();
}

/// From text to plan: an ordinary filter, the largest of each kind, and what is refused.
fn source(criterion: &mut Criterion) {
    let schema = trace::<Flight>().unwrap_or_else(|error| panic!("{error}"));
    let within = |start: &str, part: &str| {
        let count = (limits::FILTER - start.len()) / part.len();
        start.to_owned() + &part.repeat(count)
    };
    let full = |part: &str| within("", part);
    let all = |part: &str, count: usize, between: &str| vec![part; count].join(between);
    let fields: Vec<String> = (0..500).map(|n| format!("f{n}")).collect();
    let numbers: Vec<String> = (0..800).map(|n| (n * 37 % 1000).to_string()).collect();
    let mut group = criterion.benchmark_group("source");
    for (name, source) in [
        ("ordinary", "carrier == 'UA' && dep_delay > 60".to_owned()),
        ("500 fields", fields.join("||")),
        ("800 elements", format!("a in [{}]", numbers.join(","))),
        ("170 alternatives", all("a==1", 170, "||")),
        (
            "deep",
            format!("{}a==1{}", "!(a&&(b||".repeat(10), "))".repeat(10)),
        ),
        ("refused: open", full("(")),
        ("refused: not", full("!")),
        ("refused: or", full("a||")),
        ("refused: names", full("a.")),
        ("refused: elements", within("a in [", "1,")),
        ("refused: scans", full("a in b||")),
        ("refused: string", within("'", "x")),
        ("refused: escapes", within("'", "\\n")),
        ("refused: digits", within("a == 0.", "11") + "x"),
        ("refused: spaces", full(" ")),
        ("refused: too long", " ".repeat(limits::CONTROL)),
    ] {
        let is_refused = Filter::parse(&source).is_err();
        assert_eq!(is_refused, name.starts_with("refused"), "{name}");
        assert_eq!(
            source.len() > limits::FILTER,
            name.ends_with("long"),
            "{name}"
        );
        group.bench_function(name, |bencher| {
            bencher.iter(|| match Filter::parse(black_box(&source)) {
                Ok(filter) => filter.check(&Schema::Json).is_ok(),
                Err(error) => error.to_string().is_empty(),
            });
        });
    }
    // A name that does not exist, with the nearest to be found.
    let unknown = Filter::parse("carier == 'UA'").unwrap_or_else(|error| panic!("{error}"));
    group.bench_function("unknown field", |bencher| {
        bencher.iter(|| unknown.check(black_box(&schema)).is_err());
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .sample_size(20);
    targets = items, single, source
}
criterion_main!(benches);
