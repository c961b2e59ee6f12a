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
    assert_eq!(summary["nodes"], 7);
    assert_eq!(summary["missed"], 0, "{summary}");
    assert_eq!(summary["unaccounted"], 0);
    assert!(summary["discovery_ms"].as_f64().unwrap() > 0.0, "{summary}");
    let latency = &summary["latency_us"];
    assert!(
        latency["p50"].as_u64() <= latency["p99"].as_u64(),
        "{summary}"
    );
    let half = &summary["forecast"];
    assert_eq!(half["ok"], true, "{summary}");
    assert_eq!(half["sent"], summary["produced"]);
    for wrong in [
        "unaccounted",
        "repeated",
        "corrupt",
        "misnamed",
        "disordered",
        "misdelivered",
    ] {
        assert_eq!(half[wrong], 0, "{summary}");
    }
    let number = |name: &str| half[name].as_u64().unwrap();
    assert_eq!(number("grouped") + number("late"), number("sent"));
    assert_eq!(number("grouped") + number("missing"), 3 * number("hours"));
    assert_eq!(number("alerts") + number("filtered"), number("hours"));
    assert!(number("out_of_order") > 0, "{summary}");
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
    let half = &summary["forecast"];
    assert_eq!(half["hours"], 8730);
    // What the file lacks; a late reading is missing from its hour besides.
    assert_eq!((&half["absent"], &half["empty"]), (&75.into(), &16.into()));
    assert!(half["late"].as_u64() > Some(0) && half["alerts"].as_u64() > Some(0));
    let late = half["late_readings"].as_array().unwrap();
    assert_eq!(late.len() as u64, half["late"]);
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
        .run(&["demo", "--limit", "500", "--speed", "1000"], "")
        .good();
    let text = done.lines.join("\n");
    for expected in [
        "alpha found EWR ",
        "all 7 nodes know each other",
        "EWR has all its consumers",
        "1,500 readings of 3 stations to 2 consumers: 3,000 delivered, 0 missed, 0 unaccounted for",
        "latency, one way: p50",
        "now the same hours again, out of order and late, to the forecaster",
        "missing  2013-01-01 17:00  EWR, JFK",
        "1,500 readings sent again, ",
        "reached the alert node (rain > 0.97)",
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

#[cfg(target_os = "linux")]
#[test]
fn a_forecaster_that_dies_is_named() {
    let mut running = Place::new().start(&["demo", "--limit", "300", "--speed", "50"]);
    running.line_with("now the same hours again");
    running.kill_child("demo-forecaster");
    let done = running.finish();
    assert_eq!(done.status.code(), Some(1));
    assert!(
        done.stderr
            .contains("the process forecaster ended too early (signal: 9"),
        "{done:?}"
    );
}
