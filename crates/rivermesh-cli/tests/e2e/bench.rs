//! `bench`, as small as it goes: that it measures, not what it measures.

use serde_json::Value;

use crate::tool::Place;

#[test]
fn a_tiny_bench_measures() {
    let args = [
        "bench",
        "--consumers",
        "1,3",
        "--size",
        "32,4096",
        "--seconds",
        "0.2",
    ];
    let done = Place::new()
        .run(&[&args[..], &["--rate", "200", "--json"]].concat(), "")
        .good();
    let all: Value = serde_json::from_str(&done.lines[0]).unwrap();
    let cases = all["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 4);
    for case in cases {
        assert!(
            case["load"]["deliveries_per_s"].as_f64().unwrap() > 0.0,
            "{case}"
        );
        assert_eq!(case["load"]["missed"], 0, "{case}");
        let latency = &case["latency"]["latency_us"];
        assert!(latency["count"].as_u64().unwrap() > 0, "{case}");
        assert!(latency["p50"].as_u64() <= latency["max"].as_u64(), "{case}");
    }
}

#[test]
fn a_bench_of_throughput_alone_prints_a_table() {
    let args = [
        "bench",
        "--consumers",
        "2",
        "--size",
        "64",
        "--seconds",
        "0.2",
    ];
    let more = ["--only-throughput", "--threads", "1", "--lag", "skip"];
    let done = Place::new().run(&[&args[..], &more].concat(), "").good();
    assert_eq!(done.lines.len(), 3, "{done:?}");
    assert!(done.lines[2].starts_with("| 2 | 64 B |"), "{done:?}");
}
