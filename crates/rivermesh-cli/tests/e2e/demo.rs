//! `demo`: the main job.

use serde_json::Value;

use crate::tool::{Done, Place};

fn summary(done: &Done) -> &str {
    done.lines.last().unwrap()
}

fn demo(args: &[&str]) -> Value {
    let done = Place::new()
        .run(&[&["demo", "--json"], args].concat(), "")
        .good();
    assert_eq!(done.lines.len(), 1, "{done:?}");
    let summary: Value = serde_json::from_str(summary(&done)).unwrap();
    assert_eq!(summary["ok"], true, "{summary}");
    assert_eq!(summary["nodes"], 5);
    assert_eq!(summary["missed"], 0, "{summary}");
    assert_eq!(summary["unaccounted"], 0);
    assert!(summary["discovery_ms"].as_f64().unwrap() > 0.0, "{summary}");
    let latency = &summary["latency_us"];
    assert!(
        latency["p50"].as_u64() <= latency["p99"].as_u64(),
        "{summary}"
    );
    summary
}

#[test]
fn every_reading_reaches_both_consumers() {
    let summary = demo(&["--limit", "300", "--speed", "1000"]);
    assert_eq!(summary["produced"], 900);
    assert_eq!(summary["delivered"], 1800);
}

#[test]
fn every_reading_of_the_year_reaches_both_consumers_at_full_speed() {
    let summary = demo(&["--speed", "max"]);
    assert_eq!(summary["produced"], 26_115);
    assert_eq!(summary["delivered"], 52_230);
}

#[test]
fn a_station_that_was_killed_is_consumed_again_within_five_seconds() {
    let summary = demo(&["--kill", "--limit", "2000"]);
    assert_eq!(summary["delivered"], 12_000);
    assert_eq!(summary["per_station"]["JFK"]["lives"], 2);
    let recovered = summary["kill"]["recovered_ms"].as_f64().unwrap();
    assert!(recovered < 5_000.0, "{recovered} ms");
}

#[test]
fn people_see_who_found_whom_and_a_summary() {
    let done = Place::new()
        .run(&["demo", "--limit", "500", "--speed", "500"], "")
        .good();
    let text = done.lines.join("\n");
    for expected in [
        "alpha found beta in ",
        "all 5 nodes know each other",
        "EWR has all its consumers",
        "1,500 readings of 3 stations to 2 consumers: 3,000 delivered, 0 missed, 0 unaccounted for",
        "latency, one way: p50",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in:\n{text}");
    }
}

#[test]
fn a_demo_that_cannot_finish_in_time_says_so() {
    let done = Place::new().run(&["demo", "--speed", "1", "--timeout", "2s"], "");
    assert_eq!(done.status.code(), Some(1));
    assert!(done.stderr.contains("not finished within 2s"), "{done:?}");
}
